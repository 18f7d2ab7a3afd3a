"""Whatever the sources hold, every table is refreshed, agrees with plain SQL on it, and says what is wrong with it."""

from collections.abc import Iterator
from contextlib import closing

import polars as pl
import pytest

from genims_platform.local.postgres import connect_postgres
from genims_platform.mysql.connection import Database
from genims_platform.reporting.kpi import UNKNOWN
from genims_platform.reporting.periods import DAY
from genims_platform.reporting.publish import Refresh, refresh
from genims_platform.reporting.registry import reporting_tables
from genims_platform.settings import SOURCE_NAMES, Settings
from genims_platform.sources.reader import SourceReader
from genims_platform_tests.databases import drop_database
from genims_platform_tests.factory_group import TODAY, UNTIL, days
from genims_platform_tests.reporting import dirt

HOURS = days(TODAY - 3 * DAY, TODAY + DAY)
BUSY_DAY = TODAY - DAY


@pytest.fixture
def copied(factory: Settings) -> Iterator[Settings]:
    """Settings of a copy of the factory group that a test may spoil."""
    copy = dirt.copy_databases(factory, "dirty")
    yield copy
    server = copy.source_primary("mes")
    with closing(connect_postgres(server.port, server.password)) as connection:
        connection.autocommit = True
        for name in SOURCE_NAMES:
            drop_database(connection, copy.source_primary(name).database)


def refresh_all(settings: Settings, reporting: Database) -> dict[str, Refresh]:
    """Refreshes every table; no check that blocks may fail, since plain SQL sees the same dirt."""
    sources = SourceReader(settings)
    done = {
        name: refresh(table, HOURS, sources=sources, target=reporting, as_of=UNTIL, lock_timeout=30)
        for name, table in reporting_tables().items()
    }
    assert {name: outcome.failures for name, outcome in done.items() if outcome.failures} == {}
    return done


def stored(reporting: Database, table: str, where: str = "TRUE") -> pl.DataFrame:
    return reporting.read(f"SELECT * FROM {table} WHERE {where}")


def findings(outcome: Refresh, check: str) -> str:
    return "; ".join(f for result in outcome.checks if result.name == check for f in result.findings)


def test_empty_sources_make_empty_tables(copied: Settings, reporting: Database) -> None:
    dirt.spoil(copied, dirt.nothing)
    done = refresh_all(copied, reporting)
    filled = {name for name, outcome in done.items() if sum(outcome.row_counts.values())}
    # The group's ratios have a row a month, in which nothing is known.
    assert filled <= {"financial_ratios"}
    ratios = stored(reporting, "financial_ratios").drop("ratio_month", "source_row_count", "last_updated_at")
    assert ratios.null_count().row(0) == (ratios.height,) * ratios.width


def test_master_data_without_events_makes_no_figures(copied: Settings, reporting: Database) -> None:
    dirt.spoil(copied, dirt.only_master_data)
    refresh_all(copied, reporting)
    customers = stored(reporting, "customer_performance")
    assert customers.height > 0
    assert set(customers["mtd_orders"]) == {0}
    assert customers["on_time_pct_90d"].null_count() == customers.height
    assert customers["last_order_date"].null_count() == customers.height


def test_nulls_everywhere_become_unknown_keys_and_unknown_measures(copied: Settings, reporting: Database) -> None:
    dirt.spoil(copied, dirt.nulls)
    refresh_all(copied, reporting)
    for name, table in reporting_tables().items():
        rows = stored(reporting, name)
        for key in table.contract.primary_key[1:]:
            assert rows[key].null_count() == 0, name
    suppliers = stored(reporting, "supplier_performance")
    assert suppliers["overall_score"].null_count() == suppliers.height


def test_ids_that_match_nothing_stay_and_are_reported(copied: Settings, reporting: Database) -> None:
    dirt.spoil(copied, dirt.strangers)
    done = refresh_all(copied, reporting)
    output = stored(reporting, "production_summary_daily", "orders_completed > 0")
    assert output.height > 0
    assert all(line.startswith(dirt.STRANGER) for line in output["line_id"] if line != UNKNOWN)
    assert output["line_name"].null_count() == output.height
    assert "(100.0%) match no master row" in findings(done["production_summary_daily"], "orphans")


def test_rows_that_occur_twice_count_twice_and_multiply_nothing(copied: Settings, reporting: Database) -> None:
    once = refresh_all(copied, reporting)
    before = {name: stored(reporting, name)["source_row_count"].sum() for name in once}
    dirt.spoil(copied, dirt.doubles)
    twice = refresh_all(copied, reporting)
    # Snapshots and facts alike: never more rows than two for each that there was, whatever joins with whatever.
    for name in twice:
        assert stored(reporting, name)["source_row_count"].sum() <= 2 * before[name] * 2, name


def test_amounts_beyond_reason_are_stored_or_reported(copied: Settings, reporting: Database) -> None:
    dirt.spoil(copied, dirt.huge_amounts)
    done = refresh_all(copied, reporting)
    assert sum(sum(outcome.row_counts.values()) for outcome in done.values()) > 0


def test_a_day_of_a_hundred_times_the_volume_is_published(copied: Settings, reporting: Database) -> None:
    refresh_all(copied, reporting)
    labor = f"SELECT SUM(labor_hours) FROM production_summary_daily WHERE production_date = '{BUSY_DAY}'"
    before = reporting.read(labor).item()
    dirt.spoil(copied, dirt.busy_day(BUSY_DAY, 100))
    refresh_all(copied, reporting)
    # Hours are rounded once a line, and there is a handful of lines.
    assert float(reporting.read(labor).item()) == pytest.approx(100 * float(before), abs=5)
    assert before > 0
