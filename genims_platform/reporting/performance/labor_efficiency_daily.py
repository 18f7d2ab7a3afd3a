"""labor_efficiency_daily: staffing and overtime; output against earned hours."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Reconciliation, all_of, sql
from genims_platform.reporting.periods import Window
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between, KeyIn

_ALLOCATION = pl.Decimal(38, 10)

_MES_EMPLOYEES = sql(
    "mes",
    """
    SELECT DISTINCT clock_in_time::date AS labor_date, 'mes' AS employee_register, employee_id
    FROM labor_transactions WHERE clock_in_time >= %(start)s AND clock_in_time < %(end)s
    """,
)
_HCM_EMPLOYEES = sql(
    "hcm",
    """
    SELECT DISTINCT attendance_date AS labor_date, 'hcm' AS employee_register, employee_id
    FROM attendance_records WHERE attendance_date >= %(start)s AND attendance_date < %(end)s
    """,
)
_BOOKED_COST = sql(
    "mes",
    """
    SELECT clock_in_time::date AS labor_date, SUM(labor_cost) AS labor_cost_inr
    FROM labor_transactions WHERE clock_in_time >= %(start)s AND clock_in_time < %(end)s GROUP BY 1
    """,
)
_ATTENDANCE = sql(
    "hcm",
    """
    SELECT attendance_date AS labor_date, SUM(actual_hours) AS attended_hours
    FROM attendance_records WHERE attendance_date >= %(start)s AND attendance_date < %(end)s GROUP BY 1
    """,
)
_ALLOCATED = sql(
    "mes",
    """
    WITH orders AS (
      SELECT o.work_order_id, o.produced_quantity, SUM(t.duration_minutes) AS minutes
      FROM work_orders o JOIN labor_transactions t ON t.work_order_id = o.work_order_id
      WHERE t.clock_in_time < %(as_of)s
        AND o.work_order_id IN (
          SELECT work_order_id FROM labor_transactions WHERE clock_in_time >= %(start)s AND clock_in_time < %(end)s
        )
      GROUP BY o.work_order_id
    )
    SELECT t.clock_in_time::date AS labor_date,
      SUM(t.duration_minutes * o.produced_quantity / NULLIF(o.minutes, 0)::numeric) AS allocated_units
    FROM labor_transactions t JOIN orders o ON o.work_order_id = t.work_order_id
    WHERE t.clock_in_time >= %(start)s AND t.clock_in_time < %(end)s
    GROUP BY 1
    """,
)
_DAYS_OF_SHARED_ORDERS = sql(
    "mes",
    """
    SELECT DISTINCT clock_in_time::date
    FROM labor_transactions
    WHERE clock_in_time < %(as_of)s
      AND work_order_id IN (
        SELECT work_order_id FROM labor_transactions WHERE clock_in_time >= %(start)s AND clock_in_time < %(end)s
        UNION
        SELECT work_order_id FROM work_orders WHERE actual_end_time >= %(start)s AND actual_end_time < %(end)s
      )
    """,
)
_CHECKS = Checks(
    rows=all_of(_MES_EMPLOYEES, _HCM_EMPLOYEES),
    reconcile=(
        Reconciliation("labor_cost_vs_mes", _BOOKED_COST),
        Reconciliation("attendance_vs_hcm", _ATTENDANCE),
        Reconciliation("allocated_units_vs_mes", _ALLOCATED),
    ),
    orphans={"employee_id": "factory_id"},
)


@reporting_table(group="performance", recompute=1, horizon=14, touched=_DAYS_OF_SHARED_ORDERS, checks=_CHECKS)
def labor_efficiency_daily(
    *,
    window: Window,
    clockings: Annotated[pl.LazyFrame, Read("mes.labor_transactions", Between("clock_in_time"))],
    order_clockings: Annotated[
        pl.LazyFrame,
        Read(
            "mes.labor_transactions",
            KeyIn("work_order_id", "labor_transactions", "work_order_id", Between("clock_in_time")),
        ),
    ],
    work_orders: Annotated[
        pl.LazyFrame,
        Read(
            "mes.work_orders", KeyIn("work_order_id", "labor_transactions", "work_order_id", Between("clock_in_time"))
        ),
    ],
    products: Annotated[pl.LazyFrame, Read("master.products")],
    employees: Annotated[pl.LazyFrame, Read("master.employees")],
    attendance: Annotated[pl.LazyFrame, Read("hcm.attendance_records", Between("attendance_date"))],
    hcm_employees: Annotated[pl.LazyFrame, Read("hcm.employees")],
    departments: Annotated[pl.LazyFrame, Read("hcm.departments")],
) -> pl.LazyFrame:
    """Hours, cost and earned hours; one row a day, register and employee who clocked (mes) or attended (hcm).

    The two registers are different people with overlapping ids and are never joined. An order's produced pieces are
    allocated to its clockings by their minutes; earned hours are allocated pieces x standard cycle time, and labour
    efficiency is earned / clocked hours in percent (earned-hours method). The standard is machine-paced: over 100 %
    means several machines a person. Hours belong to the day of clock-in; cost in INR as booked.
    """
    people = employees.select("employee_id", "factory_id", "line_id", "department", job_role="role")
    hcm_people = hcm_employees.join(
        departments, left_on="primary_department_id", right_on="department_id", how="left"
    ).select("employee_id", factory_id="primary_factory_id", department="department_name", job_role="job_title")
    rows = [
        _clocked(clockings, _minutes_by_order(order_clockings, window), work_orders, products)
        .join(people, on="employee_id", how="left")
        .with_columns(employee_register=pl.lit("mes")),
        _attended(attendance)
        .join(hcm_people, on="employee_id", how="left")
        .with_columns(employee_register=pl.lit("hcm"), transaction_count=0, orders_worked=0),
    ]
    return pl.concat(rows, how="diagonal_relaxed").with_columns(
        labor_efficiency_pct=kpi.percent(pl.col("earned_standard_hours"), pl.col("direct_labor_hours")),
        units_per_labor_hour=kpi.ratio(pl.col("allocated_units"), pl.col("direct_labor_hours")),
        attendance_pct=kpi.percent(pl.col("attended_hours"), pl.col("scheduled_hours")),
    )


def _minutes_by_order(clockings: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """`order_minutes` by `work_order_id`: all that was ever clocked on it, on whatever day."""
    return (
        clockings.filter(pl.col("clock_in_time") < window.as_of)
        .group_by("work_order_id")
        .agg(order_minutes=kpi.total(pl.col("duration_minutes")))
    )


def _clocked(
    clockings: pl.LazyFrame, order_minutes: pl.LazyFrame, work_orders: pl.LazyFrame, products: pl.LazyFrame
) -> pl.LazyFrame:
    minutes = pl.col("duration_minutes")
    # Shares are summed as decimals: exact sums do not depend on the order in which rows arrive.
    units = kpi.ratio(pl.col("produced_quantity") * minutes, pl.col("order_minutes")).cast(_ALLOCATION)
    return (
        clockings.join(
            work_orders.select("work_order_id", "product_id", "produced_quantity"), on="work_order_id", how="left"
        )
        .join(order_minutes, on="work_order_id", how="left")
        .join(products.select("product_id", "standard_cycle_time_seconds"), on="product_id", how="left")
        .with_columns(units=units)
        .group_by(labor_date=kpi.day(pl.col("clock_in_time")), employee_id=kpi.key(pl.col("employee_id")))
        .agg(
            transaction_count=pl.len(),
            orders_worked=kpi.key(pl.col("work_order_id")).n_unique(),
            direct_labor_hours=kpi.total(minutes) / 60,
            labor_cost_inr=kpi.total(pl.col("labor_cost")),
            allocated_units=kpi.total(pl.col("units")),
            earned_standard_hours=kpi.total(pl.col("units") * pl.col("standard_cycle_time_seconds")) / 3600,
            source_row_count=pl.len(),
        )
    )


def _attended(attendance: pl.LazyFrame) -> pl.LazyFrame:
    return attendance.group_by(labor_date="attendance_date", employee_id=kpi.key(pl.col("employee_id"))).agg(
        scheduled_hours=kpi.total(pl.col("scheduled_hours")),
        attended_hours=kpi.total(pl.col("actual_hours")),
        overtime_hours=kpi.total(pl.col("overtime_hours")),
        late_minutes=kpi.total(pl.col("late_minutes")),
        source_row_count=pl.len(),
    )
