"""MES production orders: which ones count as completed on a day, what they cost, what they should have cost."""

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Identity, sql
from genims_platform.reporting.periods import Window

_COMPLETED = ("completed", "closed")

UNITS_ADD_UP = Identity(
    "units_produced = good + rejected + scrapped + rework",
    pl.col("units_produced") - pl.sum_horizontal("units_good", "units_rejected", "units_scrapped", "units_rework"),
)
COMPLETION_DAYS_OF_BOOKINGS = sql(
    "mes",
    """
    SELECT DISTINCT actual_end_time::date AS day
    FROM work_orders
    WHERE status IN ('completed', 'closed') AND actual_end_time < %(as_of)s
      AND work_order_id IN (
        SELECT work_order_id FROM labor_transactions WHERE clock_in_time >= %(start)s AND clock_in_time < %(end)s
        UNION
        SELECT work_order_id FROM material_transactions
        WHERE transaction_date >= %(start)s AND transaction_date < %(end)s
      )
    """,
)
"""Days of completion of the orders for which labour or material was booked in the window, early or late."""


def is_completed() -> pl.Expr:
    """Whether an order of `mes.work_orders` reads completed; it counts from its `actual_end_time` on."""
    return pl.col("status").is_in(_COMPLETED)


def completed_orders(work_orders: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Orders of `mes.work_orders` completed in the window, with `day`, the UTC day of `actual_end_time`.

    An order belongs to its day of completion as a whole. An end in the future is left for the day it comes true.
    """
    ended = pl.col("actual_end_time")
    return work_orders.filter(
        is_completed(), ended.is_between(window.span.start, window.span.end, closed="left")
    ).with_columns(day=kpi.day(ended))


def order_costs(material_transactions: pl.LazyFrame, labor_transactions: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Cost as booked by `work_order_id`, over all bookings dated before the run, also those after completion.

    Columns `material_issued`, `material_returned`, `material_net` (may be negative), `labor` and `actual` (net material
    plus labour), in the currency of the MES; each is NULL where no booking carries a value. `bookings` counts them.
    """
    amount = pl.col("total_cost")
    issued = pl.when(pl.col("transaction_type") == "issue").then(amount)
    returned = pl.when(pl.col("transaction_type") == "return").then(amount)
    materials = material_transactions.filter(pl.col("transaction_date") < window.as_of).select(
        "work_order_id", material_issued=issued, material_returned=returned, material_net=issued.fill_null(-returned)
    )
    labor = labor_transactions.filter(pl.col("clock_in_time") < window.as_of).select(
        "work_order_id", labor=pl.col("labor_cost")
    )
    bookings = pl.concat([materials, labor], how="diagonal_relaxed")
    measures = ("material_issued", "material_returned", "material_net", "labor")
    return (
        bookings.filter(pl.col("work_order_id").is_not_null())
        .group_by("work_order_id")
        .agg(pl.len().alias("bookings"), *(kpi.total(pl.col(name)).alias(name) for name in measures))
        .with_columns(
            actual=pl.when(pl.any_horizontal(pl.col("material_net", "labor").is_not_null())).then(
                pl.sum_horizontal("material_net", "labor")
            )
        )
    )


def standard_unit_costs(materials: pl.LazyFrame) -> pl.LazyFrame:
    """`standard_unit_cost` (INR a piece) by `product_id`, from its finished material in `erp.materials`.

    Where several materials are linked to a product, the one with the smallest id counts.
    """
    return (
        materials.filter(pl.col("product_id").is_not_null())
        .group_by("product_id")
        .agg(standard_unit_cost=pl.col("standard_cost").sort_by("material_id").first())
    )
