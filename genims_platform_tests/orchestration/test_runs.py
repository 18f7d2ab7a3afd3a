"""Runs of the real jobs on a real instance, from real sources into a real database."""

import json
import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import dagster as dg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from sqlalchemy.pool import QueuePool

from genims_platform.build import REPORTING_JOB, build_definitions
from genims_platform.mysql.connection import Database
from genims_platform.orchestration.backfill import months_of, run_range
from genims_platform.orchestration.closes import closing_hours
from genims_platform.orchestration.event_log import LeanEventLogStorage
from genims_platform.orchestration.event_pruning import prune_events
from genims_platform.orchestration.keys import reporting_key
from genims_platform.orchestration.partitions import key_of
from genims_platform.reporting.checks import CHECK_NAMES
from genims_platform.reporting.periods import DAY, Hours, midnight
from genims_platform.reporting.registry import reporting_tables
from genims_platform.settings import PROJECT_ROOT, Settings
from genims_platform.sources.connection import connect
from genims_platform_tests.commands.conftest import renamed
from genims_platform_tests.factory_group import TODAY, UNTIL, copy_row

HOUR = timedelta(hours=1)
NAMES = ("production_summary_daily", "quality_summary_daily")
TABLES = {name: reporting_tables()[name] for name in NAMES}
PARTITIONS = dg.HourlyPartitionsDefinition(start_date=midnight(TODAY - 36 * DAY).replace(tzinfo=UTC), timezone="UTC")


@pytest.fixture
def definitions(factory: Settings) -> dg.Definitions:
    """The definitions as of UNTIL, with two of the tables."""
    as_of = dg.ResourceDefinition(lambda _: UNTIL)
    return build_definitions(settings=factory, tables=TABLES, partitions=PARTITIONS, resources={"as_of": as_of})


def materialized(instance: dg.DagsterInstance, name: str) -> set[str]:
    return instance.get_materialized_partitions(reporting_key(name))


