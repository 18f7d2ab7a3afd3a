"""What a superuser of a source may try to keep a change out of the trail: it is captured, or that it was tried is."""

from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from uuid import uuid4

import psycopg2
import pytest
from psycopg2 import errors, extensions

from genims_platform.audit.capture.triggers import attach
from genims_platform.audit.policy import AuditedTable
from genims_platform.local.process import wait_until
from genims_platform_tests.audit.faults.run import STALL_SECONDS
from genims_platform_tests.audit.faults.stage import Program, Stage

pytestmark = pytest.mark.fault

ACCOUNT = "INSERT INTO accounts (account_id, account_number, account_name) VALUES (%(id)s, %(id)s, 'A')"
CAPTURE = "SELECT pg_get_functiondef('audit.capture()'::regprocedure)"
ROWS = "SELECT COUNT(*) FROM system_audit_log WHERE source_db = 'crm' AND primary_key_value = %s"
ALARMS = """
    SELECT COUNT(*) FROM security_events WHERE source_db = 'crm' AND event_type = 'AUDIT_TAMPER'
    AND event_severity = 'CRITICAL' AND audit_sequence > %s AND description LIKE %s
"""


class Attacked:
    """A source with a superuser, and a relay that compares its catalogue every second."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.relay: Program = stage.relay(AUDIT_FINGERPRINT_SECONDS="1")
        self.start = 0

    @contextmanager
    def superuser(self) -> Generator[extensions.cursor]:
        """One transaction, committed at the end."""
        with (
            closing(psycopg2.connect(self.stage.postgres.superuser_dsn, dbname=self.stage.values["PG_CRM_DB"])) as own,
            own,
            own.cursor() as cursor,
        ):
            yield cursor

    def run(self, *statements: str) -> None:
        with self.superuser() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def inserted(self) -> str:
        """A row that an application inserts."""
        key = f"B {uuid4()}"
        self.stage.execute("crm", ACCOUNT, {"id": key})
        return key

    def arrived(self, key: str, times: int = 1) -> bool:
        return self.stage.audit(ROWS, (key,)) == [(times,)]

    def arrives(self, key: str, times: int = 1) -> None:
        self._wait(lambda: self.arrived(key, times), f"{key} does not arrive")

    def is_alarmed(self, description: str) -> None:
        """Until a security event says this that is newer than the test."""
        self._wait(
            lambda: self.stage.audit(ALARMS, (self.start, f"%{description}%"))[0][0] > 0, f"no alarm: {description}"
        )

    def waits(self, query: str, parameters: tuple[str, ...]) -> None:
        """Until a query of the audit database counts something."""
        self._wait(lambda: self.stage.audit(query, parameters)[0][0] > 0, f"nothing for {parameters}")

    def _wait(self, condition: Callable[[], bool], complaint: str) -> None:
        try:
            wait_until(condition, STALL_SECONDS, "")
        except TimeoutError:
            pytest.fail(f"{complaint}:\n{self.relay.tail()}")


@pytest.fixture(scope="module")
def working(shared_stage: Stage) -> Generator[Attacked]:
    """The relay works through all of these tests; what they leave is checked in the end."""
    if shared_stage.broken or not shared_stage.trail:
        shared_stage.new_trail()
    made = Attacked(shared_stage)
    yield made
    assert made.relay.running, made.relay.tail()
    shared_stage.assert_clean()
    shared_stage.stop_programs()


@pytest.fixture
def attacked(working: Attacked) -> Attacked:
    """At rest: whatever was changed before is recorded."""
    working.arrives(working.inserted())
    ((working.start,),) = working.stage.audit("SELECT MAX(audit_sequence) FROM system_audit_log")
    return working


def test_ways_around_triggers_that_do_not_lead_around(attacked: Attacked) -> None:
    changed, copied = attacked.inserted(), f"B {uuid4()}"
    with attacked.superuser() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE accounts SET notes = 'x' WHERE account_id = %s", (changed,))
        cursor.execute("SET LOCAL row_security = off")
        cursor.execute(
            "SELECT format('COPY accounts (account_id, account_number, account_name) FROM PROGRAM %%L', %s)",
            (f"printf '{copied}\\t{copied}\\tA\\n'",),
        )
        ((copy,),) = cursor.fetchall()
        cursor.execute(copy)
        cursor.execute("DELETE FROM accounts WHERE account_id = %s", (changed,))
    attacked.arrives(changed, 3)
    attacked.arrives(copied)


def test_a_trigger_that_is_switched_off(attacked: Attacked) -> None:
    key = attacked.inserted()
    attacked.run(
        "ALTER TABLE accounts DISABLE TRIGGER zz_audit_upd",
        f"UPDATE accounts SET notes = 'unseen' WHERE account_id = '{key}'",
    )
    try:
        attacked.is_alarmed("trigger public.accounts.zz_audit_upd changed outside an installation")
        assert attacked.arrived(key), "capture of a trigger that is off is more than is promised"
    finally:
        attacked.run("ALTER TABLE accounts ENABLE ALWAYS TRIGGER zz_audit_upd")


def test_a_trigger_that_is_dropped(attacked: Attacked) -> None:
    with attacked.superuser() as cursor:
        cursor.execute("SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'zz_audit_id' "
                       "AND tgrelid = 'accounts'::regclass")  # fmt: skip
        ((definition,),) = cursor.fetchall()
    attacked.run("DROP TRIGGER zz_audit_id ON accounts")
    try:
        attacked.is_alarmed("trigger public.accounts.zz_audit_id vanished outside an installation")
    finally:
        attacked.run(definition, "ALTER TABLE accounts ENABLE ALWAYS TRIGGER zz_audit_id")


def test_a_capture_function_that_is_replaced(attacked: Attacked) -> None:
    with attacked.superuser() as cursor:
        cursor.execute(CAPTURE)
        ((definition,),) = cursor.fetchall()
    attacked.run(
        "CREATE OR REPLACE FUNCTION audit.capture() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
    )
    try:
        attacked.is_alarmed("function audit.capture() changed outside an installation")
    finally:
        attacked.run(definition)


def capture(attacked: Attacked, table: str, *statements: str) -> None:
    """Make a table whose changes are captured."""
    rule = AuditedTable.model_validate({"class": "operational", "key": "part_id"})
    attacked.run(*statements, f"GRANT SELECT ON {table} TO genims_audit_owner")
    with attacked.superuser() as cursor:
        for statement in attach("public", table, rule):
            cursor.execute(statement)
    # So that the catalogue is known before a test changes it.
    attacked.is_alarmed(f"trigger public.{table}.zz_audit_trunc appeared outside an installation")


@pytest.fixture
def table(attacked: Attacked) -> Generator[str]:
    """A table of a test's own, which is captured."""
    name = f"parts_{uuid4().hex[:8]}"
    capture(attacked, name, f"CREATE TABLE {name} (part_id text PRIMARY KEY)")
    yield name
    attacked.run(f"DROP TABLE {name}")


