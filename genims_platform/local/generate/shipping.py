"""Goods leaving the plants: one shipment an order and plant, from which stock, freight and revenue derive."""

from dataclasses import dataclass

import polars as pl

from genims_platform.local.generate import draw
from genims_platform.local.generate.plan import Plan, identifiers
from genims_platform.local.generate.world import World

_PALLET_KG = 6_000
"""Most weight counted as one package."""


@dataclass(frozen=True)
class Shipping:
    """Shipments that left so far, and the order lines in them (`shipment_lines`, with `ship_date` and warehouse)."""

    shipments: pl.DataFrame
    lines: pl.DataFrame


def shipping(world: World, plan: Plan) -> Shipping:
    """Shipments of every order with a ship date; `delivered_at` is NULL while it lies after the end of the span."""
    shipped = world.sales_orders.filter(pl.col("ship_date").is_not_null())
    lines = world.sales_order_lines.join(
        shipped.select("sales_order_id", "customer_id", "ship_date", "transit_days", "requested_delivery_date"),
        on="sales_order_id",
        how="inner",
        maintain_order="left",
    ).join(world.products.select("product_id", "unit_weight_kg"), on="product_id", how="left", maintain_order="left")
    shipments = lines.group_by("sales_order_id", "plant_id", maintain_order=True).agg(
        pl.first("customer_id", "ship_date", "transit_days", "requested_delivery_date"),
        total_weight_kg=(pl.col("unit_weight_kg") * pl.col("order_quantity")).sum().round(2),
        declared_value=pl.col("net_value").sum().round(2),
        pieces=pl.col("order_quantity").sum(),
    )
    shipments = _dated(shipments.sort("ship_date", "sales_order_id", "plant_id"), world, plan)
    lines = lines.join(
        shipments.select("sales_order_id", "plant_id", "shipment_id", "warehouse_id"), on=["sales_order_id", "plant_id"]
    ).sort("shipment_id", "line_number")
    return Shipping(shipments, lines.insert_column(0, identifiers("tms.shipment_lines", len(lines))))


def _dated(shipments: pl.DataFrame, world: World, plan: Plan) -> pl.DataFrame:
    rng, count = plan.rng("tms.shipments"), len(shipments)
    carrier = world.carriers[rng.choice(len(world.carriers), count, p=draw.uneven(rng, len(world.carriers), 6))]
    plants = world.warehouses.select("plant_id", "warehouse_id", origin_city="city")
    # The order is delivered when its last shipment arrives, so the first shipment of each keeps the order's transit.
    first = pl.col("sales_order_id").is_first_distinct()
    sooner = (pl.col("transit_days") - pl.lit(pl.Series(rng.integers(0, 3, count)))).clip(1)
    # 0 express, 1 standard, 2 overnight: mostly the service whose limit the journey keeps.
    any_service = pl.lit(pl.Series(rng.integers(0, 3, count)))
    mistaken = pl.lit(pl.Series(draw.true_share(rng, 0.15, count)))
    days_late = pl.lit(pl.Series(rng.integers(1, 4, count)))
    on_estimate = pl.lit(pl.Series(rng.random(count))) < pl.lit(carrier["reliability"])
    delivered_time = pl.duration(minutes=pl.lit(pl.Series(rng.integers(8 * 60, 19 * 60, count))))
    delivered_day = pl.col("ship_date") + pl.duration(days="transit_days")
    arrival = delivered_day.cast(pl.Datetime("us")) + delivered_time
    return (
        shipments.join(plants, on="plant_id", how="left", maintain_order="left")
        .with_columns(
            identifiers("tms.shipments", count),
            carrier["carrier_id"],
            transit_days=pl.when(first).then("transit_days").otherwise(sooner),
            number_of_packages=(pl.col("total_weight_kg") / _PALLET_KG).ceil().clip(1, 3).cast(pl.Int64),
        )
        .with_columns(
            arrival=arrival,
            service_index=pl.when(mistaken)
            .then(any_service)
            .otherwise(
                pl.when(pl.col("transit_days") <= 2).then(2).when(pl.col("transit_days") == 3).then(0).otherwise(1)
            ),
            estimated_delivery_date=pl.when(on_estimate)
            .then(delivered_day)
            .otherwise(delivered_day - pl.duration(days=days_late)),
        )
        .with_columns(delivered_at=pl.when(pl.col("arrival") <= plan.end).then("arrival"))
        .with_columns(actual_delivery_date=pl.col("delivered_at").dt.date())
    )
