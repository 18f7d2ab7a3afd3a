from decimal import Decimal

import pytest

from genims_platform.reporting.performance.downtime_summary_daily import downtime_summary_daily
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import MONDAY, TUESDAY, Rows, at, rows_of
from genims_platform_tests.reporting.performance.plant import MASTER, reading

LATER = at(MONDAY + 30 * DAY, 0)
HISTORY_START = MONDAY - 40 * DAY


def order(number: int, days_ago: int, minutes: int | None, code: str | None, **others: object) -> dict[str, object]:
    return {
        "work_order_id": f"WO-{number}",
        "asset_id": "AST-1",
        "wo_type": "breakdown",
        "actual_start_date": at(MONDAY - days_ago * DAY, 9),
        "downtime_minutes": minutes,
        "actual_duration_hours": 3,
        "failure_code": code,
        **others,
    }


ORDERS = [
    order(0, 40, 900, "FC-9"),
    order(1, 30, 400, "FC-9"),  # one day too early for the 30 days to Monday
    order(2, 29, 120, "FC-4"),
    order(3, 0, 60, "FC-1"),
    order(4, 0, 120, "FC-2", actual_duration_hours=None),
    order(5, 0, 30, "FC-3"),
    order(6, 0, 15, "FC-404"),
    order(7, 0, None, None),
    order(8, 0, 500, "FC-1", wo_type="corrective"),
    order(9, 0, 45, "FC-1", asset_id="AST-404"),
]

SOURCES: dict[str, Rows] = MASTER | {
    "cmms.work_orders": ORDERS,
    "cmms.maintenance_assets": [
        {"asset_id": "AST-1", "machine_id": "MCH-1", "downtime_cost_per_hour": Decimal("100.01")}
    ],
    "cmms.failure_codes": [
        {"failure_code_id": "1", "failure_code": "FC-1", "failure_class": "mechanical"},
        {"failure_code_id": "2", "failure_code": "FC-2", "failure_class": "pneumatic"},
        {"failure_code_id": "3", "failure_code": "FC-3", "failure_class": "operator_error"},
    ],
    "operational.maintenance_events": [
        {
            "maintenance_id": "ME-1",
            "machine_id": "MCH-2",
            "line_id": "LINE-1",
            "maintenance_type": "preventive",
            "actual_start": at(MONDAY - DAY, 22),
            "actual_end": at(MONDAY, 1, 30),
        },
        {
            "maintenance_id": "ME-2",
            "machine_id": "MCH-2",
            "maintenance_type": "replacement",
            "actual_start": at(MONDAY, 23),
            "actual_end": at(TUESDAY, 0),
        },
        {"maintenance_id": "ME-3", "machine_id": "MCH-8", "line_id": "LINE-8", "actual_start": at(MONDAY, 5)},
    ],
    "operational.machine_faults": [
        {
            "fault_id": 1,
            "machine_id": "MCH-8",
            "line_id": "LINE-7",
            "factory_id": "FAC-7",
            "fault_start_time": at(MONDAY, 3),
        }
    ],
    "mes.downtime_events": [
        {"downtime_id": "DT-1", "factory_id": "FAC-3", "downtime_start": at(MONDAY, 4), "duration_minutes": 90},
        {"downtime_id": "DT-2", "factory_id": "FAC-4", "downtime_start": at(MONDAY, 5), "duration_minutes": 10},
    ],
    "operational.scada_machine_data": [
        reading(1, at(MONDAY, 6), "maintenance", machine_id="MCH-2"),
        reading(2, at(MONDAY, 7), "stopped", machine_id="MCH-2"),
        reading(3, at(MONDAY, 7, 30), "warp", machine_id="MCH-2"),
        reading(4, at(MONDAY, 6), "warp", machine_id="MCH-9"),
        reading(5, at(MONDAY, 23), "fault", machine_id="MCH-10"),
        reading(6, at(TUESDAY, 23), "running", machine_id="MCH-10"),
    ],
}


def monday(machine: str, tables: dict[str, Rows] = SOURCES) -> dict[str, object]:
    rows = rows_of(downtime_summary_daily, tables, Window(MONDAY, TUESDAY, LATER)).to_dicts()
    (row,) = [row for row in rows if row["machine_id"] == machine]
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()}


def test_breakdowns_by_class_and_over_thirty_days() -> None:
    row = monday("MCH-1")
    expected = {
        "line_id": "LINE-1",
        "factory_id": "FAC-1",
        "machine_name": "Press",
        "breakdown_count": 5,
        "breakdown_downtime_minutes": 225,
        "dt_mechanical_minutes": 60,
        "dt_electrical_minutes": 0,
        "dt_fluid_power_minutes": 120,
        "dt_other_minutes": 45,
        "repair_hours": 12,
        "mttr_hours_30d": 2.5,  # 15 h / 6
        "mtbf_hours_30d": 119.04,  # (720 - 5.75) / 6
        "top_failure_codes": "FC-2,FC-4,FC-1",
        "downtime_cost_inr": 375.04,  # 3.75 h x 100.01
        "source_row_count": 5,
        "scada_down_minutes": None,
        "fault_count": 0,
    }
    assert {name: row[name] for name in expected} == expected


def test_an_unknown_asset_stands_under_its_own_id() -> None:
    row = monday("AST-404")
    assert (row["machine_name"], row["line_id"], row["breakdown_count"], row["downtime_cost_inr"]) == (
        None,
        None,
        1,
        None,
    )


def test_maintenance_is_split_at_midnight_and_stands_beside_scada() -> None:
    row = monday("MCH-2")
    assert (row["planned_maintenance_minutes"], row["unplanned_maintenance_minutes"]) == (90, 60)
    assert (row["scada_maintenance_minutes"], row["scada_down_minutes"]) == (60, 30)
    assert (row["source_row_count"], row["breakdown_count"], row["mttr_hours_30d"]) == (2, 0, None)
    assert (row["top_failure_codes"], row["downtime_cost_inr"]) == (None, None)


def test_rows_come_from_each_kind_of_event_and_from_halted_states_only() -> None:
    rows = rows_of(downtime_summary_daily, SOURCES, Window(MONDAY, TUESDAY + DAY, LATER))
    keys = rows.select("downtime_date", "machine_id").rows()
    machines = ("AST-404", "MCH-1", "MCH-10", "MCH-2", "MCH-8", "UNKNOWN")
    assert keys == [(MONDAY, machine) for machine in machines]


def test_an_event_names_the_line_of_a_machine_without_master() -> None:
    row = monday("MCH-8")
    assert (row["line_id"], row["factory_id"], row["fault_count"], row["source_row_count"]) == ("LINE-7", "FAC-7", 1, 2)
    assert (row["planned_maintenance_minutes"], row["unplanned_maintenance_minutes"]) == (0, 0)
    unknown = monday("UNKNOWN")
    assert (unknown["mes_downtime_minutes"], unknown["factory_id"], unknown["line_id"]) == (100, "FAC-3", None)


@pytest.mark.parametrize(("first_day", "known"), [(29, True), (28, False)])
def test_time_between_failures_needs_thirty_days_of_history(first_day: int, known: bool) -> None:
    orders = [order(1, first_day, 0, "FC-1"), order(2, 0, 0, "FC-1")]
    assert (monday("MCH-1", SOURCES | {"cmms.work_orders": orders})["mtbf_hours_30d"] is not None) is known
