"""material_flow_daily: what moved in and out of stock, and whether the book stock follows."""

from datetime import timedelta
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.consumption import (
    EXACT,
    QUANTITY,
    at_factory_of_order,
    at_plant_of_warehouse,
    booked_materials,
    consumption,
    shipped_materials,
)
from genims_platform.reporting.inventory.material_flow_checks import CHECKS
from genims_platform.reporting.material_ids import master, with_material_of_product
from genims_platform.reporting.periods import DAY, Window
from genims_platform.reporting.production_orders import completed_orders
from genims_platform.reporting.rolling import over_days
from genims_platform.reporting.shipments import of_shipments
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between, KeyIn

_USAGE_DAYS = 30
_USAGE = DAY * (_USAGE_DAYS - 1)

_INFLOWS = ("receipts_qty", "production_in_qty", "production_return_qty", "customer_return_qty")
_OUTFLOWS = ("production_issue_qty", "shipped_qty")
_FLOWS = (*_INFLOWS, *_OUTFLOWS, "adjustment_qty")


@reporting_table(group="inventory", recompute=1, horizon=7, rolling_days=_USAGE_DAYS, checks=CHECKS)
def material_flow_daily(
    *,
    window: Window,
    receipts: Annotated[pl.LazyFrame, Read("wms.receiving_tasks", Between("completed_at"))],
    work_orders: Annotated[pl.LazyFrame, Read("mes.work_orders", Between("actual_end_time"))],
    transactions: Annotated[
        pl.LazyFrame, Read("mes.material_transactions", Between("transaction_date", before=_USAGE))
    ],
    booked_orders: Annotated[
        pl.LazyFrame,
        Read(
            "mes.work_orders",
            KeyIn(
                "work_order_id", "material_transactions", "work_order_id", Between("transaction_date", before=_USAGE)
            ),
        ),
    ],
    shipments: Annotated[pl.LazyFrame, Read("tms.shipments", Between("ship_date", before=_USAGE))],
    shipment_lines: Annotated[
        pl.LazyFrame, Read("tms.shipment_lines", of_shipments(Between("ship_date", before=_USAGE)))
    ],
    returns: Annotated[pl.LazyFrame, Read("tms.return_orders", Between("created_at"))],
    return_lines: Annotated[
        pl.LazyFrame,
        Read(
            "tms.return_order_lines",
            KeyIn("return_order_id", "return_orders", "return_order_id", Between("created_at")),
        ),
    ],
    movements: Annotated[pl.LazyFrame, Read("erp.inventory_transactions", Between("posting_date"))],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
    warehouses: Annotated[pl.LazyFrame, Read("wms.warehouses")],
    snapshots: Annotated[
        pl.LazyFrame, Read("reporting.inventory_value_summary", Between("inventory_date", before=DAY))
    ],
) -> pl.LazyFrame:
    """Physical flows of a material through a plant's stock; one row a day, plant and material that moved or is held.

    Quantities in base units, values in INR at standard cost. Each flow comes from the system that executes it:
    receipts and shipments from warehouse and transport, output on the day its order was completed, issues and returns
    from production on the day they were booked, customer returns on the day of the return order, adjustments as posted
    by the ERP, whose other movements repeat these. Opening and closing stock are the unrestricted stock of the kept
    snapshots of the day before and of the day, NULL without one; `unexplained_qty` is what closing - opening leaves of
    the net flow. A code that no material bears is valued at what the MES booked for its issues.
    """
    materials, warehouses = materials.cache(), warehouses.cache()
    shipped = at_plant_of_warehouse(shipped_materials(shipments, shipment_lines, window), warehouses)
    booked = at_factory_of_order(booked_materials(transactions, materials, window), booked_orders)
    flows = [
        _receipts(receipts, warehouses, window),
        _output(work_orders, materials, window),
        booked.filter(pl.col("day") >= window.first).select(
            *_KEYS,
            production_issue_qty="issued",
            production_return_qty="returned",
            issued_cost="issued_cost",
            booked_name="booked_name",
            booked_type="booked_type",
        ),
        shipped.filter(pl.col("day") >= window.first).select(*_KEYS, shipped_qty="quantity"),
        _customer_returns(returns, return_lines, warehouses, window),
        _adjustments(movements, window),
    ]
    net = sum((pl.col(name) for name in (*_INFLOWS, "adjustment_qty")), start=pl.lit(0)) - sum(
        (pl.col(name) for name in _OUTFLOWS), start=pl.lit(0)
    )
    inflow, outflow = (
        sum((pl.col(name) for name in names), start=pl.lit(0)).cast(EXACT) for names in (_INFLOWS, _OUTFLOWS)
    )
    cost = pl.col("unit_cost_inr").cast(EXACT)
    return (
        pl.concat(
            [flow.with_columns(movements=pl.lit(1)) for flow in flows] + _stock(snapshots), how="diagonal_relaxed"
        )
        .group_by(kpi.key(pl.col("plant_id")), kpi.key(pl.col("material_id")), flow_date="day")
        .agg(
            pl.col(_FLOWS).sum(),
            pl.col("booked_name", "booked_type").min(),
            kpi.total(pl.col("opening_qty")),
            kpi.total(pl.col("closing_qty")),
            kpi.total(pl.col("issued_cost")),
            source_row_count=pl.col("movements").sum(),
        )
        .join(_usage(consumption(shipped, booked), window), on=["flow_date", "plant_id", "material_id"], how="left")
        .join(
            master(materials).select(
                "material_id", "material_name", "material_type", known=True, unit_cost_inr="standard_cost"
            ),
            on="material_id",
            how="left",
        )
        .with_columns(
            material_name=pl.coalesce("material_name", "booked_name"),
            material_type=pl.coalesce("material_type", "booked_type"),
            net_flow_qty=net,
            inflow_value_inr=inflow * cost,
            outflow_value_inr=pl.when(pl.col("known")).then(outflow * cost).otherwise("issued_cost"),
        )
        .with_columns(unexplained_qty=pl.col("closing_qty") - pl.col("opening_qty") - pl.col("net_flow_qty"))
        .drop("booked_name", "booked_type", "issued_cost", "known")
    )


