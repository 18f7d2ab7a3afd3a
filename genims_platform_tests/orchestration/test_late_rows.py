"""Sources change late, and the runs that are scheduled bring the change into the reporting tables."""

from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import UTC, date, timedelta
from decimal import Decimal

import dagster as dg
import pytest

from genims_platform.build import REPORTING_JOB, build_definitions
from genims_platform.mysql.connection import Database
from genims_platform.mysql.deploy import deploy
from genims_platform.orchestration.backfill import run_range
from genims_platform.orchestration.partitions import KEY_FORMAT, key_of
from genims_platform.orchestration.resources import reporting_database
from genims_platform.reporting.periods import DAY, Hours, midnight
from genims_platform.reporting.registry import reporting_tables
from genims_platform.settings import Settings
from genims_platform.sources.connection import connect
from genims_platform_tests.factory_group import TODAY, UNTIL, clear, copy_row, write

NAMES = ("sales_order_summary", "customer_performance", "production_summary_daily", "quality_summary_daily")
WHOLE = Hours(midnight(TODAY - 60 * DAY), UNTIL.replace(minute=0))
PARTITIONS = dg.HourlyPartitionsDefinition(WHOLE.start.replace(tzinfo=UTC), timezone="UTC", fmt=KEY_FORMAT)
HOUR = timedelta(hours=1)

# Rows of these instants are copies made here, so that none of the group's own is deleted.
FINISHED = midnight(TODAY - 20 * DAY) + timedelta(hours=9, minutes=17)
FOUND = midnight(TODAY - DAY) + timedelta(hours=9, minutes=17)
FOUND_TOO = FOUND + HOUR
RAISE = Decimal(1000)


@pytest.fixture(scope="module")
def definitions(factory: Settings) -> dg.Definitions:
    as_of = dg.ResourceDefinition(lambda _: UNTIL)
    tables = {name: reporting_tables()[name] for name in NAMES}
    return build_definitions(settings=factory, tables=tables, partitions=PARTITIONS, resources={"as_of": as_of})


@pytest.fixture(scope="module")
def published(definitions: dg.Definitions, instance: dg.DagsterInstance, factory: Settings) -> Generator[Database]:
    """The reporting database after a run over all hours."""
    order: dict[str, object] = {"actual_end_time": FINISHED, "work_order_number": "LATE"}
    completed = "status = 'completed' AND produced_quantity > 0"
    assert copy_row(factory, "mes.work_orders", order, completed) == 1
    for found in (FOUND, FOUND_TOO):
        assert copy_row(factory, "mes.defects", {"detected_date": found}, "quantity_affected > 0") == 1
    database = reporting_database(factory)
    deploy(database, "reporting", today=TODAY)
    clear(database)
    assert run_range(definitions.resolve_job_def(REPORTING_JOB), instance, WHOLE).failed == ()
    yield database
    database.close()
    write(factory, "mes.work_orders", "DELETE FROM {table} WHERE actual_end_time = %(t)s", {"t": FINISHED})
    for found in (FOUND, FOUND_TOO):
        write(factory, "mes.defects", "DELETE FROM {table} WHERE detected_date = %(t)s", {"t": found})


@contextmanager
def raised_order(factory: Settings, after: date, before: date) -> Generator[date]:
    """An order in INR of a day between the two is worth RAISE more; the day."""
    with closing(connect(factory.source_primary("erp"))) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT sales_order_id, order_date FROM sales_orders WHERE order_date BETWEEN %s AND %s "
            "AND currency = 'INR' AND total_net_value > 0 AND customer_id IS NOT NULL ORDER BY 1 LIMIT 1",
            (after, before),
        )
        found = cursor.fetchone()
    assert found is not None
    order, day = found
    change = "UPDATE {table} SET total_net_value = total_net_value + %(by)s WHERE sales_order_id = %(order)s"
    write(factory, "erp.sales_orders", change, {"by": RAISE, "order": order})
    try:
        yield day
    finally:
        write(factory, "erp.sales_orders", change, {"by": -RAISE, "order": order})


