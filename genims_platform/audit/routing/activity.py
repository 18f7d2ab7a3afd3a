"""`user_activity_log`: what users did without changing data."""

from collections.abc import Iterator

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.policy import AuditPolicy
from genims_platform.audit.routing import security
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.values import Row, compact, cut, integer, plain_text, utc

TABLE = "user_activity_log"
LARGE_EXPORT_ROWS = 1000
_EXPORTS = ("EXPORT", "DOWNLOAD")
_MAX_INT = 2**31 - 1
_MAX_BIGINT = 2**63 - 1


def rows(event: Event, detail: Row, actor: Actor, policy: AuditPolicy) -> Iterator[tuple[str, Columns]]:
    """The activity, and a finding where it was refused or carried data away."""
    resource = plain_text(detail.get("resource_type"))
    name = plain_text(detail.get("resource_id"))
    number = row_count(detail)
    rule = policy.table(resource) if resource else None
    personal, health = bool(rule and rule.personal), bool(rule and rule.health)
    further = detail.get("detail")
    yield (
        TABLE,
        {
            **_common(event, actor),
            "resource_type": cut(resource, 64),
            "resource_id": cut(name, 255),
            "rows_returned": number,
            "contains_personal": int(personal),
            "contains_health": int(health),
            "status": cut(plain_text(detail.get("status")), 12) or "SUCCESS",
            "duration_ms": integer(detail.get("duration_ms"), 0, _MAX_INT),
            "detail": None if further is None else compact(further),
        },
    )
    if event.op == "DENIED":
        yield security.row(
            event,
            actor,
            "UNAUTHORIZED_ACCESS",
            "MEDIUM",
            f"access to {resource or 'a resource'} was denied",
            resource_type=resource,
            resource_name=name,
        )
    elif event.op in _EXPORTS and (personal or health or (number or 0) >= LARGE_EXPORT_ROWS):
        held = "health data" if health else "personal data" if personal else "many records"
        yield security.row(
            event,
            actor,
            "DATA_EXPORT",
            "MEDIUM",
            f"{event.op.lower()} of {held}: {resource or 'unnamed resource'}, rows: {number}",
            resource_type=resource,
            resource_name=name,
        )


def row_count(detail: Row) -> int | None:
    """How many records the user saw, as reported."""
    return integer(detail.get("rows"), 0, _MAX_BIGINT)


def login_row(event: Event, actor: Actor, source_ip: str | None, session: str | None, status: str) -> Columns:
    """A login event as an activity."""
    return {
        **_common(event, actor),
        "source_ip": source_ip,
        "session_id": session,
        "contains_personal": 0,
        "contains_health": 0,
        "status": status,
    }


def _common(event: Event, actor: Actor) -> Columns:
    return {"activity_timestamp": utc(event.occurred_at), "activity_type": event.op, **actor.header}
