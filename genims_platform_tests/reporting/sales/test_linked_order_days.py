"""Deliveries and passing dates find the order days that they change, in the SQL of real source databases."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import date, datetime

import pytest

from genims_platform.reporting.periods import DAY, Hours
from genims_platform.reporting.publish import linked_days
from genims_platform.reporting.sales.sales_order_summary import sales_order_summary
from genims_platform.settings import Settings
from genims_platform.sources.reader import SourceReader
from genims_platform_tests.factory_group import TODAY, UNTIL, write

LAST_HOUR = Hours(datetime(2026, 3, 10, 13), datetime(2026, 3, 10, 14))


@contextmanager
def changed(factory: Settings, table: str, key: str, row_key: object, **values: object) -> Generator[None]:
    """The row with other values, for as long as the block lasts."""
    database, _, name = table.partition(".")
    columns = ", ".join(values)
    statement = f"SELECT {columns} FROM {name} WHERE {key} = %(row_key)s"
    before = SourceReader(factory).query(database, statement, {"row_key": row_key}).row(0, named=True)
    update = f"UPDATE {{table}} SET {', '.join(f'{c} = %({c})s' for c in values)} WHERE {key} = %(row_key)s"
    assert write(factory, table, update, {**values, "row_key": row_key}) == 1
    try:
        yield
    finally:
        write(factory, table, update, {**before, "row_key": row_key})


@pytest.fixture(scope="module")
def old_shipment(factory: Settings) -> dict[str, object]:
    """A shipment of long ago with its proof of delivery: `shipment_id`, `pod_id` and `sales_order_id`."""
    statement = """
        SELECT shipment_id, pod_id, s.sales_order_id FROM shipments s JOIN proof_of_delivery p USING (shipment_id)
        WHERE s.ship_date < %(before)s ORDER BY shipment_id LIMIT 1
    """
    return SourceReader(factory).query("tms", statement, {"before": TODAY - 40 * DAY}).row(0, named=True)


def _is_refreshed(factory: Settings, order_id: object) -> bool:
    """Whether the last hour refreshes the day of the order."""
    reader = SourceReader(factory)
    statement = "SELECT order_date FROM sales_orders WHERE sales_order_id = %(order_id)s"
    ordered = reader.query("erp", statement, {"order_id": order_id}).item()
    return ordered in linked_days(sales_order_summary, LAST_HOUR, inputs=reader, as_of=UNTIL)


def test_a_delivery_refreshes_the_day_of_its_order(factory: Settings, old_shipment: dict[str, object]) -> None:
    order_id, shipment_id = old_shipment["sales_order_id"], old_shipment["shipment_id"]
    assert not _is_refreshed(factory, order_id)
    with changed(factory, "tms.shipments", "shipment_id", shipment_id, actual_delivery_date=TODAY):
        assert _is_refreshed(factory, order_id)
    # Days decide: a proof of this evening counts all day.
    evening = datetime(2026, 3, 10, 22)
    with changed(factory, "tms.proof_of_delivery", "pod_id", old_shipment["pod_id"], delivery_timestamp=evening):
        assert _is_refreshed(factory, order_id)


@pytest.mark.parametrize(
    ("requested", "status", "refreshed"),
    [
        (TODAY, "open", False),
        (TODAY - DAY, "open", True),
        (TODAY - 2 * DAY, None, True),
        (TODAY - 3 * DAY, "open", False),
        (TODAY - DAY, "closed", False),
    ],
)
def test_an_open_order_that_becomes_overdue_refreshes_its_day(
    factory: Settings, old_shipment: dict[str, object], requested: date, status: str | None, *, refreshed: bool
) -> None:
    order_id = old_shipment["sales_order_id"]
    values = {"requested_delivery_date": requested, "order_status": status}
    with changed(factory, "erp.sales_orders", "sales_order_id", order_id, **values):
        assert _is_refreshed(factory, order_id) is refreshed
