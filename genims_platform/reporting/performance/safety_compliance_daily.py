"""safety_compliance_daily: safety performance and gaps in training and audits per plant."""

from datetime import timedelta
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Identity, Reconciliation, all_of, sql
from genims_platform.reporting.periods import Window
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between, Earliest, Until

_KEY = ("safety_date", "factory_id")
_YEAR = timedelta(days=365)
_BEFORE = _YEAR - timedelta(days=1)

_WHOLE_WINDOW_DAYS = 400
"""Days since the last lost-time injury reach back without bound: a day touches all later ones of the rolling window."""

_SAFETY_COURSES = ("safety", "compliance")
_ADDED_UP = (
    *("incidents", "recordables", "lost_time", "near_misses", "days_away", "hours"),
    *("training_hours", "permits", "audits", "major_findings", "counted"),
)
_PERMITS = ("safety_permit_required", "lockout_tagout_required", "hot_work_permit", "confined_space")

_HCM_FACTS = sql(
    "hcm",
    """
    SELECT i.incident_date AS safety_date,
      COALESCE(NULLIF(btrim(i.factory_id), ''), NULLIF(btrim(d.factory_id), ''), e.primary_factory_id) AS factory_id
    FROM safety_incidents i
    LEFT JOIN departments d ON d.department_id = i.department_id
    LEFT JOIN employees e ON e.employee_id = i.employee_id
    WHERE i.incident_date >= %(start)s AND i.incident_date < %(end)s
    UNION
    SELECT a.attendance_date, e.primary_factory_id
    FROM attendance_records a LEFT JOIN employees e ON e.employee_id = a.employee_id
    WHERE a.attendance_date >= %(start)s AND a.attendance_date < %(end)s
    UNION
    SELECT t.attendance_date, s.factory_id
    FROM training_enrollments t
    JOIN training_schedules s ON s.schedule_id = t.schedule_id
    JOIN training_courses c ON c.course_id = s.course_id AND c.course_category IN ('safety', 'compliance')
    WHERE t.attendance_date >= %(start)s AND t.attendance_date < %(end)s
    """,
)
_AUDITS = sql(
    "qms",
    """
    SELECT actual_start_date AS safety_date, audit_location AS factory_id
    FROM quality_audits WHERE actual_start_date >= %(start)s AND actual_start_date < %(end)s
    """,
)
_PERMIT_ORDERS = sql(
    "cmms",
    """
    SELECT DISTINCT w.actual_start_date::date AS safety_date, a.factory_id
    FROM work_orders w LEFT JOIN maintenance_assets a ON a.asset_id = w.asset_id
    WHERE w.actual_start_date >= %(start)s AND w.actual_start_date < %(end)s
      AND (w.safety_permit_required OR w.lockout_tagout_required OR w.hot_work_permit OR w.confined_space)
    """,
)
_FIRST_ATTENDANCE = sql(
    "hcm", "SELECT MIN(attendance_date) AS first_day FROM attendance_records WHERE attendance_date < %(end)s"
)
_FACTORY_DAYS = sql(
    "master",
    """
    SELECT days.day::date AS safety_date, factory_id
    FROM factories CROSS JOIN generate_series(
      %(start)s::timestamp, %(days_end)s::timestamp - interval '1 day', interval '1 day'
    ) AS days (day)
    """,
)


def _factories_since_first_attendance(sources: Sources, window: Window) -> pl.DataFrame:
    first_day = _FIRST_ATTENDANCE(sources, window).item()
    # A comparison with NULL selects nothing: without attendance there is no history yet.
    return _FACTORY_DAYS(sources, window).filter(pl.col("safety_date") >= pl.lit(first_day, pl.Date))


_HOURS = sql(
    "hcm",
    """
    SELECT attendance_date AS safety_date, SUM(actual_hours) AS hours_worked
    FROM attendance_records WHERE attendance_date >= %(start)s AND attendance_date < %(end)s GROUP BY 1
    """,
)
_INCIDENTS = sql(
    "hcm",
    """
    SELECT incident_date AS safety_date, COUNT(*) AS incident_count
    FROM safety_incidents WHERE incident_date >= %(start)s AND incident_date < %(end)s GROUP BY 1
    """,
)
_CHECKS = Checks(
    rows=all_of(_factories_since_first_attendance, _HCM_FACTS, _AUDITS, _PERMIT_ORDERS),
    reconcile=(Reconciliation("hours_vs_hcm", _HOURS), Reconciliation("incidents_vs_hcm", _INCIDENTS)),
    identities=(
        Identity(
            "recordable_count <= incident_count",
            (pl.col("recordable_count") - pl.col("incident_count")).clip(lower_bound=0),
        ),
    ),
    orphans={"factory_id": "factory_name"},
)


