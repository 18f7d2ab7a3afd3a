from decimal import Decimal

from genims_platform.reporting.performance.oee_summary_daily import oee_summary_daily
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import MONDAY, TUESDAY, Rows, at, rows_of
from genims_platform_tests.reporting.performance.plant import MASTER, reading

LATER = at(MONDAY + 30 * DAY, 0)
SUNDAY = MONDAY - DAY


def run(number: int, line: str, start_hour: float, **others: object) -> dict[str, object]:
    return {
        "run_id": f"RUN-{number}",
        "line_id": line,
        "factory_id": "FAC-1",
        "run_start_time": at(MONDAY, start_hour),
        "status": "completed",
        "availability_percentage": 80,
        "performance_percentage": 90,
        "quality_percentage": 100,
        "oee_percentage": 72,
        **others,
    }


SOURCES: dict[str, Rows] = MASTER | {
    "operational.scada_machine_data": [
        # Sunday: machine 1 runs all of the 4 h, OEE = 100 x 50 x 100 %
        reading(1, at(SUNDAY, 4), performance_percentage=50, parts_produced_shift=10, parts_rejected_shift=0),
        # Monday, machine 1: 2 h running, 2 h fault; machine 2: 4 h running
        reading(
            2,
            at(MONDAY, 4),
            performance_percentage=80,
            oee_percentage=60,
            parts_produced_shift=90,
            parts_rejected_shift=10,
        ),
        reading(3, at(MONDAY, 6), "fault", oee_percentage=30),
        reading(4, at(MONDAY, 8), "idle"),
        reading(
            5,
            at(MONDAY, 20),
            machine_id="MCH-2",
            performance_percentage=95,
            parts_produced_shift=110,
            parts_rejected_shift=30,
        ),
        # Tuesday: idle only, no OEE
        reading(6, at(TUESDAY, 8), "idle"),
    ],
    "operational.production_runs": [
        run(1, "LINE-5", 0, actual_duration_minutes=60, actual_quantity=100, quality_percentage=98),
        run(
            2,
            "LINE-5",
            23,
            actual_duration_minutes=180,
            actual_quantity=300,
            availability_percentage=60,
            quality_percentage=Decimal("100.56"),
            status="aborted",
        ),
        run(3, "LINE-5", 5, status="scheduled", actual_duration_minutes=600, actual_quantity=999),
        run(4, "LINE-1", 5, actual_duration_minutes=None, actual_quantity=None),
    ],
}


def test_a_line_with_machines_that_scada_observed() -> None:
    row = rows_of(oee_summary_daily, SOURCES, Window(MONDAY, TUESDAY, LATER)).row(0, named=True)
    assert {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()} == {
        "oee_date": MONDAY,
        "line_id": "LINE-1",
        "factory_id": "FAC-1",
        "line_name": "Line one",
        "oee_basis": "machine",
        "machine_count": 2,
        "planned_busy_minutes": 480,
        "run_minutes": 360,
        "availability_pct": 75,
        "performance_pct": 90,
        "quality_pct": 80,
        "oee_pct": 54,
        "availability_loss_pct": 25,
        "performance_loss_pct": 7.5,
        "quality_loss_pct": 13.5,
        "teep_pct": 9,
        "run_count": 1,
        "run_units": 0,
        "run_oee_pct": None,
        "reported_oee_pct": 45,
        "oee_7d_pct": 52.67,  # (54 x 480 + 50 x 240) / 720
        "source_row_count": 3,
    }


def test_a_line_without_machine_data_stands_on_its_production_runs() -> None:
    row = rows_of(oee_summary_daily, SOURCES, Window(MONDAY, TUESDAY, LATER)).row(1, named=True)
    assert (row["line_id"], row["line_name"], row["factory_id"]) == ("LINE-5", None, "FAC-1")
    assert (row["oee_basis"], row["machine_count"], row["run_count"], row["run_units"]) == ("run", 0, 2, 400)
    factors = [float(row[f"{name}_pct"]) for name in ("availability", "performance", "quality", "oee", "run_oee")]
    assert factors == [65, 90, 99.5, 58.21, 72]
    assert (row["planned_busy_minutes"], row["teep_pct"], row["oee_7d_pct"]) == (None, None, None)


def test_an_idle_line_has_no_basis_but_keeps_its_week() -> None:
    (row,) = rows_of(oee_summary_daily, SOURCES, Window(TUESDAY, TUESDAY + DAY, LATER)).to_dicts()
    assert (row["oee_basis"], row["oee_pct"], row["planned_busy_minutes"], row["machine_count"]) == (None, None, 0, 1)
    assert float(row["oee_7d_pct"]) == 52.67
