"""`personnel_data_changes`: changes of employee data in any source."""

from collections.abc import Iterator
from functools import cache

from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.change import Change

TABLE = "personnel_data_changes"
COMPENSATION = "COMPENSATION"
_AREAS = {
    "positions": "POSITION",
    "employee_employment_history": "POSITION",
    "succession_planning": "POSITION",
    "succession_candidates": "POSITION",
    "leave_requests": "LEAVE",
    "employee_leave_balances": "LEAVE",
    "safety_incidents": "HEALTH_SAFETY",
    "performance_reviews": "PERFORMANCE",
    "employee_goals": "PERFORMANCE",
    "employee_certifications": "TRAINING",
    "employee_skills": "TRAINING",
    "training_enrollments": "TRAINING",
    "attendance_records": "ATTENDANCE",
    "employee_shifts": "ATTENDANCE",
    "employee_onboarding": "ONOFFBOARDING",
    "employee_onboarding_items": "ONOFFBOARDING",
    "offboarding_records": "ONOFFBOARDING",
}
_EMPLOYEE = ("employee_id", "technician_id", "worker_id", "agent_id", "sales_rep_id", "current_incumbent_id")


@cache
def area(table: str) -> str:
    """The part of personnel work that a table belongs to."""
    return _AREAS.get(table, "ATTENDANCE" if table.startswith("labor_") else "IDENTITY")


def rows(change: Change, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """One row a changed row.

    Every row with pay in it is about compensation; its area is that only when the pay is what was updated.
    """
    plan = change.plan
    employee = change.identity(*_EMPLOYEE)
    compensation = bool(plan.compensation and change.touched(plan.compensation))
    yield (
        TABLE,
        {
            "change_timestamp": change.at,
            "table_name": plan.name,
            "primary_key_value": change.pk,
            "employee_id": employee,
            "subject_ref": change.subject_ref,
            "key_id": change.key_id(),
            "change_area": COMPENSATION if compensation and change.is_update else area(plan.name),
            "change_type": change.op,
            "is_health_data": int(plan.rule is not None and plan.rule.health),
            "is_compensation": int(compensation),
            "self_change": int(employee is not None and employee == actor.user_id),
            "changed_columns": change.changed_columns,
            "old_values": change.values("o"),
            "new_values": change.values("n"),
            "user_role": actor.user_role,
            **actor.approval,
        },
    )
