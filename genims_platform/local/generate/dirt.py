"""What real systems get wrong, at stated rates: orphaned keys, missing values, absurd percentages, future dates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from genims_platform.local.generate.plan import Plan
from genims_platform.sources.catalogue import source_table

ORPHAN_SHARE = 0.002
MISSING_SHARE = 0.003
ABSURD_SHARE = 0.001
FUTURE_SHARE = 0.001

_ABSURD_PERCENT = 100.6
_FURTHEST_FUTURE_DAYS = 300


@dataclass(frozen=True)
class Spot:
    """A column to spoil, the share of its rows and how."""

    column: str
    share: float
    spoil: Callable[[pl.Series, pl.Series, Plan, np.random.Generator], pl.Series]


def _orphaned(values: pl.Series, hit: pl.Series, plan: Plan, rng: np.random.Generator) -> pl.Series:
    del plan, rng
    # Numbered, not drawn: a lost key must not collide with another one in a unique key.
    numbers = pl.int_range(900_000, 900_000 + len(values), eager=True).cast(pl.String)
    lost = pl.select(pl.lit(values).str.replace(r"\d+$", "") + pl.lit(numbers)).to_series()
    return lost.zip_with(hit & values.is_not_null(), values)


def _missing(values: pl.Series, hit: pl.Series, plan: Plan, rng: np.random.Generator) -> pl.Series:
    del plan, rng
    return values.set(hit, None)


def _absurd(values: pl.Series, hit: pl.Series, plan: Plan, rng: np.random.Generator) -> pl.Series:
    del plan, rng
    return values.cast(pl.Float64).set(hit, _ABSURD_PERCENT).round(2).cast(values.dtype)


def _future(values: pl.Series, hit: pl.Series, plan: Plan, rng: np.random.Generator) -> pl.Series:
    days = pl.Series(rng.integers(1, _FURTHEST_FUTURE_DAYS, len(values)))
    later = pl.select(pl.lit(plan.end).cast(values.dtype) + pl.duration(days=pl.lit(days))).to_series()
    return later.cast(values.dtype).zip_with(hit & values.is_not_null(), values)


def orphaned(column: str) -> Spot:
    """Some keys name a row that never existed."""
    return Spot(column, ORPHAN_SHARE, _orphaned)


def missing(column: str) -> Spot:
    """Some values were never entered."""
    return Spot(column, MISSING_SHARE, _missing)


def absurd(column: str) -> Spot:
    """Some percentages read 100.6."""
    return Spot(column, ABSURD_SHARE, _absurd)


def future(column: str) -> Spot:
    """Some facts are dated after the end of the span."""
    return Spot(column, FUTURE_SHARE, _future)


SPOTS: Mapping[str, tuple[Spot, ...]] = {
    "operational.scada_machine_data": (missing("power_consumption_kw"), absurd("oee_percentage")),
    "operational.production_runs": (absurd("quality_percentage"), missing("oee_percentage")),
    "operational.machine_faults": (future("fault_start_time"),),
    "operational.maintenance_events": (missing("actual_end"),),
    "mes.labor_transactions": (orphaned("work_order_id"), missing("labor_cost")),
    "mes.material_transactions": (orphaned("material_code"), future("transaction_date")),
    "mes.defects": (orphaned("work_order_id"), future("detected_date"), missing("defect_severity")),
    "mes.quality_inspections": (orphaned("work_order_id"), future("inspection_date")),
    "erp.purchase_orders": (orphaned("supplier_id"), future("po_date")),
    "erp.inventory_transactions": (orphaned("material_id"), future("posting_date")),
    "tms.shipments": (orphaned("customer_id"), missing("estimated_delivery_date")),
    "tms.tracking_events": (missing("location_city"),),
    "cmms.work_orders": (orphaned("asset_id"), missing("failure_code"), missing("downtime_minutes")),
    "cmms.mro_parts_transactions": (orphaned("mro_part_id"), future("transaction_date")),
    "service.service_tickets": (orphaned("account_id"), missing("csat_rating")),
    "hcm.attendance_records": (missing("late_minutes"), orphaned("employee_id")),
    "hcm.training_enrollments": (future("attendance_date"),),
    "supplier.supplier_invoices": (orphaned("supplier_id"), missing("matching_status")),
    "qms.ncr_headers": (future("detected_date"), missing("product_id")),
    "qms.spc_data_points": (future("measurement_timestamp"),),
}
"""Table → its spoiled columns; identities between columns of one row are never broken."""


def spoil(reference: str, frame: pl.DataFrame, plan: Plan, offset: int = 0) -> pl.DataFrame:
    """The frame with its stated share of faults; columns of tables not listed, and not-null rules, stay as they are."""
    required = {column.name for column in source_table(reference).columns if column.not_null}
    for spot in SPOTS.get(reference, ()):
        if spot.spoil is _missing and spot.column in required:
            raise ValueError(f"dirt for {reference}.{spot.column}: the column may not be NULL")
        rng = plan.rng(f"dirt.{reference}.{spot.column}.{offset}")
        hit = pl.Series(rng.random(len(frame)) < spot.share)
        frame = frame.with_columns(spot.spoil(frame[spot.column], hit, plan, rng).alias(spot.column))
    return frame
