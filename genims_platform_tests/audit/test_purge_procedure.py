"""The procedure that drops a year's partition, called by the one account that may, 12 years after the first entry."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import mysql.connector
import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.accounts import ensure_accounts
from genims_platform.audit.database import audit_database
from genims_platform.local.servers import Engine
from genims_platform.mysql.append_only import SPINE
from genims_platform.mysql.connection import Database
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import Settings
from genims_platform_tests.audit.conftest import drop, with_accounts
from genims_platform_tests.audit.spine import Writer, event_row, insert

NOW = datetime.now(UTC).replace(tzinfo=None)
YEAR = NOW.year - 11
BEGAN = datetime(YEAR, 3, 1)
APPROVAL = {
    "action": "PURGE_APPROVED",
    "approved_by": "ann",
    "second_approver": "bob",
    "performed_by": "carol",
    "event_timestamp": NOW - timedelta(days=1),
}
HOLD = {"hold_id": "HOLD-1", "revision": 1, "action": "PLACE", "status": "ACTIVE"}


class Trail:
    """The database, with its writer and its account for purges unlocked."""

    def __init__(self, writer: Writer, retention: Database, administrator: Database) -> None:
        self.writer, self.retention, self.administrator = writer, retention, administrator

    def record(self, table: str, **values: Any) -> None:
        """Commit a control batch with one row in this table."""
        tick = (self.writer.head or {}).get("tick_to", 0)
        row = self.writer.next_batch("audit", tick, tick + 1, events=1, recorded_at=BEGAN)
        insert(self.writer.connection, SPINE, row)
        insert(self.writer.connection, table, event_row(table, row, row["last_sequence"], **values))
        self.writer.connection.commit()
        self.writer.head = row

    def archived(self, **values: Any) -> None:
        """Record a step of the archive of login_audit and the year."""
        self.record("audit_archive_log", table_name="login_audit", partition_year=YEAR, **{"status": "OK", **values})

    def purge(self, table: str = "login_audit", year: int = YEAR) -> str | None:
        """Why the purge was refused, or None."""
        with self.retention.connection() as connection, connection.cursor() as cursor:
            try:
                cursor.execute("CALL audit_purge_partition(%s, %s)", (table, year))
            except mysql.connector.Error as error:
                assert error.errno == 1644  # noqa: PT017
                return error.msg
        return None

    def years(self, table: str = "login_audit") -> list[str]:
        """Names of the partitions of a table."""
        return self.administrator.read(
            "SELECT partition_name AS name FROM information_schema.partitions WHERE table_schema = %s "
            "AND table_name = %s ORDER BY partition_ordinal_position",
            [self.administrator.server.database, table],
        )["name"].to_list()


@pytest.fixture
def trail(settings: Settings, engine: Engine) -> Generator[Trail]:
    own = with_accounts(settings, engine, f"{settings.mysql_audit_db}_purge")
    administrator = audit_database(own)
    deploy(administrator, "audit", today=date(YEAR - 1, 6, 1))
    ensure_accounts(administrator, own)
    with administrator.administration() as connection:
        unlock(connection, own.mysql_audit_retention_user)
    retention = audit_database(own, "retention")
    with relay(own) as connection:
        yield Trail(Writer(connection), retention, administrator)
    retention.close()
    drop(administrator, own)


@contextmanager
def relay(settings: Settings) -> Generator[MySQLConnectionAbstract]:
    """A connection as the relay."""
    database = audit_database(settings, "relay")
    with database.connection() as connection:
        yield connection
    database.close()


def unlock(connection: MySQLConnectionAbstract, user: str) -> None:
    """What an administrator does before a purge."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER USER %s@'127.0.0.1' ACCOUNT UNLOCK", (user,))


def test_every_condition_is_asked_for(trail: Trail) -> None:
    before = trail.years()
    trail.record("login_audit")
    assert trail.purge() == "purge: archive not verified"
    trail.archived(action="VERIFIED", status="FAILED")
    assert trail.purge() == "purge: archive not verified"
    trail.archived(action="VERIFIED")
    assert trail.purge() == "purge: two approvals missing"
    for wrong in (
        {"second_approver": "ann"},
        {"second_approver": None},
        {"performed_by": "bob"},
        {"event_timestamp": NOW - timedelta(days=8)},
        {"partition_year": YEAR + 1},
    ):
        step = {**APPROVAL, **wrong}
        year = step.pop("partition_year", YEAR)
        trail.record("audit_archive_log", table_name="login_audit", partition_year=year, status="OK", **step)
        assert trail.purge() == "purge: two approvals missing"
    trail.archived(**APPROVAL)
    trail.record("legal_hold_tracking", **HOLD, scope_type="SUBJECT", scope_from=datetime(YEAR, 12, 31))
    assert trail.purge() == "purge: legal hold"
    blocked = {**HOLD, "revision": 2, "action": "BLOCKED"}
    trail.record("legal_hold_tracking", **blocked)
    assert trail.purge() == "purge: legal hold"
    trail.record("legal_hold_tracking", **{**HOLD, "revision": 3, "action": "RELEASE", "status": "RELEASED"})
    trail.record("legal_hold_tracking", **{**HOLD, "hold_id": "HOLD-2"}, scope_to=datetime(YEAR - 1, 12, 31))
    assert trail.years() == before
    assert trail.administrator.read("SELECT COUNT(*) FROM login_audit").item() == 1
    assert trail.purge() is None
    assert trail.years() == [year for year in before if year != f"p{YEAR}"]
    assert trail.administrator.read("SELECT COUNT(*) FROM login_audit").item() == 0
    assert trail.purge() == "purge: no such partition or never purged"


def test_what_is_never_purged(trail: Trail) -> None:
    for table in ("legal_hold_tracking", "audit_archive_log", "audit_integrity_checkpoints", SPINE, "nothing"):
        assert trail.purge(table) == "purge: no such partition or never purged"
    assert trail.purge(year=YEAR - 2) == "purge: no such partition or never purged"


def test_a_year_is_kept_for_2555_days_after_its_end(trail: Trail) -> None:
    deploy(trail.administrator, "audit", today=NOW.date())
    kept = NOW - timedelta(days=2555)
    # The year that ends after this day is not over for long enough, however new or old.
    assert trail.purge(year=kept.year) == "purge: retention not over"
    assert trail.purge(year=NOW.year) == "purge: retention not over"
    assert trail.purge(year=kept.year - 2) == "purge: archive not verified"
