"""`security_events`: what in the stream of events needs attention."""

from collections.abc import Iterator

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.values import Row, compact, cut, plain_text, utc

TABLE = "security_events"
RULE = "STREAM"
_SEVERITIES = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
_MARKS = ("SUSPENDED", "UNINSTALLED", "INCARNATION")


def row(
    event: Event,
    actor: Actor,
    event_type: str,
    severity: str,
    description: str,
    *,
    resource_type: str | None = None,
    resource_name: str | None = None,
    detail: str | None = None,
) -> tuple[str, Columns]:
    """One finding about one event."""
    return TABLE, {
        "event_timestamp": utc(event.occurred_at),
        "event_type": cut(event_type, 32),
        "event_severity": severity,
        "rule_id": RULE,
        **actor.session,
        "resource_type": cut(resource_type, 64),
        "resource_name": cut(resource_name, 255),
        "description": cut(description, 1000),
        "evidence_count": 1,
        "detail": detail,
    }


def reported_rows(event: Event, detail: Row, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """What an application or the comparison of catalogues reported. An unknown severity counts as HIGH."""
    severity = plain_text(detail.get("severity"))
    further = detail.get("detail")
    yield row(
        event,
        actor,
        event.op,
        severity if severity in _SEVERITIES else "HIGH",
        plain_text(detail.get("description")) or event.op,
        detail=None if further is None else compact(further),
    )


def mark_rows(event: Event, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """Capture was suspended or removed, or a source begins a new life."""
    if event.op in _MARKS:
        yield row(
            event,
            actor,
            f"CAPTURE_{event.op}",
            "HIGH",
            f"audit capture: {event.op.lower()}",
            resource_type="table" if event.table_name else "database",
            resource_name=event.table_name,
        )
