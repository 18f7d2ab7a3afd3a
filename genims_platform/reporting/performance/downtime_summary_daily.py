"""Where to send maintenance: which machines fail, for how long and of what kind."""

from datetime import timedelta
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Identity, Reconciliation, all_of, sql
from genims_platform.reporting.performance.breakdowns import breakdowns
from genims_platform.reporting.performance.machine_states import HOLD, minutes, state_totals, usable_readings
from genims_platform.reporting.performance.maintenance_minutes import maintenance_minutes
from genims_platform.reporting.periods import Window
from genims_platform.reporting.rolling import over_days
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between, Earliest, Overlapping

_ROLLING_DAYS = 30
_KEY = ["day", "machine_id"]
_HALTED_STATES = ("fault", "stopped", "maintenance")
_CLASSES = ("mechanical", "electrical", "fluid_power", "other")
_EVENT_SOURCES = ("fault", "stop", "maintenance")
"""Sources that name a line, the one believed first leading."""

_BREAKDOWN_MACHINES = sql(
    "cmms",
    """
    SELECT DISTINCT w.actual_start_date::date AS downtime_date,
           coalesce(nullif(btrim(a.machine_id), ''), w.asset_id) AS machine_id
    FROM work_orders w LEFT JOIN maintenance_assets a USING (asset_id)
    WHERE w.wo_type = 'breakdown' AND w.actual_start_date >= %(start)s AND w.actual_start_date < %(end)s
    """,
)

_OPERATIONAL_MACHINES = sql(
    "operational",
    """
    SELECT day::date AS downtime_date, machine_id
    FROM maintenance_events
    CROSS JOIN LATERAL generate_series(
        date_trunc('day', greatest(actual_start, %(start)s)),
        greatest(actual_start, actual_end - interval '1 microsecond'),
        interval '1 day'
    ) day
    WHERE actual_start < %(end)s AND (actual_start >= %(start)s OR actual_end > %(start)s) AND day < %(end)s
    UNION
    SELECT fault_start_time::date, machine_id
    FROM machine_faults WHERE fault_start_time >= %(start)s AND fault_start_time < %(end)s
    UNION
    SELECT "timestamp"::date, machine_id
    FROM scada_machine_data
    WHERE "timestamp" >= %(start)s AND "timestamp" < %(end)s AND data_quality <> 'bad'
      AND machine_state IN ('fault', 'stopped', 'maintenance')
    """,
)

_STOPPED_MACHINES = sql(
    "mes",
    """
    SELECT DISTINCT downtime_start::date AS downtime_date, machine_id
    FROM downtime_events WHERE downtime_start >= %(start)s AND downtime_start < %(end)s
    """,
)

_BREAKDOWN_MINUTES = sql(
    "cmms",
    """
    SELECT actual_start_date::date AS downtime_date, coalesce(sum(downtime_minutes), 0) AS breakdown_downtime_minutes
    FROM work_orders
    WHERE wo_type = 'breakdown' AND actual_start_date >= %(start)s AND actual_start_date < %(end)s
    GROUP BY 1
    """,
)

_FAULTS = sql(
    "operational",
    """
    SELECT fault_start_time::date AS downtime_date, count(*) AS fault_count
    FROM machine_faults WHERE fault_start_time >= %(start)s AND fault_start_time < %(end)s
    GROUP BY 1
    """,
)

# An event that ends now was not split over its earlier days while its end was unknown.
_DAYS_OF_MAINTENANCE = sql(
    "operational",
    """
    SELECT DISTINCT day::date AS downtime_date
    FROM maintenance_events
    CROSS JOIN LATERAL generate_series(date_trunc('day', actual_start), actual_end, interval '1 day') day
    WHERE (actual_start >= %(start)s AND actual_start < %(end)s) OR (actual_end >= %(start)s AND actual_end < %(end)s)
    """,
)


