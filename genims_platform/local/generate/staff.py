"""People: the master register and the separate hcm register with its departments."""

from datetime import timedelta

import numpy as np
import polars as pl

from genims_platform.local.generate.dimensions import choose
from genims_platform.local.generate.plan import Plan, identifiers

_FIRST_NAMES = [
    *("Asha", "Vikram", "Priya", "Rahul", "Meera", "Arjun", "James", "Mary", "Robert", "Linda"),
    *("Anna", "Lukas", "Jonas", "Lena", "Klara", "Yuki", "Haruto", "Sakura", "Ren", "Aoi"),
]
_LAST_NAMES = [
    *("Iyer", "Sharma", "Patel", "Reddy", "Nair", "Smith", "Johnson", "Brown", "Davis", "Wilson"),
    *("Becker", "Vogel", "Krause", "Lang", "Sato", "Tanaka", "Ito", "Mori", "Kato", "Abe"),
]
# Role → department and share of the register of master.employees.
_ROLES = {
    "operator": ("production", 0.5),
    "technician": ("maintenance", 0.12),
    "supervisor": ("production", 0.06),
    "quality_inspector": ("quality", 0.08),
    "maintenance_engineer": ("maintenance", 0.06),
    "production_engineer": ("production", 0.05),
    "quality_engineer": ("quality", 0.04),
    "logistics_coordinator": ("logistics", 0.04),
    "planning_coordinator": ("planning", 0.03),
    "manager": ("management", 0.02),
}


def people(plan: Plan, name: str, ids: pl.Series) -> pl.DataFrame:
    """First and last names for the people of one register."""
    rng = plan.rng(f"{name}.names")
    return pl.DataFrame(
        {
            ids.name: ids,
            "first_name": pl.Series(choose(rng, _FIRST_NAMES, len(ids)), dtype=pl.String),
            "last_name": pl.Series(choose(rng, _LAST_NAMES, len(ids)), dtype=pl.String),
        }
    )


def employees(plan: Plan, lines_: pl.DataFrame) -> pl.DataFrame:
    """The master register: every person with a line, the line's factory, a role and its department."""
    rng = plan.rng("employees")
    count = plan.rows("master.employees")
    role = choose(rng, list(_ROLES), count, [share for _, share in _ROLES.values()])
    line = rng.integers(0, len(lines_), count)
    return people(plan, "employees", identifiers("master.employees", count)).with_columns(
        role=pl.Series(role, dtype=pl.String),
        department=pl.Series([_ROLES[r][0] for r in role]),
        line_id=lines_["line_id"].gather(line),
        factory_id=lines_["factory_id"].gather(line),
    )


def hcm_departments(factories_: pl.DataFrame) -> pl.DataFrame:
    """Eight departments a factory."""
    names = ["Production", "Maintenance", "Quality", "Logistics", "Planning", "Engineering", "Administration", "Safety"]
    frame = factories_.select("factory_id", "factory_name").join(
        pl.DataFrame({"name": names}), how="cross", maintain_order="left_right"
    )
    return frame.select(
        identifiers("hcm.departments", len(frame)),
        "factory_id",
        department_name=pl.col("name") + " " + pl.col("factory_name"),
        function=pl.col("name"),
    )


def hcm_employees(plan: Plan, departments: pl.DataFrame) -> pl.DataFrame:
    """The hcm register (other people than the master register): 99 to several hundred, by scale."""
    rng = plan.rng("hcm_employees")
    count = max(plan.rows("hcm.employees"), round(320 * plan.scale))
    home = rng.choice(len(departments), count, p=np.tile([0.4, 0.15, 0.12, 0.12, 0.06, 0.06, 0.06, 0.03], 4) / 4)
    hired = plan.start.date()
    days = np.where(rng.random(count) < 0.08, -rng.integers(0, 300, count), rng.integers(30, 4_000, count))
    return people(plan, "hcm_employees", identifiers("hcm.employees", count)).with_columns(
        primary_department_id=departments["department_id"].gather(home),
        primary_factory_id=departments["factory_id"].gather(home),
        hire_date=pl.Series([min(hired - timedelta(days=int(d)), plan.end.date()) for d in days]),
    )