@reporting_table(group="performance", recompute=1, horizon=35, rolling_days=_WHOLE_WINDOW_DAYS, checks=_CHECKS)
def safety_compliance_daily(
    *,
    window: Window,
    factories: Annotated[pl.LazyFrame, Read("master.factories")],
    incidents: Annotated[pl.LazyFrame, Read("hcm.safety_incidents", Until("incident_date"))],
    departments: Annotated[pl.LazyFrame, Read("hcm.departments")],
    employees: Annotated[pl.LazyFrame, Read("hcm.employees")],
    attendance: Annotated[pl.LazyFrame, Read("hcm.attendance_records", Between("attendance_date", before=_BEFORE))],
    first_attendance: Annotated[
        pl.LazyFrame, Read("hcm.attendance_records", Earliest("attendance_records", "attendance_date"))
    ],
    enrollments: Annotated[pl.LazyFrame, Read("hcm.training_enrollments", Between("attendance_date"))],
    schedules: Annotated[pl.LazyFrame, Read("hcm.training_schedules")],
    courses: Annotated[pl.LazyFrame, Read("hcm.training_courses")],
    certifications: Annotated[pl.LazyFrame, Read("hcm.employee_certifications")],
    maintenance_orders: Annotated[pl.LazyFrame, Read("cmms.work_orders", Between("actual_start_date"))],
    assets: Annotated[pl.LazyFrame, Read("cmms.maintenance_assets")],
    audits: Annotated[pl.LazyFrame, Read("qms.quality_audits", Between("actual_start_date"))],
) -> pl.LazyFrame:
    """Incidents, hours, rates, training, certificates, permits and audits; one row a day and factory.

    Every factory has a row each day from the first attendance on; any other factory value only where a fact carries it.
    TRIR is recordables x 200,000 / hours worked (OSHA 29 CFR 1904), LTIFR lost-time incidents x 1,000,000 / hours
    worked (ILO), both over the 365 days up to the day. All rates rest on the HCM register: hours exist for no one else.
    A certificate counts as expired only while its holder has no valid one of the same name.
    """
    home = employees.select("employee_id", home_factory_id="primary_factory_id")
    known_hours = attendance.join(home, on="employee_id", how="left").select(
        safety_date="attendance_date",
        factory_id=kpi.key(pl.col("home_factory_id")),
        hours=pl.col("actual_hours"),
        counted=1,
    )
    facts = [
        _incident_facts(incidents, departments, home),
        known_hours,
        _training_facts(enrollments, schedules, courses),
        _permit_facts(maintenance_orders, assets),
        audits.select(
            safety_date="actual_start_date",
            factory_id=kpi.key(pl.col("audit_location")),
            audits=1,
            audit_score="audit_score",
            major_findings="major_findings",
            counted=1,
        ),
    ]
    daily = (
        pl.concat([_factory_days(factories, first_attendance, window), *facts], how="diagonal_relaxed")
        .group_by(_KEY)
        .agg(
            pl.col(_ADDED_UP).sum(),
            trained=pl.col("trained_employee").drop_nulls().n_unique(),
            audit_score=pl.col("audit_score").mean(),
        )
    )
    return (
        _with_history(daily)
        .join(factories.select("factory_id", "factory_name"), on="factory_id", how="left")
        .join(_certificates(certifications, home, window), on=_KEY, how="left")
        .with_columns(pl.col("certificates_valid", "certificates_expired").fill_null(0))
        .select(
            *_KEY,
            "factory_name",
            "days_since_lost_time",
            incident_count="incidents",
            recordable_count="recordables",
            lost_time_count="lost_time",
            near_miss_count="near_misses",
            days_away_from_work="days_away",
            hours_worked="hours",
            hours_worked_12m="year_hours",
            trir_12m=200_000 * kpi.ratio(pl.col("year_recordables"), pl.col("year_hours")),
            ltifr_12m=1_000_000 * kpi.ratio(pl.col("year_lost_time"), pl.col("year_hours")),
            safety_training_hours="training_hours",
            employees_trained="trained",
            safety_certs_valid="certificates_valid",
            safety_certs_expired="certificates_expired",
            cert_compliance_pct=kpi.percent(
                pl.col("certificates_valid"), pl.col("certificates_valid") + pl.col("certificates_expired")
            ),
            permit_orders="permits",
            audit_count="audits",
            audit_score_avg="audit_score",
            audit_major_findings="major_findings",
            source_row_count="counted",
        )
    )


