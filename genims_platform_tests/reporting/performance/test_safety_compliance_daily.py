from datetime import date, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from genims_platform.reporting.performance.safety_compliance_daily import safety_compliance_daily
from genims_platform.reporting.periods import Window
from genims_platform_tests.reporting.frames import Rows, rows_of

DAY = date(2026, 3, 10)
AS_OF = datetime(2026, 4, 1)
ONE_DAY = timedelta(days=1)


def _attended(day: date, hours: str, employee_id: str = "EMP-1") -> dict[str, object]:
    return {"attendance_date": day, "employee_id": employee_id, "actual_hours": Decimal(hours)}


def _certificate(name: str, issued: date, expires: date | None, kind: str = "safety") -> dict[str, object]:
    return {
        "employee_id": "EMP-1",
        "certification_name": name,
        "certification_type": kind,
        "issue_date": issued,
        "expiry_date": expires,
    }


SOURCES: dict[str, Rows] = {
    "master.factories": [
        {"factory_id": "FAC-1", "factory_name": "Pune"},
        {"factory_id": "FAC-2", "factory_name": "Detroit"},
    ],
    "hcm.employees": [{"employee_id": "EMP-1", "primary_factory_id": "FAC-1"}],
    "hcm.departments": [{"department_id": "DEP-2", "factory_id": "FAC-2"}],
    "hcm.attendance_records": [
        _attended(DAY - 365 * ONE_DAY, "1000"),
        _attended(DAY - 364 * ONE_DAY, "40"),
        _attended(DAY, "8.5"),
        _attended(DAY, "1.5", employee_id="EMP-LOST"),
    ],
    "hcm.safety_incidents": [
        {"incident_date": DAY - 400 * ONE_DAY, "employee_id": "EMP-1", "days_away_from_work": 3},
        {"incident_date": DAY, "employee_id": "EMP-1", "osha_recordable": True, "days_away_from_work": 0},
        {"incident_date": DAY, "factory_id": " ", "department_id": "DEP-2", "incident_type": "near_miss"},
        {"incident_date": DAY, "factory_id": "FAC-2", "employee_id": "EMP-1", "days_away_from_work": 4},
    ],
    "hcm.training_courses": [
        {"course_id": "C-1", "course_category": "safety"},
        {"course_id": "C-2", "course_category": "technical"},
    ],
    "hcm.training_schedules": [
        {"schedule_id": "S-1", "course_id": "C-1", "factory_id": "FAC-1"},
        {"schedule_id": "S-2", "course_id": "C-2", "factory_id": "FAC-9"},
    ],
    "hcm.training_enrollments": [
        {"attendance_date": DAY, "attendance_hours": Decimal("4.5"), "employee_id": employee}
        | {"schedule_id": schedule, "completion_status": status}
        for employee, schedule, status in (
            ("EMP-1", "S-1", "completed"),
            ("EMP-1", "S-1", "completed"),
            ("EMP-2", "S-1", "failed"),
            ("EMP-3", "S-2", "completed"),
        )
    ],
    "hcm.employee_certifications": [
        _certificate("forklift", DAY - 90 * ONE_DAY, DAY - ONE_DAY),
        _certificate("crane", DAY - 90 * ONE_DAY, DAY - 2 * ONE_DAY),
        _certificate("crane", DAY - 2 * ONE_DAY, DAY),
        _certificate("welding", DAY - 90 * ONE_DAY, None),
        _certificate("accounting", DAY, DAY, kind="professional"),
    ],
    "cmms.maintenance_assets": [{"asset_id": "A-1", "factory_id": "FAC-1"}],
    "cmms.work_orders": [
        {"actual_start_date": datetime(2026, 3, 10, 23, 59), "asset_id": "A-1", "hot_work_permit": True},
        {"actual_start_date": datetime(2026, 3, 10, 1), "asset_id": "A-1", "confined_space": False},
    ],
    "qms.quality_audits": [
        {"actual_start_date": DAY, "audit_location": "SITE-X", "audit_score": Decimal(score), "major_findings": major}
        for score, major in (("80.50", 1), ("90.00", 2))
    ],
}


def test_rates_certificates_training_and_audits_of_a_day() -> None:
    rows = rows_of(safety_compliance_daily, SOURCES, Window(DAY, DAY + ONE_DAY, AS_OF))
    found = {row["factory_id"]: row for row in rows.iter_rows(named=True)}
    assert set(found) == {"FAC-1", "FAC-2", "SITE-X", "UNKNOWN"}
    assert found["FAC-1"] == {
        "safety_date": DAY,
        "factory_id": "FAC-1",
        "factory_name": "Pune",
        "incident_count": 1,
        "recordable_count": 1,
        "lost_time_count": 0,
        "near_miss_count": 0,
        "days_away_from_work": 0,
        "hours_worked": Decimal("8.50"),
        "hours_worked_12m": Decimal("48.50"),
        "trir_12m": Decimal("4123.7113"),
        "ltifr_12m": Decimal("0.0000"),
        "days_since_lost_time": 400,
        "safety_training_hours": Decimal("13.50"),
        "employees_trained": 1,
        "safety_certs_valid": 1,
        "safety_certs_expired": 1,
        "cert_compliance_pct": Decimal("50.00"),
        "permit_orders": 1,
        "audit_count": 0,
        "audit_score_avg": None,
        "audit_major_findings": 0,
        "source_row_count": 5,
    }
    other = found["FAC-2"]
    assert (other["incident_count"], other["near_miss_count"], other["lost_time_count"]) == (2, 1, 1)
    assert (other["days_away_from_work"], other["days_since_lost_time"]) == (4, 0)
    assert (other["hours_worked_12m"], other["trir_12m"], other["ltifr_12m"]) == (Decimal(0), None, None)
    assert (other["cert_compliance_pct"], other["source_row_count"]) == (None, 2)
    audited = found["SITE-X"]
    assert (audited["audit_count"], audited["audit_score_avg"]) == (2, Decimal("85.25"))
    assert (audited["audit_major_findings"], audited["factory_name"]) == (3, None)
    assert found["UNKNOWN"]["hours_worked"] == Decimal("1.50")


def test_every_factory_has_a_row_each_day_from_the_first_attendance_on() -> None:
    first = DAY - 365 * ONE_DAY
    rows = rows_of(safety_compliance_daily, SOURCES, Window(first - ONE_DAY, first + 2 * ONE_DAY, AS_OF))
    assert rows.select("safety_date", "factory_id").rows() == [
        (first, "FAC-1"),
        (first, "FAC-2"),
        (first + ONE_DAY, "FAC-1"),
        (first + ONE_DAY, "FAC-2"),
    ]
    assert rows["days_since_lost_time"].to_list() == [35, None, 36, None]


@given(split=st.integers(1, 39))
@settings(max_examples=15, deadline=None)
def test_days_computed_apart_equal_days_computed_together(split: int) -> None:
    first = DAY - 20 * ONE_DAY
    middle, end = first + split * ONE_DAY, first + 40 * ONE_DAY
    whole = rows_of(safety_compliance_daily, SOURCES, Window(first, end, AS_OF))
    parts = (Window(first, middle, AS_OF), Window(middle, end, AS_OF))
    assert whole.rows() == [row for part in parts for row in rows_of(safety_compliance_daily, SOURCES, part).rows()]
