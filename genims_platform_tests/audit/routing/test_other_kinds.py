"""What the events that are no change of a row leave."""

import json
from typing import Any

import pytest

from genims_platform.audit.ledger.entries import Columns, Entry
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.routing.permission import privileges
from genims_platform.audit.routing.router import Router
from genims_platform_tests.audit.routing.captured import (
    keys_of,
    other_event,
    routed,
    row_of,
    rows_of,
    tables_of,
)


def subset(row: Columns, **expected: Any) -> None:
    assert {name: row.get(name) for name in expected} == expected


def difference(kind: str, op: str, item: str, identity: str, **detail: Any) -> Entry:
    """A difference that the comparison of catalogues found."""
    detail = {"item": item, "identity": identity, **detail}
    return routed("crm", other_event(kind, op, detail, table_name=item.lower(), pk=identity, ctx=None))


@pytest.mark.parametrize(
    ("op", "resource", "rows", "finding"),
    [
        ("READ", "hcm.employees", 5000, None),
        ("DENIED", "hcm.employees", None, "UNAUTHORIZED_ACCESS"),
        ("EXPORT", "hcm.employees", 1, "DATA_EXPORT"),
        ("DOWNLOAD", "hcm.employee_leave_balances", 1, "DATA_EXPORT"),
        ("EXPORT", "crm.accounts", 999, None),
        ("EXPORT", "crm.accounts", 1000, "DATA_EXPORT"),
        ("REPORT", "monthly-sales", 10, None),
    ],
)
def test_activities(op: str, resource: str, rows: int | None, finding: str | None) -> None:
    detail = {
        "resource_type": resource,
        "resource_id": "R-1",
        "rows": rows,
        "status": "SUCCESS",
        "duration_ms": 12,
        "detail": {"purpose": "audit", "limit": 10.0},
    }

    entry = routed("hcm", other_event("ACTIVITY", op, {k: v for k, v in detail.items() if v is not None}))

    subset(
        row_of(entry, "user_activity_log"),
        activity_type=op,
        resource_type=resource,
        resource_id="R-1",
        rows_returned=rows,
        status="SUCCESS",
        duration_ms=12,
        contains_personal=int(resource == "hcm.employees"),
        contains_health=int(resource == "hcm.employee_leave_balances"),
        detail='{"limit":10.0,"purpose":"audit"}',
        user_id="u.miller",
        session_id="s-1",
    )
    subset(entry.ledger, affected_rows_count=rows, payload=None, operation_type=op)
    found = rows_of(entry, "security_events")
    assert [(row["event_type"], row["event_severity"]) for row in found] == ([(finding, "MEDIUM")] if finding else [])


@pytest.mark.parametrize(
    ("op", "success", "finding"),
    [
        ("LOGIN", True, None),
        ("LOGOUT", True, None),
        ("MFA", True, None),
        ("FAILED", False, ("LOGIN_FAILED", "LOW")),
        ("LOCKED", False, ("ACCOUNT_LOCKED", "MEDIUM")),
    ],
)
def test_logins(op: str, success: bool, finding: tuple[str, str] | None) -> None:
    detail = {
        "user": "j.doe",
        "realm": "service.portal",
        "success": success,
        "failure_reason": None if success else "wrong password",
        "method": "PASSWORD",
        "mfa": False,
        "ip": "203.0.113.9",
        "device": "d" * 200,
        "user_agent": "Mozilla " * 100,
        "session": "s-9",
        "duration_s": 60 if op == "LOGOUT" else None,
    }

    entry = routed("service", other_event("LOGIN", op, {k: v for k, v in detail.items() if v is not None}, ctx=None))

    row = row_of(entry, "login_audit")
    subset(
        row,
        event_type=op,
        login_status="SUCCESS" if success else "FAILED",
        failure_reason=detail["failure_reason"],
        user_id="j.doe",
        realm="service.portal",
        mfa_used=0,
        source_ip="203.0.113.9",
        session_id="s-9",
        session_duration_seconds=detail["duration_s"],
    )
    assert str(row["user_agent"]).endswith("…")
    subset(row_of(entry, "user_activity_log"), activity_type=op, user_id="j.doe", source_ip="203.0.113.9")
    subset(entry.ledger, user_id="j.doe")
    found = rows_of(entry, "security_events")
    assert [(row["event_type"], row["event_severity"]) for row in found] == ([finding] if finding else [])


def test_a_command() -> None:
    event = other_event(
        "DDL",
        "ALTER TABLE",
        {"tag": "ALTER TABLE", "statement": "ALTER TABLE accounts ADD x int", "in_extension": False},
        schema_name="public",
        table_name="table",
        pk="public.accounts",
    )

    entry = routed("crm", event)

    assert tables_of(entry) == ["database_changes"]
    subset(
        row_of(entry, "database_changes"),
        change_type="ALTER",
        command_tag="ALTER TABLE",
        object_type="table",
        object_schema="public",
        object_name="public.accounts",
        ddl_statement="ALTER TABLE accounts ADD x int",
        detected_by="EVENT_TRIGGER",
        affects_audit=0,
        transaction_id=7001,
        approval_id="APP-77",
    )
    subset(entry.ledger, table_name="table", primary_key_value="public.accounts", payload=None)