def _incident_facts(incidents: pl.LazyFrame, departments: pl.LazyFrame, home: pl.LazyFrame) -> pl.LazyFrame:
    """Incidents at their own factory, else that of their department, else the home factory of their employee."""
    days_away = pl.col("days_away_from_work")
    places = ("factory_id", "department_factory_id", "home_factory_id")
    return (
        incidents.join(
            departments.select("department_id", department_factory_id="factory_id"), on="department_id", how="left"
        )
        .join(home, on="employee_id", how="left")
        .select(
            safety_date="incident_date",
            factory_id=kpi.key(pl.coalesce(kpi.present(pl.col(place)) for place in places)),
            incidents=1,
            recordables=pl.col("osha_recordable"),
            lost_time=days_away > 0,
            near_misses=pl.col("incident_type") == "near_miss",
            days_away=days_away,
            counted=1,
        )
    )


def _training_facts(enrollments: pl.LazyFrame, schedules: pl.LazyFrame, courses: pl.LazyFrame) -> pl.LazyFrame:
    return (
        enrollments.join(schedules.select("schedule_id", "course_id", "factory_id"), on="schedule_id")
        .join(courses.filter(pl.col("course_category").is_in(_SAFETY_COURSES)), on="course_id", how="semi")
        .select(
            safety_date="attendance_date",
            factory_id=kpi.key(pl.col("factory_id")),
            training_hours="attendance_hours",
            trained_employee=pl.when(pl.col("completion_status") == "completed").then(pl.col("employee_id")),
            counted=1,
        )
    )


def _permit_facts(maintenance_orders: pl.LazyFrame, assets: pl.LazyFrame) -> pl.LazyFrame:
    return (
        maintenance_orders.filter(pl.any_horizontal(_PERMITS))
        .join(assets.select("asset_id", "factory_id"), on="asset_id", how="left")
        .select(safety_date=kpi.day(pl.col("actual_start_date")), factory_id=kpi.key(pl.col("factory_id")), permits=1)
    )


def _factory_days(factories: pl.LazyFrame, first_attendance: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    first = first_attendance.select(first_day=pl.col("attendance_date").min())
    return (
        _days(window)
        .join(first, how="cross")
        .filter(pl.col("safety_date") >= pl.col("first_day"))
        .join(factories.select("factory_id"), how="cross")
        .select(_KEY)
    )


def _days(window: Window) -> pl.LazyFrame:
    return pl.LazyFrame({"safety_date": window.days}, schema={"safety_date": pl.Date})


def _with_history(daily: pl.LazyFrame) -> pl.LazyFrame:
    """Adds sums over the 365 days up to each day, and days since the last lost-time incident, whenever that was."""
    day = pl.col("safety_date")
    last_lost_time = pl.when(pl.col("lost_time") > 0).then(day).forward_fill().over("factory_id")
    return (
        daily.sort("factory_id", "safety_date")
        .with_columns(days_since_lost_time=(day - last_lost_time).dt.total_days())
        .rolling("safety_date", period=_YEAR, group_by="factory_id")
        .agg(
            pl.exclude(_KEY).last(),  # the day itself ends its own year
            pl.col("hours", "recordables", "lost_time").sum().name.prefix("year_"),
        )
    )


def _certificates(certifications: pl.LazyFrame, home: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Valid and expired safety certificates on each day, by the home factory of their holder."""
    day, expiry = pl.col("safety_date"), pl.col("expiry_date")
    valid = ((pl.col("issue_date") <= day) & (day <= expiry)).fill_null(value=False)
    renewed = pl.col("valid").any().over("safety_date", "employee_id", "certification_name")
    return (
        certifications.filter(pl.col("certification_type") == "safety")
        .join(home, on="employee_id", how="left")
        .join(_days(window), how="cross")
        .with_columns(valid=valid)
        .with_columns(expired=(expiry < day) & ~renewed)
        .group_by("safety_date", factory_id=kpi.key(pl.col("home_factory_id")))
        .agg(certificates_valid=pl.col("valid").sum(), certificates_expired=pl.col("expired").sum())
    )
