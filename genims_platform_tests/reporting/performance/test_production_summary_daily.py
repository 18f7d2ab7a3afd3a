from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal

import pytest

from genims_platform.reporting.performance.production_summary_daily import production_summary_daily
from genims_platform.reporting.periods import Window
from genims_platform_tests.reporting.frames import Rows, rows_of

DAY = date(2026, 3, 10)
AS_OF = datetime(2026, 3, 10, 22)
WINDOW = Window(DAY, date(2026, 3, 11), AS_OF)
QUANTITIES = ("produced_quantity", "good_quantity", "rejected_quantity", "scrapped_quantity", "rework_quantity")


def _order(order_id: str, ended: datetime | None, units: tuple[int, ...] = (), **values: object) -> dict[str, object]:
    usual = {"status": "completed", "factory_id": "FAC-1", "line_id": "L-1", "product_id": "P-1"}
    quantities = dict(zip(QUANTITIES, units or (0,) * len(QUANTITIES), strict=True))
    return usual | {"work_order_id": order_id, "actual_end_time": ended} | quantities | values


def _shift(name: str, start: int, end: int) -> dict[str, object]:
    hours: dict[str, object] = {"start_time": time(start), "end_time": time(end)}
    return hours | {"shift_id": f"S-{name}", "factory_id": "FAC-1", "shift_name": name}


KOLKATA: dict[str, object] = {"factory_id": "FAC-1", "timezone": "Asia/Kolkata"}
MASTER: dict[str, Rows] = {
    "master.factories": [KOLKATA],
    "master.production_lines": [{"line_id": "L-1", "line_name": "Line 1", "factory_id": "FAC-1"}],
    "master.shifts": [
        _shift("shift_a", 6, 14),
        _shift("shift_b", 14, 22),
        _shift("shift_c", 22, 6),
        _shift("general", 9, 17),
    ],
    "erp.materials": [
        {"material_id": "M-2", "product_id": "P-1", "standard_cost": Decimal("99")},
        {"material_id": "M-1", "product_id": "P-1", "standard_cost": Decimal("2.5")},
    ],
}


def _rows(sources: Mapping[str, Rows], window: Window = WINDOW) -> dict[str, dict[str, object]]:
    rows = rows_of(production_summary_daily, MASTER | dict(sources), window)
    return {row["line_id"]: row for row in rows.iter_rows(named=True)}


def test_output_plan_labour_and_cost_of_a_line() -> None:
    found = _rows(
        {
            "mes.work_orders": [
                # 05:30 in Kolkata: shift c, which runs over midnight.
                _order("WO-1", datetime(2026, 3, 10, 0), (100, 90, 6, 3, 1), planned_end_date=datetime(2026, 3, 9))
                | {"planned_quantity": 400, "setup_time_minutes": 30, "downtime_minutes": 5},
                # 06:00: shift a.
                _order("WO-2", datetime(2026, 3, 10, 0, 30), (50, 45, 5, 0, 0), planned_quantity=60)
                | {"status": "closed", "planned_end_date": datetime(2026, 3, 10, 23, 30), "setup_time_minutes": 40},
                _order("WO-3", None, planned_end_date=datetime(2026, 3, 10, 1), planned_quantity=30, status="on_hold"),
                _order("WO-4", None, planned_end_date=datetime(2026, 3, 10, 1), status="cancelled"),
                _order("WO-5", datetime(2026, 3, 10, 23), (9, 9, 0, 0, 0)),
            ],
            "mes.material_transactions": [
                {"work_order_id": "WO-1", "transaction_type": kind, "total_cost": Decimal(cost)}
                | {"transaction_date": datetime(2026, 3, 10, hour)}
                for kind, cost, hour in (("issue", "100.10", 1), ("return", "30.05", 21), ("issue", "7", 23))
            ],
            "mes.labor_transactions": [
                {"work_order_id": "WO-2", "clock_in_time": datetime(2026, 3, 9, 23), "duration_minutes": 480}
                | {"labor_cost": Decimal("20.20")},
                {"work_order_id": "WO-3", "clock_in_time": datetime(2026, 3, 10, 5), "duration_minutes": 90},
            ],
        }
    )
    assert found["L-1"] == {
        "production_date": DAY,
        "line_id": "L-1",
        "factory_id": "FAC-1",
        "line_name": "Line 1",
        "orders_completed": 2,
        "planned_units": 90,
        "units_produced": 150,
        "units_good": 135,
        "units_rejected": 11,
        "units_scrapped": 3,
        "units_rework": 1,
        "units_good_shift_a": 45,
        "units_good_shift_b": 0,
        "units_good_shift_c": 90,
        "first_pass_yield_pct": Decimal("90.00"),
        "plan_attainment_pct": Decimal("166.67"),
        "schedule_adherence_pct": Decimal("50.00"),
        "setup_minutes": 70,
        "order_downtime_minutes": 5,
        "labor_hours": Decimal("1.50"),
        "machine_units_counted": None,
        "standard_cost_inr": Decimal("337.50"),
        "actual_cost_inr": Decimal("90.25"),
        "source_row_count": 4,
    }


def test_labour_of_a_lost_order_gets_a_row_without_production() -> None:
    clocking = {"work_order_id": "WO-LOST", "clock_in_time": datetime(2026, 3, 10, 5), "duration_minutes": 30}
    row = _rows({"mes.labor_transactions": [clocking]})["UNKNOWN"]
    assert (row["labor_hours"], row["orders_completed"], row["source_row_count"]) == (Decimal("0.50"), 0, 1)
    assert (row["factory_id"], row["line_name"], row["units_good_shift_a"]) == (None, None, None)
    assert (row["first_pass_yield_pct"], row["schedule_adherence_pct"], row["actual_cost_inr"]) == (None, None, None)


@pytest.mark.parametrize("factory_id", ["FAC-LOST", "FAC-NOWHERE"])
def test_shifts_are_not_split_where_the_local_clock_is_unknown(factory_id: str) -> None:
    ended = datetime(2026, 3, 10, 5)
    orders = [
        _order("WO-1", ended, (8, 8, 0, 0, 0), line_id="L-9"),
        _order("WO-2", ended, (5, 5, 0, 0, 0), line_id="L-9", factory_id=factory_id, product_id="P-LOST"),
    ]
    factories = [KOLKATA, {"factory_id": "FAC-NOWHERE", "timezone": "Mars/Olympus"}]
    row = _rows({"mes.work_orders": orders, "master.factories": factories})["L-9"]
    assert (row["units_good"], row["units_good_shift_a"], row["units_good_shift_b"]) == (13, None, None)
    assert (row["factory_id"], row["standard_cost_inr"]) == ("FAC-1", Decimal("20.00"))


def test_machine_counts_stand_beside_output() -> None:
    reading = {"machine_id": "MC-1", "factory_id": "FAC-1", "line_id": "L-X", "shift_id": "S-shift_a"}
    counts = ((1, 40, "good"), (2, 70, "good"), (3, 999, "bad"))
    readings = [
        reading | {"timestamp": datetime(2026, 3, 10, hour), "parts_produced_shift": count, "data_quality": quality}
        for hour, count, quality in counts
    ]
    found = _rows(
        {
            "mes.work_orders": [_order("WO-1", datetime(2026, 3, 10, 5), (8, 8, 0, 0, 0))],
            "operational.scada_machine_data": readings,
            "master.machines": [{"machine_id": "MC-1", "line_id": "L-1"}],
        }
    )
    assert found["L-1"]["machine_units_counted"] == 70
