"""genims_hcm_db: people of the hcm register, their attendance, safety, training and certificates."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from genims_platform.local.generate.plan import Plan, identifiers, numbered
from genims_platform.local.generate.staff import people
from genims_platform.local.generate.world import World

_COURSES = pl.DataFrame(
    {
        "course_name": [
            *("Fire safety", "Machine guarding", "Lockout and tagout", "Chemical handling", "Data protection"),
            *("Anti-corruption", "Lean basics", "PLC programming", "Welding", "Team leadership"),
        ],
        "course_category": ["safety"] * 4 + ["compliance"] * 2 + ["technical"] * 3 + ["soft_skills"],
        "duration_hours": [4.0, 6.0, 8.0, 6.0, 4.0, 4.0, 16.0, 24.0, 16.0, 16.0],
    }
)
_INCIDENTS = pl.DataFrame(
    {
        "incident_type": ["near_miss", "first_aid", "injury", "property_damage"],
        "severity": ["minor", "minor", "moderate", "minor"],
        "description": ["Load swung near a person", "Small cut", "Hand injured at a machine", "Rack damaged"],
    }
)
_INCIDENT_SHARE = [0.42, 0.2, 0.27, 0.11]
_CERTIFICATES = ["Forklift licence", "First aid", "Crane operation", "ISO 9001 auditor", "Electrical safety"]
_CERTIFICATE_TYPES = ["equipment", "safety", "equipment", "professional", "safety"]
_JOBS = [
    "Operator",
    "Technician",
    "Inspector",
    "Warehouse Clerk",
    "Planner",
    "Engineer",
    "Administrator",
    "Safety Officer",
]


def tables(world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
    """The tables around people, hours, safety and training; organisation details are filled from the catalogue."""
    yield (
        "hcm.departments",
        world.select("hcm.departments").with_columns(
            department_code=numbered("D", pl.int_range(1, len(world.hcm_departments) + 1, eager=True), 3)
        ),
    )
    yield "hcm.employees", _employees(world, plan)
    for attendance in _attendance(world, plan).iter_slices(60_000):
        yield "hcm.attendance_records", attendance
    yield "hcm.safety_incidents", _incidents(world, plan)
    yield "hcm.training_courses", _COURSES.select(identifiers("hcm.training_courses", len(_COURSES)), pl.all())
    schedules = _schedules(world, plan)
    yield "hcm.training_schedules", schedules
    yield "hcm.training_enrollments", _enrolments(world, plan, schedules)
    yield "hcm.employee_certifications", _certifications(world, plan)


def _employees(world: World, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("hcm.employees")
    staff = world.hcm_employees
    names = people(plan, "hcm_employees", staff["employee_id"])
    department = staff.join(
        world.hcm_departments.rename({"department_id": "primary_department_id"}),
        on="primary_department_id",
        how="left",
        maintain_order="left",
    )
    job = department["function"].replace_strict(
        ["Production", "Maintenance", "Quality", "Logistics", "Planning", "Engineering", "Administration", "Safety"],
        _JOBS,
    )
    left = _left(world, plan)
    return world.select("hcm.employees").with_columns(
        names["first_name"],
        names["last_name"],
        employee_number=numbered("E", pl.int_range(1, len(staff) + 1, eager=True)),
        job_title=job,
        annual_salary=pl.Series(rng.lognormal(13.3, 0.4, len(staff)).clip(310_000, 1_990_000).round(2)),
        termination_date=left,
        employment_status=pl.when(left.is_not_null()).then(pl.lit("terminated")).otherwise(pl.lit("active")),
        is_active=left.is_null(),
    )


def _left(world: World, plan: Plan) -> pl.Series:
    """Last day of the few who left during the span."""
    rng = plan.rng("hcm.terminations")
    count = len(world.hcm_employees)
    day = plan.days.gather(rng.integers(len(plan.days) // 3, len(plan.days), count))
    hired_later = world.hcm_employees["hire_date"] >= day
    return day.set(pl.Series(rng.random(count) > 0.07) | hired_later, None)


def _attendance(world: World, plan: Plan) -> pl.DataFrame:
    """One record an employee and day worked: Monday to Friday, some Saturdays; holidays and sick days leave none."""
    rng = plan.rng("hcm.attendance_records")
    staff = world.hcm_employees
    weekday = plan.days.dt.weekday().to_numpy()
    chance = np.select([weekday <= 5, weekday == 6], [0.915, 0.22], 0.0)
    day, person = np.nonzero(rng.random((len(plan.days), len(staff))) < chance[:, None])
    dates = plan.days.to_numpy().astype("datetime64[D]")[day]
    hired = staff["hire_date"].to_numpy().astype("datetime64[D]")[person]
    left = _left(world, plan).fill_null(plan.end.date()).to_numpy().astype("datetime64[D]")[person]
    worked = (dates >= hired) & (dates <= left)
    dates, person = dates[worked], person[worked]
    count = len(dates)
    late = np.where(rng.random(count) < 0.12, rng.integers(1, 45, count), 0)
    overtime = np.where(rng.random(count) < 0.18, rng.uniform(0.5, 2.5, count), 0).round(2)
    hours = (8 - late / 60 - np.where(rng.random(count) < 0.04, rng.uniform(0.5, 3, count), 0) + overtime).round(2)
    clock_in = dates.astype("datetime64[s]") + ((6 * 60 + (person % 3) * 480 + late) * 60).astype("timedelta64[s]")
    frame = pl.DataFrame(
        {
            "attendance_id": identifiers("hcm.attendance_records", count),
            "employee_id": staff["employee_id"].gather(person),
            "attendance_date": dates,
            "clock_in_time": clock_in.astype("datetime64[us]"),
            "clock_out_time": (clock_in + ((hours + 0.5) * 3600).astype("timedelta64[s]")).astype("datetime64[us]"),
            "scheduled_hours": np.full(count, 8.0),
            "actual_hours": hours,
            "regular_hours": (hours - overtime).round(2),
            "overtime_hours": overtime,
            "late_minutes": late,
        }
    )
    return frame.filter(pl.col("clock_in_time") <= plan.end)


def _incidents(world: World, plan: Plan) -> pl.DataFrame:
    """A few dozen a year; nearly one in four recordable, most of these cost days. Only some name the factory."""
    rng = plan.rng("hcm.safety_incidents")
    count = plan.rows("hcm.safety_incidents")
    person = world.hcm_employees[rng.integers(0, len(world.hcm_employees), count)]
    kind = rng.choice(len(_INCIDENTS), count, p=_INCIDENT_SHARE)
    recordable = (kind == 2) & (rng.random(count) < 0.85)
    away = np.where(recordable & (rng.random(count) < 0.75), rng.integers(1, 25, count), 0)
    day = pl.Series(plan.working_days(rng, count))
    return pl.DataFrame(
        {
            "incident_id": identifiers("hcm.safety_incidents", count),
            "incident_number": numbered("INC", pl.int_range(1, count + 1, eager=True)),
            "employee_id": person["employee_id"],
            "incident_date": day,
            "factory_id": person["primary_factory_id"].set(pl.Series(rng.random(count) < 0.4), None),
            "department_id": person["primary_department_id"],
            **_INCIDENTS[kind].to_dict(),
            "medical_treatment_required": recordable,
            "days_away_from_work": away,
            "osha_recordable": recordable,
        }
    )


def _schedules(world: World, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("hcm.training_schedules")
    count = plan.rows("hcm.training_schedules")
    course = rng.choice(len(_COURSES), count, p=[0.16, 0.14, 0.12, 0.1, 0.1, 0.08, 0.1, 0.06, 0.08, 0.06])
    start = plan.working_days(rng, count).astype("datetime64[s]") + np.timedelta64(8, "h")
    length = _COURSES["duration_hours"].to_numpy()[course].clip(0, 8)
    end = start + (length * 3600).astype("timedelta64[s]")
    over = pl.Series(end.astype("datetime64[us]")) <= plan.end
    return pl.DataFrame(
        {
            "schedule_id": identifiers("hcm.training_schedules", count),
            "course_id": world.keys("hcm.training_courses").gather(course),
            "session_name": _COURSES["course_name"].gather(course),
            "start_datetime": start.astype("datetime64[us]"),
            "end_datetime": end.astype("datetime64[us]"),
            "factory_id": world.factories["factory_id"].gather(rng.integers(0, 4, count)),
            "completed_date": pl.Series(end.astype("datetime64[us]")).dt.date().set(~over, None),
            "schedule_status": pl.Series(["scheduled", "completed"]).gather(over.cast(pl.Int64)),
        }
    )


def _enrolments(world: World, plan: Plan, schedules: pl.DataFrame) -> pl.DataFrame:
    """Employees of the session's factory; each at most once a session."""
    rng = plan.rng("hcm.training_enrollments")
    count = plan.rows("hcm.training_enrollments")
    past = schedules.filter(pl.col("completed_date").is_not_null())
    session = past[np.sort(rng.integers(0, max(1, len(past)), count if len(past) else 0))]
    staff = world.hcm_employees.sort("primary_factory_id", maintain_order=True)
    homes, wanted = staff["primary_factory_id"].to_numpy(), session["factory_id"].to_numpy()
    first, last = np.searchsorted(homes, wanted, "left"), np.searchsorted(homes, wanted, "right")
    person = staff["employee_id"].gather(first + (rng.random(len(session)) * (last - first)).astype(np.int64))
    hours = (session["end_datetime"] - session["start_datetime"]).dt.total_seconds() / 3600
    frame = session.select(
        "schedule_id",
        employee_id=person,
        enrollment_date=pl.col("start_datetime").dt.date() - pl.duration(days=7),
        attendance_date="completed_date",
        attendance_hours=hours,
        completion_status=pl.Series(["completed", "failed"]).gather((rng.random(len(session)) < 0.06).astype(np.int64)),
        completion_date="completed_date",
    ).unique(["schedule_id", "employee_id"], keep="first", maintain_order=True)
    return frame.insert_column(0, identifiers("hcm.training_enrollments", len(frame)))


def _certifications(world: World, plan: Plan) -> pl.DataFrame:
    """One certificate for most employees; valid for two years from a day up to 2.3 years back."""
    rng = plan.rng("hcm.employee_certifications")
    staff = world.hcm_employees
    count = len(staff)
    kind = rng.integers(0, len(_CERTIFICATES), count)
    issued = np.datetime64(plan.end.date(), "D") - rng.integers(5, 840, count).astype("timedelta64[D]")
    return pl.DataFrame(
        {
            "certification_id": identifiers("hcm.employee_certifications", count),
            "employee_id": staff["employee_id"],
            "certification_name": pl.Series(_CERTIFICATES).gather(kind),
            "certification_type": pl.Series(_CERTIFICATE_TYPES).gather(kind),
            "issue_date": issued,
            "expiry_date": issued + np.timedelta64(730, "D"),
        }
    )
