"""Consumption of materials: what leaves the stock of a plant to customers and into production, net of returns.

Shipped goods count at the plant of the warehouse on the day they left, MES bookings at the factory of the order on the
day of the booking. Picks are steps inside a warehouse and consume nothing.
"""

from datetime import date

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.material_ids import with_material_id
from genims_platform.reporting.periods import DAY, Window
from genims_platform.reporting.warehouses import plant_of_warehouse

QUANTITY = pl.Decimal(38, 4)
EXACT = pl.Decimal(38, 10)
"""Wide enough for a quantity times a unit cost; Polars would keep only the scale of the wider factor."""


def shipped_materials(shipments: pl.LazyFrame, lines: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Lines of shipments that have left by now: `day`, `warehouse_id`, `material_id` and `quantity`.

    Read once, however many measures rest on them.
    """
    left = shipments.filter(pl.col("ship_date") < pl.lit(window.span.end)).select(
        "shipment_id", "warehouse_id", day="ship_date"
    )
    return (
        lines.join(left, on="shipment_id")
        .select(
            "day",
            "warehouse_id",
            material_id=kpi.key(pl.col("material_id")),
            quantity=pl.col("quantity").cast(QUANTITY),
        )
        .cache()
    )


def booked_materials(transactions: pl.LazyFrame, materials: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Issues to production orders and returns from them, booked by now.

    Columns `day`, `work_order_id`, `material_id`, `quantity` (issued, or minus what was returned), `issued`,
    `returned` and `issued_cost` (of an issue, as booked), and `booked_name` and `booked_type` of the material.
    Read once, however many measures rest on them.
    """
    kind, quantity = pl.col("transaction_type"), pl.col("quantity").cast(QUANTITY)
    issue = kind == "issue"
    booked = transactions.filter(kind.is_in(["issue", "return"]), pl.col("transaction_date") < window.span.end)
    return (
        with_material_id(booked, materials)
        .select(
            "work_order_id",
            "material_id",
            day=kpi.day(pl.col("transaction_date")),
            quantity=pl.when(issue).then(quantity).otherwise(-quantity),
            issued=pl.when(issue).then(quantity),
            returned=pl.when(~issue).then(quantity),
            issued_cost=pl.when(issue).then(pl.col("total_cost").cast(EXACT)),
            booked_name="material_name",
            booked_type="material_type",
        )
        .cache()
    )


def at_plant_of_warehouse(rows: pl.LazyFrame, warehouses: pl.LazyFrame) -> pl.LazyFrame:
    """Rows with the `plant_id` of their `warehouse_id`; `UNKNOWN` without one."""
    return rows.join(plant_of_warehouse(warehouses), on="warehouse_id", how="left").with_columns(
        plant_id=kpi.key(pl.col("plant_id"))
    )


def at_factory_of_order(rows: pl.LazyFrame, orders: pl.LazyFrame) -> pl.LazyFrame:
    """Rows with `plant_id`, the factory of their order in `mes.work_orders`; `UNKNOWN` without one."""
    return rows.join(
        orders.select("work_order_id", plant_id="factory_id"), on="work_order_id", how="left"
    ).with_columns(plant_id=kpi.key(pl.col("plant_id")))


def consumption(shipped: pl.LazyFrame, booked: pl.LazyFrame) -> pl.LazyFrame:
    """What was consumed, one row a booking: `day`, `plant_id`, `material_id` and `quantity`, negative for a return.

    `shipped` are shipped materials at their plants, `booked` booked ones at theirs.
    """
    columns = ("day", "plant_id", "material_id", "quantity")
    return pl.concat([shipped.select(columns), booked.select(columns)])


def in_days_to(last_day: date, days: int) -> pl.Expr:
    """Whether a row's `day` is `last_day` or one of the `days - 1` before it."""
    return pl.col("day").is_between(last_day - DAY * (days - 1), last_day)