_KEYS = ("day", "plant_id", "material_id")


def _receipts(receipts: pl.LazyFrame, warehouses: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    done = receipts.filter(pl.col("task_status") == "completed", pl.col("completed_at") < window.span.end)
    return at_plant_of_warehouse(done, warehouses).select(
        "plant_id",
        "material_id",
        day=kpi.day(pl.col("completed_at")),
        receipts_qty=pl.col("received_quantity").cast(QUANTITY),
    )


def _output(work_orders: pl.LazyFrame, materials: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    return with_material_of_product(completed_orders(work_orders, window), materials).select(
        "day", "material_id", plant_id="factory_id", production_in_qty=pl.col("good_quantity").cast(QUANTITY)
    )


def _customer_returns(
    returns: pl.LazyFrame, return_lines: pl.LazyFrame, warehouses: pl.LazyFrame, window: Window
) -> pl.LazyFrame:
    created = returns.filter(pl.col("created_at") < window.span.end).select(
        "return_order_id", day=kpi.day(pl.col("created_at")), warehouse_id="return_to_warehouse_id"
    )
    return at_plant_of_warehouse(return_lines.join(created, on="return_order_id"), warehouses).select(
        *_KEYS, customer_return_qty=pl.col("quantity_received").cast(QUANTITY)
    )


def _adjustments(movements: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    withdrawn = (pl.col(name).fill_null(value=False) for name in ("cancelled", "reversal_indicator"))
    return movements.filter(
        pl.col("transaction_type") == "adjustment",
        pl.col("posting_date") < pl.lit(window.span.end),
        ~pl.any_horizontal(withdrawn),
    ).select("plant_id", "material_id", day="posting_date", adjustment_qty=pl.col("quantity").cast(QUANTITY))


def _stock(snapshots: pl.LazyFrame) -> list[pl.LazyFrame]:
    """Stock of a kept snapshot: closing on its day, opening on the next."""
    day, quantity = pl.col("inventory_date"), pl.col("qty_on_hand").cast(QUANTITY)
    return [
        snapshots.select("plant_id", "material_id", day=day, closing_qty=quantity),
        snapshots.select("plant_id", "material_id", day=day + timedelta(days=1), opening_qty=quantity),
    ]


def _usage(consumed: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Mean consumption a day over the 30 days up to each day of the window."""
    # Added up first: every row that is left becomes 30.
    daily = consumed.group_by(_KEYS).agg(kpi.total(pl.col("quantity")))
    return (
        over_days(daily, _USAGE_DAYS)
        .filter(pl.col("day").is_between(window.first, window.last_day))
        .group_by("plant_id", "material_id", flow_date="day")
        .agg(avg_daily_usage_30d=kpi.total(pl.col("quantity")).cast(pl.Float64) / _USAGE_DAYS)
    )
