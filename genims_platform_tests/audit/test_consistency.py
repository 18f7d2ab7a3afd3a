"""The rules between tables: kept by batches as they should be, and broken one by one."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.consistency import Part, broken_rules, broken_sequence, part_since
from genims_platform.audit.database import audit_database
from genims_platform.local.servers import Engine
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.connection import Database
from genims_platform.mysql.contract import contracts
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import Settings
from genims_platform_tests.audit.conftest import drop, with_accounts
from genims_platform_tests.audit.spine import START, Row, Writer, event_row, execute, insert

DETAIL = "customer_data_changes"


@pytest.fixture(scope="module")
def database(settings: Settings, engine: Engine) -> Generator[Database]:
    """A deployed audit database without a row."""
    own = with_accounts(settings, engine, f"{settings.mysql_audit_db}_rules")
    administrator = audit_database(own)
    deploy(administrator, "audit", today=START.date())
    yield administrator
    drop(administrator, own)


@contextmanager
def batches(database: Database) -> Generator[tuple[MySQLConnectionAbstract, Row]]:
    """Two batches, the second with two events, of which the first has two detail rows; all of it rolled back."""
    with database.connection() as connection:
        writer = Writer(connection)
        genesis = writer.next_batch("audit", 0, 1, events=1)
        insert(connection, SPINE, genesis)
        insert(connection, LEDGER, event_row(LEDGER, genesis, 1, event_id=1))
        writer.head = genesis
        counts = f"{DETAIL}=2;{LEDGER}=2"
        batch = writer.next_batch("crm", 0, 1, events=2, table_counts=counts, batch_kind="OPEN", row_count=4)
        insert(connection, SPINE, batch)
        for number, sequence in enumerate((2, 3)):
            insert(connection, LEDGER, event_row(LEDGER, batch, sequence, event_id=number))
        for item in (0, 1):
            insert(connection, DETAIL, event_row(DETAIL, batch, 2, item_no=item))
        yield connection, batch
        connection.rollback()


def found(connection: MySQLConnectionAbstract, table: str) -> dict[str, int]:
    part = part_since(connection, START - timedelta(seconds=1))
    assert part is not None
    rules = broken_rules(connection, table, part) | (broken_sequence(connection, part) if table == LEDGER else {})
    return {rule: number for rule, number in rules.items() if number}


def test_a_database_without_batches_has_no_part(database: Database) -> None:
    with database.connection() as connection:
        assert part_since(connection, START) is None


def test_batches_as_they_should_be_break_no_rule_in_any_table(database: Database) -> None:
    with batches(database) as (connection, _):
        assert part_since(connection, START) == Part(0, 1, 1, 3)
        assert part_since(connection, START + timedelta(seconds=1)) == Part(1, 1, 2, 3)
        for table in contracts("audit"):
            assert found(connection, table) == {}, table


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        (f"DELETE FROM {LEDGER} WHERE audit_sequence = 2", {"not_in_ledger": 2}),
        (f"DELETE FROM {DETAIL} WHERE item_no = 0", {"items_not_0_to_k": 1, "batches_with_other_row_counts": 1}),
        (f"DELETE FROM {DETAIL}", {"batches_with_other_row_counts": 1}),
        (f"UPDATE {DETAIL} SET batch_no = 0 WHERE item_no = 1", {"not_in_ledger": 1, "outside_its_batch": 1}),
        (f"UPDATE {DETAIL} SET source_db = 'erp'", {"not_in_ledger": 2}),
        (
            f"UPDATE {DETAIL} SET recorded_at = UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE",
            {"not_in_ledger": 2, "outside_its_batch": 2, "in_the_future": 2},
        ),
    ],
)
def test_a_detail_row_that_is_missing_or_moved_is_found(
    database: Database, statement: str, broken: dict[str, int]
) -> None:
    with unfenced(database, DETAIL, LEDGER), batches(database) as (connection, _):
        execute(connection, statement)
        rules = found(connection, DETAIL)
        assert broken.items() <= rules.items(), rules


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        (f"DELETE FROM {LEDGER} WHERE audit_sequence = 3", {"numbers_missing_or_twice": 1}),
        (f"UPDATE {LEDGER} SET event_id = 1 WHERE audit_sequence = 2", {"events_twice": 1}),
    ],
)
def test_a_number_that_is_missing_and_an_event_that_is_there_twice_are_found(
    database: Database, statement: str, broken: dict[str, int]
) -> None:
    with unfenced(database, LEDGER), batches(database) as (connection, _):
        execute(connection, statement)
        assert broken.items() <= found(connection, LEDGER).items()


def test_a_batch_that_is_missing_or_not_linked_is_found(database: Database) -> None:
    with unfenced(database, SPINE), batches(database) as (connection, _):
        execute(connection, f"UPDATE {SPINE} SET batch_hash = REPEAT('x', 32) WHERE batch_no = 0")
        assert found(connection, SPINE) == {"batches_not_linked": 1}


@contextmanager
def unfenced(database: Database, *tables: str) -> Generator[None]:
    """Without the triggers that refuse changes, as somebody who may alter the schema could have it."""
    with database.connection() as connection, connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"DROP TRIGGER {table}_no_upd")
            cursor.execute(f"DROP TRIGGER {table}_no_del")
    try:
        yield
    finally:
        deploy(database, "audit", today=START.date())
