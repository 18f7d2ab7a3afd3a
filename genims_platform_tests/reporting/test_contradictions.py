"""Sources that contradict themselves are warned of; the rows are published as the specification defines them."""

from collections.abc import Callable

import pytest

from genims_platform.mysql.connection import Database
from genims_platform.reporting.checks import evaluate
from genims_platform.reporting.inputs import Inputs
from genims_platform.reporting.periods import DAY, Window, moved, period_of
from genims_platform.reporting.registry import reporting_tables
from genims_platform.settings import Settings
from genims_platform.sources.reader import SourceReader
from genims_platform_tests.factory_group import TODAY, UNTIL, copy_row, write

Warnings = Callable[[str, Window], list[str]]


@pytest.fixture
def warnings(factory: Settings, reporting: Database) -> Warnings:
    """What the check of values finds in a table's rows of a window, none of which may block them."""

    def found(name: str, window: Window) -> list[str]:
        table, inputs = reporting_tables()[name], Inputs(SourceReader(factory), reporting)
        rows, overflows = table.contract.cast(table.compute(inputs, window).collect())
        assert rows.height
        checks = evaluate(
            table.checks, table.contract, rows, sources=inputs, window=window, overflows=overflows, period=table.period
        )
        assert not any(check.blocks for check in checks)
        return [finding for check in checks if check.name == "values" for finding in check.findings]

    return found


def test_an_annual_total_that_is_not_the_sum_of_its_periods_is_warned_of(factory: Settings, warnings: Warnings) -> None:
    month = period_of(TODAY, "month")
    this_month = Window(month, moved(month, 1, "month"), UNTIL)
    change = (
        "UPDATE {table} SET annual_total = annual_total + %(more)s WHERE budget_line_id = "
        "(SELECT min(budget_line_id) FROM {table} l JOIN budget_headers h USING (budget_id) "
        "WHERE h.budget_status = 'active' AND h.fiscal_year = %(year)s AND l.annual_total > 0)"
    )

    def disagreements() -> list[str]:
        return [text for text in warnings("budget_vs_actual", this_month) if text.startswith("periods_vs_annual_total")]

    assert disagreements() == []
    assert write(factory, "financial.budget_lines", change, {"more": 500, "year": month.year}) == 1
    try:
        (finding,) = disagreements()
        assert f"annual_budget_inr of {month}" in finding
    finally:
        write(factory, "financial.budget_lines", change, {"more": -500, "year": month.year})


def test_a_booking_after_the_completion_of_its_order_is_warned_of(factory: Settings, warnings: Warnings) -> None:
    booked = SourceReader(factory).query(
        "mes",
        """
        SELECT max(t.labor_transaction_id) AS row_key, o.actual_end_time AS completed
        FROM labor_transactions t JOIN work_orders o USING (work_order_id)
        WHERE o.status = 'completed' AND o.actual_end_time < %(yesterday)s
        GROUP BY o.work_order_id ORDER BY o.actual_end_time DESC LIMIT 1
        """,
        {"yesterday": TODAY - DAY},
    )
    row_key, completed = booked.row(0)
    day = completed.date()

    def late() -> int:
        found = warnings("work_in_process", Window(day, day + DAY, UNTIL))
        said = [text for text in found if text.startswith("LATE_COST")]
        return int(said[0].rpartition(" ")[2]) if said else 0

    before = late()
    where = f"labor_transaction_id = '{row_key}'"
    assert copy_row(factory, "mes.labor_transactions", {"clock_in_time": completed + DAY}, where) == 1
    assert late() == before + 1