def sums(database: Database, table: str, column: str) -> dict[date, Decimal]:
    """The column's sum for each period of the table."""
    period = reporting_tables()[table].period_column
    return dict(database.read(f"SELECT {period}, SUM({column}) FROM {table} GROUP BY 1").iter_rows())


def changes(before: dict[date, Decimal], after: dict[date, Decimal]) -> dict[date, Decimal]:
    """By how much the periods changed that did."""
    return {
        period: after.get(period, Decimal(0)) - before.get(period, Decimal(0))
        for period in before.keys() | after.keys()
        if after.get(period) != before.get(period)
    }


def close(definitions: dg.Definitions, instance: dg.DagsterInstance, name: str) -> None:
    assert definitions.resolve_job_def(name).execute_in_process(instance=instance).success


def next_hour(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    job, hour = definitions.resolve_job_def(REPORTING_JOB), UNTIL.replace(minute=0) - HOUR
    assert job.execute_in_process(instance=instance, partition_key=key_of(hour)).success


def test_the_daily_close_finds_the_new_value_of_an_order_for_its_day_and_its_month(
    definitions: dg.Definitions, instance: dg.DagsterInstance, factory: Settings, published: Database
) -> None:
    days = sums(published, "sales_order_summary", "net_revenue_inr")
    months = sums(published, "customer_performance", "mtd_sales_inr")
    with raised_order(factory, TODAY - 25 * DAY, TODAY - 15 * DAY) as day:
        next_hour(definitions, instance)
        assert changes(days, sums(published, "sales_order_summary", "net_revenue_inr")) == {}
        close(definitions, instance, "daily_close")
        assert changes(days, sums(published, "sales_order_summary", "net_revenue_inr")) == {day: RAISE}
        assert changes(months, sums(published, "customer_performance", "mtd_sales_inr")) == {day.replace(day=1): RAISE}
    close(definitions, instance, "daily_close")
    assert changes(days, sums(published, "sales_order_summary", "net_revenue_inr")) == {}


def test_a_deleted_work_order_has_no_effect_after_the_daily_close(
    definitions: dg.Definitions, instance: dg.DagsterInstance, factory: Settings, published: Database
) -> None:
    before = sums(published, "production_summary_daily", "units_produced")
    with closing(connect(factory.source_primary("mes"))) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM work_orders WHERE actual_end_time = %s RETURNING produced_quantity", (FINISHED,))
        ((produced,),) = cursor.fetchall()
    close(definitions, instance, "daily_close")
    after = sums(published, "production_summary_daily", "units_produced")
    assert changes(before, after) == {FINISHED.date(): -produced}


def test_a_row_of_yesterday_that_is_corrected_or_deleted_is_so_after_the_next_hour(
    definitions: dg.Definitions, instance: dg.DagsterInstance, factory: Settings, published: Database
) -> None:
    before = sums(published, "quality_summary_daily", "defect_quantity")
    correction = "UPDATE {table} SET quantity_affected = quantity_affected + 7 WHERE detected_date = %(t)s"
    write(factory, "mes.defects", correction, {"t": FOUND})
    next_hour(definitions, instance)
    corrected = sums(published, "quality_summary_daily", "defect_quantity")
    assert changes(before, corrected) == {FOUND.date(): 7}

    with closing(connect(factory.source_primary("mes"))) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM defects WHERE detected_date = %s RETURNING quantity_affected", (FOUND_TOO,))
        ((quantity,),) = cursor.fetchall()
    next_hour(definitions, instance)
    after = sums(published, "quality_summary_daily", "defect_quantity")
    assert changes(corrected, after) == {FOUND.date(): -quantity}


def test_a_change_older_than_the_daily_close_is_found_by_the_weekly_one(
    definitions: dg.Definitions, instance: dg.DagsterInstance, factory: Settings, published: Database
) -> None:
    before = sums(published, "sales_order_summary", "net_revenue_inr")
    with raised_order(factory, TODAY - 58 * DAY, TODAY - 45 * DAY) as day:
        close(definitions, instance, "daily_close")
        assert changes(before, sums(published, "sales_order_summary", "net_revenue_inr")) == {}
        close(definitions, instance, "weekly_close")
        assert changes(before, sums(published, "sales_order_summary", "net_revenue_inr")) == {day: RAISE}
