"""The audit database as its files describe it, deployed on a real server."""

import hashlib
import re
from collections.abc import Generator
from dataclasses import replace
from datetime import date
from itertools import count

import mysql.connector
import polars as pl
import pytest

from genims_platform.mysql.connection import Database
from genims_platform.mysql.contract import contracts, parse_contracts
from genims_platform.mysql.deploy import Change, DeployError, deploy, deploy_contracts
from genims_platform.mysql.fences import fences
from genims_platform.mysql.retention import AppendOnlyError, apply_retention
from genims_platform.settings import PROJECT_ROOT, Settings
from genims_platform_tests.mysql.conftest import CONTRACTS, TODAY

TABLES = contracts("audit")
FENCES = fences("audit")
SPINE = "audit_sequence_manager"
YEARS = [f"p{year}" for year in range(2026, 2036)]
STRUCTURE_HASH = "e6df8fb484cb06a47510e47d4141847b1d4ad5aa30c3ca460d1892459aa9c2b7"
FILES = ("schema", "indexes")
_numbers = count(1)


@pytest.fixture
def empty(settings: Settings) -> Generator[Database]:
    """The name of an audit database that does not exist yet."""
    server = settings.mysql_audit
    database = Database(replace(server, database=f"{server.database}_s{next(_numbers)}"), retry_delay=0)
    yield database
    _run(database, f"DROP DATABASE IF EXISTS `{database.server.database}`")
    database.close()


@pytest.fixture
def audit(empty: Database) -> Database:
    """A deployed audit database."""
    _deploy(empty)
    return empty


def _deploy(database: Database, *, today: date = TODAY, destructive: bool = False) -> list[Change]:
    return deploy(database, "audit", today=today, allow_destructive=destructive)


def _run(database: Database, *statements: str) -> None:
    with database.administration() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", (database.server.database,))
        if cursor.fetchall():
            cursor.execute(f"USE `{database.server.database}`")
        for statement in statements:
            cursor.execute(statement)


def _summary(changes: list[Change]) -> list[tuple[str, str, bool]]:
    return [(change.kind, change.object, change.applied) for change in changes]


def _partitions(database: Database, table: str) -> list[str]:
    return database.read(
        "SELECT partition_name AS name FROM information_schema.partitions WHERE table_schema = %s "
        "AND table_name = %s AND partition_name IS NOT NULL ORDER BY partition_ordinal_position",
        [database.server.database, table],
    )["name"].to_list()


def test_the_schema_files_hold_thirty_described_tables() -> None:
    assert len(TABLES) == 30
    for table in TABLES.values():
        assert table.comment
        assert 10 <= len(table.columns) <= 25
        assert table.collation == "utf8mb4_bin"
        for column in table.columns:
            assert column.description, f"{table.name}.{column.name}"
            assert len(column.comment) <= 1024
            assert (column.unit == "UTC") == (column.sql_type == "datetime(6)"), f"{table.name}.{column.name}"
        if table.name == SPINE:
            assert table.partitioning is None
            continue
        assert [column.name for column in table.columns][:5] == [
            "audit_sequence",
            "item_no",
            "recorded_at",
            "batch_no",
            "source_db",
        ]
        assert table.primary_key == ("audit_sequence", "item_no", "recorded_at")
        assert (table.partition_column, table.partitioning and table.partitioning.period) == ("recorded_at", "year")
        assert "(audit_sequence > 0)" in table.create_statement
    units = {column.unit for table in TABLES.values() for column in table.columns}
    assert units == {"", "UTC", "flag", "rows", "ms", "events", "bytes", "batches", "days", "s", "%"}
    text = (PROJECT_ROOT / "schema" / "mysql_audit_schema.sql").read_text("utf-8")
    assert not re.search(r"see above|as stated|\bsection\b|\bJSON NULL COMMENT|\bTIMESTAMP\b", text)


def test_types_have_exact_polars_types() -> None:
    spine, ledger = TABLES[SPINE], TABLES["system_audit_log"]
    assert spine.column("batch_hash").dtype == pl.Binary()
    assert (ledger.column("item_no").dtype, ledger.column("transaction_id").dtype) == (pl.UInt16(), pl.UInt64())
    digest = TABLES["audit_trail_completeness"].column("expected_digest")
    assert (digest.sql_type, digest.dtype, digest.collation) == ("decimal(40,0)", pl.String(), None)
    assert ledger.column("payload").collation == "utf8mb4_bin"


