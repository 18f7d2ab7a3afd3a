"""Our event log storage stores what dagster-postgres stores, row for row."""

import secrets
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import groupby
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster_postgres import PostgresEventLogStorage
from psycopg2 import sql

from genims_platform.orchestration import storage as storage_module
from genims_platform.orchestration.event_log import LeanEventLogStorage
from genims_platform.orchestration.storage import EVENT_SWITCHES, PooledPostgresStorage, storage_url
from genims_platform.settings import PostgresServer, Settings
from genims_platform.sources.connection import connect
from genims_platform_tests.databases import drop_database

HOURS = dg.HourlyPartitionsDefinition("2026-03-01-00:00", end_date="2026-03-02-00:00")
AWKWARD = "tab\t newline\n return\r backslash \\n quote \" ' NUL \0 naïve 工場 \\N"
COLUMNS = {
    "event_logs": "id, run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition",
    "asset_event_tags": "event_id, asset_key, key, value, event_timestamp",
    "asset_keys": "asset_key, last_materialization, last_run_id, last_materialization_timestamp, asset_details",
    "asset_check_executions": (
        "asset_key, check_name, partition, run_id, execution_status, evaluation_event, evaluation_event_timestamp, "
        "evaluation_event_storage_id, materialization_event_storage_id"
    ),
}


