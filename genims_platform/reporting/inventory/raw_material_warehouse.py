"""raw_material_warehouse: what to buy now so that production does not stop."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expectation, Reconciliation, sql
from genims_platform.reporting.consumption import (
    QUANTITY,
    at_factory_of_order,
    at_plant_of_warehouse,
    booked_materials,
    consumption,
    in_days_to,
    shipped_materials,
)
from genims_platform.reporting.exchange import inr, with_inr_rate
from genims_platform.reporting.inventory.plant_stock import STOCK_KEYS, plant_stock
from genims_platform.reporting.material_ids import master
from genims_platform.reporting.periods import DAY, Window
from genims_platform.reporting.shipments import of_shipments
from genims_platform.reporting.stock_status import stock_status
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between, KeyIn, Unended
from genims_platform.sources.summary import Summary

_DAYS = 30
_LOOK_BACK = DAY * (_DAYS - 1)
_WATCH = 1.5
"""Stock that does not last this many times the lead time is watched."""

_OTHERS = """
    FROM inventory_balances b LEFT JOIN materials m ON m.material_id = b.material_id
    WHERE m.material_type IS DISTINCT FROM 'finished_good'
"""
_CHECKS = Checks(
    rows=sql("erp", f"SELECT DISTINCT %(first_day)s AS stock_date, b.plant_id, b.material_id {_OTHERS}"),
    reconcile=(
        Reconciliation(
            "rm_stock_vs_erp",
            sql("erp", f"SELECT %(first_day)s AS stock_date, sum(stock_value) AS stock_value_inr {_OTHERS}"),
        ),
    ),
    warnings=(Expectation("suggested order is not negative", pl.col("suggested_order_qty") >= 0),),
    orphans={"material_id": "material_name"},
)

_RECEIPTS = Summary(
    "wms.receipts_by_material",
    "all completed before the end of the window, added up by warehouse and material",
    f"""
    SELECT r.warehouse_id, r.material_id, max(r.completed_at)::date AS last_day,
      coalesce(sum(r.received_quantity) FILTER (WHERE r.completed_at::date > %(last_day)s - {_DAYS}), 0) AS recent_qty
    FROM receiving_tasks r
    WHERE r.task_status = 'completed' AND r.completed_at < %(end)s
    GROUP BY 1, 2
    """,  # noqa: S608 - a number of days
    {"warehouse_id": pl.String(), "material_id": pl.String(), "last_day": pl.Date(), "recent_qty": QUANTITY},
)
_LAST_PRICES = Summary(
    "erp.last_purchase_prices",
    "the latest purchase of each material up to the last day of the window",
    """
    SELECT DISTINCT ON (l.material_id) l.material_id, o.po_date, o.currency, l.unit_price
    FROM purchase_order_lines l JOIN purchase_orders o ON o.purchase_order_id = l.purchase_order_id
    WHERE l.deletion_indicator IS NOT TRUE AND l.unit_price IS NOT NULL AND o.po_date <= %(last_day)s
    ORDER BY l.material_id, o.po_date DESC, l.po_line_id COLLATE "C" DESC
    """,
    {"material_id": pl.String(), "po_date": pl.Date(), "currency": pl.String(), "unit_price": pl.Decimal(38, 4)},
)
"""Of several lines of one day that with the greatest id."""


@reporting_table(group="inventory", period="snapshot", recompute=0, horizon=0, checks=_CHECKS)
def raw_material_warehouse(
    *,
    window: Window,
    balances: Annotated[pl.LazyFrame, Read("erp.inventory_balances")],
    bins: Annotated[pl.LazyFrame, Read("wms.warehouse_inventory")],
    warehouses: Annotated[pl.LazyFrame, Read("wms.warehouses")],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
    receipts: Annotated[pl.LazyFrame, _RECEIPTS],
    purchase_prices: Annotated[pl.LazyFrame, _LAST_PRICES],
    purchase_lines: Annotated[pl.LazyFrame, Read("erp.purchase_order_lines", Unended("delivery_date"))],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
    shipments: Annotated[pl.LazyFrame, Read("tms.shipments", Between("ship_date", before=_LOOK_BACK))],
    shipment_lines: Annotated[
        pl.LazyFrame, Read("tms.shipment_lines", of_shipments(Between("ship_date", before=_LOOK_BACK)))
    ],
    transactions: Annotated[
        pl.LazyFrame, Read("mes.material_transactions", Between("transaction_date", before=_LOOK_BACK))
    ],
    orders: Annotated[
        pl.LazyFrame,
        Read(
            "mes.work_orders",
            KeyIn(
                "work_order_id",
                "material_transactions",
                "work_order_id",
                Between("transaction_date", before=_LOOK_BACK),
            ),
        ),
    ],
) -> pl.LazyFrame:
    """Present stock of bought and unknown materials against use; one row a day, plant and material in stock.

    Quantities in base units, values in INR. Use is the consumption of the last 30 days. The risk of a stockout is high
    if the stock does not last the lead time of the material, or is gone, and to be watched if it does not last 1.5
    times as long. At or below the reorder point the suggestion fills up to the maximum stock (a min-max policy), at
    least the minimum order quantity, in whole order multiples. Purchase orders name no plant: quantity on order, next
    delivery and last price are those of the group. A past day cannot be computed.
    """
    materials, warehouses = materials.cache(), warehouses.cache()
    attributes = master(materials).select(
        "material_id",
        "material_name",
        "material_type",
        *("safety_stock", "reorder_point", "maximum_stock", "lead_time_days", "minimum_order_quantity"),
        *("order_multiple", "last_purchase_price"),
    )
    used = consumption(
        at_plant_of_warehouse(shipped_materials(shipments, shipment_lines, window), warehouses),
        at_factory_of_order(booked_materials(transactions, materials, window), orders),
    )
    issued = (
        used.filter(in_days_to(window.last_day, _DAYS))
        .group_by(STOCK_KEYS)
        .agg(issued_30d_qty=pl.col("quantity").sum())
    )
    stock, daily_use = pl.col("stock_qty"), pl.col("avg_daily_usage")
    return (
        plant_stock(balances, bins, warehouses)
        .join(attributes, on="material_id", how="left")
        .filter(pl.col("material_type").ne_missing("finished_good"))
        .join(_received(receipts, warehouses), on=STOCK_KEYS, how="left")
        .join(issued, on=STOCK_KEYS, how="left")
        .join(_on_order(purchase_lines, window), on="material_id", how="left")
        .join(_last_prices(purchase_prices, rates), on="material_id", how="left")
        .with_columns(
            pl.col("received_30d_qty", "issued_30d_qty", "open_po_qty_group").fill_null(0),
            stock_date=pl.lit(window.first),
            last_purchase_price_inr=pl.when(pl.col("purchased"))
            .then(pl.col("purchase_price_inr"))
            .otherwise(pl.col("last_purchase_price")),
            suggested_order_qty=_suggested_order(),
            stock_status=stock_status(stock),
        )
        .with_columns(avg_daily_usage=pl.col("issued_30d_qty").cast(pl.Float64) / _DAYS)
        .with_columns(days_of_cover=pl.when(daily_use > 0).then(kpi.ratio(stock, daily_use)))
        .with_columns(stockout_risk=_stockout_risk())
        .drop("maximum_stock", "minimum_order_quantity", "order_multiple")
        .drop("last_purchase_price", "purchase_price_inr", "purchased")
    )


def _received(receipts: pl.LazyFrame, warehouses: pl.LazyFrame) -> pl.LazyFrame:
    """Receipts of the last 30 days, and the day of the last one ever, by plant and material."""
    keyed = receipts.with_columns(kpi.key(pl.col("material_id")))
    return (
        at_plant_of_warehouse(keyed, warehouses)
        .group_by(STOCK_KEYS)
        .agg(received_30d_qty=pl.col("recent_qty").sum(), last_receipt_date=pl.col("last_day").max())
    )


def _on_order(lines: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Quantity still to be delivered to the group and the next delivery, by material."""
    due = pl.col("delivery_date")
    return (
        lines.filter(due >= window.first, ~pl.col("deletion_indicator").fill_null(value=False))
        .group_by("material_id")
        .agg(open_po_qty_group=pl.col("order_quantity").cast(QUANTITY).sum(), next_po_date=due.min())
    )


