"""Consumption of materials: what leaves the stock of a plant to customers and into production, net of returns.

Shipped goods count at the plant of the warehouse on the day they left, MES bookings at the factory of the order on the
day of the booking. Picks are steps inside a warehouse and consume nothing.
"""

from datetime import date, timedelta

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.material_ids import with_material_id
from genims_platform.reporting.periods import DAY, Window
from genims_platform.reporting.warehouses import plant_of_warehouse
from genims_platform.sources.summary import Summary

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
    `returned` and `issued_cost` (of an issue, as booked), `bookings` (1), and `booked_name` and `booked_type` of the
    material. Read once, however many measures rest on them.
    """
    booked = transactions.filter(
        pl.col("transaction_type").is_in(["issue", "return"]), pl.col("transaction_date") < window.span.end
    ).with_columns(day=kpi.day(pl.col("transaction_date")), bookings=1)
    return _booked(booked, materials, "work_order_id").cache()


def bookings_by_day(before: timedelta) -> Summary:
    """Issues and returns of the window, and up to `before` earlier, added up by day and material.

    `booked_by_day` completes them.
    """
    return Summary(
        "mes.bookings_by_day",
        f"issues and returns in the window or up to {before.days} days before it, added up by day and material",
        f"""
        SELECT t.transaction_date::date AS day, t.transaction_type, t.material_code, t.material_name, t.material_type,
          sum(t.quantity) AS quantity, sum(t.total_cost) AS total_cost, count(*) AS bookings
        FROM material_transactions t
        WHERE t.transaction_type IN ('issue', 'return')
          AND t.transaction_date >= %(start)s - interval '{before.days} days' AND t.transaction_date < %(end)s
        GROUP BY 1, 2, 3, 4, 5
        """,  # noqa: S608 - a number of days
        {
            "day": pl.Date(),
            **dict.fromkeys(("transaction_type", "material_code", "material_name", "material_type"), pl.String()),
            "quantity": QUANTITY,
            "total_cost": pl.Decimal(38, 2),
            "bookings": pl.Int64(),
        },
    )


def booked_by_day(sums: pl.LazyFrame, materials: pl.LazyFrame) -> pl.LazyFrame:
    """What `booked_materials` says of single bookings, of those that SQL has added up: no `work_order_id`."""
    return _booked(sums, materials).cache()


def _booked(rows: pl.LazyFrame, materials: pl.LazyFrame, *keys: str) -> pl.LazyFrame:
    quantity, issue = pl.col("quantity").cast(QUANTITY), pl.col("transaction_type") == "issue"
    return with_material_id(rows, materials).select(
        "day",
        *keys,
        "material_id",
        "bookings",
        quantity=pl.when(issue).then(quantity).otherwise(-quantity),
        issued=pl.when(issue).then(quantity),
        returned=pl.when(~issue).then(quantity),
        issued_cost=pl.when(issue).then(pl.col("total_cost").cast(EXACT)),
        booked_name="material_name",
        booked_type="material_type",
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
