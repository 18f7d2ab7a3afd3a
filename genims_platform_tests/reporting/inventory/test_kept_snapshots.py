"""Material flow reads the stock that inventory_value_summary has stored."""

from genims_platform.mysql.connection import Database
from genims_platform.reporting.inventory.inventory_value_summary import inventory_value_summary
from genims_platform.reporting.inventory.material_flow_daily import material_flow_daily
from genims_platform.reporting.periods import DAY
from genims_platform.reporting.publish import refresh
from genims_platform.settings import Settings
from genims_platform.sources.reader import SourceReader
from genims_platform_tests.factory_group import TODAY, UNTIL, days

STOCK = """
    SELECT sum(closing_qty), (SELECT sum(qty_on_hand) FROM inventory_value_summary WHERE inventory_date = %s),
      count(closing_qty), count(unexplained_qty)
    FROM material_flow_daily WHERE flow_date = %s
"""


def test_closing_stock_is_the_snapshot_and_opens_the_next_day(factory: Settings, reporting: Database) -> None:
    sources = SourceReader(factory)
    for table in (inventory_value_summary, material_flow_daily):
        hours = days(TODAY, TODAY + DAY)
        assert not refresh(table, hours, sources=sources, target=reporting, as_of=UNTIL, lock_timeout=30).failures
    [(closing, held, rows, explained)] = reporting.read(STOCK, (TODAY, TODAY)).rows()
    assert rows > 0
    assert closing == held
    assert explained == 0

    tomorrow = UNTIL + DAY
    for table in (inventory_value_summary, material_flow_daily):
        hours = days(TODAY + DAY, TODAY + 2 * DAY)
        assert not refresh(table, hours, sources=sources, target=reporting, as_of=tomorrow, lock_timeout=30).failures
    [(next_opening, today_again)] = reporting.read(
        "SELECT (SELECT sum(opening_qty) FROM material_flow_daily WHERE flow_date = %s),"
        " (SELECT sum(closing_qty) FROM material_flow_daily WHERE flow_date = %s)",
        (TODAY + DAY, TODAY),
    ).rows()
    assert next_opening == today_again == closing