def asset(name: str, partitions: dg.PartitionsDefinition | None) -> dg.AssetsDefinition:
    key = dg.AssetKey(["reporting", name])

    @dg.multi_asset(
        name=name,
        specs=[dg.AssetSpec(key, deps=[dg.AssetKey(["mes", "orders"])], partitions_def=partitions)],
        check_specs=[dg.AssetCheckSpec("keys", asset=key), dg.AssetCheckSpec("rows", asset=key)],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def materialize(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        # The values are equal in Python, not in JSON.
        for hour, value in zip(context.partition_keys[2:5] if partitions else (), (1, 1.0, True), strict=False):
            context.add_asset_metadata({"value": value, "text": AWKWARD}, key, hour)
        passed = dg.AssetCheckResult(asset_key=key, check_name="keys", passed=True, metadata={"rows": 3})
        failed = dg.AssetCheckResult(asset_key=key, check_name="rows", passed=False, description=AWKWARD)
        context.log.info(AWKWARD)
        yield dg.MaterializeResult(key, check_results=[passed, failed], tags={"line": "1"})

    return materialize


def events_of_a_run(partitions: dg.PartitionsDefinition | None, tags: dict[str, str]) -> list[dg.EventLogEntry]:
    assets = [asset("orders_daily", partitions), asset("quality_daily", partitions)]
    job = dg.Definitions(assets, jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
    with pytest.MonkeyPatch.context() as environment, dg.DagsterInstance.ephemeral() as instance:
        for name, value in EVENT_SWITCHES.items():
            environment.setenv(name, value)
        return list(instance.all_logs(job.execute_in_process(instance=instance, tags=tags).run_id))


def observed(source: dg.AssetKey) -> list[dg.EventLogEntry]:
    @dg.op
    def observe(context: dg.OpExecutionContext) -> None:
        context.log_event(dg.AssetObservation(source, metadata={"rows": 3}))

    @dg.job
    def look() -> None:
        observe()

    with dg.DagsterInstance.ephemeral() as instance:
        return list(instance.all_logs(look.execute_in_process(instance=instance).run_id))


@contextmanager
def database(server: PostgresServer) -> Generator[PostgresServer]:
    own = replace(server, database=f"genims_t{secrets.token_hex(4)}_events")
    with closing(connect(replace(server, database="postgres"), autocommit=True)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(own.database)))
        yield own
        drop_database(connection, own.database)


def store(storage: PostgresEventLogStorage, events: list[dg.EventLogEntry]) -> None:
    """Events of one kind and asset come in a batch, as Dagster hands them over."""
    planned = (dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED)
    for kind, batch in groupby(events, key=lambda event: event.dagster_event_type):
        if kind == dg.DagsterEventType.ASSET_MATERIALIZATION or kind in planned:
            storage.store_event_batch(list(batch))
        else:
            for event in batch:
                storage.store_event(event)


def rows(server: PostgresServer, table: str) -> list[tuple[object, ...]]:
    with closing(connect(server)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS[table]} FROM {table} ORDER BY id")
        return cursor.fetchall()


@pytest.mark.parametrize("hours", [0, 1, 24])
def test_the_rows_of_a_run_are_those_of_the_stock_storage(hours: int, settings: Settings) -> None:
    keys = HOURS.get_partition_keys()[:hours]
    tags = {ASSET_PARTITION_RANGE_START_TAG: keys[0], ASSET_PARTITION_RANGE_END_TAG: keys[-1]} if keys else {}
    # The second run updates what the first one left.
    runs = [events_of_a_run(HOURS if hours else None, tags) for _ in range(2)]
    with ExitStack() as databases:
        stock, ours = (databases.enter_context(database(settings.dagster_storage)) for _ in range(2))
        for server, storage in (
            (stock, PostgresEventLogStorage(storage_url(stock))),
            (ours, LeanEventLogStorage(storage_url(ours))),
        ):
            for events in runs:
                store(storage, events)
            assert len(rows(server, "event_logs")) == sum(map(len, runs))
        for table in COLUMNS:
            if hours and table == "asset_check_executions":
                continue
            assert rows(ours, table) == rows(stock, table), table
        assert len(rows(ours, "asset_check_executions")) == 8


def test_newest_events_are_those_that_the_stock_storage_finds(settings: Settings) -> None:
    key, source, hour = dg.AssetKey(["reporting", "orders_daily"]), dg.AssetKey(["mes", "orders"]), "2026-03-01-03:00"
    tags = {ASSET_PARTITION_RANGE_START_TAG: "2026-03-01-00:00", ASSET_PARTITION_RANGE_END_TAG: "2026-03-01-05:00"}
    newest_of_hour = dg.AssetRecordsFilter(key, asset_partitions=[hour])
    with database(settings.dagster_storage) as server:
        stock, ours = PostgresEventLogStorage(storage_url(server)), LeanEventLogStorage(storage_url(server))

        def found() -> list[int]:
            assert ours.fetch_materializations(newest_of_hour, 1) == stock.fetch_materializations(newest_of_hour, 1)
            (record,) = ours.get_asset_records([source])
            (observation,) = stock.fetch_observations(source, 1).records
            assert record.asset_entry.last_observation_record == observation
            newest = ours.fetch_materializations(newest_of_hour, 1).records
            return [record.storage_id for record in newest]

        assert ours.fetch_materializations(newest_of_hour, 1) == stock.fetch_materializations(newest_of_hour, 1)
        assert ours.get_asset_records([source]) == []
        observations = observed(source)
        store(ours, observations)
        assert found() == []
        store(ours, events_of_a_run(HOURS, tags))
        first = found()
        store(ours, [*observations, *events_of_a_run(HOURS, tags)])
        assert found() > first
        for asset_key in (key, source):
            ours.wipe_asset(asset_key)
        assert ours.fetch_materializations(newest_of_hour, 1).records == []
        assert stock.fetch_materializations(newest_of_hour, 1).records == []
        assert ours.get_asset_records([source]) == stock.get_asset_records([source]) == []


def test_a_connection_that_broke_while_idle_is_replaced(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "TRIED_AFTER_IDLE_SECONDS", -1)
    with database(settings.dagster_storage) as server:
        events = PooledPostgresStorage(storage_url(server)).event_log_storage
        assert events.get_maximum_record_id() is None
        with closing(connect(server, autocommit=True)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert events.get_maximum_record_id() is None


def test_a_batch_that_fails_leaves_no_row(settings: Settings) -> None:
    events = [
        event
        for event in events_of_a_run(None, {})
        if event.dagster_event_type == dg.DagsterEventType.ASSET_MATERIALIZATION
    ]
    with database(settings.dagster_storage) as server:
        storage = LeanEventLogStorage(storage_url(server))
        with closing(connect(server, autocommit=True)) as connection, connection.cursor() as cursor:
            cursor.execute("DROP TABLE asset_keys")
        with pytest.raises(Exception, match="asset_keys"):
            storage.store_event_batch(events)
        assert rows(server, "event_logs") == []
