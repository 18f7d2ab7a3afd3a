"""What applications say: who acts and why, and what no trigger can see."""

from collections.abc import Generator

import pytest
from psycopg2 import errors, extensions

from genims_platform_tests.audit.capture.captured import Captured

INSERT = "INSERT INTO accounts (account_id, account_number, account_name) VALUES (%(id)s, %(id)s, %(id)s)"


@pytest.fixture
def application(crm: Captured) -> Generator[extensions.connection]:
    """A session of an application: it may write accounts and report, and nothing else."""
    role = f"{crm.database}_app"
    with crm.superuser() as administrator, administrator.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role}; GRANT genims_audit_app TO {role}; GRANT INSERT ON accounts TO {role}")
        with crm.superuser() as connection, connection.cursor() as own:
            own.execute(f"SET ROLE {role}")
            connection.autocommit = False
            yield connection
        cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_the_context_is_in_every_event_of_its_transaction_and_in_no_other(
    crm: Captured, application: extensions.connection
) -> None:
    mark = crm.newest_event()
    with application.cursor() as cursor:
        cursor.execute(
            "SELECT audit.set_context(user_id => 'u1', role_name => 'clerk', session_id => 's', ip => '10.0.0.1', "
            "application => 'portal', reason => 'LIMIT', approval => 'AP-1', request => 'R-1')"
        )
        cursor.execute(INSERT, {"id": "X1"})
        cursor.execute("SAVEPOINT s")
        cursor.execute(INSERT, {"id": "X2"})
        application.commit()
        cursor.execute(INSERT, {"id": "X3"})
        application.commit()
        cursor.execute("SELECT audit.set_context('u2', is_local => false)")
        application.commit()
        cursor.execute(INSERT, {"id": "X4"})
        application.commit()

    context = (
        '{"ip": "10.0.0.1", "app": "portal", "role": "clerk", "user": "u1", "reason": "LIMIT", "request": "R-1", '
        '"session": "s", "approval": "AP-1"}'
    )
    assert [event["ctx"] for event in crm.events(mark)] == [context, context, None, '{"user": "u2"}']


def test_a_bulk_operation_adds_to_the_context(crm: Captured, application: extensions.connection) -> None:
    mark = crm.newest_event()
    with application.cursor() as cursor:
        cursor.execute("SELECT audit.set_context('u1'), audit.begin_bulk('IMPORT-7', approval => 'AP-2')")
        cursor.execute(INSERT, {"id": "B1"})
        application.commit()
        cursor.execute("SELECT audit.begin_bulk('IMPORT-8')")
        cursor.execute(INSERT, {"id": "B2"})
        application.commit()

    assert [event["ctx"] for event in crm.events(mark)] == [
        '{"bulk": "IMPORT-7", "user": "u1", "approval": "AP-2"}',
        '{"bulk": "IMPORT-8"}',
    ]


def test_any_text_as_context_is_kept_as_it_is(crm: Captured, application: extensions.connection) -> None:
    mark = crm.newest_event()
    with application.cursor() as cursor:
        cursor.execute("SET LOCAL audit.ctx = 'not json'")
        cursor.execute(INSERT, {"id": "Z1"})
        application.commit()

    assert [event["ctx"] for event in crm.events(mark)] == ["not json"]


def test_an_application_reports_reads_logins_settings_and_security(
    crm: Captured, application: extensions.connection
) -> None:
    mark = crm.newest_event()
    with application.cursor() as cursor:
        cursor.execute("SELECT audit.set_context('u1')")
        cursor.execute("SELECT audit.log_activity('READ', 'hcm.leave_requests', 'LV-1', 1, '{\"why\": null}')")
        cursor.execute("SELECT audit.log_login('FAILED', 'u1', 'genims', false, 'locked', mfa => true)")
        cursor.execute("SELECT audit.log_config('crm', 'timeout', '1', '2', 'AP-3')")
        cursor.execute("SELECT audit.log_security('SCAN', 'HIGH', 'many requests', '{\"n\": 3}')")
        application.commit()
        cursor.execute("SELECT audit.log_activity('READ')")
        application.rollback()

    events = crm.events(mark)
    assert [(event["kind"], event["op"], event["detail"]) for event in events] == [
        (
            "ACTIVITY",
            "READ",
            {
                "resource_type": "hcm.leave_requests",
                "resource_id": "LV-1",
                "rows": 1,
                "detail": {"why": None},
                "status": "SUCCESS",
            },
        ),
        (
            "LOGIN",
            "FAILED",
            {"user": "u1", "realm": "genims", "success": False, "failure_reason": "locked", "mfa": True},
        ),
        ("CONFIG", "SET", {"module": "crm", "key": "timeout", "old": "1", "new": "2", "approval": "AP-3"}),
        ("SECURITY", "SCAN", {"severity": "HIGH", "description": "many requests", "detail": {"n": 3}}),
    ]
    assert {event["ctx"] for event in events} == {'{"user": "u1"}'}
    assert {event["set_role"] for event in events} == {f"{crm.database}_app"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("log_activity('LOOK')", "'LOOK' is no ACTIVITY event; possible are READ, SEARCH, EXPORT"),
        ("log_activity(NULL)", "NULL is no ACTIVITY event"),
        ("log_login('IN', 'u', 'r', true)", "'IN' is no LOGIN event; possible are LOGIN, LOGOUT"),
        ("log_security('SCAN', 'BAD', 'd')", "'BAD' is no severity; possible are LOW, MEDIUM"),
        ("log_security('far too long a name', 'LOW', 'd')", "is no type of security event"),
        ("log_security(NULL, 'LOW', 'd')", "NULL is no type of security event"),
    ],
)
def test_a_wrong_report_is_refused(call: str, message: str, crm: Captured, application: extensions.connection) -> None:
    mark = crm.newest_event()
    with application.cursor() as cursor, pytest.raises(errors.InvalidParameterValue, match=message):
        cursor.execute(f"SELECT audit.{call}")
    application.rollback()
    assert crm.events(mark) == []


def test_an_application_can_report_only_through_the_functions(
    crm: Captured, application: extensions.connection
) -> None:
    with application.cursor() as cursor:
        for statement in (
            "SELECT audit.log_event('ROW', 'INSERT', '{INSERT}', '{}')",
            "INSERT INTO audit.queue (kind, op) VALUES ('ROW', 'INSERT')",
            "SELECT * FROM audit.queue",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                cursor.execute(statement)
            application.rollback()
    assert crm.newest_event()
