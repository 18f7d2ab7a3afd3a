"""genims_master_db: plants, machines, products, customers, people."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from genims_platform.local.generate.plan import Plan, identifiers
from genims_platform.local.generate.world import World

_TABLES = ("factories", "production_lines", "machines", "shifts", "products", "customers", "employees")
_USD_PER_INR = 1 / 83.2


def tables(world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
    """The ten tables of the database."""
    for table in _TABLES:
        yield f"master.{table}", world.select(f"master.{table}")
    yield "master.line_product_mapping", _line_product_mapping(world)
    yield "master.customer_product_mapping", _customer_product_mapping(world, plan)
    yield "master.sensors", sensors(world, plan)


def sensors(world: World, plan: Plan) -> pl.DataFrame:
    """Seven or eight sensors a machine."""
    count = plan.rows("master.sensors")
    machine = np.arange(count) * len(world.machines) // count
    home = world.machines.select("machine_id", "line_id", "factory_id")[machine]
    return home.insert_column(0, identifiers("master.sensors", count))


def _line_product_mapping(world: World) -> pl.DataFrame:
    return world.products.select(
        identifiers("master.line_product_mapping", len(world.products)),
        "line_id",
        "product_id",
        "factory_id",
        "standard_cycle_time_seconds",
        is_primary_line=True,
        yield_percentage=pl.col("line_yield") * 100,
    )


def _customer_product_mapping(world: World, plan: Plan) -> pl.DataFrame:
    """Contract prices near what the customer's orders pay, USD; one in ten no longer in force."""
    rng = plan.rng("customer_product_mapping")
    orders = world.sales_orders.select("customer_id").with_row_index("order_index")
    lines = world.sales_order_lines.select("order_index", "product_id", "unit_price", "order_quantity")
    paid = (
        lines.join(orders.cast({"order_index": pl.Int64}), on="order_index", how="left", maintain_order="left")
        .group_by("customer_id", "product_id", maintain_order=True)
        .agg(pl.col("unit_price").mean(), annual_volume=pl.col("order_quantity").sum() * 12 // plan.months)
        .sort("customer_id", "product_id")
        .sample(fraction=1, shuffle=True, seed=plan.seed)
        .head(plan.rows("master.customer_product_mapping") * 3)
        .sort("customer_id", "product_id")
    )
    return paid.select(
        identifiers("master.customer_product_mapping", len(paid)),
        "customer_id",
        "product_id",
        "annual_volume",
        is_active=pl.Series(rng.random(len(paid)) < 0.9),
        unit_price_usd=pl.col("unit_price") * _USD_PER_INR * pl.Series(rng.normal(1.02, 0.03, len(paid))),
    )
