"""Sales, purchasing, production orders and stock in the books."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from genims_platform.local.generate import draw, stock
from genims_platform.local.generate.columns import catalogued
from genims_platform.local.generate.plan import Plan, identifiers
from genims_platform.local.generate.purchasing import Purchasing, purchasing
from genims_platform.local.generate.shipping import Shipping, shipping
from genims_platform.local.generate.world import World

_STORAGE_LOCATION = "WH01"
_ADJUSTED_SHARE = 0.15
_RETURNED_SHARE = 0.03
_RECEIVED_SHARE = 0.4
"""Shares of the inventory transactions; the rest are issues."""


def tables(world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the ERP tables that reports and audit depend on."""
    bought, shipped = purchasing(world, plan), shipping(world, plan)
    use = stock.daily_use(world, plan, shipped)
    levels = stock.planned_levels(world, use)
    yield "erp.materials", catalogued("erp.materials", levels)
    yield "erp.suppliers", world.select("erp.suppliers")
    yield "erp.sales_orders", _sales_orders(world)
    yield "erp.sales_order_lines", _sales_order_lines(world)
    yield "erp.production_orders", _production_orders(world)
    yield "erp.purchase_orders", _purchase_orders(bought, plan)
    yield "erp.purchase_order_lines", _purchase_order_lines(bought)
    yield "erp.goods_receipts", _goods_receipts(bought)
    yield "erp.inventory_balances", _inventory_balances(stock.balances(world, plan, levels, use), plan)
    yield "erp.inventory_transactions", _inventory_transactions(world, plan, bought, shipped)
    yield "erp.bill_of_materials", _bills(world)
    yield "erp.bom_components", _components(world)


def _sales_orders(world: World) -> pl.DataFrame:
    tax = (pl.col("total_value") - pl.col("total_net_value")).round(2)
    placed = pl.col("order_date").cast(pl.Datetime("us"))
    frame = world.sales_orders.with_columns(
        currency=pl.lit("INR"), tax_amount=tax, created_at=placed, confirmed_delivery_date="requested_delivery_date"
    )
    return catalogued("erp.sales_orders", frame)


def _sales_order_lines(world: World) -> pl.DataFrame:
    orders = world.sales_orders.select(
        "sales_order_id", "order_status", "order_date", "ship_date", "requested_delivery_date"
    )
    frame = world.sales_order_lines.with_columns(world.production_orders["production_order_id"]).join(
        orders, on="sales_order_id", how="left", maintain_order="left"
    )
    shipped = pl.when(pl.col("ship_date").is_not_null()).then("order_quantity").otherwise(0)
    return catalogued(
        "erp.sales_order_lines",
        frame.with_columns(
            line_status="order_status",
            delivered_quantity=shipped,
            invoiced_quantity=shipped,
            net_price=pl.col("net_value").round(2),
            make_to_order=True,
            deletion_indicator=False,
            created_at=pl.col("order_date").cast(pl.Datetime("us")),
        ),
    )


def _production_orders(world: World) -> pl.DataFrame:
    done = pl.col("system_status") == "completed"
    return world.select("erp.production_orders").with_columns(
        delivered_quantity=pl.when(done).then("order_quantity").otherwise(0),
        scheduled_start_date="basic_start_date",
        scheduled_end_date="basic_end_date",
    )


def _purchase_orders(bought: Purchasing, plan: Plan) -> pl.DataFrame:
    fresh = (plan.end - pl.col("created_at")).dt.total_days() < 2
    received = pl.col("purchase_order_id").is_in(bought.receipts["purchase_order_id"].unique().implode())
    status = pl.when(fresh & ~received).then(pl.lit("created")).otherwise(pl.lit("released"))
    frame = bought.orders.with_columns(
        po_number=pl.col("purchase_order_id").str.replace("PUOR", "PO"),
        currency=pl.lit("INR"),
        exchange_rate=1.0,
        po_status=status,
        release_indicator=status == "released",
    )
    return catalogued("erp.purchase_orders", frame)


def _purchase_order_lines(bought: Purchasing) -> pl.DataFrame:
    frame = bought.lines.with_columns(
        deletion_indicator=False,
        invoiced_quantity="received_quantity",
        net_price=pl.col("line_value").round(2),
        line_status=pl.lit("released"),
        created_at=pl.col("po_date").cast(pl.Datetime("us")),
    )
    return catalogued("erp.purchase_order_lines", frame)


