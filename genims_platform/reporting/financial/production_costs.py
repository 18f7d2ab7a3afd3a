"""What the production orders completed on a day cost, by factory and product, and what they should have cost."""

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.order_lines import EXACT

KEY = ["day", "factory_id", "product_id"]


def production_costs(
    orders: pl.LazyFrame, costs: pl.LazyFrame, standards: pl.LazyFrame, maintenance: pl.LazyFrame
) -> pl.LazyFrame:
    """Cost of goods manufactured by `day` of completion, `factory_id` and `product_id`, in INR.

    All cost of the orders belongs to their day of completion, whenever booked. Overhead is the maintenance cost of the
    factory and day, absorbed by its completed orders in proportion to their run time (equally, if none ran); without
    a completed order it stays unabsorbed. Each amount is NULL where nothing carries a value.

    Args:
        orders: completed orders, as `completed_orders` gives them
        costs: as `order_costs`
        standards: as `standard_unit_costs`
        maintenance: as `ended_maintenance`, for the same days
    """
    keyed = orders.with_columns(factory_id=kpi.key(pl.col("factory_id")), product_id=kpi.key(pl.col("product_id")))
    overhead = maintenance.group_by("day", "factory_id").agg(overhead=kpi.total(pl.col("actual_cost")))
    run_time = pl.col("run_time_minutes").fill_null(0).cast(EXACT)
    factory_run_time = run_time.sum().over("day", "factory_id")
    share = (
        pl.when(factory_run_time > 0)
        .then(run_time / factory_run_time)
        .otherwise(pl.lit(1).cast(EXACT) / pl.len().over("day", "factory_id").cast(EXACT))
    )
    return (
        keyed.join(costs, on="work_order_id", how="left")
        .with_columns(share=share)
        .group_by(KEY)
        .agg(
            pl.col("share").sum(),
            orders_completed=pl.len(),
            units_good=pl.col("good_quantity").sum(),
            units_lost=kpi.total(pl.col("rejected_quantity")).fill_null(0)
            + kpi.total(pl.col("scrapped_quantity")).fill_null(0),
            material_issued_inr=kpi.total(pl.col("material_issued")),
            material_returned_inr=kpi.total(pl.col("material_returned")),
            material_net_inr=kpi.total(pl.col("material_net")),
            labor_cost_inr=kpi.total(pl.col("labor")),
            source_row_count=pl.len() + pl.col("bookings").sum(),
        )
        .join(overhead, on=["day", "factory_id"], how="left")
        .join(standards, on="product_id", how="left")
        .with_columns(overhead_cost_inr=pl.col("overhead") * pl.col("share"))
        .with_columns(
            actual_cost_inr=_sum_of_present("material_net_inr", "labor_cost_inr", "overhead_cost_inr"),
            standard_unit_cost_inr=pl.col("standard_unit_cost"),
            standard_cost_inr=pl.col("units_good") * pl.col("standard_unit_cost").cast(EXACT),
            scrap_cost_inr=pl.col("units_lost") * pl.col("standard_unit_cost").cast(EXACT),
        )
        .with_columns(
            actual_unit_cost_inr=kpi.ratio(pl.col("actual_cost_inr"), pl.col("units_good")),
            variance_inr=pl.col("actual_cost_inr") - pl.col("standard_cost_inr"),
        )
        .drop("overhead", "share", "units_lost", "standard_unit_cost")
    )


def _sum_of_present(*columns: str) -> pl.Expr:
    amounts = [pl.col(column).cast(EXACT) for column in columns]
    return pl.when(pl.any_horizontal(amount.is_not_null() for amount in amounts)).then(pl.sum_horizontal(amounts))