@reporting_table(
    group="performance",
    recompute=1,
    horizon=35,
    rolling_days=_ROLLING_DAYS,
    touched=_DAYS_OF_MAINTENANCE,
    checks=Checks(
        rows=all_of(_BREAKDOWN_MACHINES, _OPERATIONAL_MACHINES, _STOPPED_MACHINES),
        identities=(
            Identity(
                "breakdown_downtime_minutes = mechanical + electrical + fluid power + other",
                pl.col("breakdown_downtime_minutes") - pl.sum_horizontal(f"dt_{name}_minutes" for name in _CLASSES),
            ),
        ),
        reconcile=(
            Reconciliation("breakdown_minutes_vs_cmms", _BREAKDOWN_MINUTES),
            Reconciliation("faults_vs_operational", _FAULTS),
        ),
        orphans={"machine_id": "machine_name"},
    ),
)
def downtime_summary_daily(
    window: Window,
    *,
    maintenance_orders: Annotated[
        pl.LazyFrame,
        Read("cmms.work_orders", Between("actual_start_date", before=timedelta(days=_ROLLING_DAYS - 1))),
    ],
    first_orders: Annotated[pl.LazyFrame, Read("cmms.work_orders", Earliest("work_orders", "actual_start_date"))],
    assets: Annotated[pl.LazyFrame, Read("cmms.maintenance_assets")],
    failure_codes: Annotated[pl.LazyFrame, Read("cmms.failure_codes")],
    maintenance_events: Annotated[
        pl.LazyFrame,
        Read("operational.maintenance_events", Overlapping("actual_start", "actual_end") | Between("actual_start")),
    ],
    faults: Annotated[pl.LazyFrame, Read("operational.machine_faults", Between("fault_start_time"))],
    stops: Annotated[pl.LazyFrame, Read("mes.downtime_events", Between("downtime_start"))],
    readings: Annotated[pl.LazyFrame, Read("operational.scada_machine_data", Between("timestamp", before=HOLD))],
    machines: Annotated[pl.LazyFrame, Read("master.machines")],
) -> pl.LazyFrame:
    """One row a machine and day on which it breaks down, faults, stops or is maintained, or SCADA sees it halted.

    Breakdowns (CMMS), faults and MES stops count on the day they start; maintenance events and SCADA states are split
    over their days. The sources overlap in reality: their minutes stand side by side and must not be added up. Over
    the 30 days to D: mean time to repair = repair hours / breakdowns (IEC 60050-192), mean time between failures =
    (720 h - breakdown downtime) / breakdowns on calendar time, NULL if the CMMS history begins later.
    """
    broken = breakdowns(maintenance_orders, assets, window)
    usable = usable_readings(readings, window)
    events = pl.concat(
        [
            _by_class(broken, failure_codes),
            maintenance_minutes(maintenance_events, window).select(
                *_KEY, "line_id", "factory_id", "planned_minutes", "unplanned_minutes", source=pl.lit("maintenance")
            ),
            _starting(faults, "fault_start_time", window).select(
                *_KEY, "line_id", "factory_id", source=pl.lit("fault"), fault_count=1
            ),
            _starting(stops, "downtime_start", window).select(
                *_KEY, "line_id", "factory_id", source=pl.lit("stop"), mes_downtime_minutes="duration_minutes"
            ),
            usable.filter(pl.col("machine_state").is_in(_HALTED_STATES)).select(_KEY).unique(),
        ],
        how="diagonal_relaxed",
    )
    rows = events.group_by(_KEY).agg(
        _first_named("line_id"),
        _first_named("factory_id"),
        pl.col("breakdown_count", "breakdown_downtime_minutes", "^dt_.*$", "repair_hours").sum(),
        pl.col("fault_count", "mes_downtime_minutes").sum(),
        planned_maintenance_minutes=pl.col("planned_minutes").sum(),
        unplanned_maintenance_minutes=pl.col("unplanned_minutes").sum(),
        downtime_cost_inr=kpi.total(pl.col("downtime_cost")) / 60,
        source_row_count=pl.col("source").count(),
    )
    states = state_totals(usable, window).select(
        *_KEY,
        scada_down_minutes=minutes(pl.col("stopped")),
        scada_maintenance_minutes=minutes(pl.col("maintenance")),
    )
    masters = machines.select("machine_id", "machine_name", master_line_id="line_id", master_factory_id="factory_id")
    return (
        rows.join(states, on=_KEY, how="left")
        .join(_reliability(broken, first_orders), on=_KEY, how="left")
        .join(_top_failure_codes(broken), on=_KEY, how="left")
        .join(masters, on="machine_id", how="left")
        .with_columns(
            downtime_date="day",
            line_id=pl.coalesce("master_line_id", "line_id"),
            factory_id=pl.coalesce("master_factory_id", "factory_id"),
        )
        .drop("day", "master_line_id", "master_factory_id")
    )


