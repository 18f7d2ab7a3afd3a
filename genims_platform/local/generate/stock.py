"""Present stock of every material in every plant, sized by what the plant uses of it in a day."""

import numpy as np
import polars as pl

from genims_platform.local.generate.plan import Plan
from genims_platform.local.generate.shipping import Shipping
from genims_platform.local.generate.world import World

_SAFETY_DAYS = 4
_REVIEW_DAYS = 21
"""What a reorder buys beyond the reorder point, in days of use."""


def daily_use(world: World, plan: Plan, shipping: Shipping) -> pl.DataFrame:
    """Mean use a calendar day of each material in each plant: issued to production, or shipped."""
    days = len(plan.days)
    issued = (
        world.work_orders.filter("started")
        .join(world.bill_of_materials.select("product_id", "material_id", "quantity_per"), on="product_id")
        .group_by("material_id", plant_id="factory_id")
        .agg(used=(pl.col("produced_quantity") * pl.col("quantity_per")).sum())
    )
    shipped = shipping.lines.group_by("material_id", "plant_id").agg(
        used=pl.col("order_quantity").cast(pl.Float64).sum()
    )
    used = pl.concat([issued, shipped.select(issued.columns)])
    return used.select("plant_id", "material_id", daily=pl.col("used") / days)


def planned_levels(world: World, use: pl.DataFrame) -> pl.DataFrame:
    """Materials with the stock parameters that their use in the average plant asks for."""
    daily = use.group_by("material_id").agg(pl.col("daily").mean(), total=pl.col("daily").sum())
    value = pl.col("total") * pl.col("standard_cost")
    frame = (
        world.materials.join(daily, on="material_id", how="left", maintain_order="left")
        .with_columns(pl.col("daily").fill_null(2.0), pl.col("total").fill_null(2.0))
        .with_columns(value=value)
    )
    share = frame.sort("value", descending=True).select(
        "material_id", share=(pl.col("value").cum_sum() - pl.col("value")) / pl.col("value").sum()
    )
    safety = (pl.col("daily") * _SAFETY_DAYS).ceil().clip(5)
    reorder = safety + (pl.col("daily") * pl.col("lead_time_days")).ceil()
    return frame.join(share, on="material_id", how="left", maintain_order="left").with_columns(
        safety_stock=safety,
        reorder_point=reorder,
        maximum_stock=reorder + (pl.col("daily") * _REVIEW_DAYS).ceil().clip(20),
        minimum_order_quantity=(pl.col("daily") * 5).ceil().clip(1),
        order_multiple=pl.when(pl.col("daily") > 50).then(10.0).otherwise(1.0),
        abc_classification=pl.when(pl.col("share") < 0.8)
        .then(pl.lit("A"))
        .when(pl.col("share") < 0.95)
        .then(pl.lit("B"))
        .otherwise(pl.lit("C")),
    )


def balances(world: World, plan: Plan, levels: pl.DataFrame, use: pl.DataFrame) -> pl.DataFrame:
    """One row a plant and material: `on_hand`, parts of it held back, and value at standard cost."""
    rng = plan.rng("stock.balances")
    frame = (
        world.factories.select(plant_id="factory_id")
        .join(levels.drop("daily"), how="cross", maintain_order="left_right")
        .join(use, on=["plant_id", "material_id"], how="left", maintain_order="left")
    )
    count = len(frame)
    fate = rng.random(count)
    factor = np.select(
        [fate < 0.02, fate < 0.08, fate < 0.16, fate < 0.22],
        [np.zeros(count), rng.uniform(0.1, 0.9, count), rng.uniform(0.9, 1.4, count), rng.uniform(14, 20, count)],
        rng.uniform(2, 9, count),
    )
    # Multiples of the safety stock: below 1 is a shortage, above 14 more than the maximum.
    usual = (pl.col("safety_stock") * pl.lit(pl.Series(factor))).round()
    idle = pl.lit(pl.Series(rng.integers(10, 60, count))).cast(pl.Float64)
    held_back = rng.random((2, count)) < 0.12
    on_hand = pl.when(pl.col("daily").is_null()).then(idle).otherwise(usual)
    return frame.with_columns(on_hand=on_hand).with_columns(
        quality=(pl.col("on_hand") * 0.04 * pl.lit(pl.Series(held_back[0]))).round(),
        blocked=(pl.col("on_hand") * 0.02 * pl.lit(pl.Series(held_back[1]))).round(),
        in_transit=(pl.col("daily").fill_null(0.0) * pl.lit(pl.Series(rng.integers(0, 3, count)))).round(),
        value=(pl.col("on_hand") * pl.col("standard_cost")).round(2),
    )
