"""Refreshing tables from real sources into a real database: what a reader of the tables relies on."""

import threading
from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from genims_platform.mysql.connection import Database
from genims_platform.reporting.periods import Hours, midnight, slices
from genims_platform.reporting.publish import Refresh, refresh
from genims_platform.reporting.registry import reporting_tables
from genims_platform.reporting.table import ReportingTable
from genims_platform.settings import Settings
from genims_platform.sources.reader import SourceReader
from genims_platform_tests.factory_group import TODAY, UNTIL, clear, copy_row, days, write

DAY = timedelta(days=1)
WEEK = days(TODAY - 6 * DAY, TODAY + DAY)
TABLES = sorted(reporting_tables())


def publish(
    table: ReportingTable, hours: Hours, factory: Settings, target: Database, *, only_changed: bool = False
) -> Refresh:
    return refresh(
        table,
        hours,
        sources=SourceReader(factory),
        target=target,
        as_of=UNTIL,
        lock_timeout=30,
        only_changed=only_changed,
    )


def stored(table: ReportingTable, target: Database) -> pl.DataFrame:
    key = ", ".join(table.contract.primary_key)
    return target.read(f"SELECT * FROM {table.name} ORDER BY {key}").drop("last_updated_at")


@pytest.mark.parametrize("name", TABLES)
def test_every_table_agrees_with_separate_sql_and_is_stored_whole(
    name: str, factory: Settings, reporting: Database
) -> None:
    table = reporting_tables()[name]
    outcome = publish(table, WEEK, factory, reporting)
    assert not outcome.failures
    assert len(stored(table, reporting)) == sum(outcome.row_counts.values()) > 0
    assert {check.name for check in outcome.checks} == {"rows", "keys", "values", "reconcile", "orphans", "row_count"}


@pytest.mark.parametrize("name", TABLES)
def test_models_read_no_column_they_do_not_use(name: str) -> None:
    for source, columns in reporting_tables()[name].columns_read().items():
        assert 0 < len(columns) <= 20, source


LATE_BOOKINGS = [
    ("mes.labor_transactions", "clock_in_time"),
    ("mes.material_transactions", "transaction_date"),
    ("mes.defects", "detected_date"),
    ("operational.production_runs", "run_start_time"),
    ("operational.machine_faults", "fault_start_time"),
]

chunks = st.tuples(st.integers(0, 5), st.integers(1, 3)).map(
    lambda pair: days(TODAY - (6 - pair[0]) * DAY, min(TODAY - (6 - pair[0] - pair[1]) * DAY, TODAY + DAY))
)
late_rows = st.tuples(st.sampled_from(LATE_BOOKINGS), st.integers(0, 5), st.integers(0, 23))


@hypothesis_settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(
    steps=st.lists(chunks | late_rows, min_size=3, max_size=6),
    names=st.lists(st.sampled_from(TABLES), min_size=6, max_size=6, unique=True),
)
def test_any_sequence_of_refreshes_equals_one_rebuild(
    steps: list[Hours | tuple[tuple[str, str], int, int]], names: list[str], factory: Settings, reporting: Database
) -> None:
    # Tables whose stored snapshots are read come before those that read them.
    tables = sorted((reporting_tables()[name] for name in names), key=lambda table: len(table.kept_tables))
    clear(reporting)
    booked: set[date] = set()
    refreshed: set[date] = set()
    for step in steps:
        if isinstance(step, Hours):
            for table in tables:
                assert not publish(table, step, factory, reporting).failures
            refreshed |= {step.first_day + n * DAY for n in range((step.last_day - step.first_day).days + 1)}
            booked -= refreshed
        else:
            (source, column), back, hour = step
            moment = midnight(TODAY - back * DAY - DAY) + timedelta(hours=hour)
            copy_row(factory, source, {column: moment}, f"{column} < '{UNTIL}'")
            booked.add(moment.date())
            refreshed.discard(moment.date())
    # Whatever was left out or booked since is refreshed in the end, newest first, a day at a time.
    pending = {WEEK.first_day + n * DAY for n in range(7)} - refreshed | booked
    for first, end in sorted(slices(pending, "day"), reverse=True):
        for table in tables:
            assert not publish(table, days(first, end), factory, reporting).failures
    pieces = {table.name: stored(table, reporting) for table in tables}
    clear(reporting)
    for table in tables:
        oldest = pieces[table.name][table.period_column].min()
        assert isinstance(oldest, date)
        publish(table, days(min(oldest + table.recompute * DAY, TODAY), TODAY + DAY), factory, reporting)
        whole = stored(table, reporting).filter(
            pl.col(table.period_column).is_in(pieces[table.name][table.period_column].unique().implode())
        )
        assert whole.equals(pieces[table.name]), table.name


def test_two_refreshes_at_once_end_in_the_same_table(factory: Settings, reporting: Database) -> None:
    table = reporting_tables()["production_summary_daily"]
    publish(table, WEEK, factory, reporting)
    alone = stored(table, reporting)
    outcomes: list[Refresh] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(publish(table, WEEK, factory, reporting))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.failures for outcome in outcomes] == [(), ()]
    assert stored(table, reporting).equals(alone)


def test_a_second_close_changes_nothing_and_a_late_row_changes_its_day(factory: Settings, reporting: Database) -> None:
    table = reporting_tables()["quality_summary_daily"]
    publish(table, WEEK, factory, reporting)
    assert publish(table, WEEK, factory, reporting, only_changed=True).changed == ()
    late = midnight(TODAY - 3 * DAY) + timedelta(hours=5)
    copy_row(factory, "mes.defects", {"detected_date": late}, "quantity_affected > 0")
    assert publish(table, WEEK, factory, reporting, only_changed=True).changed == (late.date(),)


def test_wrong_rows_are_not_published(factory: Settings, reporting: Database) -> None:
    table = reporting_tables()["production_summary_daily"]
    publish(table, WEEK, factory, reporting)
    before = stored(table, reporting)

    def doubled(**frames: pl.LazyFrame) -> pl.LazyFrame:
        return table.model(**frames).with_columns(pl.col("units_good") * 2)

    broken = publish(replace(table, model=doubled), WEEK, factory, reporting)
    assert any("units_vs_mes" in finding for finding in broken.failures)
    assert broken.row_counts == {}
    assert stored(table, reporting).equals(before)


def test_a_deleted_row_loses_its_effect(factory: Settings, reporting: Database) -> None:
    table = reporting_tables()["labor_efficiency_daily"]
    day = midnight(TODAY - DAY)
    publish(table, WEEK, factory, reporting)
    worked = (pl.col("labor_date") == day.date()) & (pl.col("employee_register") == "mes")
    employee = stored(table, reporting).filter(worked)["employee_id"][0]
    statement = (
        "DELETE FROM {table} WHERE employee_id = %(employee)s"
        " AND clock_in_time >= %(day)s AND clock_in_time < %(day)s + interval '1 day'"
    )
    assert write(factory, "mes.labor_transactions", statement, {"employee": employee, "day": day}) > 0
    publish(table, days(TODAY, TODAY + DAY), factory, reporting)
    assert stored(table, reporting).filter(worked, pl.col("employee_id") == employee).is_empty()
