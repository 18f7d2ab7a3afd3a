from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.performance.labor_efficiency_daily import labor_efficiency_daily
from genims_platform.reporting.periods import Window
from genims_platform_tests.reporting.frames import Rows, rows_of

DAY = date(2026, 3, 10)
AS_OF = datetime(2026, 3, 20)
WINDOW = Window(DAY, date(2026, 3, 11), AS_OF)


def _clocking(employee_id: str, order_id: str | None, at: datetime, minutes: int) -> dict[str, object]:
    return {
        "employee_id": employee_id,
        "work_order_id": order_id,
        "clock_in_time": at,
        "duration_minutes": minutes,
        "labor_cost": Decimal("10.25"),
    }


SOURCES: dict[str, Rows] = {
    "mes.labor_transactions": [
        _clocking("EMP-1", "WO-1", datetime(2026, 3, 10, 8), 120),
        _clocking("EMP-1", "WO-2", datetime(2026, 3, 10, 23, 30), 60),
        _clocking("EMP-2", "WO-1", datetime(2026, 3, 11, 8), 60),
        _clocking("EMP-2", None, datetime(2026, 3, 10, 9), 30),
        _clocking("EMP-2", "WO-1", datetime(2026, 3, 21), 1000),
    ],
    "mes.work_orders": [
        {"work_order_id": "WO-1", "product_id": "P-1", "produced_quantity": 90},
        {"work_order_id": "WO-2", "product_id": "P-LOST", "produced_quantity": 7},
    ],
    "master.products": [{"product_id": "P-1", "standard_cycle_time_seconds": 240}],
    "master.employees": [
        {"employee_id": "EMP-1", "factory_id": "FAC-1", "line_id": "L-1", "department": "production"}
        | {"role": "operator"}
    ],
    "hcm.attendance_records": [
        {"employee_id": "EMP-1", "attendance_date": DAY, "scheduled_hours": Decimal("8"), "late_minutes": 12}
        | {"actual_hours": Decimal("9"), "overtime_hours": Decimal("1")}
    ],
    "hcm.employees": [
        {"employee_id": "EMP-1", "primary_factory_id": "FAC-2", "primary_department_id": "DEP-1"}
        | {"job_title": "Welder"}
    ],
    "hcm.departments": [{"department_id": "DEP-1", "department_name": "Body shop"}],
}


def test_pieces_are_allocated_by_minutes_and_registers_stay_apart() -> None:
    rows = rows_of(labor_efficiency_daily, SOURCES, WINDOW)
    found = {(row["employee_register"], row["employee_id"]): row for row in rows.iter_rows(named=True)}
    assert set(found) == {("mes", "EMP-1"), ("mes", "EMP-2"), ("hcm", "EMP-1")}
    # WO-1: 120 of the 180 minutes clocked before the run, so 60 of 90 pieces at 4 minutes each; WO-2 has no standard.
    assert found["mes", "EMP-1"] == {
        "labor_date": DAY,
        "employee_register": "mes",
        "employee_id": "EMP-1",
        "factory_id": "FAC-1",
        "line_id": "L-1",
        "department": "production",
        "job_role": "operator",
        "transaction_count": 2,
        "orders_worked": 2,
        "direct_labor_hours": Decimal("3.00"),
        "labor_cost_inr": Decimal("20.50"),
        "allocated_units": Decimal("67.0000"),
        "earned_standard_hours": Decimal("4.00"),
        "labor_efficiency_pct": Decimal("133.33"),
        "units_per_labor_hour": Decimal("22.3333"),
        "scheduled_hours": None,
        "attended_hours": None,
        "overtime_hours": None,
        "late_minutes": None,
        "attendance_pct": None,
        "source_row_count": 2,
    }
    without_order = found["mes", "EMP-2"]
    assert (without_order["factory_id"], without_order["orders_worked"]) == (None, 1)
    assert (without_order["allocated_units"], without_order["labor_efficiency_pct"]) == (None, None)
    attended = found["hcm", "EMP-1"]
    assert (attended["factory_id"], attended["department"], attended["job_role"]) == ("FAC-2", "Body shop", "Welder")
    assert (attended["attended_hours"], attended["attendance_pct"]) == (Decimal("9.00"), Decimal("112.50"))
    assert (attended["transaction_count"], attended["direct_labor_hours"], attended["late_minutes"]) == (0, None, 12)


def test_allocations_of_all_days_add_up_to_the_pieces_produced() -> None:
    rows = rows_of(labor_efficiency_daily, SOURCES, Window(date(2026, 3, 1), date(2026, 3, 20), AS_OF))
    assert rows["allocated_units"].sum() == Decimal(90 + 7)


def test_an_order_without_minutes_allocates_nothing() -> None:
    sources = SOURCES | {
        "mes.labor_transactions": [_clocking("EMP-1", "WO-1", datetime(2026, 3, 10, 8), 0)],
        "hcm.attendance_records": [],
    }
    (row,) = rows_of(labor_efficiency_daily, sources, WINDOW).iter_rows(named=True)
    assert (row["direct_labor_hours"], row["allocated_units"], row["labor_efficiency_pct"]) == (Decimal(0), None, None)
