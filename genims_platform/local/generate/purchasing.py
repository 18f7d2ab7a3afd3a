"""Buying what production consumes: purchase orders, receipts and the invoices they lead to."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from genims_platform.local.generate import draw
from genims_platform.local.generate.plan import Plan, identifiers
from genims_platform.local.generate.world import World

_SUPPLIERS_PER_MATERIAL = 3
_ORDERED_SHARE = 0.97
"""Bought for each unit that work orders plan to consume; the rest comes from stock."""
TAX_RATE = 0.18


@dataclass(frozen=True)
class Purchasing:
    """Purchase orders, their lines, the goods received so far (one receipt a line) and the invoices so far."""

    orders: pl.DataFrame
    lines: pl.DataFrame
    receipts: pl.DataFrame
    invoices: pl.DataFrame


def purchasing(world: World, plan: Plan) -> Purchasing:
    """Everything bought in the span; a supplier is on time as often as its `reliability` says."""
    offers = _offers(world, plan)
    orders, lines = _ordered(world, plan, offers)
    lines = _received(orders, lines, plan)
    receipts = lines.filter(pl.col("received_at").is_not_null()).sort("received_at", "po_line_id")
    receipts = receipts.insert_column(0, identifiers("wms.receiving_tasks", len(receipts)))
    return Purchasing(orders, lines, receipts, _invoices(orders, lines, plan))


def _offers(world: World, plan: Plan) -> pl.DataFrame:
    """Which supplier sells which material to which plant, and how much of it the plant will need in the span."""
    rng = plan.rng("purchasing.offers")
    consumed = (
        world.work_orders.filter(pl.col("started"))
        .join(world.bill_of_materials.select("product_id", "material_id", "quantity_per"), on="product_id")
        .group_by("factory_id", "material_id")
        .agg(needed=(pl.col("planned_quantity") * pl.col("quantity_per")).sum())
    )
    bought = world.materials.filter(pl.col("material_type") != "finished_good")
    side = len(bought)
    supplier = rng.integers(0, len(world.suppliers), (side, _SUPPLIERS_PER_MATERIAL)).ravel()
    sold = pl.DataFrame(
        {
            "material_id": bought["material_id"].gather(np.repeat(np.arange(side), _SUPPLIERS_PER_MATERIAL)),
            "supplier_id": world.suppliers["supplier_id"].gather(supplier),
        }
    ).unique(maintain_order=True)
    auxiliary = plan.rows("erp.purchase_order_lines") * 0.05
    return (
        sold.join(world.factories.select("factory_id"), how="cross")
        .join(consumed, on=["factory_id", "material_id"], how="left")
        .join(bought.select("material_id", "material_type", "standard_cost", "lead_time_days"), on="material_id")
        # Packaging and consumables are in no bill of materials; every plant uses some.
        .with_columns(
            needed=pl.when(pl.col("material_type").is_in(["packaging", "consumable"]))
            .then(pl.lit(auxiliary))
            .otherwise("needed")
        )
        .filter(pl.col("needed").is_not_null())
        .sort("factory_id", "supplier_id", "material_id")
    )


def _ordered(world: World, plan: Plan, offers: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    rng = plan.rng("erp.purchase_orders")
    count = plan.rows("erp.purchase_orders")
    pairs = offers.group_by("factory_id", "supplier_id", maintain_order=True).agg(
        size=pl.len(), value=(pl.col("needed") * pl.col("standard_cost")).sum().sqrt()
    )
    size = pairs["size"].to_numpy().astype(np.int64)
    first = np.cumsum(size) - size
    weight = pairs["value"].to_numpy()
    pair = rng.choice(len(pairs), count, p=weight / weight.sum())
    moments = plan.instants(rng, count)
    orders = pairs[pair].select(
        identifiers("erp.purchase_orders", count),
        "supplier_id",
        plant_id="factory_id",
        created_at=pl.lit(pl.Series(moments)),
        po_date=pl.lit(pl.Series(moments)).dt.date(),
    )
    per_order = rng.choice([1, 2, 3, 4, 5], count, p=[0.12, 0.23, 0.3, 0.23, 0.12])
    of_order = np.repeat(np.arange(count), per_order)
    within = (rng.random(len(of_order)) * size[pair][of_order]).astype(np.int64)
    lines = offers[first[pair][of_order] + within]
    times_bought = pl.len().over("factory_id", "material_id")
    price_level = pl.lit(pl.Series(rng.normal(1.015, 0.035, len(lines))))
    lines = lines.select(
        identifiers("erp.purchase_order_lines", len(lines)),
        orders["purchase_order_id"].gather(of_order),
        orders["po_date"].gather(of_order),
        "supplier_id",
        "material_id",
        "lead_time_days",
        "standard_cost",
        plant_id="factory_id",
        line_number=pl.lit(
            pl.Series(np.arange(len(of_order)) - np.repeat(np.cumsum(per_order) - per_order, per_order) + 1)
        ),
        order_quantity=(
            pl.col("needed")
            * _ORDERED_SHARE
            / times_bought
            * pl.lit(pl.Series(draw.skewed(rng, 0.93, 0.38, len(lines))))
        )
        .ceil()
        .cast(pl.Int64),
        unit_price=(pl.col("standard_cost") * price_level).round(4),
    ).with_columns(line_value=pl.col("order_quantity") * pl.col("unit_price"))
    values = lines.group_by("purchase_order_id").agg(total_value=pl.col("line_value").sum().round(2))
    terms = world.suppliers.select("supplier_id", "payment_terms", "reliability")
    orders = orders.join(values, on="purchase_order_id", how="left", maintain_order="left").join(
        terms, on="supplier_id", how="left", maintain_order="left"
    )
    return orders, lines


def _received(orders: pl.DataFrame, lines: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    rng, count = plan.rng("wms.receiving_tasks"), len(lines)
    punctual = orders.select(
        "purchase_order_id", punctual=pl.lit(pl.Series(rng.random(len(orders)))) < pl.col("reliability")
    )
    promised = pl.col("po_date") + pl.duration(
        days=pl.col("lead_time_days") + pl.lit(pl.Series(rng.integers(0, 4, count)))
    )
    shift = (
        pl.when("punctual")
        .then(pl.lit(pl.Series(-rng.integers(0, 3, count))))
        .otherwise(pl.lit(pl.Series(rng.integers(1, 13, count))))
    )
    minute = pl.duration(minutes=pl.lit(pl.Series(rng.integers(6 * 60, 18 * 60, count))))
    arrival = (pl.col("delivery_date") + pl.duration(days=shift)).cast(pl.Datetime("us")) + minute
    short = pl.lit(pl.Series(np.where(rng.random(count) < 0.88, 1.0, rng.uniform(0.9, 1.0, count))))
    return (
        lines.join(punctual, on="purchase_order_id", how="left", maintain_order="left")
        .with_columns(delivery_date=promised)
        .with_columns(arrival=arrival)
        .with_columns(received_at=pl.when(pl.col("arrival") <= plan.end).then("arrival"))
        .with_columns(
            received_quantity=pl.when(pl.col("received_at").is_not_null())
            .then((pl.col("order_quantity") * short).round())
            .otherwise(0)
            .cast(pl.Int64)
        )
    )


def _invoices(orders: pl.DataFrame, lines: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """One invoice an order whose goods have all come; paid around the due date once that has passed."""
    today = plan.end.date()
    complete = (
        lines.group_by("purchase_order_id")
        .agg(
            pl.col("received_at").max(),
            received=pl.col("received_at").is_not_null().all(),
            subtotal=(pl.col("received_quantity") * pl.col("unit_price")).sum().round(2),
        )
        .filter("received")
        .join(orders.select("purchase_order_id", "supplier_id", "payment_terms"), on="purchase_order_id")
        .sort("received_at", "purchase_order_id")
    )
    rng, count = plan.rng("supplier.supplier_invoices"), len(complete)
    day = pl.col("received_at").dt.date() + pl.duration(days=pl.lit(pl.Series(rng.integers(0, 5, count))))
    days_to_pay = np.where(rng.random(count) < 0.8, rng.integers(-4, 1, count), rng.integers(1, 45, count))
    matching = draw.codes(rng, {"matched": 88, "variance": 9, "pending": 3}, count)
    invoices = complete.select(
        "purchase_order_id",
        "supplier_id",
        "payment_terms",
        "subtotal",
        invoice_date=day,
        due_date=day + pl.duration(days=pl.col("payment_terms").str.extract(r"(\d+)").cast(pl.Int64)),
        tax_amount=(pl.col("subtotal") * TAX_RATE).round(2),
        days_to_pay=pl.lit(pl.Series(days_to_pay)),
        matching_status=pl.lit(matching),
        status_drawn=pl.lit(draw.codes(rng, {"approved": 6, "received": 3, "under_review": 1}, count)),
    ).filter(pl.col("invoice_date") <= today)
    paying = pl.col("due_date") + pl.duration(days="days_to_pay")
    return (
        invoices.with_columns(
            paid_date=pl.when(paying <= today).then(paying), total_amount=pl.col("subtotal") + pl.col("tax_amount")
        )
        .with_columns(is_paid=pl.col("paid_date").is_not_null())
        .select(
            identifiers("supplier.supplier_invoices", len(invoices)),
            pl.exclude("days_to_pay", "status_drawn", "is_paid"),
            paid_amount=pl.when("is_paid").then("total_amount"),
            payment_status=pl.when("is_paid").then(pl.lit("paid")).otherwise(pl.lit("pending")),
            invoice_status=pl.when("is_paid").then(pl.lit("paid")).otherwise("status_drawn"),
        )
    )