@pytest.mark.parametrize(
    ("schema", "identity", "statement"),
    [
        ("audit", "audit.capture()", "CREATE OR REPLACE FUNCTION audit.capture() …"),
        ("public", "zz_audit_id on public.accounts", "DROP TRIGGER zz_audit_id ON accounts"),
        ("public", "public.accounts", "ALTER TABLE accounts DISABLE TRIGGER zz_audit_upd"),
        ("public", "public.accounts", "alter table accounts disable  trigger all"),
        (None, "genims_audit_ddl", "ALTER EVENT TRIGGER genims_audit_ddl DISABLE"),
    ],
)
def test_a_command_against_capture(schema: str | None, identity: str, statement: str) -> None:
    detail = {"tag": "ALTER TABLE", "statement": statement}

    entry = routed("crm", other_event("DDL", "ALTER", detail, schema_name=schema, table_name="table", pk=identity))

    assert row_of(entry, "database_changes")["affects_audit"] == 1
    subset(row_of(entry, "security_events"), event_type="AUDIT_TAMPER", event_severity="CRITICAL", rule_id="STREAM")


@pytest.mark.parametrize(
    ("item", "identity", "schema", "affects"),
    [
        ("COLUMN", "public.accounts.vat", "public", 0),
        ("TABLE", '"Odd".t', "Odd", 0),
        ("TRIGGER", "public.accounts.zz_audit_id", "public", 1),
        ("TRIGGER", "public.accounts.own", "public", 0),
        ("TRIGGER", "event trigger genims_audit_ddl", None, 1),
        ("FUNCTION", "audit.capture()", "audit", 1),
        ("COLUMN", "audit.queue.extra", "audit", 1),
        ("TABLE", "public.audit_notes", "public", 0),
    ],
)
@pytest.mark.parametrize("run", [None, "run-1"])
def test_differences_of_catalogues(item: str, identity: str, schema: str | None, affects: int, run: str | None) -> None:
    detail = {"old": "a"} | ({"run": run} if run else {})

    entry = difference("SCHEMA", "VANISHED", item, identity, **detail)

    subset(
        row_of(entry, "database_changes"),
        change_type="VANISHED",
        object_type=item.lower(),
        object_schema=schema,
        object_name=identity,
        old_definition="a",
        new_definition=None,
        detected_by="FINGERPRINT",
        affects_audit=affects,
    )
    expected = ("AUDIT_TAMPER", "CRITICAL") if run is None else ("AUDIT_INSTALLED", "LOW")
    found = rows_of(entry, "security_events")
    assert [(row["event_type"], row["event_severity"]) for row in found] == ([expected] if affects else [])


def test_a_role_that_became_powerful() -> None:
    entry = difference(
        "PERMISSION", "CHANGED", "ROLE", '"App Role"', old="login inherit", new="superuser login inherit"
    )

    assert tables_of(entry) == ["database_changes", "permission_changes", "security_events"]
    subset(
        row_of(entry, "permission_changes"),
        change_type="CHANGED",
        grantee="App Role",
        grantee_type="DB_ROLE",
        permission_type="SUPERUSER",
        old_permission="login inherit",
        new_permission="superuser login inherit",
        is_elevation=1,
    )
    subset(row_of(entry, "security_events"), event_type="PRIVILEGE_ELEVATION", event_severity="HIGH")


@pytest.mark.parametrize(
    ("op", "old", "new", "rights", "found"),
    [
        ("APPEARED", None, "login inherit", {("LOGIN", 1), ("INHERIT", 1)}, 0),
        ("VANISHED", "superuser login", None, {("LOGIN", 0), ("SUPERUSER", 0)}, 0),
        ("CHANGED", "login", "createrole login bypassrls", {("CREATEROLE", 1), ("BYPASSRLS", 1)}, 2),
        ("CHANGED", "login", "login valid until superuser", {("ROLE", 0)}, 0),
        ("APPEARED", None, "", {("ROLE", 0)}, 0),
    ],
)
def test_roles(op: str, old: str | None, new: str | None, rights: set[tuple[str, int]], found: int) -> None:
    detail = {name: value for name, value in (("old", old), ("new", new)) if value is not None}

    entry = difference("PERMISSION", op, "ROLE", "app", **detail)

    assert {(row["permission_type"], row["is_elevation"]) for row in rows_of(entry, "permission_changes")} == rights
    assert len(rows_of(entry, "security_events")) == found


