"""What the audit database refuses, whatever the code of a writer does: as the relay's account, and as others."""

from collections.abc import Generator, Sequence
from datetime import timedelta
from typing import Any

import mysql.connector
import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.database import audit_database
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.connection import Database, scalar
from genims_platform.mysql.contract import contracts
from genims_platform.settings import Settings
from genims_platform_tests.audit.spine import START, Row, Writer, digest, event_row, execute, insert

DUPLICATE, SIGNALLED, TOO_FEW_RIGHTS = {1062}, {1644}, {1044, 1142, 1227}
CHECK_FAILED = {3819, 4025}
TABLES = contracts("audit")
DETAILS = tuple(name for name in TABLES if name not in (SPINE, LEDGER))


@pytest.fixture(scope="module")
def trail(administrator: Database, audit_settings: Settings) -> Generator[Writer]:
    """Committed by the relay: genesis, the source crm with 2 + 1 events, a range of mes of which part 0 is there."""
    assert administrator
    database = audit_database(audit_settings, "relay")
    with database.connection() as connection:
        writer = Writer(connection)
        writer.send("audit", 0, 1, events=1)
        writer.send("crm", 0, 1, batch_kind="OPEN")
        writer.send("mes", 0, 1, batch_kind="OPEN")
        writer.send("mes", 1, 5, events=1, is_last_part=0)
        writer.send("crm", 1, 2, events=2)
        writer.send("crm", 2, 3, events=1)
        yield writer
    database.close()


@pytest.fixture
def relay(trail: Writer) -> Generator[Writer]:
    """The relay at the head of the trail; what a test sends is rolled back."""
    yield Writer(trail.connection, trail.head)
    trail.connection.rollback()


def _refused(connection: MySQLConnectionAbstract, statement: str, parameters: Sequence[Any] = ()) -> tuple[int, str]:
    with pytest.raises(mysql.connector.Error) as refused:
        execute(connection, statement, parameters)
    return refused.value.errno, str(refused.value.msg)


def _refused_row(connection: MySQLConnectionAbstract, table: str, row: Row) -> tuple[int, str]:
    with pytest.raises(mysql.connector.Error) as refused:
        insert(connection, table, row)
    return refused.value.errno, str(refused.value.msg)


def _state(database: Database) -> list[tuple[Any, ...]]:
    return [database.read(f"SELECT COUNT(*), MAX(batch_no) FROM {table}").row(0) for table in (SPINE, LEDGER)]


@pytest.mark.parametrize("table", [SPINE, LEDGER, "data_change_audit", "audit_archive_log"])
def test_the_relay_has_no_right_to_change_what_is_stored(relay: Writer, administrator: Database, table: str) -> None:
    before = _state(administrator)
    row = relay.head if table == SPINE else event_row(table, relay.head or {}, (relay.head or {})["last_sequence"])
    assert row
    names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    values = list(row.values())
    for statement, parameters in (
        (f"UPDATE {table} SET batch_no = batch_no", []),
        (f"DELETE FROM {table}", []),
        (f"REPLACE INTO {table} ({names}) VALUES ({marks})", values),
        (f"INSERT INTO {table} ({names}) VALUES ({marks}) ON DUPLICATE KEY UPDATE batch_no = 1", values),
        (f"TRUNCATE TABLE {table}", []),
        (f"ALTER TABLE {table} ADD COLUMN extra INT", []),
        (f"ALTER TABLE {table} DROP PARTITION p2026", []),
        (f"DROP TABLE {table}", []),
        (f"DROP TRIGGER {table}_no_del", []),
        (f"CREATE TRIGGER extra BEFORE INSERT ON {table} FOR EACH ROW SET @a = 1", []),
        (f"CREATE TEMPORARY TABLE {table} (a INT)", []),
        (f"CREATE INDEX extra ON {table} (batch_no)", []),
        (f"RENAME TABLE {table} TO extra", []),
        (f"LOCK TABLES {table} WRITE", []),
        ("CREATE TABLE extra (a INT)", []),
        ("DROP PROCEDURE audit_purge_partition", []),
        ("SET GLOBAL read_only = 1", []),
    ):
        code, _ = _refused(relay.connection, statement, parameters)
        # A procedure is refused with a code of its own.
        assert code in TOO_FEW_RIGHTS | {1370}, statement
        relay.connection.rollback()
    code, _ = _refused(relay.connection, "CALL audit_purge_partition('login_audit', 2026)")
    assert code == 1370
    assert _state(administrator) == before


