from collections.abc import Mapping
from datetime import date

import pytest

from genims_platform.mysql.connection import Database
from genims_platform.mysql.contract import TableContract, parse_contracts
from genims_platform.mysql.deploy import Change, DeployError, deploy, deploy_contracts
from genims_platform_tests.mysql.conftest import CONTRACTS, INDEXES, SCHEMA, TODAY


def _deploy(
    database: Database,
    tables: Mapping[str, TableContract] = CONTRACTS,
    *,
    today: date = TODAY,
    destructive: bool = False,
) -> list[Change]:
    return deploy_contracts(database, tables, today=today, allow_destructive=destructive)


def _run(database: Database, statement: str) -> None:
    with database.connection() as connection, connection.cursor() as cursor:
        cursor.execute(statement)


def _summary(changes: list[Change]) -> list[tuple[str, str, bool]]:
    return [(change.kind, change.object, change.applied) for change in changes]


def _partitions(database: Database) -> list[str]:
    return database.read(
        "SELECT partition_name AS name FROM information_schema.partitions WHERE table_schema = %s "
        "AND table_name = 'sample_daily' ORDER BY partition_ordinal_position",
        [database.server.database],
    )["name"].to_list()


def test_the_whole_reporting_schema_is_deployed_once(empty_database: Database):
    planned = deploy(empty_database, "reporting", today=TODAY, dry_run=True)
    assert not any(change.applied for change in planned)
    first = deploy(empty_database, "reporting", today=TODAY)
    assert [change.kind for change in first] == ["create database"] + ["create table"] * 35
    assert _summary(planned) == [(kind, name, False) for kind, name, _ in _summary(first)]
    assert deploy(empty_database, "reporting", today=TODAY) == []


def test_what_is_missing_is_added_again(database: Database):
    _run(database, "ALTER TABLE sample_daily DROP COLUMN pieces, DROP INDEX ix_sample_item, COMMENT = ''")
    assert _summary(_deploy(database)) == [
        ("add column", "sample_daily.pieces", True),
        ("create index", "sample_daily.ix_sample_item", True),
        ("comment table", "sample_daily", True),
    ]
    assert _deploy(database) == []
    columns = database.read("SELECT * FROM sample_daily").columns
    assert columns == [column.name for column in CONTRACTS["sample_daily"].columns]


def test_a_new_comment_is_applied(database: Database):
    changed = parse_contracts(SCHEMA.replace("the item; raw", "it''s the item, 50 \\\\ 100 %"), INDEXES)
    assert _summary(_deploy(database, changed)) == [("comment column", "sample_daily.item_id", True)]
    assert _deploy(database, changed) == []


def test_what_would_lose_data_is_reported_and_needs_permission(database: Database):
    _run(database, "ALTER TABLE sample_daily ADD COLUMN extra INT, ADD INDEX ix_extra (extra)")
    _run(database, "ALTER TABLE sample_daily MODIFY COLUMN item_name VARCHAR(20) NOT NULL COMMENT 'its name'")
    _run(database, "CREATE TABLE leftover (a INT)")
    expected = [
        ("drop index", "sample_daily.ix_extra"),
        ("change column", "sample_daily.item_name"),
        ("drop column", "sample_daily.extra"),
        ("drop table", "leftover"),
    ]
    reported = _deploy(database)
    assert _summary(reported) == [(kind, name, False) for kind, name in expected]
    assert all(change.destructive for change in reported)
    assert _summary(_deploy(database, destructive=True)) == [(kind, name, True) for kind, name in expected]
    assert _deploy(database) == []


def test_months_are_added_as_time_passes_and_rows_move_along(database: Database):
    months = ["p202511", "p202512", *(f"p2026{month:02}" for month in range(1, 13)), "p202701", "p202702"]
    assert _partitions(database) == [*months, "p_future"]
    with database.connection() as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sample_daily (day, item_id, source_row_count, last_updated_at) "
            "VALUES ('2027-03-05', 'a', 1, NOW())"
        )
        connection.commit()
    assert _summary(_deploy(database, today=date(2026, 12, 31))) == [("add partitions", "sample_daily", True)]
    assert _partitions(database) == [*months, "p202703", "p_future"]
    assert database.read("SELECT COUNT(*) FROM sample_daily PARTITION (p202703)").item() == 1
    _run(database, "ALTER TABLE sample_daily DROP PARTITION p_future, p202601")
    assert _summary(_deploy(database)) == [("add partitions", "sample_daily", True)] * 2
    assert _partitions(database) == [*months, "p202703", "p_future"]


def test_a_table_without_partitions_gets_them(database: Database):
    _run(database, "ALTER TABLE sample_daily REMOVE PARTITIONING")
    assert _summary(_deploy(database)) == [("partition table", "sample_daily", True)]
    assert _deploy(database) == []


def test_a_refused_statement_is_named(empty_database: Database):
    wrong = parse_contracts(SCHEMA.replace("VARCHAR(200)", "VARCHAR(20000)"), INDEXES)
    with pytest.raises(DeployError, match=r"create table sample_daily: .*statement: CREATE TABLE"):
        _deploy(empty_database, wrong)
