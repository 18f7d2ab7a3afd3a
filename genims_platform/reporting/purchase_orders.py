"""Purchase orders: when they were due, when their goods came, which lines count."""

from datetime import datetime

import polars as pl

from genims_platform.reporting import kpi

ON_TIME = pl.col("last_received") <= pl.col("due_date")
"""Of `with_deliveries`: all that came by then had come by the due date; NULL without a receipt or a due date."""


def standing_lines(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Lines of `erp.purchase_order_lines` that are not marked as deleted."""
    return lines.filter(~pl.col("deletion_indicator").fill_null(value=False))


def with_deliveries(
    orders: pl.LazyFrame, lines: pl.LazyFrame, receipts: pl.LazyFrame, *, until: datetime
) -> pl.LazyFrame:
    """Orders with `due_date`, `first_received`, `last_received` (days) and `received_quantity`; NULL without a receipt.

    An order is due on the latest delivery date of its `lines` (standing ones). Completed receipts before `until` are
    matched by order, since they name materials that the order does not hold; one from before the order's date is none
    of it.
    """
    key = "purchase_order_id"
    due = lines.group_by(key).agg(due_date=pl.col("delivery_date").max())
    received = kpi.day(pl.col("completed_at"))
    deliveries = (
        receipts.filter(pl.col("task_status") == "completed", pl.col("completed_at") < until)
        .join(orders.select(key, "po_date"), on=key)
        .filter(received >= pl.col("po_date"))
        .group_by(key)
        .agg(
            first_received=received.min(),
            last_received=received.max(),
            received_quantity=kpi.total(pl.col("received_quantity")),
        )
    )
    return orders.join(due, on=key, how="left").join(deliveries, on=key, how="left")