def test_rows_cannot_be_changed_even_with_the_right_to(administrator: Database, trail: Writer) -> None:
    with administrator.connection() as connection:
        own = Writer(connection, trail.head)
        batch = own.next_batch("crm", 3, 4, events=1)
        insert(connection, SPINE, batch)
        for table in (LEDGER, *DETAILS):
            insert(connection, table, event_row(table, batch, batch["last_sequence"]))
        for table in TABLES:
            for statement in (f"UPDATE {table} SET batch_no = batch_no", f"DELETE FROM {table}"):
                assert _refused(connection, statement) == (1644, "audit tables are append-only")
        again = event_row(LEDGER, batch, batch["last_sequence"])
        columns, marks = ", ".join(again), ", ".join(["%s"] * len(again))
        statement = f"REPLACE INTO {LEDGER} ({columns}) VALUES ({marks})"
        assert _refused(connection, statement, list(again.values())) == (1644, "audit tables are append-only")
        connection.rollback()


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"prev_hash": digest("forged")}, SIGNALLED),
        ({"prev_hash": None}, SIGNALLED),
        ({"prev_last_sequence": 4, "first_sequence": 5, "last_sequence": 5}, SIGNALLED),
        ({"prev_last_sequence": 6, "first_sequence": 7, "last_sequence": 7}, SIGNALLED),
        ({"prev_recorded_at": None}, SIGNALLED),
        ({"batch_no": 9}, CHECK_FAILED),
        ({"batch_no": 9, "prev_batch_no": 8}, SIGNALLED),
        ({"batch_no": -1, "prev_batch_no": None}, CHECK_FAILED),
        ({"first_sequence": 7, "last_sequence": 7}, CHECK_FAILED),
        ({"last_sequence": 7}, CHECK_FAILED),
        ({"event_count": 2}, CHECK_FAILED),
        ({"event_count": -1, "last_sequence": 4}, CHECK_FAILED),
        ({"event_count": 1001, "last_sequence": 1006}, CHECK_FAILED),
        ({"batch_kind": "OTHER"}, CHECK_FAILED),
        ({"tick_to": 3}, CHECK_FAILED),
        ({"tick_from": 4}, SIGNALLED),
        ({"tick_from": 2, "tick_to": 3}, SIGNALLED),
        ({"part_no": 1}, SIGNALLED),
        ({"incarnation": 2}, SIGNALLED),
        ({"source_db": "erp"}, SIGNALLED),
        ({"source_db": "CRM"}, SIGNALLED),
        ({"source_db": "mes", "tick_from": 5, "tick_to": 6}, SIGNALLED),
        ({"source_db": "mes", "tick_from": 1, "tick_to": 5, "part_no": 2}, SIGNALLED),
        ({"source_db": "mes", "tick_from": 1, "tick_to": 6, "part_no": 1}, SIGNALLED),
        ({"batch_uid": digest("uid", 5)[:16]}, DUPLICATE),
    ],
)
def test_a_batch_that_does_not_follow_is_refused(relay: Writer, changes: Row, codes: set[int]) -> None:
    """The head is batch 5 with sequence 5; only batch 6 with sequence 6 follows, at tick 3 of crm or part 1 of mes."""
    batch = {**relay.next_batch("crm", 3, 4, events=1), **changes}
    code, _ = _refused_row(relay.connection, SPINE, batch)
    assert code in codes


def test_time_does_not_run_backwards(relay: Writer) -> None:
    batch = relay.next_batch("crm", 3, 4)
    code, _ = _refused_row(relay.connection, SPINE, {**batch, "recorded_at": batch["prev_recorded_at"] - timedelta(1)})
    assert code in CHECK_FAILED
    insert(relay.connection, SPINE, {**batch, "recorded_at": batch["prev_recorded_at"]})


def test_a_batch_number_is_given_once(relay: Writer, trail: Writer) -> None:
    for number, source in ((0, "audit"), (1, "crm"), (5, "crm")):
        before = relay.connection
        with before.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {SPINE} WHERE batch_no = %s", (number,))
            (stored,) = cursor.fetchall()
            names = [column[0] for column in cursor.description or ()]
        again = dict(zip(names, stored, strict=True))
        assert again["source_db"] == source
        code, _ = _refused_row(before, SPINE, {**again, "batch_uid": digest("another", number)[:16]})
        assert code in DUPLICATE | SIGNALLED
    assert trail.head == relay.head


def test_two_writers_cannot_both_follow_the_same_batch(relay: Writer, audit_settings: Settings) -> None:
    other = audit_database(audit_settings, "writer")
    with other.connection() as connection:
        execute(connection, "SET SESSION innodb_lock_wait_timeout = 1")
        insert(relay.connection, SPINE, relay.next_batch("crm", 3, 4))
        batch = Writer(connection, relay.head).next_batch("mes", 1, 5, part_no=1, batch_uid=digest("writer")[:16])
        code, _ = _refused_row(connection, SPINE, batch)
        assert code == 1205
    other.close()


