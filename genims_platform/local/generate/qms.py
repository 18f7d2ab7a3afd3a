"""genims_qms_db: nonconformities, complaints, statistical process control, audits, supplier quality."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from genims_platform.local.generate.plan import Plan, identifiers, numbered
from genims_platform.local.generate.world import World

_DEPARTMENTS = ["Maintenance", "Planning", "Production", "Quality"]
_MATERIAL_AS_PRODUCT_SHARE = 0.15
"""Nonconformities whose product column holds a material id."""


def tables(world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
    """The tables that reports read; documents and gauges are filled from the catalogue."""
    yield "qms.ncr_headers", _ncr(world, plan)
    yield "qms.customer_complaints", _complaints(world, plan)
    yield "qms.quality_audits", _audits(world, plan)
    charts = _charts(world, plan)
    yield "qms.spc_control_charts", charts
    yield "qms.control_plans", _control_plans(world, charts)
    yield "qms.spc_data_points", _points(plan, charts)
    yield "qms.supplier_quality_metrics", _supplier_metrics(world, plan)


def _ncr(world: World, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("qms.ncr_headers")
    count = plan.rows("qms.ncr_headers")
    product = world.products[rng.integers(0, len(world.products), count)]
    material = world.materials[rng.integers(len(world.products), len(world.materials), count)]
    incoming = pl.Series(rng.random(count) < 0.3)
    scrap, rework, sorting = (rng.gamma(1.5, mean, count).round(2) for mean in (1_300, 2_400, 900))
    detected = pl.Series(plan.working_days(rng, count))
    closed_after = pl.Series(detected + pl.Series(rng.integers(3, 60, count) * 86_400_000).cast(pl.Duration("ms")))
    closed = closed_after <= plan.end.date()
    wrong = pl.Series(rng.random(count) < _MATERIAL_AS_PRODUCT_SHARE)
    return product.select(
        identifiers("qms.ncr_headers", count),
        ncr_number=numbered("NCR-N", pl.int_range(1, count + 1, eager=True)),
        source_type=pl.when(incoming).then(pl.lit("incoming_inspection")).otherwise(pl.lit("in_process")),
        detected_date=detected,
        detection_location="factory_id",
        material_id=material["material_id"],
        product_id=pl.when(wrong).then(material["material_id"]).otherwise("product_id"),
        supplier_id=pl.when(incoming).then(world.suppliers["supplier_id"].gather(rng.integers(0, 120, count))),
        quantity_inspected=pl.Series(rng.integers(100, 1_000, count)),
        quantity_defective=pl.Series(rng.integers(2, 99, count)),
        scrap_cost=pl.Series(scrap),
        rework_cost=pl.Series(rework),
        sorting_cost=pl.Series(sorting),
        total_cost=pl.Series((scrap + rework + sorting).round(2)),
        ncr_status=pl.when(closed).then(pl.lit("closed")).otherwise(pl.lit("open")),
        closed_date=pl.when(closed).then(closed_after),
    )


def _complaints(world: World, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("qms.customer_complaints")
    count = plan.rows("qms.customer_complaints")
    day = pl.Series(plan.working_days(rng, count))
    aged = day < (np.datetime64(plan.end.date(), "D") - np.timedelta64(40, "D")).astype(object)
    return pl.DataFrame(
        {
            "complaint_id": identifiers("qms.customer_complaints", count),
            "complaint_number": numbered("COMP", pl.int_range(1, count + 1, eager=True)),
            "customer_id": world.customers["customer_id"].gather(rng.integers(0, 10, count)),
            "product_id": world.products["product_id"].gather(rng.integers(0, len(world.products), count)),
            "complaint_date": day,
            "complaint_status": pl.Series(["in_review", "closed"]).gather(aged.cast(pl.Int64)),
        }
    )


def _audits(world: World, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("qms.quality_audits")
    count = plan.rows("qms.quality_audits")
    start = plan.working_days(rng, count)
    end = start + rng.integers(0, 3, count).astype("timedelta64[D]")
    major, minor, seen = rng.poisson(0.5, count), rng.poisson(1.6, count), rng.poisson(1.0, count)
    score = (97 - 7.5 * major - 2.2 * minor - rng.uniform(0, 4, count)).clip(55, 99)
    done = pl.Series(end) <= plan.end.date()
    department = pl.Series(_DEPARTMENTS).gather(rng.integers(0, 4, count))
    return pl.DataFrame(
        {
            "audit_id": identifiers("qms.quality_audits", count),
            "audit_number": numbered("QA", pl.int_range(1, count + 1, eager=True)),
            "audit_scope": "Audit of " + department + " department",
            "auditee_department": department,
            "planned_date": start - rng.integers(0, 6, count).astype("timedelta64[D]"),
            "actual_start_date": start,
            "actual_end_date": pl.Series(end).set(~done, None),
            "audit_location": world.factories["factory_id"].gather(rng.integers(0, 4, count)),
            "audit_score": score,
            "audit_rating": np.select([score > 90, score > 75], ["excellent", "satisfactory"], "needs_improvement"),
            "total_findings": major + minor,
            "major_findings": major,
            "minor_findings": minor,
            "observations": seen,
            "audit_status": pl.Series(["in_progress", "completed"]).gather(done.cast(pl.Int64)),
        }
    )


def _charts(world: World, plan: Plan) -> pl.DataFrame:
    """One chart a product's process."""
    rng = plan.rng("qms.spc_control_charts")
    count = len(world.products)
    centre = rng.uniform(71, 79, count).round(6)
    width = rng.uniform(15, 25, count).round(6)
    return world.products.select(
        identifiers("qms.spc_control_charts", count),
        chart_number=numbered("SPC", pl.int_range(1, count + 1, eager=True)),
        process_name="Process of " + pl.col("product_name"),
        characteristic_name=pl.lit("Diameter"),
        center_line=pl.Series(centre),
        upper_control_limit=pl.Series(centre + width),
        lower_control_limit=pl.Series(centre - width),
    )


