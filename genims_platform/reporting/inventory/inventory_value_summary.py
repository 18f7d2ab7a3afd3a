"""inventory_value_summary: where money is tied up in stock, what to reorder, what to run down."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.abc_classes import YEAR_DAYS, with_abc_class, yearly_consumption
from genims_platform.reporting.checks import Checks, Expectation, Reconciliation, sql
from genims_platform.reporting.consumption import (
    EXACT,
    at_factory_of_order,
    at_plant_of_warehouse,
    booked_materials,
    consumption,
    in_days_to,
    shipped_materials,
)
from genims_platform.reporting.material_ids import master
from genims_platform.reporting.periods import DAY, Window
from genims_platform.reporting.shipments import of_shipments
from genims_platform.reporting.stock_status import stock_status
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between, KeyIn

_SUPPLY_DAYS = 30
_TURNOVER_DAYS = 90
_YEAR = DAY * YEAR_DAYS
_TURNOVER = DAY * _TURNOVER_DAYS

_KEYS = ("plant_id", "storage_location", "material_id")

_CHECKS = Checks(
    rows=sql(
        "erp",
        "SELECT DISTINCT %(first_day)s AS inventory_date, plant_id, storage_location, material_id"
        " FROM inventory_balances",
    ),
    reconcile=(
        Reconciliation(
            "stock_value_vs_erp",
            sql(
                "erp",
                """
                SELECT %(first_day)s AS inventory_date, SUM(stock_value) AS stock_value_inr,
                  SUM(unrestricted_stock) AS qty_on_hand
                FROM inventory_balances
                """,
            ),
        ),
    ),
    warnings=(
        Expectation(
            "quantities are not negative",
            pl.min_horizontal("qty_on_hand", "qty_quality", "qty_blocked", "qty_in_transit") >= 0,
        ),
        Expectation("stock is valued at standard cost", pl.col("valuation_diff_inr") == 0),
    ),
    orphans={"material_id": "material_name"},
)


@reporting_table(group="inventory", period="snapshot", recompute=0, horizon=0, checks=_CHECKS)
def inventory_value_summary(
    *,
    window: Window,
    balances: Annotated[pl.LazyFrame, Read("erp.inventory_balances")],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
    shipments: Annotated[pl.LazyFrame, Read("tms.shipments", Between("ship_date", before=_YEAR))],
    shipment_lines: Annotated[
        pl.LazyFrame, Read("tms.shipment_lines", of_shipments(Between("ship_date", before=_YEAR)))
    ],
    warehouses: Annotated[pl.LazyFrame, Read("wms.warehouses")],
    transactions: Annotated[pl.LazyFrame, Read("mes.material_transactions", Between("transaction_date", before=_YEAR))],
    orders: Annotated[
        pl.LazyFrame,
        Read(
            "mes.work_orders",
            KeyIn(
                "work_order_id",
                "material_transactions",
                "work_order_id",
                Between("transaction_date", before=_TURNOVER),
            ),
        ),
    ],
) -> pl.LazyFrame:
    """Present stock and its value, one row a day, plant, storage location and material; batches are summed.

    Quantities in base units, values in INR: as the ledger holds them, at standard cost and at moving average cost. The
    ABC class is that of the running month. Consumption is that of the whole plant, over 30 days for the days of supply
    of this stock (days of inventory on hand), and over 90 at standard cost, stretched to a year, for its turnover. A
    past day cannot be computed: the balances know only the present.
    """
    materials = materials.cache()
    shipped = shipped_materials(shipments, shipment_lines, window)
    booked = booked_materials(transactions, materials, window)
    # Filtered inside the sums: a filter before them would make Polars read shipments and bookings twice.
    used = (
        consumption(at_plant_of_warehouse(shipped, warehouses), at_factory_of_order(booked, orders))
        .group_by("plant_id", "material_id")
        .agg(
            kpi.total(pl.col("quantity").filter(in_days_to(window.last_day, days))).alias(name)
            for name, days in (("consumption_30d_qty", _SUPPLY_DAYS), ("consumption_90d", _TURNOVER_DAYS))
        )
    )
    classes = with_abc_class(yearly_consumption(shipped, booked, materials, window.last_day))
    attributes = master(materials).select(
        "material_id",
        "material_name",
        "material_type",
        "safety_stock",
        "reorder_point",
        "maximum_stock",
        pl.col("standard_cost", "moving_average_cost").cast(EXACT),
        master_class=kpi.present(pl.col("abc_classification")),
    )
    quantity, value = pl.col("qty_on_hand").cast(EXACT), pl.col("stock_value_inr")
    daily_use = kpi.ratio(pl.col("consumption_30d_qty"), pl.lit(_SUPPLY_DAYS))
    yearly_use = pl.col("consumption_90d").cast(EXACT) * pl.col("standard_cost") * YEAR_DAYS
    return (
        balances.group_by(kpi.key(pl.col(name)).alias(name) for name in _KEYS)
        .agg(
            qty_on_hand=kpi.total(pl.col("unrestricted_stock")),
            qty_quality=kpi.total(pl.col("quality_inspection_stock")),
            qty_blocked=kpi.total(pl.col("blocked_stock")),
            qty_in_transit=kpi.total(pl.col("in_transit_stock")),
            stock_value_inr=kpi.total(pl.col("stock_value")),
            source_row_count=pl.len(),
        )
        .join(attributes, on="material_id", how="left")
        .join(classes.select("material_id", "abc_class"), on="material_id", how="left")
        .join(used, on=["plant_id", "material_id"], how="left")
        .with_columns(
            inventory_date=pl.lit(window.first),
            abc_class=pl.coalesce("abc_class", "master_class"),
            standard_value_inr=quantity * pl.col("standard_cost"),
            moving_avg_value_inr=quantity * pl.col("moving_average_cost"),
            stock_status=stock_status(quantity),
            days_of_supply=pl.when(daily_use > 0).then(kpi.ratio(quantity, daily_use)),
            turnover_annual=kpi.ratio(yearly_use, value) / _TURNOVER_DAYS,
        )
        .with_columns(valuation_diff_inr=value.cast(EXACT) - pl.col("standard_value_inr"))
        .drop("standard_cost", "moving_average_cost", "master_class", "consumption_90d")
    )