def test_what_follows_is_accepted(relay: Writer) -> None:
    first = relay.next_batch("mes", 1, 5, events=2, part_no=1)
    insert(relay.connection, SPINE, first)
    for sequence in (first["first_sequence"], first["last_sequence"]):
        for table in (LEDGER, *DETAILS):
            insert(relay.connection, table, event_row(table, first, sequence))
        insert(relay.connection, "data_change_audit", event_row("data_change_audit", first, sequence, item_no=1))
    relay.head = first
    second = relay.next_batch("crm", 3, 4, events=1)
    insert(relay.connection, SPINE, second)
    insert(relay.connection, LEDGER, event_row(LEDGER, second, second["first_sequence"]))
    relay.head = second
    lost = relay.next_batch("audit", 1, 2, events=5000, batch_kind="VOID", row_count=0, table_counts="")
    insert(relay.connection, SPINE, lost)
    relay.head = lost
    insert(relay.connection, SPINE, relay.next_batch("crm", 0, 9, batch_kind="OPEN", incarnation=2))


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_no": 4},
        {"audit_sequence": 1},
        {"audit_sequence": 5},
        {"audit_sequence": 7},
        {"source_db": "mes"},
        {"recorded_at": START.replace(year=2027)},
        {"recorded_at": START.replace(year=2025)},
        {"batch_no": 7},
    ],
)
def test_a_ledger_row_belongs_to_the_head_batch(relay: Writer, changes: Row) -> None:
    batch = relay.next_batch("crm", 3, 4, events=1)
    insert(relay.connection, SPINE, batch)
    row = event_row(LEDGER, batch, batch["last_sequence"], **changes)
    assert _refused_row(relay.connection, LEDGER, row) == (1644, "row outside the head batch")
    insert(relay.connection, LEDGER, event_row(LEDGER, batch, batch["last_sequence"]))
    code, _ = _refused_row(relay.connection, LEDGER, event_row(LEDGER, batch, batch["last_sequence"]))
    assert code in DUPLICATE
    code, _ = _refused_row(relay.connection, LEDGER, event_row(LEDGER, batch, batch["last_sequence"], item_no=1))
    assert code in CHECK_FAILED


def test_a_ledger_row_into_an_old_batch_is_refused(relay: Writer) -> None:
    with relay.connection.cursor(dictionary=True) as cursor:
        cursor.execute(f"SELECT * FROM {SPINE} WHERE batch_no = 4")
        (old,) = cursor.fetchall()
    for sequence in (3, 4):
        for year in (0, 1):
            moved = {**old, "recorded_at": old["recorded_at"].replace(year=2026 + year)}  # pyright: ignore
            row = event_row(LEDGER, moved, sequence, event_id=99)
            code, message = _refused_row(relay.connection, LEDGER, row)
            # The fence looks before the key does.
            assert (code, message) == (1644, "row outside the head batch")


@pytest.mark.parametrize("table", DETAILS)
def test_a_detail_row_belongs_to_the_batch_of_its_transaction(relay: Writer, table: str) -> None:
    batch = relay.next_batch("crm", 3, 4, events=1)
    insert(relay.connection, SPINE, batch)
    good = event_row(table, batch, batch["last_sequence"])
    for spoilt in (
        {"batch_no": 5},
        {"audit_sequence": batch["last_sequence"] + 1},
        {"audit_sequence": batch["first_sequence"] - 1},
        {"source_db": "mes"},
        {"recorded_at": batch["recorded_at"].replace(year=2027)},
        {"recorded_at": batch["recorded_at"] + timedelta(microseconds=1)},
    ):
        refused = _refused_row(relay.connection, table, {**good, **spoilt})
        assert refused == (1644, "row outside the batch of this transaction")
    insert(relay.connection, table, good)


def test_a_detail_row_needs_a_batch_in_its_session(
    relay: Writer, administrator: Database, audit_settings: Settings
) -> None:
    other = audit_database(audit_settings, "writer")
    assert relay.head
    row = event_row("login_audit", relay.head, relay.head["last_sequence"])
    with other.connection() as connection:
        assert _refused_row(connection, "login_audit", row) == (1644, "row outside the batch of this transaction")
        # The known limit: a hostile session can set what the spine's trigger would have set. Such a row is in no hash
        # of a batch, so recomputing them finds it; the ledger, which is checked against the spine itself, stays closed.
        execute(
            connection,
            "SET @genims_batch = %s, @genims_at = CAST(%s AS DATETIME(6)), @genims_source = %s, "
            "@genims_first = 0, @genims_last = 99",
            (row["batch_no"], row["recorded_at"], row["source_db"]),
        )
        insert(connection, "login_audit", row)
        old = event_row(LEDGER, {**relay.head, "batch_no": 1}, 1)
        assert _refused_row(connection, LEDGER, old) == (1644, "row outside the head batch")
        connection.rollback()
    other.close()
    assert administrator.read("SELECT COUNT(*) FROM login_audit").item() == 0


@pytest.mark.parametrize("role", ["verifier", "auditor"])
def test_readers_only_read(trail: Writer, audit_settings: Settings, role: str) -> None:
    assert trail.head
    database = audit_database(audit_settings, role)  # pyright: ignore[reportArgumentType]
    with database.connection() as connection:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {LEDGER}")
            assert scalar(cursor) == 5
        code, _ = _refused_row(connection, SPINE, Writer(connection, trail.head).next_batch("crm", 3, 4))
        assert code in TOO_FEW_RIGHTS
        assert _refused(connection, "CALL audit_purge_partition('login_audit', 2026)")[0] == 1370
    database.close()