def _last_prices(latest: pl.LazyFrame, rates: pl.LazyFrame) -> pl.LazyFrame:
    """Price of the latest purchase by material in INR at its date, NULL without a rate; `purchased` for all of them."""
    return with_inr_rate(latest, rates, currency="currency", on="po_date").select(
        "material_id", purchase_price_inr=inr(pl.col("unit_price")), purchased=True
    )


def _suggested_order() -> pl.Expr:
    """What to order at or below the reorder point, exact to four decimals; 0 above it."""
    # Ten-thousandths in whole numbers: rounding up to a multiple must not meet binary fractions.
    needed, multiple = (
        (expression.cast(QUANTITY) * 10_000).cast(pl.Int64, strict=False)
        for expression in (
            pl.max_horizontal(pl.col("maximum_stock") - pl.col("stock_qty"), pl.col("minimum_order_quantity")),
            pl.col("order_multiple"),
        )
    )
    step = pl.when(multiple > 0).then(multiple).otherwise(1)
    whole = (needed + step - 1) // step * step
    return (
        pl.when(pl.col("stock_qty") <= pl.col("reorder_point"))
        .then(whole.cast(QUANTITY) / 10_000)
        .when(pl.col("stock_qty") > pl.col("reorder_point"))
        .then(0)
    )


def _stockout_risk() -> pl.Expr:
    stock, daily_use, cover = pl.col("stock_qty"), pl.col("avg_daily_usage"), pl.col("days_of_cover")
    lead_time = pl.col("lead_time_days")
    return (
        pl.when(stock.is_null())
        .then(None)
        .when(daily_use <= 0)
        .then(pl.lit("none"))
        .when((stock <= 0) | (cover < lead_time))
        .then(pl.lit("high"))
        .when(cover < lead_time * _WATCH)
        .then(pl.lit("watch"))
        .when(lead_time.is_not_null())
        .then(pl.lit("none"))
    )
