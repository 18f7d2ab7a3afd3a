"""cost_analysis_daily: what a product really costs against standard, and which component drives it."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expectation, Identity, Reconciliation, all_of, sql
from genims_platform.reporting.financial.production_costs import KEY, production_costs
from genims_platform.reporting.maintenance_costs import MAINTENANCE_BY_SQL, ended_maintenance
from genims_platform.reporting.periods import DAY, Window
from genims_platform.reporting.production_orders import (
    COMPLETION_DAYS_OF_BOOKINGS,
    completed_orders,
    order_costs,
    standard_unit_costs,
)
from genims_platform.reporting.recognition import (
    candidate_orders,
    candidate_proofs,
    candidate_shipments,
    linked_revenue_dates,
    of_candidate_orders,
    recognised_orders,
    recognised_sales,
    sold_by_sql,
)
from genims_platform.reporting.rolling import over_days
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between, KeyIn

_COMPARED_DAYS = 7
_BEFORE = timedelta(days=_COMPARED_DAYS)
_STABLE = 0.02
_COMPLETED = Between("actual_end_time", before=_BEFORE)
_OF_COMPLETED = KeyIn("work_order_id", "work_orders", "work_order_id", _COMPLETED)

_PRODUCED = sql(
    "mes",
    """
    SELECT actual_end_time::date AS cost_date, factory_id, product_id
    FROM work_orders
    WHERE status IN ('completed', 'closed') AND actual_end_time >= %(start)s AND actual_end_time < %(end)s
    """,
)
_SOLD = sold_by_sql("SELECT day AS cost_date, factory_id, product_id FROM sold")
_COST_OF_SALES = sold_by_sql(
    """
    SELECT day AS cost_date, sum(quantity) AS units_sold, sum(standard_cost) AS cost_of_sales_std_inr
    FROM sold GROUP BY 1
    """
)
_ORDER_COSTS = sql(
    "mes",
    """
    WITH completed AS (
      SELECT work_order_id, actual_end_time::date AS day FROM work_orders
      WHERE status IN ('completed', 'closed') AND actual_end_time >= %(start)s AND actual_end_time < %(end)s
    ), booked AS (
      SELECT work_order_id, 0 AS labor, CASE WHEN transaction_type = 'issue' THEN total_cost END AS issued,
        CASE WHEN transaction_type = 'return' THEN total_cost END AS returned
      FROM material_transactions
      WHERE transaction_date < %(as_of)s AND work_order_id IN (SELECT work_order_id FROM completed)
      UNION ALL
      SELECT work_order_id, labor_cost, 0, 0 FROM labor_transactions
      WHERE clock_in_time < %(as_of)s AND work_order_id IN (SELECT work_order_id FROM completed)
    )
    SELECT day AS cost_date, coalesce(sum(labor), 0) AS labor_cost_inr, coalesce(sum(issued), 0) AS material_issued_inr,
      coalesce(sum(returned), 0) AS material_returned_inr
    FROM completed JOIN booked USING (work_order_id)
    GROUP BY 1
    """,
)
_PRODUCING_FACTORIES = sql(
    "mes",
    """
    SELECT DISTINCT actual_end_time::date AS day, coalesce(nullif(btrim(factory_id), ''), 'UNKNOWN') AS factory_id
    FROM work_orders
    WHERE status IN ('completed', 'closed') AND actual_end_time >= %(start)s AND actual_end_time < %(end)s
    """,
)


def _overhead(sources: Sources, window: Window) -> pl.DataFrame:
    """Maintenance cost a day of the factories that completed an order on it."""
    cost, factories = MAINTENANCE_BY_SQL(sources, window), _PRODUCING_FACTORIES(sources, window)
    if cost.is_empty() or factories.is_empty():
        return pl.DataFrame()
    return (
        cost.join(factories, on=["day", "factory_id"], how="semi")
        .group_by(cost_date="day")
        .agg(overhead_cost_inr=pl.col("maintenance_cost").sum())
    )


_CHECKS = Checks(
    rows=all_of(_PRODUCED, _SOLD),
    reconcile=(
        Reconciliation("labor_of_completed_orders and material_of_completed_orders", _ORDER_COSTS),
        Reconciliation("overhead_absorbed", _overhead),
        Reconciliation("sales_vs_erp", _COST_OF_SALES),
    ),
    identities=(
        Identity(
            "material net = issued - returned",
            pl.col("material_net_inr")
            - (pl.col("material_issued_inr").fill_null(0) - pl.col("material_returned_inr").fill_null(0)),
            tolerance=0.02,
        ),
        Identity(
            "actual cost = material net + labour + overhead",
            pl.col("actual_cost_inr") - pl.sum_horizontal("material_net_inr", "labor_cost_inr", "overhead_cost_inr"),
            tolerance=0.02,
        ),
        Identity(
            "variance = actual - standard",
            pl.col("variance_inr") - (pl.col("actual_cost_inr") - pl.col("standard_cost_inr")),
            tolerance=0.02,
        ),
    ),
    warnings=(
        Expectation(
            "returned <= issued", pl.col("material_returned_inr") <= pl.col("material_issued_inr").fill_null(0)
        ),
    ),
    orphans={"product_id": "product_name"},
)


def _linked_days(sources: Sources, window: Window) -> pl.DataFrame:
    """Days of completion and revenue of the orders that the window's events touch; a cost moves a week of trends."""
    completed = COMPLETION_DAYS_OF_BOOKINGS(sources, window)
    days = [linked_revenue_dates(sources, window)]
    if completed.height:
        reached = completed.select(pl.col("day").cast(pl.Date)).lazy()
        days.append(over_days(reached, _COMPARED_DAYS + 1).collect())
    return pl.concat(days).unique().sort("day")


