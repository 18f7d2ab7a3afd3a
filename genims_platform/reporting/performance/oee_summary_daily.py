"""How effective lines and plants are, and which loss to attack first."""

from datetime import timedelta
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Identity, Reconciliation, all_of, sql
from genims_platform.reporting.performance.effectiveness import OEE_IS_THE_PRODUCT, machine_effectiveness
from genims_platform.reporting.performance.machine_states import HOLD, at_lines, minutes
from genims_platform.reporting.performance.observed_lines import observed_lines
from genims_platform.reporting.periods import Window
from genims_platform.reporting.rolling import over_days
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between

_ROLLING_DAYS = 7
_KEY = ["day", "line_id"]
_FACTORS = ("availability_pct", "performance_pct", "quality_pct")

_RUN_LINES = sql(
    "operational",
    """
    SELECT DISTINCT run_start_time::date AS oee_date, line_id
    FROM production_runs
    WHERE status <> 'scheduled' AND run_start_time >= %(start)s AND run_start_time < %(end)s
    """,
)

_RUN_UNITS = sql(
    "operational",
    """
    SELECT run_start_time::date AS oee_date, coalesce(sum(actual_quantity), 0) AS run_units
    FROM production_runs
    WHERE status <> 'scheduled' AND run_start_time >= %(start)s AND run_start_time < %(end)s
    GROUP BY 1
    """,
)


@reporting_table(
    group="performance",
    recompute=1,
    horizon=3,
    rolling_days=_ROLLING_DAYS + 1,  # a state that lasts past midnight counts on the next day as well
    checks=Checks(
        rows=all_of(observed_lines("oee_date"), _RUN_LINES),
        identities=(
            OEE_IS_THE_PRODUCT,
            Identity(
                "100 = oee_pct + the three losses",
                # A line without OEE has no losses either: NULL, which passes.
                100
                - pl.sum_horizontal(
                    "oee_pct", "availability_loss_pct", "performance_loss_pct", "quality_loss_pct", ignore_nulls=False
                ),
                tolerance=0.02,
            ),
        ),
        reconcile=(Reconciliation("run_units_vs_operational", _RUN_UNITS),),
        orphans={"line_id": "line_name"},
    ),
)
def oee_summary_daily(
    window: Window,
    *,
    readings: Annotated[
        pl.LazyFrame,
        Read("operational.scada_machine_data", Between("timestamp", before=HOLD + timedelta(days=_ROLLING_DAYS - 1))),
    ],
    runs: Annotated[pl.LazyFrame, Read("operational.production_runs", Between("run_start_time"))],
    shifts: Annotated[pl.LazyFrame, Read("master.shifts")],
    machines: Annotated[pl.LazyFrame, Read("master.machines")],
    lines: Annotated[pl.LazyFrame, Read("master.production_lines")],
) -> pl.LazyFrame:
    """One row a line and day with a usable SCADA reading of its machines or a production run started on it.

    OEE and its factors in percent (ISO 22400-2). Basis 'machine' rolls up machine_performance_daily: availability from
    summed times, performance weighted by running time, quality by pieces. Where no machine has an OEE, basis 'run' has
    the factors of the production runs, weighted by duration (quality by quantity). The losses and OEE add up to 100.
    TEEP relates OEE to calendar time. Busy and run minutes are machine minutes.
    """
    machine_basis = _machine_basis(readings, shifts, machines, window)
    run_basis = _run_basis(runs, window)
    basis = (
        pl.when(pl.col("rated_machines") > 0).then(pl.lit("machine")).when(pl.col("run_count") > 0).then(pl.lit("run"))
    )
    availability, performance, oee = (pl.col(f"{name}_pct") for name in ("availability", "performance", "oee"))
    attained = availability * performance / 100
    return (
        machine_basis.join(run_basis, on=_KEY, how="full", coalesce=True)
        .with_columns(oee_basis=basis)
        .with_columns(
            pl.when(pl.col("oee_basis") == "machine").then(f"machine_{name}").otherwise(f"run_{name}").alias(name)
            for name in _FACTORS
        )
        .with_columns(oee_pct=kpi.oee(*(pl.col(name) for name in _FACTORS)))
        .join(lines.select("line_id", "line_name", master_factory_id="factory_id"), on="line_id", how="left")
        .join(_trailing_oee(machine_basis), on=_KEY, how="left")
        .select(
            "line_id",
            "line_name",
            "oee_basis",
            *_FACTORS,
            "oee_pct",
            "run_oee_pct",
            "reported_oee_pct",
            "oee_7d_pct",
            oee_date="day",
            factory_id=pl.coalesce("master_factory_id", "factory_id"),
            machine_count=pl.col("machine_count").fill_null(0),
            planned_busy_minutes=minutes(pl.col("busy")),
            run_minutes=minutes(pl.col("run")),
            availability_loss_pct=100 - availability,
            performance_loss_pct=availability - attained,
            quality_loss_pct=attained - oee,
            teep_pct=pl.when(pl.col("oee_basis") == "machine").then(
                oee * kpi.ratio(minutes(pl.col("busy")), kpi.MINUTES_PER_DAY * pl.col("machine_count"))
            ),
            run_count=pl.col("run_count").fill_null(0),
            run_units=pl.col("run_units").fill_null(0),
            source_row_count=pl.sum_horizontal("machine_days", "run_count"),
        )
    )