@pytest.mark.parametrize(("role", "powerful"), [("genims", True), ("genims_audit_owner", True), ("readers", False)])
def test_membership(role: str, powerful: bool) -> None:
    mapper = Router(audit_policy(), keys_of(()), owner_roles=frozenset({"genims", "genims_audit_owner"}))
    detail = {"item": "MEMBER", "identity": f"{role}: eve", "new": "member"}
    event = other_event("PERMISSION", "APPEARED", detail, table_name="member", db_user="eve", ctx=None)

    entry = routed("crm", event, by=mapper)

    subset(
        row_of(entry, "permission_changes"),
        grantee="eve",
        permission_type="MEMBER",
        permission_resource=role,
        is_elevation=1,
        is_self_grant=1,
    )
    kinds = {row["event_type"] for row in rows_of(entry, "security_events")}
    assert ("PRIVILEGE_ELEVATION" in kinds) is powerful


def test_an_access_list() -> None:
    entry = difference(
        "PERMISSION",
        "CHANGED",
        "ACL",
        "relation public.accounts",
        old="{genims=arwdDxt/genims,app=ar/genims,gone=r/genims}",
        new='{genims=arwdDxt/genims,app=a/genims,=r/genims,"\\"two words\\"=r*/genims"}',
    )

    assert {
        (row["grantee"], row["old_permission"], row["new_permission"], row["is_elevation"])
        for row in rows_of(entry, "permission_changes")
    } == {("app", "ar", "a", 0), ("gone", "r", None, 0), ("public", None, "r", 1), ("two words", None, "r*", 1)}
    assert row_of(entry, "database_changes")["object_name"] == "relation public.accounts"


def test_access_lists_are_read_as_postgresql_prints_them() -> None:
    assert privileges(None) == {}
    assert privileges("{}") == {}
    assert privileges("{a=r/x,a=w/y}") == {"a": "rw"}


def test_a_grant_is_what_its_statement_says() -> None:
    detail = {"tag": "GRANT", "statement": "GRANT SELECT ON accounts TO eve"}

    entry = routed("crm", other_event("PERMISSION", "GRANT", detail, table_name="TABLE"))

    subset(
        row_of(entry, "permission_changes"),
        change_type="GRANT",
        grantee="(see statement)",
        permission_type="GRANT",
        new_permission="GRANT SELECT ON accounts TO eve",
        is_elevation=1,
        modified_by="u.miller",
    )
    subset(
        row_of(entry, "database_changes"),
        change_type="GRANT",
        object_name="(see statement)",
        ddl_statement="GRANT SELECT ON accounts TO eve",
    )


def test_settings() -> None:
    reported = {"module": "pricing", "key": "max_discount", "old": "10", "new": "15", "approval": "CHG-1"}
    found = difference("CONFIG", "CHANGED", "SETTING", "database this, role any", old="{a=1}", new="{a=2}")

    entry = routed("crm", other_event("CONFIG", "SET", reported))

    subset(
        row_of(entry, "configuration_changes"),
        config_module="pricing",
        config_key="max_discount",
        change_type="SET",
        old_value="10",
        new_value="15",
        approval_id="CHG-1",
        approval_required=0,
        user_id="u.miller",
    )
    subset(
        row_of(found, "configuration_changes"),
        config_module="postgresql",
        config_key="database this, role any",
        change_type="CHANGED",
        old_value="{a=1}",
        new_value="{a=2}",
    )


def test_reported_security_events() -> None:
    detail = {"severity": "HIGH", "description": "badge cloned", "detail": {"door": 4}}

    entry = routed("wms", other_event("SECURITY", "BADGE", detail))

    subset(
        row_of(entry, "security_events"),
        event_type="BADGE",
        event_severity="HIGH",
        description="badge cloned",
        detail='{"door":4}',
        source_ip="10.0.0.9",
    )
    assert tables_of(entry) == ["security_events"]


@pytest.mark.parametrize(
    ("op", "finds"),
    [("INSTALLED", False), ("BASELINE", False), ("SUSPENDED", True), ("UNINSTALLED", True), ("INCARNATION", True)],
)
def test_marks_keep_their_parameters_in_the_ledger(op: str, finds: bool) -> None:
    entry = routed("crm", other_event("MARK", op, {"run": "r-1", "rows": 10}))

    assert json.loads(str(entry.ledger["payload"])) == {"run": "r-1", "rows": 10}
    found = rows_of(entry, "security_events")
    assert [(row["event_type"], row["event_severity"]) for row in found] == (
        [(f"CAPTURE_{op}", "HIGH")] if finds else []
    )


def test_truncate() -> None:
    event = other_event(
        "TRUNCATE", "TRUNCATE", {"rows": 12}, schema_name="public", table_name="accounts", table_class="customer"
    )

    entry = routed("crm", event)

    subset(
        row_of(entry, "bulk_operation_audit"),
        operation_type="TRUNCATE",
        table_name="accounts",
        sensitivity_class="customer",
        rows_affected=12,
        first_event_id=99,
        last_event_id=99,
        declared=0,
        status="COMMITTED",
    )
    subset(row_of(entry, "security_events"), event_type="MASS_DELETE", event_severity="HIGH")
    subset(entry.ledger, affected_rows_count=12, payload=None)