@pytest.fixture
def parts(attacked: Attacked) -> Generator[str]:
    """The same with partitions."""
    name = f"parts_{uuid4().hex[:8]}"
    capture(
        attacked,
        name,
        f"CREATE TABLE {name} (part_id text, part int, PRIMARY KEY (part_id, part)) PARTITION BY LIST (part)",
        f"CREATE TABLE {name}_1 PARTITION OF {name} FOR VALUES IN (1)",
    )
    yield name
    attacked.run(f"DROP TABLE {name}", f"DROP TABLE IF EXISTS {name}_1")


def test_a_table_that_is_emptied(attacked: Attacked, table: str) -> None:
    """Refused even to a superuser who does not say that it is maintenance; recorded if he does."""
    attacked.run(f"INSERT INTO {table} VALUES ('P')")
    for before in ("SET LOCAL session_replication_role = replica", "SELECT"):
        with pytest.raises(errors.InsufficientPrivilege, match=f"TRUNCATE of audited table public.{table} refused"):
            attacked.run(before, f"TRUNCATE {table}")
    attacked.run("SET LOCAL audit.maintenance = on", f"TRUNCATE {table}")
    attacked.waits(
        "SELECT COUNT(*) FROM security_events e JOIN system_audit_log l USING (audit_sequence) "
        "WHERE e.event_type = 'MASS_DELETE' AND l.table_name = %s",
        (table,),
    )


def test_a_partition_on_its_own(attacked: Attacked, parts: str) -> None:
    """Capture of one partition is switched off; it is taken out of its table."""
    attacked.run(f"ALTER TABLE {parts}_1 DISABLE TRIGGER zz_audit_upd")
    attacked.is_alarmed(f"trigger public.{parts}_1.zz_audit_upd changed outside an installation")
    attacked.run(f"ALTER TABLE {parts} DETACH PARTITION {parts}_1")
    attacked.is_alarmed(f"trigger public.{parts}_1.zz_audit_id vanished outside an installation")


def test_a_forged_event_names_who_wrote_it(attacked: Attacked) -> None:
    """Whoever may write to the queue may invent events, but not without leaving his name and a number."""
    forged = f"F {uuid4()}"
    attacked.run(
        "INSERT INTO audit.queue (kind, op, ctx, detail) VALUES ('ACTIVITY', 'READ', "
        f"""'{{"user": "{forged}"}}', '{{"resource_type": "crm.contacts", "rows": 1, "status": "SUCCESS"}}')"""
    )
    attacked.waits("SELECT COUNT(*) FROM system_audit_log WHERE user_id = %s AND db_user = 'postgres'", (forged,))


def test_a_table_that_changes_while_it_is_delivered(attacked: Attacked, table: str) -> None:
    """A column more and another name stop nobody; both are recorded, and changes arrive under the new name."""
    renamed = f"{table}_renamed"
    attacked.run(f"ALTER TABLE {table} ADD COLUMN later text")
    attacked.waits(
        "SELECT COUNT(*) FROM system_audit_log WHERE event_kind = 'SCHEMA' AND operation_type = 'APPEARED' "
        "AND primary_key_value = %s",
        (f"public.{table}.later",),
    )
    first, second = f"B {uuid4()}", f"B {uuid4()}"
    attacked.run(f"INSERT INTO {table} VALUES ('{first}', 'x')")
    attacked.arrives(first)
    attacked.run(f"ALTER TABLE {table} RENAME TO {renamed}")
    try:
        attacked.is_alarmed(f"trigger public.{table}.zz_audit_id vanished outside an installation")
        attacked.run(f"INSERT INTO {renamed} VALUES ('{second}', 'x')")
        attacked.waits(
            "SELECT COUNT(*) FROM system_audit_log WHERE primary_key_value = %s AND table_name = %s", (second, renamed)
        )
    finally:
        attacked.run(f"ALTER TABLE {renamed} RENAME TO {table}")
