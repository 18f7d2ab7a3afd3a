"""finished_goods_warehouse: whether open orders can be served, and which finished goods to make or to push."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Identity, Reconciliation, sql
from genims_platform.reporting.consumption import QUANTITY, at_plant_of_warehouse, in_days_to, shipped_materials
from genims_platform.reporting.inventory.plant_stock import STOCK_KEYS, plant_stock
from genims_platform.reporting.material_ids import master
from genims_platform.reporting.order_plants import by_plant
from genims_platform.reporting.periods import DAY, Window
from genims_platform.reporting.production_orders import completed_orders
from genims_platform.reporting.shipments import of_shipments
from genims_platform.reporting.stock_status import stock_status
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between, KeyIn, Unlike

_DAYS = 30
_LOOK_BACK = DAY * (_DAYS - 1)

_FULFILLED = ("delivered", "closed", "cancelled")
_OPEN = Unlike("order_status", "delivered") & Unlike("order_status", "closed") & Unlike("order_status", "cancelled")
_OF_OPEN_ORDERS = KeyIn("sales_order_id", "sales_orders", "sales_order_id", _OPEN)

_OPEN_LINES = """
    WITH open_orders AS (
      SELECT sales_order_id, requested_delivery_date AS requested_for FROM sales_orders
      WHERE (order_status IS NULL OR order_status NOT IN ('delivered', 'closed', 'cancelled'))
        AND (order_date IS NULL OR order_date <= %(last_day)s)
    ), open_order_lines AS MATERIALIZED (
      SELECT * FROM open_orders JOIN sales_order_lines USING (sales_order_id) WHERE deletion_indicator IS NOT TRUE
    ), makers AS (
      SELECT sales_order_id, material_id, coalesce(nullif(btrim(plant_id), ''), 'UNKNOWN') AS maker,
        coalesce(sum(order_quantity), 0) AS quantity
      FROM production_orders WHERE sales_order_id IN (SELECT sales_order_id FROM open_orders) GROUP BY 1, 2, 3
    ), shares AS (
      SELECT *, CASE WHEN sum(quantity) OVER goods > 0 THEN quantity / sum(quantity) OVER goods
        ELSE 1.0 / count(*) OVER goods END AS share
      FROM makers WINDOW goods AS (PARTITION BY sales_order_id, material_id)
    ), open_lines AS (
      SELECT l.material_id, coalesce(maker, nullif(btrim(l.plant_id), ''), 'UNKNOWN') AS plant_id,
        l.order_quantity * coalesce(share, 1) AS quantity, l.requested_for
      FROM open_order_lines l
      LEFT JOIN shares s ON s.sales_order_id = l.sales_order_id AND s.material_id = l.material_id
    ), stocked AS (
      SELECT DISTINCT coalesce(nullif(btrim(plant_id), ''), 'UNKNOWN') AS plant_id, material_id
      FROM inventory_balances JOIN materials USING (material_id) WHERE material_type = 'finished_good'
    )