def _control_plans(world: World, charts: pl.DataFrame) -> pl.DataFrame:
    return world.products.select(
        identifiers("qms.control_plans", len(charts)),
        "product_id",
        charts["process_name"],
        control_plan_number=numbered("CPL", pl.int_range(1, len(charts) + 1, eager=True)),
        control_plan_title="Control plan " + pl.col("product_name"),
    )


def _points(plan: Plan, charts: pl.DataFrame) -> pl.DataFrame:
    """Measurements about the centre line; those beyond a limit (about 1 %) are out of control."""
    rng = plan.rng("qms.spc_data_points")
    count = plan.rows("qms.spc_data_points")
    chart = charts[rng.integers(0, len(charts), count)]
    spread = (chart["upper_control_limit"] - chart["center_line"]).to_numpy() / 2.6
    value = (chart["center_line"].to_numpy() + rng.normal(0, 1, count) * spread).round(6)
    outside = (value > chart["upper_control_limit"].to_numpy()) | (value < chart["lower_control_limit"].to_numpy())
    return chart.select(
        identifiers("qms.spc_data_points", count),
        "chart_id",
        measurement_timestamp=pl.Series(plan.instants(rng, count)),
        measurement_value=pl.Series(value),
        out_of_control=pl.Series(outside),
    )


def _supplier_metrics(world: World, plan: Plan) -> pl.DataFrame:
    """One row a month for a third of the suppliers."""
    rng = plan.rng("qms.supplier_quality_metrics")
    months = [month.strftime("%Y-%m") for month in plan.months_of_span()]
    rated = world.suppliers.select("supplier_id", "reliability").gather_every(3)
    frame = rated.join(pl.DataFrame({"metric_period": months}), how="cross", maintain_order="left_right")
    count = len(frame)
    quality = frame["reliability"].to_numpy()
    inspected = rng.integers(20, 100, count)
    rejected = rng.binomial(inspected, (1.02 - quality).clip(0.005) * 0.4)
    rejection, rework, sorting = (rng.gamma(1.2, mean, count).round(2) for mean in (9_000, 5_000, 2_000))
    return frame.select(
        identifiers("qms.supplier_quality_metrics", count),
        "supplier_id",
        "metric_period",
        total_receipts=pl.Series(inspected),
        receipts_inspected=pl.Series(inspected),
        receipts_accepted=pl.Series(inspected - rejected),
        receipts_rejected=pl.Series(rejected),
        defect_ppm=pl.Series((1.02 - quality).clip(0.005) * rng.gamma(2, 6_000, count)).round().clip(20, 9_000),
        acceptance_rate_pct=pl.Series(100 * (inspected - rejected) / inspected),
        rejection_cost=pl.Series(rejection),
        rework_cost=pl.Series(rework),
        sorting_cost=pl.Series(sorting),
        total_copq=pl.Series((rejection + rework + sorting).round(2)),
    )
