"""production_summary_daily: did each line deliver its plan, and at what cost against standard."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Identity, Reconciliation, sql
from genims_platform.reporting.performance.completion_shift import PRODUCTION_SHIFTS, with_completion_shift
from genims_platform.reporting.performance.machine_states import units_produced_by_line
from genims_platform.reporting.periods import DAY, Window, midnight
from genims_platform.reporting.production_orders import (
    COMPLETION_DAYS_OF_BOOKINGS,
    UNITS_ADD_UP,
    completed_orders,
    order_costs,
    standard_unit_costs,
)
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between, KeyIn

_COMPLETED_IN_SPAN = Between("actual_end_time")

_LINES = sql(
    "mes",
    """
    SELECT actual_end_time::date AS production_date, line_id
    FROM work_orders
    WHERE status IN ('completed', 'closed') AND actual_end_time >= %(start)s AND actual_end_time < %(end)s
    UNION
    SELECT planned_end_date::date, line_id
    FROM work_orders
    WHERE status <> 'cancelled' AND planned_end_date >= %(start)s AND planned_end_date < %(days_end)s
    UNION
    SELECT t.clock_in_time::date, o.line_id
    FROM labor_transactions t LEFT JOIN work_orders o ON o.work_order_id = t.work_order_id
    WHERE t.clock_in_time >= %(start)s AND t.clock_in_time < %(end)s
    """,
)
_UNITS = sql(
    "mes",
    """
    SELECT actual_end_time::date AS production_date, SUM(produced_quantity) AS units_produced,
      SUM(good_quantity) AS units_good, SUM(rejected_quantity) AS units_rejected,
      SUM(scrapped_quantity) AS units_scrapped, SUM(rework_quantity) AS units_rework
    FROM work_orders
    WHERE status IN ('completed', 'closed') AND actual_end_time >= %(start)s AND actual_end_time < %(end)s
    GROUP BY 1
    """,
)
_LABOR = sql(
    "mes",
    """
    SELECT clock_in_time::date AS production_date, SUM(duration_minutes) / 60.0 AS labor_hours
    FROM labor_transactions
    WHERE clock_in_time >= %(start)s AND clock_in_time < %(end)s
    GROUP BY 1
    """,
)
_SHIFT_COLUMNS = tuple(f"units_good_{shift}" for shift in PRODUCTION_SHIFTS)
_CHECKS = Checks(
    rows=_LINES,
    reconcile=(Reconciliation("units_vs_mes", _UNITS), Reconciliation("labor_minutes_vs_mes", _LABOR)),
    identities=(
        UNITS_ADD_UP,
        Identity(
            "units_good = sum of the three shifts",
            pl.col("units_good") - pl.sum_horizontal(*_SHIFT_COLUMNS, ignore_nulls=False),
        ),
    ),
    orphans={"line_id": "line_name"},
)


@reporting_table(group="performance", recompute=1, horizon=35, touched=COMPLETION_DAYS_OF_BOOKINGS, checks=_CHECKS)
def production_summary_daily(
    *,
    window: Window,
    work_orders: Annotated[
        pl.LazyFrame, Read("mes.work_orders", _COMPLETED_IN_SPAN | Between("planned_end_date", after=DAY))
    ],
    order_materials: Annotated[
        pl.LazyFrame,
        Read("mes.material_transactions", KeyIn("work_order_id", "work_orders", "work_order_id", _COMPLETED_IN_SPAN)),
    ],
    order_labor: Annotated[
        pl.LazyFrame,
        Read("mes.labor_transactions", KeyIn("work_order_id", "work_orders", "work_order_id", _COMPLETED_IN_SPAN)),
    ],
    clockings: Annotated[pl.LazyFrame, Read("mes.labor_transactions", Between("clock_in_time"))],
    clocked_orders: Annotated[
        pl.LazyFrame,
        Read(
            "mes.work_orders", KeyIn("work_order_id", "labor_transactions", "work_order_id", Between("clock_in_time"))
        ),
    ],
    readings: Annotated[pl.LazyFrame, Read("operational.scada_machine_data", Between("timestamp"))],
    factories: Annotated[pl.LazyFrame, Read("master.factories")],
    lines: Annotated[pl.LazyFrame, Read("master.production_lines")],
    machines: Annotated[pl.LazyFrame, Read("master.machines")],
    shifts: Annotated[pl.LazyFrame, Read("master.shifts")],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
) -> pl.LazyFrame:
    """Output, plan, labour and cost; one row a day and line with an order completed or planned to end, or labour.

    A completed order counts as a whole on its (UTC) day of completion, its plan on the day of its planned end, labour
    on the day of clock-in. First pass yield is good / produced in percent (ISO 22400-2). Actual cost is net material
    plus labour as booked, standard cost good pieces x standard unit cost, both in INR. Good pieces are split into
    shifts by the factory's local clock; the split is NULL if an order falls into no shift. `machine_units_counted` are
    machine cycles, not output: a piece counts once on each machine. Setup and downtime are minutes of orders, which
    overlap.
    """
    facts = [
        _completions(
            with_completion_shift(completed_orders(work_orders, window), factories, shifts),
            costs=order_costs(order_materials, order_labor, window),
            standards=standard_unit_costs(materials),
        ),
        _plans(work_orders, window),
        clockings.join(
            clocked_orders.select("work_order_id", "line_id", "factory_id"), on="work_order_id", how="left"
        ).select(
            "line_id",
            "factory_id",
            production_date=kpi.day(pl.col("clock_in_time")),
            clocked_minutes=pl.col("duration_minutes"),
        ),
    ]
    machine_units = units_produced_by_line(readings, shifts, machines, window)
    return (
        pl.concat(facts, how="diagonal_relaxed")
        .group_by("production_date", line_id=kpi.key(pl.col("line_id")))
        .agg(
            pl.col("units_produced", "units_good", "units_rejected", "units_scrapped", "units_rework").sum(),
            pl.col("planned_units", "setup_minutes", "order_downtime_minutes").sum(),
            *_by_shift(),
            order_factory_id=pl.col("factory_id").min(),
            orders_completed=pl.col("completed").sum(),
            on_time=pl.col("on_time").sum(),
            labor_hours=pl.col("clocked_minutes").sum() / 60,
            standard_cost_inr=kpi.total(pl.col("units_good") * pl.col("standard_unit_cost")),
            actual_cost_inr=kpi.total(pl.col("actual")),
            # An order that was planned and completed on one day is one source row.
            source_row_count=pl.col("work_order_id").drop_nulls().n_unique() + pl.col("work_order_id").null_count(),
        )
        .join(lines.select("line_id", "line_name", line_factory_id="factory_id"), on="line_id", how="left")
        .join(machine_units, left_on=["production_date", "line_id"], right_on=["day", "line_id"], how="left")
        .with_columns(
            factory_id=pl.coalesce("line_factory_id", "order_factory_id"),
            first_pass_yield_pct=kpi.percent(pl.col("units_good"), pl.col("units_produced")),
            plan_attainment_pct=kpi.percent(pl.col("units_produced"), pl.col("planned_units")),
            schedule_adherence_pct=kpi.percent(pl.col("on_time"), pl.col("orders_completed")),
        )
        .rename({"machine_units": "machine_units_counted"})
        .drop("line_factory_id", "order_factory_id", "on_time")
    )


def _completions(orders: pl.LazyFrame, *, costs: pl.LazyFrame, standards: pl.LazyFrame) -> pl.LazyFrame:
    return (
        orders.join(costs.select("work_order_id", "actual"), on="work_order_id", how="left")
        .join(standards, on="product_id", how="left")
        .select(
            "work_order_id",
            "line_id",
            "factory_id",
            "shift",
            "standard_unit_cost",
            "actual",
            production_date="day",
            completed=pl.lit(value=True),
            on_time=pl.col("actual_end_time") <= pl.col("planned_end_date"),
            units_produced="produced_quantity",
            units_good="good_quantity",
            units_rejected="rejected_quantity",
            units_scrapped="scrapped_quantity",
            units_rework="rework_quantity",
            setup_minutes="setup_time_minutes",
            order_downtime_minutes="downtime_minutes",
        )
    )


def _plans(work_orders: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Orders planned to end on a day of the window, also at an hour of it that is still to come."""
    planned_end = pl.col("planned_end_date")
    return work_orders.filter(
        pl.col("status") != "cancelled",
        planned_end.is_between(midnight(window.first), midnight(window.end), closed="left"),
    ).select(
        "work_order_id",
        "line_id",
        "factory_id",
        production_date=kpi.day(planned_end),
        planned_units="planned_quantity",
    )


def _by_shift() -> list[pl.Expr]:
    completed, shift, good = pl.col("completed"), pl.col("shift"), pl.col("units_good")
    attributed = completed.any() & ~(completed & shift.is_null()).any()
    return [
        pl.when(attributed).then(good.filter(shift == name).sum()).alias(column)
        for name, column in zip(PRODUCTION_SHIFTS, _SHIFT_COLUMNS, strict=True)
    ]
