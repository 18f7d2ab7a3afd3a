from decimal import Decimal

from genims_platform.reporting.performance.machine_performance_daily import machine_performance_daily
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import MONDAY, TUESDAY, Rows, at, rows_of
from genims_platform_tests.reporting.performance.plant import MASTER, reading

LATER = at(MONDAY + 30 * DAY, 0)

SOURCES: dict[str, Rows] = MASTER | {
    "operational.scada_machine_data": [
        reading(
            1,
            at(MONDAY, 8),
            performance_percentage=90,
            power_consumption_kw=10,
            parts_produced_shift=150,
            parts_rejected_shift=5,
        ),
        reading(2, at(MONDAY, 10), "fault", power_consumption_kw=4, parts_produced_shift=200, parts_rejected_shift=10),
        reading(3, at(MONDAY, 11), "idle", power_consumption_kw=2, shift_id="SH-9", parts_produced_shift=999),
        reading(4, at(MONDAY, 11, 30), "setup", data_quality="bad"),
        reading(5, at(MONDAY, 12), "setup", power_consumption_kw=2),
        reading(6, at(MONDAY, 9), machine_id="MCH-77", line_id="LINE-7", factory_id="FAC-7"),
    ],
    "cmms.maintenance_assets": [{"asset_id": "AST-2", "machine_id": "MCH-2"}, {"asset_id": "AST-3", "machine_id": " "}],
    "cmms.work_orders": [
        {"work_order_id": "WO-1", "asset_id": "AST-2", "wo_type": "breakdown", "actual_start_date": at(MONDAY, 23)},
        {"work_order_id": "WO-2", "asset_id": "AST-2", "wo_type": "breakdown", "actual_start_date": at(MONDAY, 1)},
        {"work_order_id": "WO-3", "asset_id": "AST-3", "wo_type": "breakdown", "actual_start_date": at(MONDAY, 2)},
        {"work_order_id": "WO-4", "asset_id": "AST-0", "wo_type": "breakdown", "actual_start_date": at(TUESDAY, 3)},
        {"work_order_id": "WO-5", "asset_id": "AST-2", "wo_type": "inspection", "actual_start_date": at(MONDAY, 1)},
    ],
}


def test_a_worked_example() -> None:
    asset, press, lathe, orphan = rows_of(machine_performance_daily, SOURCES, Window(MONDAY, TUESDAY, LATER)).to_dicts()
    assert {name: float(value) if isinstance(value, Decimal) else value for name, value in press.items()} == {
        "performance_date": MONDAY,
        "machine_id": "MCH-1",
        "line_id": "LINE-1",
        "factory_id": "FAC-1",
        "machine_name": "Press",
        "observed_minutes": 480,  # running 8-10, fault 10-11, idle 11-12, setup from 12, held for 240 minutes
        "run_minutes": 120,
        "setup_minutes": 240,
        "idle_minutes": 60,
        "maintenance_minutes": 0,
        "down_minutes": 60,
        "planned_busy_minutes": 420,
        "units_produced": 200,
        "units_rejected": 10,
        "availability_pct": 28.57,
        "performance_pct": 90,
        "quality_pct": 95,
        "oee_pct": 24.43,
        "scrap_rate_pct": 5,
        "throughput_per_hour": 100,
        "capacity_utilization_pct": 28.57,
        "breakdown_count": 0,
        "energy_kwh": 34,  # 10 kW for 2 h, 4 kW for 1 h, 2 kW for 5 h
        "source_row_count": 4,
    }
    assert (lathe["machine_id"], lathe["machine_name"], lathe["breakdown_count"], lathe["source_row_count"]) == (
        "MCH-2",
        "Lathe",
        2,
        2,
    )
    unobserved = ("observed_minutes", "run_minutes", "units_produced", "oee_pct", "energy_kwh", "scrap_rate_pct")
    assert [lathe[name] for name in unobserved] == [None] * len(unobserved)
    assert (asset["machine_id"], asset["machine_name"], asset["line_id"]) == ("AST-3", None, None)
    assert (orphan["machine_id"], orphan["line_id"], orphan["factory_id"]) == ("MCH-77", "LINE-7", "FAC-7")
    assert (orphan["availability_pct"], orphan["performance_pct"], orphan["quality_pct"]) == (100, None, None)


def test_a_breakdown_that_starts_after_the_run_waits_for_its_hour() -> None:
    rows = rows_of(machine_performance_daily, SOURCES, Window(MONDAY, TUESDAY, at(MONDAY, 2)))
    assert rows["machine_id"].to_list() == ["MCH-2"]
    assert rows["breakdown_count"].to_list() == [1]
