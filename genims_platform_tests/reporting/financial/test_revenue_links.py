"""Shipments and proofs find the days on which their orders count, or counted before, in the SQL of real sources."""

from collections.abc import Generator
from datetime import date, datetime

import pytest

from genims_platform.reporting.financial.cost_analysis_daily import cost_analysis_daily
from genims_platform.reporting.financial.profit_and_loss_daily import profit_and_loss_daily
from genims_platform.reporting.periods import Hours
from genims_platform.reporting.publish import linked_days
from genims_platform.reporting.table import ReportingTable
from genims_platform.settings import Settings
from genims_platform.sources.reader import SourceReader
from genims_platform_tests.factory_group import copy_row, write

# Nothing that was generated happens in these days.
HOUR = Hours(datetime(2026, 12, 20, 8), datetime(2026, 12, 20, 9))
TODAY = HOUR.first_day
ORDERED, FIRST_DELIVERY, REQUESTED = date(2026, 12, 1), date(2026, 12, 5), date(2026, 12, 10)


@pytest.fixture
def order(factory: Settings) -> Generator[str]:
    """A sales order of 1 December, requested for the 10th, of which one part arrived on the 5th."""
    dates: dict[str, object] = {"order_date": ORDERED, "requested_delivery_date": REQUESTED}
    number: dict[str, object] = {"sales_order_number": "SO-LINKED", "order_status": "delivered"}
    assert copy_row(factory, "erp.sales_orders", number | dates, "TRUE") == 1
    rows = SourceReader(factory).query(
        "erp", "SELECT sales_order_id FROM sales_orders WHERE sales_order_number = 'SO-LINKED'", {}
    )
    name = str(rows.item())
    _ship(factory, name, date(2026, 12, 2), FIRST_DELIVERY)
    yield name
    for table, key in (("tms.shipments", "shipment_id"), ("erp.sales_orders", "sales_order_id")):
        write(factory, table, f"DELETE FROM {{table}} WHERE {key} LIKE '%%-late%%'")


def test_a_shipment_refreshes_every_day_on_which_its_order_may_have_counted(factory: Settings, order: str) -> None:
    assert _linked(cost_analysis_daily, factory) == set()
    _ship(factory, order, TODAY, None)
    assert _linked(cost_analysis_daily, factory) == {FIRST_DELIVERY, REQUESTED}


def test_a_delivery_of_today_moves_revenue_out_of_earlier_days(factory: Settings, order: str) -> None:
    _ship(factory, order, ORDERED, TODAY)
    assert _linked(cost_analysis_daily, factory) == {FIRST_DELIVERY, REQUESTED, TODAY}


def test_months_to_date_follow_to_the_end_of_the_month(factory: Settings, order: str) -> None:
    _ship(factory, order, TODAY, None)
    assert _linked(profit_and_loss_daily, factory) == {date(2026, 12, day) for day in range(5, 32)}


def test_a_shipment_that_left_before_its_order_changes_nothing_but_the_requested_day(
    factory: Settings, order: str
) -> None:
    write(
        factory,
        "erp.sales_orders",
        "UPDATE {table} SET order_date = %(day)s WHERE sales_order_id = %(order)s",
        {"day": date(2026, 12, 25), "order": order},
    )
    _ship(factory, order, TODAY, TODAY)
    assert _linked(cost_analysis_daily, factory) == {REQUESTED}


def _ship(factory: Settings, order: str, shipped: date, delivered: date | None) -> None:
    changes: dict[str, object] = {"shipment_number": f"SHP-LINKED-{shipped}", "sales_order_id": order}
    dates: dict[str, object] = {"ship_date": shipped, "actual_delivery_date": delivered}
    assert copy_row(factory, "tms.shipments", changes | dates, "TRUE") == 1


def _linked(table: ReportingTable, factory: Settings) -> set[date]:
    return set(linked_days(table, HOUR, inputs=SourceReader(factory), as_of=HOUR.end))