def _goods_receipts(bought: Purchasing) -> pl.DataFrame:
    day = pl.col("received_at").dt.date()
    frame = bought.receipts.with_columns(
        identifiers("erp.goods_receipts", len(bought.receipts)),
        gr_date=day,
        posting_date=day,
        quantity_received="received_quantity",
        total_value=(pl.col("received_quantity") * pl.col("unit_price")).round(2),
        created_at="received_at",
    )
    return catalogued("erp.goods_receipts", frame)


def _inventory_balances(balances: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    return balances.select(
        identifiers("erp.inventory_balances", len(balances)),
        "material_id",
        "plant_id",
        storage_location=pl.lit(_STORAGE_LOCATION),
        unrestricted_stock="on_hand",
        quality_inspection_stock="quality",
        blocked_stock="blocked",
        in_transit_stock="in_transit",
        stock_value="value",
        moving_average_price="moving_average_cost",
        updated_at=pl.lit(plan.end),
    )


def _inventory_transactions(world: World, plan: Plan, bought: Purchasing, shipped: Shipping) -> pl.DataFrame:
    rng, count = plan.rng("erp.inventory_transactions"), plan.rows("erp.inventory_transactions")
    received = _sample(rng, bought.receipts, int(count * _RECEIVED_SHARE)).select(
        "material_id",
        "plant_id",
        posting_date=pl.col("received_at").dt.date(),
        quantity=pl.col("received_quantity").cast(pl.Float64),
        transaction_type=pl.lit("goods_receipt"),
        movement_type=pl.lit("101"),
    )
    issued_count = int(count * (1 - _RECEIVED_SHARE - _RETURNED_SHARE - _ADJUSTED_SHARE))
    issued = _sample(rng, shipped.lines, issued_count).select(
        "material_id",
        "plant_id",
        posting_date="ship_date",
        quantity=pl.col("order_quantity").cast(pl.Float64),
        transaction_type=pl.lit("goods_issue"),
        movement_type=pl.lit("261"),
    )
    counted = [
        _counted(world, plan, kind, movement, max(1, int(count * share)))
        for kind, movement, share in (("return", "551", _RETURNED_SHARE), ("adjustment", "311", _ADJUSTED_SHARE))
    ]
    frame = pl.concat([received, issued, *counted]).sort("posting_date", maintain_order=True)
    cancelled = pl.Series(draw.true_share(rng, 0.01, len(frame)))
    return frame.select(
        identifiers("erp.inventory_transactions", len(frame)),
        pl.all(),
        document_date="posting_date",
        storage_location=pl.lit(_STORAGE_LOCATION),
        cancelled=pl.lit(cancelled),
        reversal_indicator=False,
        created_at=pl.col("posting_date").cast(pl.Datetime("us")),
    )


def _sample(rng: np.random.Generator, frame: pl.DataFrame, count: int) -> pl.DataFrame:
    return frame[np.sort(rng.choice(len(frame), min(count, len(frame)), replace=False))]


def _counted(world: World, plan: Plan, kind: str, movement: str, count: int) -> pl.DataFrame:
    rng = plan.rng(f"erp.inventory_transactions.{kind}")
    quantity = np.rint(rng.normal(0, 18, count)) if kind == "adjustment" else rng.integers(1, 40, count).astype(float)
    return pl.DataFrame(
        {
            "material_id": draw.picks(rng, world.materials["material_id"], count),
            "plant_id": draw.picks(rng, world.factories["factory_id"], count),
            "posting_date": plan.working_days(rng, count),
            "quantity": quantity,
            "transaction_type": [kind] * count,
            "movement_type": [movement] * count,
        }
    )


def _bills(world: World) -> pl.DataFrame:
    made = world.materials.filter(pl.col("product_id").is_not_null())
    return made.select(identifiers("erp.bill_of_materials", len(made)), "product_id", parent_material_id="material_id")


def _components(world: World) -> pl.DataFrame:
    bills = _bills(world).select("bom_id", "product_id")
    parts = world.bill_of_materials.join(bills, on="product_id", how="left", maintain_order="left")
    return parts.select(
        identifiers("erp.bom_components", len(parts)),
        "bom_id",
        "material_id",
        item_number=(pl.col("component_number") + 1) * 10,
        component_quantity=pl.col("quantity_per"),
    )
