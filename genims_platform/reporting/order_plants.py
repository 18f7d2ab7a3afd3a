"""Which plant makes what a sales order line sells: that of the production orders behind it."""

from collections.abc import Sequence

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.order_lines import EXACT

_GOODS = ("sales_order_id", "material_id")


def by_plant(lines: pl.LazyFrame, production_orders: pl.LazyFrame, *, split: Sequence[str]) -> pl.LazyFrame:
    """Lines of `erp.sales_order_lines`, once for each plant that makes them, with its `plant_id` as a key.

    Plants are those of the `erp.production_orders` for the same sales order and material; they share the columns in
    `split` in proportion to the quantities that they were ordered to make (equally, if these add up to nothing; nobody
    makes less than nothing), and the shares of a line add up to it exactly. A line without production orders stays with
    its own plant.
    """
    return (
        lines.join(_shares(production_orders), on=_GOODS, how="left")
        .with_columns(
            *(pl.col(name).cast(EXACT) * pl.col("share").fill_null(1) for name in split),
            plant_id=pl.coalesce("maker", kpi.key(pl.col("plant_id"))),
        )
        .drop("maker", "share")
    )


def _shares(production_orders: pl.LazyFrame) -> pl.LazyFrame:
    """`share` of each `maker` in the goods of an order, adding up to 1: the first plant takes what rounding leaves."""
    made, quantity = pl.col("order_quantity").cast(EXACT), pl.col("quantity")
    ordered = quantity.sum().over(_GOODS)
    proportional = quantity / pl.when(ordered > 0).then(ordered)
    equal = pl.lit(1).cast(EXACT) / pl.len().over(_GOODS).cast(EXACT)
    rest = 1 - pl.col("share").sum().over(_GOODS)
    return (
        production_orders.filter(pl.col("sales_order_id").is_not_null())
        .group_by(*_GOODS, maker=kpi.key(pl.col("plant_id")))
        .agg(quantity=pl.when(made > 0).then(made).sum())
        .with_columns(share=pl.coalesce(proportional, equal))
        .with_columns(
            share=pl.when(pl.col("maker") == pl.col("maker").min().over(_GOODS))
            .then(pl.col("share") + rest)
            .otherwise("share")
        )
        .drop("quantity")
    )
