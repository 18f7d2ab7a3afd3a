"""Source databases are created from the catalogue, and differences from it are found."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from psycopg2 import extensions, sql

from genims_platform.settings import SOURCE_NAMES, Settings
from genims_platform.sources import schema
from genims_platform.sources.catalogue import catalogue
from genims_platform.sources.connection import SourceUnavailableError, connect


@pytest.fixture
def drifting(settings: Settings) -> Iterator[Settings]:
    """Settings whose `mes` database is a scratch one, created and dropped around the test."""
    own = settings.model_copy(update={"pg_mes_db": f"{settings.pg_mes_db}_drift"})
    schema.create(own, ["mes"])
    yield own
    connection = connect(replace(own.source_primary("mes"), database="postgres"), autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(own.pg_mes_db)))
    connection.close()


def execute(settings: Settings, statement: str) -> None:
    connection: extensions.connection = connect(settings.source_primary("mes"))
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def test_all_sources_can_be_created_twice_and_match_the_catalogue(settings: Settings) -> None:
    schema.create(settings)
    again = schema.create(settings)

    assert [created.source for created in again] == list(SOURCE_NAMES)
    assert not any(created.database_created or created.tables for created in again)
    every_column = {
        f"{source}.{name}": frozenset(table.polars_schema)
        for source, tables in catalogue().items()
        for name, table in tables.items()
    }
    assert schema.check(settings, read_columns=every_column) == []


def test_keys_unique_constraints_and_indexes_are_there(drifting: Settings) -> None:
    connection = connect(drifting.source_primary("mes"))
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'work_orders' ORDER BY indexdef")
        definitions = "\n".join(row[0] for row in cursor.fetchall())
    connection.close()

    assert "UNIQUE INDEX work_orders_pkey ON public.work_orders USING btree (work_order_id)" in definitions
    assert "UNIQUE INDEX work_orders_work_order_number_key" in definitions
    assert "USING btree (actual_end_time)" in definitions
    assert "USING btree (line_id)" in definitions


def test_index_names_are_distinct_and_fit() -> None:
    for source, tables in catalogue().items():
        names = [
            schema.index_name(name, column)
            for name, table in tables.items()
            for column in schema.indexed_columns(source, name, table)
        ]
        assert len(names) == len(set(names)), source
        assert max(map(len, names)) <= 63


def test_every_event_time_column_exists() -> None:
    for reference, columns in schema.EVENT_TIME_COLUMNS.items():
        source, _, name = reference.partition(".")
        assert set(columns) <= set(catalogue()[source][name].polars_schema), reference


def test_a_difference_is_an_error_only_where_reports_read(drifting: Settings) -> None:
    execute(drifting, "DROP TABLE defects")
    execute(drifting, "DROP TABLE changeover_events")
    execute(drifting, "ALTER TABLE work_orders DROP COLUMN status, DROP COLUMN lot_number")
    execute(drifting, "ALTER TABLE work_orders ALTER COLUMN good_quantity TYPE bigint")
    execute(drifting, "ALTER TABLE work_orders ADD COLUMN unknown_to_the_catalogue text")

    read = {
        "mes.defects": frozenset({"defect_id"}),
        "mes.work_orders": frozenset({"status", "good_quantity"}),
    }
    findings = schema.check(drifting, ["mes"], read_columns=read)

    assert {(f.severity, f.kind, f.table, f.column) for f in findings} == {
        ("error", "missing_table", "defects", None),
        ("warning", "missing_table", "changeover_events", None),
        ("error", "missing_column", "work_orders", "status"),
        ("warning", "missing_column", "work_orders", "lot_number"),
        ("error", "changed_type", "work_orders", "good_quantity"),
    }
    changed = next(finding for finding in findings if finding.kind == "changed_type")
    assert (changed.expected, changed.found) == ("integer", "bigint")
    assert "work_orders.good_quantity is bigint, expected integer" in changed.message


def test_create_adds_what_is_missing_and_leaves_rows_alone(drifting: Settings) -> None:
    execute(drifting, "DROP TABLE defects")
    execute(
        drifting,
        "INSERT INTO downtime_events SELECT (jsonb_populate_record(null::downtime_events, j)).* FROM (SELECT "
        "jsonb_object_agg(column_name, '2026-01-01'::text) AS j FROM information_schema.columns "
        "WHERE table_name = 'downtime_events' AND is_nullable = 'NO') AS required",
    )

    (created,) = schema.create(drifting, ["mes"])

    assert (created.database_created, created.tables) == (False, ("defects",))
    connection = connect(drifting.source_primary("mes"))
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM downtime_events")
        assert cursor.fetchone() == (1,)
    connection.close()


def test_a_missing_database_is_a_finding_with_its_variable(settings: Settings) -> None:
    absent = settings.model_copy(update={"pg_qms_db": "genims_qms_absent"})

    (unread,) = schema.check(absent, ["qms"], read_columns={})
    (read,) = schema.check(absent, ["qms"], read_columns={"qms.ncr_headers": frozenset({"ncr_id"})})

    assert (unread.severity, read.severity) == ("warning", "error")
    assert read.kind == "missing_database"
    assert "PG_QMS_DB" in read.message


def test_an_unreachable_server_is_named_without_its_password(settings: Settings) -> None:
    server = replace(settings.source_primary("mes"), host="127.0.0.1", port=1, password="do-not-show")

    with pytest.raises(SourceUnavailableError, match=r"at 127\.0\.0\.1:1: connection refused") as caught:
        connect(server)

    assert caught.value.reason == "refused"
    assert "do-not-show" not in str(caught.value)
