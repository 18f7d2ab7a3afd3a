"""Which machines lose capacity, and through what: availability, speed or quality."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Identity, Reconciliation, all_of, sql
from genims_platform.reporting.performance.breakdowns import breakdowns
from genims_platform.reporting.performance.effectiveness import OEE_IS_THE_PRODUCT, machine_effectiveness
from genims_platform.reporting.performance.machine_states import HOLD, kwh, minutes
from genims_platform.reporting.periods import Window
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between

_STATE_COLUMNS = ("run_minutes", "setup_minutes", "idle_minutes", "maintenance_minutes", "down_minutes")

_BREAKDOWN_MACHINES = sql(
    "cmms",
    """
    SELECT DISTINCT w.actual_start_date::date AS performance_date,
           coalesce(nullif(btrim(a.machine_id), ''), w.asset_id) AS machine_id
    FROM work_orders w LEFT JOIN maintenance_assets a USING (asset_id)
    WHERE w.wo_type = 'breakdown' AND w.actual_start_date >= %(start)s AND w.actual_start_date < %(end)s
    """,
)

_OBSERVED_MACHINES = sql(
    "operational",
    """
    SELECT DISTINCT "timestamp"::date AS performance_date, machine_id
    FROM scada_machine_data
    WHERE data_quality <> 'bad' AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
    """,
)

_BREAKDOWN_COUNT = sql(
    "cmms",
    """
    SELECT actual_start_date::date AS performance_date, count(*) AS breakdown_count
    FROM work_orders
    WHERE wo_type = 'breakdown' AND actual_start_date >= %(start)s AND actual_start_date < %(end)s
    GROUP BY 1
    """,
)


def _units_by_shift_counters(sources: Sources, window: Window) -> pl.DataFrame:
    shifts = sources.query("master", "SELECT shift_id, factory_id FROM shifts", {})
    statement = """
        SELECT day AS performance_date, sum(produced) AS units_produced
        FROM (
            SELECT "timestamp"::date AS day, max(parts_produced_shift) AS produced
            FROM scada_machine_data
            WHERE data_quality <> 'bad' AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
              AND (shift_id, factory_id) IN (SELECT * FROM unnest(%(shifts)s::text[], %(factories)s::text[]))
            GROUP BY 1, machine_id, shift_id
        ) counters
        GROUP BY day
    """
    own_shifts = {"shifts": shifts["shift_id"].to_list(), "factories": shifts["factory_id"].to_list()}
    return sources.query("operational", statement, {"start": window.span.start, "end": window.span.end, **own_shifts})


@reporting_table(
    group="performance",
    recompute=1,
    horizon=3,
    rolling_days=2,  # a state that lasts past midnight counts on the next day as well
    checks=Checks(
        rows=all_of(_OBSERVED_MACHINES, _BREAKDOWN_MACHINES),
        identities=(
            OEE_IS_THE_PRODUCT,
            Identity(
                "observed_minutes = run + setup + idle + maintenance + down",
                pl.col("observed_minutes") - pl.sum_horizontal(_STATE_COLUMNS),
                tolerance=0.03,  # six columns, each rounded by up to 0.005
            ),
            Identity(
                "scrap_rate_pct = 100 - quality_pct",
                pl.col("scrap_rate_pct") + pl.col("quality_pct") - 100,
                tolerance=0.02,
            ),
        ),
        reconcile=(
            Reconciliation("machine_units_vs_scada", _units_by_shift_counters),
            Reconciliation("breakdowns_vs_cmms", _BREAKDOWN_COUNT),
        ),
        orphans={"machine_id": "machine_name"},
    ),
)
def machine_performance_daily(
    window: Window,
    *,
    readings: Annotated[pl.LazyFrame, Read("operational.scada_machine_data", Between("timestamp", before=HOLD))],
    shifts: Annotated[pl.LazyFrame, Read("master.shifts")],
    machines: Annotated[pl.LazyFrame, Read("master.machines")],
    maintenance_orders: Annotated[pl.LazyFrame, Read("cmms.work_orders", Between("actual_start_date"))],
    assets: Annotated[pl.LazyFrame, Read("cmms.maintenance_assets")],
) -> pl.LazyFrame:
    """One row a machine and day with a usable SCADA reading or a breakdown that starts on it.

    Times in minutes, from machine states held between readings and cut at midnight; unknown states count as down.
    Availability, performance, quality and OEE in percent after ISO 22400-2: actual production time (run) over planned
    busy time (observed - idle - maintenance); the controller's performance weighted by running time; pieces not
    rejected over pieces counted by the shift counters. Energy in kWh integrates the power drawn (not the meter).
    State measures are NULL on a day without a usable reading.
    """
    events = breakdowns(maintenance_orders, assets, window)
    produced, rejected = pl.col("units_produced"), pl.col("units_rejected")
    capacity = pl.col("design_capacity_units_per_hour") * minutes(pl.col("busy")) / 60
    return (
        machine_effectiveness(readings, shifts, window)
        .join(
            events.group_by("machine_id", "day").agg(breakdown_count=pl.len()),
            on=["machine_id", "day"],
            how="full",
            coalesce=True,
        )
        .join(machines, on="machine_id", how="left")
        .select(
            "machine_id",
            "machine_name",
            "units_produced",
            "units_rejected",
            "availability_pct",
            "performance_pct",
            "quality_pct",
            "oee_pct",
            pl.col("breakdown_count").fill_null(0),
            performance_date="day",
            line_id=pl.coalesce("line_id", "scada_line_id"),
            factory_id=pl.coalesce("factory_id", "scada_factory_id"),
            observed_minutes=minutes(pl.col("observed")),
            run_minutes=minutes(pl.col("run")),
            setup_minutes=minutes(pl.col("setup")),
            idle_minutes=minutes(pl.col("idle")),
            maintenance_minutes=minutes(pl.col("maintenance")),
            down_minutes=minutes(pl.col("down")),
            planned_busy_minutes=minutes(pl.col("busy")),
            scrap_rate_pct=kpi.percent(rejected, produced),
            throughput_per_hour=kpi.ratio(produced, minutes(pl.col("run")) / 60),
            capacity_utilization_pct=kpi.percent(produced, capacity),
            energy_kwh=kwh(pl.col("energy")),
            source_row_count=pl.sum_horizontal("readings", "breakdown_count"),
        )
    )
