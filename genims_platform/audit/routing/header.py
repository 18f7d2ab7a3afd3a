"""The row of the ledger: what happened, where, when and by whom."""

from datetime import datetime

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.errors import UnstorableEventError
from genims_platform.audit.routing.values import Row, compact, compact_object, utc, whole

OK = "OK"
REPLAYED = "REPLAYED"


def ledger_row(
    event: Event,
    actor: Actor,
    *,
    at: datetime | None = None,
    table_name: str | None,
    table_class: str | None = None,
    affected_rows: int | None = None,
    payload: str | None = None,
    status: str = OK,
) -> Columns:
    """The columns of `system_audit_log` for an event; `at` is when it happened, if that is known as it is stored.

    Raises:
        UnstorableEventError: something that identifies the event is too long.
    """
    kind, op, schema = event.kind, event.op, event.schema_name
    if len(kind) > 12 or len(op) > 16:
        raise UnstorableEventError(f"event_kind has {len(kind)} characters, operation_type {len(op)}; 12 and 16 fit")
    return {
        "event_id": event.event_id,
        "transaction_id": event.xid,
        "audit_timestamp": at or utc(event.occurred_at),
        "event_kind": kind,
        "operation_type": op,
        "schema_name": schema,
        "table_name": table_name,
        "primary_key_value": whole(event.pk, 255, "primary_key_value"),
        "sensitivity_class": table_class,
        **actor.header,
        "affected_rows_count": affected_rows,
        "status": status,
        "event_digest": event.digest,
        "payload": payload,
    }


def payload(actor: Actor, *, state: Row | None = None, detail: Row | None = None) -> str | None:
    """What the ledger keeps beside its columns: a context that cannot be read, the state of a row, parameters."""
    if state is None and detail is None and actor.bad_context is None:
        return None
    tokens = {name: compact(value) for name, value in (detail or {}).items()}
    if state is not None:
        tokens["ctx"] = compact(dict(state))
    if actor.bad_context is not None:
        tokens["bad_ctx"] = compact(actor.bad_context)
    return compact_object(tokens)
