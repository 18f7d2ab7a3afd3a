"""stock_aging_summary: slow, obsolete and expiring stock to clear."""

from datetime import date, timedelta
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expectation, Identity, Reconciliation, sql
from genims_platform.reporting.periods import Window
from genims_platform.reporting.table import reporting_table
from genims_platform.reporting.warehouses import plant_of_warehouse
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between

_STOCK = ("warehouse_id", "material_id")
_LOOK_BACK = timedelta(days=3 * 365)
"""Beyond it receipts are not read, so that reading stays bounded; goods that came before are of unknown age."""
_EXPIRING_DAYS = 90
_KNOWN_AGE = {
    "qty_0_30": (0, 30),
    "qty_31_60": (31, 60),
    "qty_61_90": (61, 90),
    "qty_91_180": (91, 180),
    "qty_over_180": (181, _LOOK_BACK.days + 1),
}
_SLOW = ("qty_91_180", "qty_over_180")
_QUANTITY = pl.Decimal(38, 4)

_STOCKED = sql(
    "wms", "SELECT DISTINCT %(last_day)s::date AS aging_date, warehouse_id, material_id FROM warehouse_inventory"
)
_ON_HAND = sql(
    "wms",
    """
    SELECT %(last_day)s::date AS aging_date, sum(quantity_on_hand) AS on_hand_qty, count(*) AS source_row_count
    FROM warehouse_inventory HAVING count(*) > 0
    """,
)
_CHECKS = Checks(
    rows=_STOCKED,
    reconcile=(Reconciliation("on_hand_vs_wms", _ON_HAND),),
    identities=(
        Identity(
            "on_hand_qty = sum of the six age classes",
            pl.col("on_hand_qty") - pl.sum_horizontal(*_KNOWN_AGE, "qty_age_unknown"),
        ),
    ),
    warnings=(Expectation("reservation_gap_qty is not 0", pl.col("reservation_gap_qty") == 0),),
    orphans={"warehouse_id": "plant_id", "material_id": "material_name"},
)


@reporting_table(group="inventory", period="snapshot", recompute=0, horizon=0, checks=_CHECKS)
def stock_aging_summary(
    *,
    window: Window,
    inventory: Annotated[pl.LazyFrame, Read("wms.warehouse_inventory")],
    receipts: Annotated[pl.LazyFrame, Read("wms.receiving_tasks", Between("completed_at", before=_LOOK_BACK))],
    warehouses: Annotated[pl.LazyFrame, Read("wms.warehouses")],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
) -> pl.LazyFrame:
    """Age and shelf life of the stock on hand today; one row a warehouse and material that the warehouse lists.

    Age by layers: the oldest goods leave first (FIFO), so what lies there are the newest completed receipts of the same
    warehouse and material; age is in days since receipt. What these do not cover, and stock below zero, is of unknown
    age. Quantities in the material's base unit, values in INR at today's standard cost.
    """
    today = window.last_day
    keys = tuple(kpi.key(pl.col(name)).alias(name) for name in _STOCK)
    on_hand, expiry = pl.col("quantity_on_hand"), pl.col("expiry_date")
    expiring = expiry.is_between(today, today + timedelta(days=_EXPIRING_DAYS))
    stock = (
        inventory.with_columns(*keys)
        .group_by(_STOCK)
        .agg(
            lot_count=pl.col("lot_number").drop_nulls().n_unique(),
            on_hand_qty=kpi.total(on_hand),
            reserved_qty=kpi.total(pl.col("reserved_quantity")),
            available_qty=kpi.total(pl.col("available_quantity")),
            expired_qty=on_hand.filter(expiry < today).sum(),
            expiring_90d_qty=on_hand.filter(expiring).sum(),
            source_row_count=pl.len(),
        )
        .cache()
    )
    ages = _ages(
        stock,
        receipts.filter(pl.col("task_status") == "completed", pl.col("completed_at") < window.span.end).with_columns(
            *keys
        ),
        today,
    )
    known = materials.unique("material_id", keep="first", maintain_order=True).select(
        "material_id", "material_name", "material_type", "standard_cost"
    )
    return (
        stock.join(ages, on=_STOCK, how="left")
        .with_columns(pl.col(*_KNOWN_AGE).fill_null(0))
        .join(plant_of_warehouse(warehouses), on="warehouse_id", how="left")
        .join(known, on="material_id", how="left")
        .with_columns(
            aging_date=today,
            stock_value_inr=pl.col("on_hand_qty") * pl.col("standard_cost"),
            qty_age_unknown=pl.col("on_hand_qty").fill_null(0) - pl.sum_horizontal(*_KNOWN_AGE),
            slow_moving_value_inr=pl.sum_horizontal(*_SLOW) * pl.col("standard_cost"),
            reservation_gap_qty=pl.col("on_hand_qty") - pl.col("reserved_qty") - pl.col("available_qty"),
        )
        .drop("standard_cost")
    )


def _ages(stock: pl.LazyFrame, receipts: pl.LazyFrame, today: date) -> pl.LazyFrame:
    """Quantity on hand by class of age, and `weighted_age_days`, for stock that receipts cover in part at least."""
    quantity = pl.col("received_quantity").fill_null(0).clip(lower_bound=0)
    covered = quantity.cum_sum().over(_STOCK, order_by=["completed_at", "receiving_task_id"], descending=True)
    in_stock = pl.col("on_hand_qty").clip(lower_bound=0)
    layers = receipts.select(
        *_STOCK, quantity=quantity, covered=covered, age=(today - kpi.day(pl.col("completed_at"))).dt.total_days()
    ).join(stock.select(*_STOCK, in_stock), on=_STOCK)
    newer = pl.col("covered") - pl.col("quantity")
    left = (pl.min_horizontal("covered", "on_hand_qty") - pl.min_horizontal(newer, "on_hand_qty")).cast(_QUANTITY)
    age = pl.col("age")
    return (
        layers.with_columns(left=left)
        .group_by(_STOCK)
        .agg(
            *(pl.col("left").filter(age.is_between(*days)).sum().alias(name) for name, days in _KNOWN_AGE.items()),
            weighted_age_days=kpi.weighted_mean(age, pl.col("left")),
        )
    )