@reporting_table(
    group="financial", recompute=1, horizon=120, rolling_days=_COMPARED_DAYS + 1, touched=_linked_days, checks=_CHECKS
)
def cost_analysis_daily(
    *,
    window: Window,
    work_orders: Annotated[pl.LazyFrame, Read("mes.work_orders", _COMPLETED)],
    order_materials: Annotated[pl.LazyFrame, Read("mes.material_transactions", _OF_COMPLETED)],
    order_labor: Annotated[pl.LazyFrame, Read("mes.labor_transactions", _OF_COMPLETED)],
    maintenance_orders: Annotated[pl.LazyFrame, Read("cmms.work_orders", Between("actual_end_date", before=_BEFORE))],
    assets: Annotated[pl.LazyFrame, Read("cmms.maintenance_assets")],
    orders: Annotated[pl.LazyFrame, Read("erp.sales_orders", candidate_orders())],
    lines: Annotated[pl.LazyFrame, Read("erp.sales_order_lines", of_candidate_orders())],
    production_orders: Annotated[pl.LazyFrame, Read("erp.production_orders", of_candidate_orders())],
    shipments: Annotated[pl.LazyFrame, Read("tms.shipments", candidate_shipments())],
    proofs: Annotated[pl.LazyFrame, Read("tms.proof_of_delivery", candidate_proofs())],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
    products: Annotated[pl.LazyFrame, Read("master.products")],
) -> pl.LazyFrame:
    """Actual against standard cost; one row a day, factory and product with a completed order or a recognised sale.

    Cost of goods manufactured, INR: all cost of the orders completed on the day, whenever booked: net material, labour
    and overhead (maintenance of the factory and day, absorbed by run time). Variance = actual - good pieces x standard
    unit cost (CIMA); positive is unfavourable. The trend compares the unit cost with that of the seven days before:
    over 2 % of it up or down, else stable. Units sold and their standard cost belong to the revenue date (IFRS 15) and
    the plant that makes them.
    """
    with_week_before = replace(window, first=window.first - _BEFORE)
    produced = production_costs(
        completed_orders(work_orders, with_week_before),
        costs=order_costs(order_materials, order_labor, window),
        standards=standard_unit_costs(materials),
        maintenance=ended_maintenance(maintenance_orders, assets, with_week_before),
    )
    sold = (
        recognised_sales(
            recognised_orders(orders, shipments, proofs, window),
            lines=lines,
            production_orders=production_orders,
            materials=materials,
        )
        .group_by(KEY)
        .agg(units_sold=pl.col("quantity").sum(), cost_of_sales_std_inr=pl.col("standard_cost").sum())
    )
    names = products.select("product_id", "product_name").unique("product_id", keep="first", maintain_order=True)
    counts = ("orders_completed", "units_good", "units_sold", "cost_of_sales_std_inr", "source_row_count")
    return (
        produced.filter(pl.col("day") >= window.first)
        .join(sold, on=KEY, how="full", coalesce=True)
        .join(_week_before(produced), on=KEY, how="left")
        .drop("standard_unit_cost_inr")
        .join(
            standard_unit_costs(materials).rename({"standard_unit_cost": "standard_unit_cost_inr"}),
            on="product_id",
            how="left",
        )
        .join(names, on="product_id", how="left")
        .with_columns(
            pl.col(counts).fill_null(0),
            variance_pct=kpi.percent(pl.col("variance_inr"), pl.col("standard_cost_inr")),
            cost_trend=_trend(pl.col("actual_unit_cost_inr"), pl.col("week_unit_cost")),
        )
        .rename({"day": "cost_date"})
        .drop("week_unit_cost")
    )


def _week_before(produced: pl.LazyFrame) -> pl.LazyFrame:
    """`week_unit_cost` of the seven days before each day: their cost / their good pieces, on days that have both."""
    with_output = produced.filter(pl.col("units_good") > 0, pl.col("actual_cost_inr").is_not_null())
    return (
        over_days(with_output.select(*KEY, "units_good", "actual_cost_inr"), _COMPARED_DAYS)
        .group_by(pl.col("day") + DAY, "factory_id", "product_id")
        .agg(week_unit_cost=kpi.ratio(pl.col("actual_cost_inr").sum(), pl.col("units_good").sum()))
    )


def _trend(unit_cost: pl.Expr, before: pl.Expr) -> pl.Expr:
    change = kpi.ratio(unit_cost - before, before.abs())
    return (
        pl.when(change > _STABLE)
        .then(pl.lit("up"))
        .when(change < -_STABLE)
        .then(pl.lit("down"))
        .when(change.is_not_null())
        .then(pl.lit("stable"))
    )