"""
_CHECKS = Checks(
    rows=sql(
        "erp",
        """
        SELECT DISTINCT %(first_day)s AS stock_date, plant_id, material_id
        FROM inventory_balances JOIN materials USING (material_id) WHERE material_type = 'finished_good'
        """,
    ),
    reconcile=(
        Reconciliation(
            "open_orders_vs_erp",
            sql(
                "erp",
                f"""{_OPEN_LINES}
                SELECT %(first_day)s AS stock_date, coalesce(sum(quantity), 0) AS open_order_qty,
                  coalesce(sum(quantity) FILTER (WHERE requested_for < %(first_day)s), 0)
                    AS overdue_order_qty
                FROM open_lines JOIN stocked USING (plant_id, material_id)
                """,  # noqa: S608
            ),
        ),
    ),
    identities=(
        Identity(
            "backorder = open orders - stock, if more is ordered",
            pl.col("backorder_qty") - (pl.col("open_order_qty") - pl.col("stock_qty")).clip(0),
            tolerance=0.0001,
        ),
        Identity(
            "overstock = stock - maximum, if there is more",
            pl.col("overstock_qty") - (pl.col("stock_qty") - pl.col("maximum_stock")).clip(0),
        ),
    ),
    left_out={
        "open order lines of goods not stocked": sql(
            "erp",
            f"""{_OPEN_LINES}
            SELECT count(*) FROM open_lines LEFT JOIN stocked s USING (plant_id, material_id)
            WHERE s.plant_id IS NULL
            """,  # noqa: S608
        )
    },
)


@reporting_table(group="inventory", period="snapshot", recompute=0, horizon=0, checks=_CHECKS)
def finished_goods_warehouse(
    *,
    window: Window,
    balances: Annotated[pl.LazyFrame, Read("erp.inventory_balances")],
    bins: Annotated[pl.LazyFrame, Read("wms.warehouse_inventory")],
    warehouses: Annotated[pl.LazyFrame, Read("wms.warehouses")],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
    open_orders: Annotated[pl.LazyFrame, Read("erp.sales_orders", _OPEN)],
    open_lines: Annotated[pl.LazyFrame, Read("erp.sales_order_lines", _OF_OPEN_ORDERS)],
    production_orders: Annotated[pl.LazyFrame, Read("erp.production_orders", _OF_OPEN_ORDERS)],
    work_orders: Annotated[pl.LazyFrame, Read("mes.work_orders", Between("actual_end_time", before=_LOOK_BACK))],
    shipments: Annotated[pl.LazyFrame, Read("tms.shipments", Between("ship_date", before=_LOOK_BACK))],
    shipment_lines: Annotated[
        pl.LazyFrame, Read("tms.shipment_lines", of_shipments(Between("ship_date", before=_LOOK_BACK)))
    ],
) -> pl.LazyFrame:
    """Present stock of finished goods against demand; one row a day, plant and finished material in stock.

    Quantities in pieces, value in INR as the ledger holds it. Open orders are those neither delivered, closed nor
    cancelled; their lines count at the plants that make them, whole, whatever part was shipped already. An order is
    overdue from the day after the requested one. Cover is stock by mean daily shipments of the last 30 days, NULL
    without any. Open orders of goods that a plant does not stock are in no row. A past day cannot be computed.
    """
    warehouses = warehouses.cache()
    goods = (
        master(materials)
        .filter(pl.col("material_type") == "finished_good")
        .select("material_id", "product_id", "material_name", "safety_stock", "reorder_point", "maximum_stock")
    )
    locations = warehouses.group_by(kpi.key(pl.col("plant_id"))).agg(pl.col("warehouse_id").min())
    stock, maximum = pl.col("stock_qty"), pl.col("maximum_stock")
    demand, shipped = pl.col("open_order_qty"), pl.col("shipped_30d_qty")
    return (
        plant_stock(balances, bins, warehouses)
        .join(goods, on="material_id")
        .join(locations, on="plant_id", how="left")
        .join(_demand(open_orders, open_lines, production_orders, window), on=STOCK_KEYS, how="left")
        .join(_produced(work_orders, window), on=["plant_id", "product_id"], how="left")
        .join(_shipped(shipments, shipment_lines, warehouses, window), on=STOCK_KEYS, how="left")
        .with_columns(
            pl.col("open_order_qty", "overdue_order_qty", "produced_30d_qty", "shipped_30d_qty").fill_null(0),
            stock_date=pl.lit(window.first),
            erp_wms_diff_qty=stock - pl.col("wms_on_hand_qty"),
            overstock_qty=(stock - maximum).clip(0),
            stock_status=stock_status(stock),
        )
        .with_columns(
            backorder_qty=(demand - stock).clip(0),
            days_of_cover=pl.when(shipped > 0).then(kpi.ratio(stock * _DAYS, shipped)),
        )
    )


def _demand(orders: pl.LazyFrame, lines: pl.LazyFrame, production_orders: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Open and overdue quantity by plant and material, as known at the end of the window."""
    known = orders.filter(
        ~pl.col("order_status").fill_null("").is_in(_FULFILLED),
        (pl.col("order_date") <= window.last_day).fill_null(value=True),
    ).select("sales_order_id", overdue=pl.col("requested_delivery_date") < window.first)
    standing = lines.filter(~pl.col("deletion_indicator").fill_null(value=False)).select(
        "sales_order_id", "plant_id", kpi.key(pl.col("material_id")), "order_quantity"
    )
    quantity = pl.col("order_quantity")
    return (
        by_plant(standing.join(known, on="sales_order_id"), production_orders, split=["order_quantity"])
        .group_by(STOCK_KEYS)
        .agg(open_order_qty=quantity.sum(), overdue_order_qty=quantity.filter(pl.col("overdue")).sum())
    )


def _produced(work_orders: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    days = Window(window.last_day - _LOOK_BACK, window.end, window.as_of)
    return (
        completed_orders(work_orders, days)
        .group_by("product_id", plant_id=kpi.key(pl.col("factory_id")))
        .agg(produced_30d_qty=pl.col("good_quantity").sum())
    )


def _shipped(shipments: pl.LazyFrame, lines: pl.LazyFrame, warehouses: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    left = shipped_materials(shipments, lines, window).filter(in_days_to(window.last_day, _DAYS))
    return (
        at_plant_of_warehouse(left, warehouses)
        .group_by(STOCK_KEYS)
        .agg(shipped_30d_qty=pl.col("quantity").cast(QUANTITY).sum())
    )
