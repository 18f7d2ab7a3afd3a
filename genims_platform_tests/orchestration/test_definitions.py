"""The definitions as Dagster loads them."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from genims_platform.build import REPORTING_JOB, build_definitions
from genims_platform.mysql.contract import contracts
from genims_platform.orchestration.closes import closing_hours, earlier_hours
from genims_platform.orchestration.freshness_checks import FRESHNESS_CHECK
from genims_platform.orchestration.keys import reporting_key, source_key
from genims_platform.orchestration.partitions import hourly_partitions
from genims_platform.reporting.checks import CHECK_NAMES
from genims_platform.reporting.invariants.registry import INVARIANTS
from genims_platform.reporting.periods import LATE_DAYS
from genims_platform.reporting.registry import reporting_tables
from genims_platform.settings import PROJECT_ROOT, load_settings

DEFINITIONS = build_definitions(settings=load_settings(), partitions=hourly_partitions(date(2026, 3, 10)))


def test_they_load_in_a_fresh_interpreter_with_an_empty_environment() -> None:
    code = "from genims_platform.definitions import defs; print(len(defs.resolve_all_asset_keys()))"
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        env={"PATH": os.environ["PATH"]},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > len(reporting_tables())


def test_dagster_validates_the_workspace(tmp_path: Path) -> None:
    # In another folder: dagster.yaml in the current one would ask for the storage of a deployment.
    command = [f"{sys.prefix}/bin/dagster", "definitions", "validate", "-w", str(PROJECT_ROOT / "workspace.yaml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_asset_is_described() -> None:
    graph = DEFINITIONS.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.group_name not in (None, "default"), key
        assert node.kinds, key
        assert node.owners, key
        assert node.check_keys, key
        assert node.metadata["dagster/table_name"], key


@pytest.mark.parametrize("name", sorted(reporting_tables()))
def test_every_reporting_asset_has_its_sources_checks_and_columns(name: str) -> None:
    node = DEFINITIONS.resolve_asset_graph().get(reporting_key(name))
    table = reporting_tables()[name]
    sources = {source_key(source) for source in table.source_tables}
    assert node.parent_keys == sources | {reporting_key(kept) for kept in table.kept_tables}
    equations = {invariant.name for invariant in INVARIANTS if invariant.tables[0] == name}
    assert {key.name for key in node.check_keys} == {*CHECK_NAMES, FRESHNESS_CHECK, *equations}
    schema = node.metadata["dagster/column_schema"]
    assert [column.name for column in schema.columns] == [c.name for c in reporting_tables()[name].contract.columns]
    assert all(column.description for column in schema.columns)


def test_ticks_around_midnight_and_the_end_of_a_month_ask_for_the_hour_that_closed() -> None:
    repository = DEFINITIONS.get_repository_def()
    schedule = repository.get_schedule_def("reporting_hourly_schedule")
    assert schedule.cron_schedule == "0 * * * *"
    expected = {
        datetime(2026, 3, 1, 0, tzinfo=UTC): "2026-02-28-23:00",
        datetime(2026, 3, 1, 1, tzinfo=UTC): "2026-03-01-00:00",
        datetime(2025, 12, 31, 23, tzinfo=UTC): "2025-12-31-22:00",
        datetime(2026, 1, 1, 0, tzinfo=UTC): "2025-12-31-23:00",
        # Clocks change on this night in much of the world; UTC does not.
        datetime(2026, 3, 8, 8, tzinfo=UTC): "2026-03-08-07:00",
    }
    for tick, partition in expected.items():
        context = dg.build_schedule_context(scheduled_execution_time=tick, repository_def=repository)
        (request,) = schedule.evaluate_tick(context).run_requests or []
        assert request.partition_key == partition


def test_partitions_start_with_the_window_and_end_with_the_last_closed_hour() -> None:
    partitions = DEFINITIONS.resolve_asset_graph().get(reporting_key("oee_summary_daily")).partitions_def
    assert partitions is not None
    keys = partitions.get_partition_keys(current_time=datetime(2026, 3, 10, 14, 30, tzinfo=UTC))
    assert (keys[0], keys[-1]) == ("2025-03-01-00:00", "2026-03-10-13:00")


def test_the_hourly_job_holds_every_reporting_table() -> None:
    job = DEFINITIONS.resolve_job_def(REPORTING_JOB)
    assert {node.name for node in job.nodes} == {*reporting_tables(), "invariants_by_day"}


def test_every_table_of_the_schema_has_a_model() -> None:
    assert set(reporting_tables()) == set(contracts("reporting"))


def test_every_equation_names_tables_that_exist() -> None:
    assert {table for invariant in INVARIANTS for table in invariant.tables} <= set(reporting_tables())


def test_late_facts_are_covered_by_the_closes() -> None:
    daily, weekly = (DEFINITIONS.resolve_job_def(name) for name in ("daily_close", "weekly_close"))
    late = {name for name, table in reporting_tables().items() if table.horizon_days}
    assert {node.name.removeprefix("daily_close_") for node in daily.nodes} == late
    assert {node.name.removeprefix("weekly_close_") for node in weekly.nodes} == {
        name for name in late if reporting_tables()[name].horizon_days > LATE_DAYS
    }
    as_of = datetime(2026, 3, 10, 2)
    for table in reporting_tables().values():
        if table.horizon_days > LATE_DAYS:
            assert earlier_hours(table, as_of).end == closing_hours(table, as_of).start
