"""Purchase orders by SQL: the second way to the spend that two tables state, and orders whose goods came."""

from typing import Literal

import polars as pl

from genims_platform.reporting.checks import Expected
from genims_platform.reporting.inr_check import in_inr
from genims_platform.reporting.periods import Window
from genims_platform.sources.reader import Sources

_ORDERED = """
    SELECT date_trunc(%(period)s, po_date)::date AS period, coalesce(supplier_id, '') AS supplier, currency,
      po_date AS rate_day, count(*) AS orders, sum(total_value) AS amount
    FROM purchase_orders
    WHERE po_date >= %(start)s AND po_date < %(end)s
    GROUP BY 1, 2, 3, 4
"""


def ordered_by(period: Literal["day", "month"], *, column: str, spend: str) -> Expected:
    """Orders (`po_count`) and their INR value, named `spend`, by period, which is named `column`.

    Suppliers with an order whose value cannot be converted are left out of the value, as their rows have none.
    """

    def expected(sources: Sources, window: Window) -> pl.DataFrame:
        orders = sources.query("erp", _ORDERED, {"period": period, "start": window.span.start, "end": window.span.end})
        if orders.is_empty():
            return pl.DataFrame(schema={column: pl.Date, "po_count": pl.Int64, spend: pl.Float64})
        value = in_inr(sources, orders, by=("period", "supplier")).group_by("period").agg(pl.col("amount").sum())
        return (
            orders.group_by("period")
            .agg(po_count=pl.col("orders").sum())
            .join(value, on="period")
            .rename({"period": column, "amount": spend})
        )

    return expected


def orders_received(sources: Sources, window: Window) -> list[str]:
    """Ids of the purchase orders of which goods came in the window."""
    received = sources.query(
        "wms",
        "SELECT DISTINCT purchase_order_id FROM receiving_tasks "
        "WHERE task_status = 'completed' AND completed_at >= %(start)s AND completed_at < %(end)s "
        "AND purchase_order_id IS NOT NULL",
        {"start": window.span.start, "end": window.span.end},
    )
    return received.to_series().to_list() if received.width else []
