"""ABC classes of materials: Pareto of the consumption value of a year, in shares of 80, 15 and 5 percent."""

from datetime import date

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.consumption import EXACT, in_days_to
from genims_platform.reporting.material_ids import master

YEAR_DAYS = 365

_A_BELOW_PCT = 80
_B_BELOW_PCT = 95


def yearly_consumption(
    shipped: pl.LazyFrame, booked: pl.LazyFrame, materials: pl.LazyFrame, last_day: date
) -> pl.LazyFrame:
    """Group-wide consumption of the 365 days up to `last_day`, one row a material of the master or consumed.

    `consumption_qty_12m` is 0 for a material that nobody used; `unit_cost_inr` its standard cost, or what the MES
    booked for a unit issued of a code without a material; `consumption_value_inr` their product, NULL without a cost.
    `consumption_rows` counts what it rests on; `booked_name` and `booked_type` are those of the MES, if it used any.
    """
    columns = ("day", "material_id", "quantity")
    used = (
        pl.concat(
            [
                shipped.select(columns),
                booked.select(*columns, "issued", "issued_cost", "booked_name", "booked_type", "bookings"),
            ],
            how="diagonal",
        )
        .filter(in_days_to(last_day, YEAR_DAYS))
        .group_by("material_id")
        .agg(
            pl.col("quantity", "issued", "issued_cost").sum(),
            pl.col("booked_name", "booked_type").min(),
            consumption_rows=pl.col("bookings").fill_null(1).sum(),  # 1 for a line that was shipped
        )
    )
    quantity, issued = pl.col("quantity").cast(EXACT).fill_null(0), pl.col("issued").cast(EXACT)
    booked_unit_cost = pl.col("issued_cost") / pl.when(issued != 0).then(issued)
    costs = master(materials).select("material_id", pl.col("standard_cost").cast(EXACT), known=True)
    return (
        costs.join(used, on="material_id", how="full", coalesce=True)
        .with_columns(
            consumption_qty_12m=quantity,
            unit_cost_inr=pl.when(pl.col("known")).then(pl.col("standard_cost")).otherwise(booked_unit_cost),
        )
        .select(
            "material_id",
            "consumption_qty_12m",
            "unit_cost_inr",
            "booked_name",
            "booked_type",
            pl.col("consumption_rows").fill_null(0),
            consumption_value_inr=quantity * pl.col("unit_cost_inr"),
        )
    )


def with_abc_class(yearly: pl.LazyFrame) -> pl.LazyFrame:
    """Materials with `abc_class`, `value_rank` (1 is the most valuable) and their share of the group's value.

    A material is A while those before it, in descending value, hold less than 80 % of the total, B while less than
    95 %, else C; without a positive value it is C. Equal values rank by id. `value_share_pct` is 0 for a negative
    value; it and `cumulative_share_pct`, which includes the material, are NULL if its value or every value is.
    """
    value = pl.col("consumption_value_inr")
    worth, total = pl.col("worth"), pl.col("worth").sum()
    before = worth.cum_sum() - worth
    valued = value.is_not_null()
    return (
        yearly.with_columns(worth=pl.when(value > 0).then(value).otherwise(0))
        .sort("worth", "material_id", descending=[True, False])
        .with_columns(
            value_rank=pl.int_range(1, pl.len() + 1),
            value_share_pct=pl.when(valued).then(kpi.percent(worth, total)),
            cumulative_share_pct=pl.when(valued).then(kpi.percent(worth.cum_sum(), total)),
            abc_class=pl.when(worth <= 0)
            .then(pl.lit("C"))
            .when(before * 100 < total * _A_BELOW_PCT)
            .then(pl.lit("A"))
            .when(before * 100 < total * _B_BELOW_PCT)
            .then(pl.lit("B"))
            .otherwise(pl.lit("C")),
        )
        .drop("worth")
    )