def test_secondary_indexes_and_fences_are_complete() -> None:
    both = [*TABLES.values(), *contracts("reporting").values()]
    assert sum(len(table.indexes) for table in both) >= 50
    assert [key.name for key in TABLES[SPINE].unique_keys] == ["ux_cursor", "ux_uid"]
    names = {trigger.name for trigger in FENCES.triggers}
    details = TABLES.keys() - {SPINE, "system_audit_log"}
    wanted = {f"{table}_{end}" for table in TABLES for end in ("no_upd", "no_del")} | {f"{t}_fence" for t in details}
    assert names == wanted | {"system_audit_log_fence", f"{SPINE}_open", f"{SPINE}_chain"}
    assert len(FENCES.triggers) == len(names) == 91
    assert [procedure.name for procedure in FENCES.procedures] == ["audit_purge_partition"]


def test_the_schema_does_not_change_unnoticed() -> None:
    """Stored tables live for seven years: a nullable column may be added, nothing else; then this hash is set anew."""
    structure = [
        (
            table.name,
            [(column.name, column.sql_type, column.nullable) for column in table.columns],
            table.primary_key,
            [(key.name, key.columns) for key in table.unique_keys],
            [(check.name, check.definition) for check in table.checks],
        )
        for table in TABLES.values()
    ]
    assert hashlib.sha256(repr(structure).encode()).hexdigest() == STRUCTURE_HASH


def test_the_audit_schema_is_deployed_once(empty: Database) -> None:
    planned = deploy(empty, "audit", today=TODAY, dry_run=True)
    assert not any(change.applied for change in planned)
    first = _deploy(empty)
    kinds = [change.kind for change in first]
    assert kinds == ["create database"] + ["create table"] * 30 + ["create trigger"] * 91 + ["create procedure"]
    assert _summary(planned) == [(kind, name, False) for kind, name, _ in _summary(first)]
    assert _deploy(empty) == []
    kinds_of_tables = empty.read(
        "SELECT table_type AS kind, COUNT(*) AS n FROM information_schema.tables WHERE table_schema = %s GROUP BY 1",
        [empty.server.database],
    )
    assert kinds_of_tables.rows() == [("BASE TABLE", 30)]
    assert {name: _partitions(empty, name) for name in TABLES} == {
        name: [] if name == SPINE else YEARS for name in TABLES
    }


def test_what_is_missing_is_added_again(audit: Database) -> None:
    _run(
        audit,
        "ALTER TABLE login_audit DROP COLUMN mfa_used, DROP INDEX ix_ip_time, COMMENT = ''",
        f"ALTER TABLE {SPINE} DROP CONSTRAINT ck_last, DROP INDEX ux_uid",
        "DROP TRIGGER login_audit_no_del",
        "DROP PROCEDURE audit_purge_partition",
    )
    assert _summary(_deploy(audit)) == [
        ("add column", "login_audit.mfa_used", True),
        ("create index", "login_audit.ix_ip_time", True),
        ("comment table", "login_audit", True),
        ("create index", f"{SPINE}.ux_uid", True),
        ("create check", f"{SPINE}.ck_last", True),
        ("create trigger", "login_audit_no_del", True),
        ("create procedure", "audit_purge_partition", True),
    ]
    assert _deploy(audit) == []


def test_a_fence_that_was_weakened_is_replaced(audit: Database) -> None:
    replaced = ["system_audit_log_fence", "login_audit_no_upd", "login_audit_fence"]
    _run(
        audit,
        *(f"DROP TRIGGER {name}" for name in replaced),
        "DROP PROCEDURE audit_purge_partition",
        "CREATE TRIGGER system_audit_log_fence BEFORE INSERT ON system_audit_log FOR EACH ROW SET @passed = 1",
        "CREATE TRIGGER login_audit_no_upd AFTER UPDATE ON login_audit FOR EACH ROW "
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'",
        "CREATE TRIGGER login_audit_fence BEFORE DELETE ON security_events FOR EACH ROW SET @passed = 1",
        "CREATE PROCEDURE audit_purge_partition(IN p_table VARCHAR(64), IN p_year INT) SQL SECURITY INVOKER SELECT 1",
    )
    expected = [("replace trigger", name, True) for name in ("system_audit_log_fence", *replaced[1:])]
    assert _summary(_deploy(audit)) == [*expected, ("replace procedure", "audit_purge_partition", True)]
    assert _deploy(audit) == []


def test_a_check_that_is_not_enforced_is_enforced_again(audit: Database, engine: str) -> None:
    if engine == "mariadb":
        pytest.skip("MariaDB enforces every check")
    _run(audit, f"ALTER TABLE {SPINE} ALTER CHECK ck_last NOT ENFORCED")
    assert _summary(_deploy(audit)) == [("enforce check", f"{SPINE}.ck_last", True)]
    assert _deploy(audit) == []