def _by_class(broken: pl.LazyFrame, failure_codes: pl.LazyFrame) -> pl.LazyFrame:
    """Breakdowns with their minutes in the column of their failure class."""
    downtime = pl.col("downtime_minutes")
    classes = failure_codes.group_by("failure_code").agg(failure_class=pl.col("failure_class").min())
    column = pl.col("failure_class").replace_strict(
        {
            "hydraulic": "fluid_power",
            "pneumatic": "fluid_power",
            "mechanical": "mechanical",
            "electrical": "electrical",
        },
        default="other",
    )
    return broken.join(classes, on="failure_code", how="left").select(
        *_KEY,
        *(pl.when(column == name).then(downtime).alias(f"dt_{name}_minutes") for name in _CLASSES),
        source=pl.lit("breakdown"),
        breakdown_count=1,
        breakdown_downtime_minutes=downtime,
        repair_hours="actual_duration_hours",
        # Cost of minutes at a rate an hour; divided by 60 once they are summed.
        downtime_cost=(downtime * pl.col("downtime_cost_per_hour")).cast(pl.Decimal(38, 10)),
    )


def _starting(events: pl.LazyFrame, start: str, window: Window) -> pl.LazyFrame:
    """Events known by the end of the window, on the day they start."""
    return events.filter(pl.col(start) < window.span.end).with_columns(
        machine_id=kpi.key(pl.col("machine_id")), day=kpi.day(pl.col(start))
    )


def _first_named(column: str) -> pl.Expr:
    """The column's smallest value in the first source that names one."""
    of_source = (pl.col(column).filter(pl.col("source") == source).min() for source in _EVENT_SOURCES)
    return pl.coalesce(*of_source).alias(column)


def _reliability(broken: pl.LazyFrame, first_orders: pl.LazyFrame) -> pl.LazyFrame:
    """Mean times over the last 30 days, by machine and day."""
    count = pl.col("breakdowns")
    uptime = 24 * _ROLLING_DAYS - pl.col("downtime_minutes") / 60
    history = first_orders.select(history_start=kpi.day(pl.col("actual_start_date").min()))
    known = pl.col("history_start") <= pl.col("day") - timedelta(days=_ROLLING_DAYS - 1)
    return (
        over_days(broken.select(*_KEY, "downtime_minutes", "actual_duration_hours"), _ROLLING_DAYS)
        .group_by(_KEY)
        .agg(
            pl.col("downtime_minutes").sum(),
            breakdowns=pl.len(),
            repair_hours=kpi.total(pl.col("actual_duration_hours")),
        )
        .join(history, how="cross")
        .select(
            *_KEY,
            mttr_hours_30d=kpi.ratio(pl.col("repair_hours"), count),
            mtbf_hours_30d=pl.when(known).then(kpi.ratio(uptime, count)),
        )
    )


def _top_failure_codes(broken: pl.LazyFrame) -> pl.LazyFrame:
    """Up to three failure codes with the most downtime in the last 30 days, by machine and day."""
    by_code = [*_KEY, "failure_code"]
    return (
        over_days(broken.filter(kpi.present(pl.col("failure_code")).is_not_null()), _ROLLING_DAYS)
        .group_by(by_code)
        .agg(pl.col("downtime_minutes").sum())
        .group_by(_KEY)
        .agg(
            top_failure_codes=pl.col("failure_code")
            .sort_by("downtime_minutes", "failure_code", descending=[True, False])
            .head(3)
            .str.join(",")
        )
    )
