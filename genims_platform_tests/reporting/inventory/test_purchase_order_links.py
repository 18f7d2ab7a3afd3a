"""Receipts and passing due dates find the days and months that they change, in the SQL of real sources."""

from collections.abc import Generator
from datetime import date, datetime

import pytest

from genims_platform.reporting.inventory.purchase_order_performance import purchase_order_performance
from genims_platform.reporting.inventory.supplier_performance import supplier_performance
from genims_platform.reporting.periods import DAY, Hours
from genims_platform.reporting.publish import linked_days
from genims_platform.reporting.table import ReportingTable
from genims_platform.settings import Settings
from genims_platform.sources.reader import SourceReader
from genims_platform_tests.factory_group import copy_row, write

# Nothing that was generated happens, or falls due, in these days.
HOUR = Hours(datetime(2026, 12, 20, 8), datetime(2026, 12, 20, 9))
TODAY = HOUR.first_day


@pytest.fixture
def order(factory: Settings) -> Generator[str]:
    """A purchase order of 1 December with two lines, due on 20 January."""
    ordered: dict[str, object] = {"po_number": "PO-LINKED", "po_date": date(2026, 12, 1)}
    assert copy_row(factory, "erp.purchase_orders", ordered, "TRUE") == 1
    rows = SourceReader(factory).query(
        "erp", "SELECT purchase_order_id FROM purchase_orders WHERE po_number = 'PO-LINKED'", {}
    )
    name = str(rows.item())
    for due in (date(2026, 12, 10), date(2027, 1, 20)):
        line: dict[str, object] = {"purchase_order_id": name, "delivery_date": due}
        assert copy_row(factory, "erp.purchase_order_lines", line, "TRUE") == 1
    yield name
    for table, key in (
        ("wms.receiving_tasks", "receiving_task_id"),
        ("erp.purchase_order_lines", "po_line_id"),
        ("erp.purchase_orders", "purchase_order_id"),
    ):
        write(factory, table, f"DELETE FROM {{table}} WHERE {key} LIKE '%%-late%%'")


def test_nothing_is_linked_to_an_hour_without_receipts(factory: Settings, order: str) -> None:
    assert order
    assert _linked(purchase_order_performance, factory) == set()
    assert _linked(supplier_performance, factory) == set()


def test_a_receipt_refreshes_the_day_of_its_order_and_the_month_in_which_it_is_due(
    factory: Settings, order: str
) -> None:
    received: dict[str, object] = {"task_number": "RCV-LINKED", "purchase_order_id": order, "completed_at": HOUR.start}
    assert copy_row(factory, "wms.receiving_tasks", received, "task_status = 'completed'") == 1
    assert _linked(purchase_order_performance, factory) == {date(2026, 12, 1)}
    assert _linked(supplier_performance, factory) == {date(2027, 1, 20)}


def test_an_order_that_becomes_overdue_refreshes_its_day(factory: Settings, order: str) -> None:
    write(
        factory,
        "erp.purchase_order_lines",
        "UPDATE {table} SET delivery_date = %(day)s WHERE purchase_order_id = %(order)s",
        {"day": TODAY - DAY, "order": order},
    )
    assert _linked(purchase_order_performance, factory) == {date(2026, 12, 1)}


def _linked(table: ReportingTable, factory: Settings) -> set[date]:
    return set(linked_days(table, HOUR, inputs=SourceReader(factory), as_of=HOUR.end))