def test_nothing_is_ever_taken_away(audit: Database) -> None:
    _run(
        audit,
        "ALTER TABLE login_audit ADD COLUMN extra INT, ADD INDEX ix_extra (extra), MODIFY user_agent VARCHAR(20)",
        f"ALTER TABLE {SPINE} ADD CONSTRAINT ck_extra CHECK (event_count < 7)",
        "CREATE TABLE leftover (a INT)",
        "CREATE VIEW glance AS SELECT 1 AS a",
        "CREATE TRIGGER extra BEFORE INSERT ON security_events FOR EACH ROW SET NEW.event_severity = 'LOW'",
        "CREATE FUNCTION helper() RETURNS INT DETERMINISTIC NO SQL RETURN 1",
    )
    expected = [
        ("drop index", "login_audit.ix_extra", False),
        ("change column", "login_audit.user_agent", False),
        ("drop column", "login_audit.extra", False),
        ("drop check", f"{SPINE}.ck_extra", False),
        ("drop table", "leftover", False),
        ("drop trigger", "extra", False),
        ("drop function", "helper", False),
        ("drop view", "glance", False),
    ]
    for destructive in (False, True):
        changes = _deploy(audit, destructive=destructive)
        assert _summary(changes) == expected
        assert all(change.destructive and change.remedy for change in changes)


def test_only_a_nullable_column_is_added(audit: Database) -> None:
    schema, indexes = ((PROJECT_ROOT / "schema" / f"mysql_audit_{part}.sql").read_text("utf-8") for part in FILES)
    column = "  user_agent VARCHAR(255)"
    for definition, applied in (("NOT NULL", False), ("NULL", True)):
        changed = parse_contracts(schema.replace(column, f"  country CHAR(2) {definition},\n{column}"), indexes)
        changes = deploy_contracts(audit, changed, today=TODAY, fences=FENCES, append_only=True, allow_destructive=True)
        assert _summary(changes) == [("add column", "login_audit.country", applied)]


def test_years_are_added_as_time_passes(audit: Database) -> None:
    changes = _deploy(audit, today=date(2027, 1, 1))
    assert {(change.kind, change.applied) for change in changes} == {("add partitions", True)}
    assert len(changes) == 29
    assert _partitions(audit, "login_audit") == [*YEARS, "p2036"]
    assert _deploy(audit, today=date(2027, 1, 1)) == _deploy(audit) == []
    _run(audit, "ALTER TABLE login_audit DROP PARTITION p2030, p2036")
    assert _summary(_deploy(audit, today=date(2027, 1, 1))) == [("add partitions", "login_audit", True)] * 2
    assert _partitions(audit, "login_audit") == [*YEARS, "p2036"]
    _run(audit, "ALTER TABLE login_audit REMOVE PARTITIONING")
    assert _summary(_deploy(audit)) == [("partition table", "login_audit", True)]
    _run(audit, "ALTER TABLE login_audit PARTITION BY HASH (YEAR(recorded_at)) PARTITIONS 2")
    assert _summary(_deploy(audit, destructive=True)) == [("change partitioning", "login_audit", False)]


def test_the_two_databases_are_kept_apart(audit: Database, database: Database) -> None:
    with pytest.raises(DeployError, match="holds the audit tables"):
        deploy(audit, "reporting", today=TODAY, allow_destructive=True)
    with pytest.raises(DeployError, match=r"holds other tables \(coded_daily, sample_daily …\)"):
        deploy(database, "audit", today=TODAY)
    assert not TABLES.keys() & contracts("reporting").keys()


@pytest.mark.parametrize("dry_run", [False, True])
def test_retention_of_reporting_stays_out_of_the_audit_database(
    audit: Database, database: Database, dry_run: bool
) -> None:
    far = date(2099, 1, 1)
    for tables in (None, CONTRACTS, TABLES):
        with pytest.raises(AppendOnlyError, match="holds the audit trail"):
            apply_retention(audit, today=far, tables=tables, dry_run=dry_run)
    with pytest.raises(AppendOnlyError):
        apply_retention(database, today=far, tables=TABLES, dry_run=dry_run)
    assert _partitions(audit, "login_audit") == YEARS


def test_a_row_for_a_year_without_a_partition_is_refused(audit: Database) -> None:
    columns = (
        "audit_sequence, item_no, recorded_at, batch_no, source_db, login_timestamp, event_type, login_status, realm"
    )
    _run(audit, "DROP TRIGGER login_audit_fence")
    with pytest.raises(mysql.connector.Error) as refused:
        _run(
            audit,
            f"INSERT INTO login_audit ({columns}) VALUES "
            "(1, 0, '2036-01-01', 1, 'crm', '2036-01-01', 'LOGIN', 'SUCCESS', 'genims')",
        )
    assert refused.value.errno == 1526
