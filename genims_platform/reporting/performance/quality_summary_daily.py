"""quality_summary_daily: which product at which plant to contain."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Identity, Reconciliation, all_of, sql
from genims_platform.reporting.periods import Window
from genims_platform.reporting.production_orders import UNITS_ADD_UP, completed_orders
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between, KeyIn

_KEY = ("quality_date", "factory_id", "product_id")

_MES_KEYS = sql(
    "mes",
    """
    SELECT actual_end_time::date AS quality_date, factory_id, product_id
    FROM work_orders
    WHERE status IN ('completed', 'closed') AND actual_end_time >= %(start)s AND actual_end_time < %(end)s
    UNION
    SELECT d.detected_date::date, o.factory_id, o.product_id
    FROM defects d LEFT JOIN work_orders o ON o.work_order_id = d.work_order_id
    WHERE d.detected_date >= %(start)s AND d.detected_date < %(end)s
    UNION
    SELECT i.inspection_date::date, o.factory_id, o.product_id
    FROM quality_inspections i LEFT JOIN work_orders o ON o.work_order_id = i.work_order_id
    WHERE i.inspection_date >= %(start)s AND i.inspection_date < %(end)s
    """,
)
_QMS_KEYS = sql(
    "qms",
    """
    SELECT detected_date AS quality_date, detection_location AS factory_id, product_id
    FROM ncr_headers WHERE detected_date >= %(start)s AND detected_date < %(end)s
    UNION
    SELECT complaint_date, NULL, product_id
    FROM customer_complaints WHERE complaint_date >= %(start)s AND complaint_date < %(end)s
    UNION
    SELECT p.measurement_timestamp::date, NULL, plans.product_id
    FROM spc_data_points p
    LEFT JOIN spc_control_charts c ON c.chart_id = p.chart_id
    LEFT JOIN (
      SELECT DISTINCT ON (process_name) process_name, product_id FROM control_plans
      ORDER BY process_name, control_plan_id COLLATE "C"
    ) plans ON plans.process_name = c.process_name
    WHERE p.measurement_timestamp >= %(start)s AND p.measurement_timestamp < %(end)s
    """,
)
_DEFECTS = sql(
    "mes",
    """
    SELECT detected_date::date AS quality_date, SUM(quantity_affected) AS defect_quantity
    FROM defects WHERE detected_date >= %(start)s AND detected_date < %(end)s GROUP BY 1
    """,
)
_INSPECTIONS = sql(
    "mes",
    """
    SELECT inspection_date::date AS quality_date, COUNT(*) AS inspection_count
    FROM quality_inspections WHERE inspection_date >= %(start)s AND inspection_date < %(end)s GROUP BY 1
    """,
)
_NONCONFORMANCES = sql(
    "qms",
    """
    SELECT detected_date AS quality_date, COUNT(*) AS ncr_count, SUM(total_cost) AS ncr_cost_inr
    FROM ncr_headers WHERE detected_date >= %(start)s AND detected_date < %(end)s GROUP BY 1
    """,
)
_CHECKS = Checks(
    rows=all_of(_MES_KEYS, _QMS_KEYS),
    reconcile=(
        Reconciliation("defects_vs_mes", _DEFECTS),
        Reconciliation("inspections_vs_mes", _INSPECTIONS),
        Reconciliation("ncr_vs_qms", _NONCONFORMANCES),
    ),
    identities=(
        UNITS_ADD_UP,
        Identity(
            "defect_quantity = critical + major + minor",
            pl.col("defect_quantity") - pl.sum_horizontal("defects_critical", "defects_major", "defects_minor"),
        ),
    ),
    orphans={"product_id": "product_name"},
)


@reporting_table(group="performance", recompute=1, horizon=35, checks=_CHECKS)
def quality_summary_daily(
    *,
    window: Window,
    work_orders: Annotated[pl.LazyFrame, Read("mes.work_orders", Between("actual_end_time"))],
    defects: Annotated[pl.LazyFrame, Read("mes.defects", Between("detected_date"))],
    defect_orders: Annotated[
        pl.LazyFrame,
        Read("mes.work_orders", KeyIn("work_order_id", "defects", "work_order_id", Between("detected_date"))),
    ],
    inspections: Annotated[pl.LazyFrame, Read("mes.quality_inspections", Between("inspection_date"))],
    inspected_orders: Annotated[
        pl.LazyFrame,
        Read(
            "mes.work_orders",
            KeyIn("work_order_id", "quality_inspections", "work_order_id", Between("inspection_date")),
        ),
    ],
    nonconformances: Annotated[pl.LazyFrame, Read("qms.ncr_headers", Between("detected_date"))],
    complaints: Annotated[pl.LazyFrame, Read("qms.customer_complaints", Between("complaint_date"))],
    spc_points: Annotated[pl.LazyFrame, Read("qms.spc_data_points", Between("measurement_timestamp"))],
    spc_charts: Annotated[pl.LazyFrame, Read("qms.spc_control_charts")],
    control_plans: Annotated[pl.LazyFrame, Read("qms.control_plans")],
    products: Annotated[pl.LazyFrame, Read("master.products")],
) -> pl.LazyFrame:
    """First pass yield, defects and their ppm against target; one row a day, factory and product with any such fact.

    Units count on the day their order was completed, every other fact on its own date, so `defect_ppm` (defective
    pieces / pieces produced x 1,000,000) may exceed a million. First pass yield in percent after ISO 22400-2.
    Nonconformance cost in INR is internal failure cost of the PAF model. Complaints and SPC points name no factory.
    """
    keys = (kpi.key(pl.col("factory_id")).alias("factory_id"), kpi.key(pl.col("product_id")).alias("product_id"))
    severity, quantity = pl.col("defect_severity"), pl.col("quantity_affected")
    facts = [
        completed_orders(work_orders, window).select(
            *keys,
            quality_date="day",
            produced="produced_quantity",
            good="good_quantity",
            rejected="rejected_quantity",
            scrapped="scrapped_quantity",
            rework="rework_quantity",
        ),
        _at_order(defects, defect_orders).select(
            *keys,
            quality_date=kpi.day(pl.col("detected_date")),
            defective=quantity,
            critical=pl.when(severity == "critical").then(quantity),
            major=pl.when(severity == "major").then(quantity),
        ),
        _at_order(inspections, inspected_orders).select(
            *keys,
            quality_date=kpi.day(pl.col("inspection_date")),
            inspections=1,
            passed=pl.col("inspection_result") == "pass",
        ),
        nonconformances.with_columns(factory_id="detection_location").select(
            *keys, quality_date="detected_date", nonconformances=1, nonconformance_cost="total_cost"
        ),
        complaints.with_columns(factory_id=pl.lit(None, pl.String)).select(
            *keys, quality_date="complaint_date", complaints=1
        ),
        spc_points.join(_chart_products(spc_charts, control_plans), on="chart_id", how="left")
        .with_columns(factory_id=pl.lit(None, pl.String))
        .select(
            *keys,
            quality_date=kpi.day(pl.col("measurement_timestamp")),
            spc_points=1,
            spc_out_of_control=pl.col("out_of_control"),
        ),
    ]
    return (
        pl.concat(facts, how="diagonal_relaxed")
        .group_by(_KEY)
        .agg(
            units_produced=pl.col("produced").sum(),
            units_good=pl.col("good").sum(),
            units_rejected=pl.col("rejected").sum(),
            units_scrapped=pl.col("scrapped").sum(),
            units_rework=pl.col("rework").sum(),
            defect_quantity=pl.col("defective").sum(),
            defects_critical=pl.col("critical").sum(),
            defects_major=pl.col("major").sum(),
            inspection_count=pl.col("inspections").sum(),
            inspections_passed=pl.col("passed").sum(),
            ncr_count=pl.col("nonconformances").sum(),
            ncr_cost_inr=kpi.total(pl.col("nonconformance_cost")),
            complaint_count=pl.col("complaints").sum(),
            spc_points=pl.col("spc_points").sum(),
            spc_out_of_control=pl.col("spc_out_of_control").sum(),
            source_row_count=pl.len(),
        )
        .join(
            products.select("product_id", "product_name", target_ppm="target_quality_ppm"), on="product_id", how="left"
        )
        .with_columns(
            defects_minor=pl.col("defect_quantity") - pl.col("defects_critical") - pl.col("defects_major"),
            first_pass_yield_pct=kpi.percent(pl.col("units_good"), pl.col("units_produced")),
            defect_ppm=1_000_000 * kpi.ratio(pl.col("defect_quantity"), pl.col("units_produced")),
            inspection_pass_pct=kpi.percent(pl.col("inspections_passed"), pl.col("inspection_count")),
        )
        .drop("inspections_passed")
    )


def _at_order(facts: pl.LazyFrame, orders: pl.LazyFrame) -> pl.LazyFrame:
    """Facts with factory and product of their order, whatever product they name themselves."""
    location = orders.select("work_order_id", "factory_id", "product_id")
    return facts.drop("product_id").join(location, on="work_order_id", how="left")


def _chart_products(spc_charts: pl.LazyFrame, control_plans: pl.LazyFrame) -> pl.LazyFrame:
    """`product_id` by `chart_id`, through the name of the process; the plan with the smallest id decides."""
    plans = control_plans.group_by("process_name").agg(
        product_id=pl.col("product_id").sort_by("control_plan_id").first()
    )
    return spc_charts.join(plans, on="process_name").select("chart_id", "product_id")