def test_the_shipped_instance_pools_its_connections(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    assert storage.supports_partition_subset_in_asset_materialization_planned_events
    assert isinstance(storage, LeanEventLogStorage)
    assert isinstance(storage._engine.pool, QueuePool)  # pyright: ignore[reportPrivateUsage]


def test_one_hour_publishes_its_day_and_describes_what_it_did(
    definitions: dg.Definitions, instance: dg.DagsterInstance, reporting: Database
) -> None:
    job = definitions.resolve_job_def(REPORTING_JOB)
    result = job.execute_in_process(instance=instance, partition_key="2026-03-10-13:00")
    assert result.success
    for name, table in TABLES.items():
        (event,) = [e for e in result.get_asset_materialization_events() if e.asset_key == reporting_key(name)]
        metadata = event.materialization.metadata
        assert {"periods", "seconds", "source_rows_read", "preview", "sources"} <= set(metadata)
        stored = reporting.read(f"SELECT {table.period_column} FROM {name}").to_series().value_counts(sort=True)
        assert set(stored.to_series()) >= {TODAY - DAY, TODAY}
        assert metadata["dagster/row_count"].value == dict(stored.iter_rows())[TODAY]
    assert len(result.get_asset_check_evaluations()) == len(CHECK_NAMES) * len(TABLES)


def test_a_range_run_records_every_hour_with_the_rows_of_its_own_day(
    definitions: dg.Definitions, instance: dg.DagsterInstance, reporting: Database
) -> None:
    hours = Hours(datetime(2026, 2, 3), datetime(2026, 2, 5))
    run = run_range(definitions.resolve_job_def(REPORTING_JOB), instance, hours)
    assert run.failed == ()
    assert {key_of(hours.start + n * HOUR) for n in range(48)} <= materialized(instance, NAMES[0])
    day, rows = reporting.read(
        f"SELECT production_date, COUNT(*) FROM {NAMES[0]} WHERE production_date = '2026-02-03' GROUP BY 1"
    ).row(0)
    assert day == date(2026, 2, 3)
    (event,) = instance.fetch_materializations(
        dg.AssetRecordsFilter(reporting_key(NAMES[0]), asset_partitions=["2026-02-03-23:00"]), limit=1
    ).records
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["dagster/row_count"].value == rows


@pytest.mark.usefixtures("reporting")
def test_a_hole_of_thirty_hours_is_found_and_filled(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    hole = Hours(datetime(2026, 2, 10, 20), datetime(2026, 2, 12, 2))
    job = definitions.resolve_job_def(REPORTING_JOB)
    run_range(job, instance, Hours(midnight(TODAY - 36 * DAY), hole.start))
    run_range(job, instance, Hours(hole.end, datetime(2026, 3, 10, 14)))
    repository = definitions.get_repository_def()
    context = dg.build_schedule_context(
        instance=instance,
        repository_def=repository,
        scheduled_execution_time=datetime(2026, 3, 10, 14, 20, tzinfo=UTC),
    )
    requests = repository.get_schedule_def("fill_gaps").evaluate_tick(context).run_requests or []
    assert [
        (request.tags[ASSET_PARTITION_RANGE_START_TAG], request.tags[ASSET_PARTITION_RANGE_END_TAG])
        for request in requests
    ] == [
        ("2026-02-12-00:00", "2026-02-12-01:00"),
        ("2026-02-11-00:00", "2026-02-11-23:00"),
        ("2026-02-10-20:00", "2026-02-10-23:00"),
    ]
    for request in requests:
        tags = {key: value for key, value in request.tags.items() if key.startswith("dagster/asset_partition_range")}
        assert job.execute_in_process(instance=instance, asset_selection=request.asset_selection, tags=tags).success
    again = repository.get_schedule_def("fill_gaps").evaluate_tick(context)
    assert not again.run_requests


def test_the_close_publishes_and_records_only_days_that_changed(
    definitions: dg.Definitions, instance: dg.DagsterInstance, factory: Settings, reporting: Database
) -> None:
    closing_span = closing_hours(TABLES[NAMES[1]], UNTIL)
    run_range(definitions.resolve_job_def(REPORTING_JOB), instance, closing_span)
    loaded = "SELECT quality_date, MAX(last_updated_at) FROM quality_summary_daily GROUP BY 1"
    before = dict(reporting.read(loaded).iter_rows())
    late = midnight(TODAY - 20 * DAY) + timedelta(hours=9)
    copy_row(factory, "mes.defects", {"detected_date": late}, "quantity_affected > 0")

    result = definitions.resolve_job_def("daily_close").execute_in_process(instance=instance)

    assert result.success
    events = [e for e in result.all_events if e.is_step_materialization]
    assert [(e.asset_key, e.partition) for e in events] == [
        (reporting_key("quality_summary_daily"), key_of(midnight(late.date() + DAY) - HOUR))
    ]
    after = dict(reporting.read(loaded).iter_rows())
    assert {day for day in before if before[day] != after[day]} == {late.date()}
    graph = definitions.resolve_asset_graph()
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(graph.asset_check_keys))
    assert {key for key, record in records.items() if record.run_id == result.run_id} == {
        dg.AssetCheckKey(reporting_key(name), check) for name in NAMES for check in CHECK_NAMES
    }


def test_a_broken_source_fails_its_tables_and_leaves_the_others(
    definitions: dg.Definitions, instance: dg.DagsterInstance, factory: Settings, reporting: Database
) -> None:
    job = definitions.resolve_job_def(REPORTING_JOB)
    assert job.execute_in_process(instance=instance, partition_key="2026-03-10-12:00").success
    stored = "SELECT * FROM quality_summary_daily ORDER BY 1, 2, 3"
    before = reporting.read(stored)
    with renamed(factory, "mes.defects", "quantity_affected"):
        result = job.execute_in_process(instance=instance, partition_key="2026-03-10-13:00", raise_on_error=False)
    failure = result.failure_data_for_node("quality_summary_daily")
    assert failure is not None
    assert "defects.quantity_affected is missing, expected integer" in failure.error_display_string
    assert result.get_step_success_events()[0].step_key == "production_summary_daily"
    assert reporting.read(stored).equals(before)


@pytest.mark.usefixtures("reporting")
def test_the_command_line_runs_one_hour(instance: dg.DagsterInstance, settings_environment: dict[str, str]) -> None:
    hour = key_of(datetime.now(UTC).replace(tzinfo=None, minute=0, second=0, microsecond=0) - 2 * HOUR)
    command = [f"{sys.prefix}/bin/dagster", "job", "execute", "-m", "genims_platform.definitions"]
    command += ["-j", REPORTING_JOB, "--tags", json.dumps({"dagster/partition": hour})]
    environment = {**os.environ, **settings_environment}
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert all(hour in materialized(instance, name) for name in reporting_tables())


def test_months_of_a_year_are_thirteen_runs_at_most() -> None:
    spans = list(months_of(Hours(datetime(2025, 11, 1), datetime(2026, 11, 22, 14))))
    assert len(spans) == 13
    assert all(a.end == b.start for a, b in pairwise(spans))
    assert (spans[1].start, spans[1].end) == (datetime(2025, 12, 1), datetime(2026, 1, 1))


@pytest.mark.usefixtures("reporting")
def test_pruning_keeps_materialisations_and_checks(
    definitions: dg.Definitions, instance: dg.DagsterInstance, factory: Settings
) -> None:
    job = definitions.resolve_job_def(REPORTING_JOB)
    result = job.execute_in_process(instance=instance, partition_key="2026-03-09-10:00")
    with closing(connect(factory.dagster_storage, autocommit=True)) as connection:
        connection.cursor().execute("UPDATE event_logs SET timestamp = timestamp - interval '30 days'")
    assert prune_events(factory, keep_days=14) > 0
    left = {entry.dagster_event.event_type_value for entry in instance.all_logs(result.run_id) if entry.dagster_event}
    assert {"ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION", "PIPELINE_SUCCESS"} <= left
    assert not any(name.startswith(("STEP_", "RESOURCE_", "ENGINE_")) for name in left)