def _machine_basis(
    readings: pl.LazyFrame, shifts: pl.LazyFrame, machines: pl.LazyFrame, window: Window
) -> pl.LazyFrame:
    """Machine-days rolled up by line and day."""
    produced, rejected = pl.col("units_produced"), pl.col("units_rejected")
    return (
        at_lines(machine_effectiveness(readings, shifts, window), machines)
        .group_by(_KEY)
        .agg(
            machine_days=pl.len(),
            machine_count=pl.col("busy").count(),
            rated_machines=pl.col("oee_pct").count(),
            busy=kpi.total(pl.col("busy")),
            run=kpi.total(pl.col("run")),
            machine_performance_pct=kpi.weighted_mean(pl.col("performance_pct"), pl.col("run")),
            units_produced=kpi.total(produced),
            units_rejected=kpi.total(rejected),
            reported_oee_pct=kpi.ratio(pl.col("weighted_oee").sum(), pl.col("oee_weight").sum()),
        )
        .with_columns(
            machine_availability_pct=kpi.percent(pl.col("run"), pl.col("busy")),
            machine_quality_pct=kpi.percent(produced - rejected, produced),
        )
    )


def _run_basis(runs: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Production runs by line and the day on which they started."""
    started, duration, quantity = pl.col("run_start_time"), pl.col("actual_duration_minutes"), pl.col("actual_quantity")
    return (
        runs.filter(pl.col("status") != "scheduled", started < window.span.end)
        .with_columns(day=kpi.day(started), line_id=kpi.key(pl.col("line_id")))
        .group_by(_KEY)
        .agg(
            factory_id=pl.col("factory_id").min(),
            run_count=pl.len(),
            run_units=quantity.sum(),
            run_availability_pct=kpi.weighted_mean(pl.col("availability_percentage"), duration),
            run_performance_pct=kpi.weighted_mean(pl.col("performance_percentage"), duration),
            # More good pieces than pieces is a counting error, not a quality above 100 %.
            run_quality_pct=kpi.weighted_mean(pl.col("quality_percentage").clip(upper_bound=100), quantity),
            run_oee_pct=kpi.weighted_mean(pl.col("oee_percentage"), duration),
        )
    )


def _trailing_oee(machine_basis: pl.LazyFrame) -> pl.LazyFrame:
    """OEE of D-6..D by line and day, weighted by planned busy time."""
    oee = kpi.oee(*(pl.col(f"machine_{name}") for name in _FACTORS))
    rated = machine_basis.select(*_KEY, "busy", oee=pl.when(pl.col("rated_machines") > 0).then(oee))
    return (
        over_days(rated, _ROLLING_DAYS).group_by(_KEY).agg(oee_7d_pct=kpi.weighted_mean(pl.col("oee"), pl.col("busy")))
    )
