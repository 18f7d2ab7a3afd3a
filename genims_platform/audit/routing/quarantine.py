"""Events that cannot be stored as they should be mapped: they keep their place and number, and everything they hold."""

import base64
import json
import re
from dataclasses import asdict
from datetime import datetime
from typing import Any

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.ledger.entries import Columns, Entry
from genims_platform.audit.routing import security
from genims_platform.audit.routing.actor import parse_context
from genims_platform.audit.routing.change import WHOLE_ROW
from genims_platform.audit.routing.cipher import Cipher
from genims_platform.audit.routing.errors import CipherError
from genims_platform.audit.routing.values import Json, Number, compact, utc

QUARANTINED = "QUARANTINED"
_MESSAGE_CHARACTERS = 200
# What databases quote may be a value, and quotes in it stand as they are. Only what ends a message like this is a name.
_NAME = re.compile(r"(?:for )?(?:column|constraint|key) '[\w.$]+'(?: at row \d+| is violated)?\.?$", re.IGNORECASE)
_QUOTE = re.compile(r"['\"]")


def quarantine_subject(source: str) -> str:
    """Under whose key the events of a source are encrypted in quarantine."""
    return f"quarantine:{source}"


def quarantined(
    source: str, incarnation: int, event: Event, cipher: Cipher, message: str, number: int | None = None
) -> Entry:
    """An event in quarantine: its header as far as it fits, the queue row encrypted, a finding, nothing else.

    Args:
        source: where it happened.
        incarnation: life of the source.
        event: the event.
        cipher: has the key of `quarantine_subject(source)`.
        message: why it cannot be stored.
        number: the database's number of the error, if a database refused it.

    Raises:
        CipherError: the row cannot be encrypted now.
    """
    reason = without_values(message)
    error: dict[str, Json] = {"message": reason, "number": None if number is None else Number(number)}
    try:
        sealed = cipher.encrypt(
            quarantine_subject(source), source, incarnation, event.event_id, WHOLE_ROW, "n", "s", raw_row(event)
        )
    except Exception as caught:
        raise CipherError(f"an event of {source} cannot be encrypted: {caught!r}") from caught
    context = parse_context(event.ctx)
    header = {
        **_bare(event),
        "user_id": _fitting(context.user, 128),
        "session_id": _fitting(context.session, 128),
        "schema_name": _fitting(event.schema_name, 63),
        "table_name": _fitting(event.table_name, 63),
        "primary_key_value": _fitting(event.pk, 255),
        "sensitivity_class": _fitting(event.table_class, 16),
        "db_user": _fitting(event.db_user, 63),
        "source_ip": _fitting(context.ip or event.client_addr, 45),
        "application_name": _fitting(context.app or event.app_name, 128),
        "payload": compact({"error": error, "event": sealed}),
    }
    return Entry(header, (_finding(source, event, reason, number),))


def bare_quarantined(source: str, event: Event, message: str, number: int | None = None) -> Entry:
    """The same without anything that a database could refuse: of the event only its place and its digest."""
    return Entry(_bare(event), (_finding(source, event, without_values(message), number),))


def without_values(message: str) -> str:
    """The beginning of an error message without what it quotes, but for the column, constraint or key at its end."""
    name = _NAME.search(message)
    before = message[: name.start()] if name else message
    if quote := _QUOTE.search(before):
        before = f"{before[: quote.start()]}'***'{' ' if name else ''}"
    return (before + (name[0] if name else ""))[:_MESSAGE_CHARACTERS]


def raw_row(event: Event) -> str:
    """The queue row as base64 of JSON, its digest in hex."""
    fields: dict[str, Json] = {
        name: value if value is None else value.isoformat() if name == "occurred_at" else _text(value)
        for name, value in asdict(event).items()
    }
    return base64.b64encode(compact(fields).encode()).decode("ascii")


def raw_fields(raw: str) -> dict[str, Any]:
    """The columns of a queue row from a text that `raw_row` made."""
    return json.loads(base64.b64decode(raw))


def event_of(raw: str) -> Event:
    """The event of a text that `raw_row` made."""
    fields = raw_fields(raw)
    fields["occurred_at"] = datetime.fromisoformat(fields["occurred_at"])
    fields["digest"] = bytes.fromhex(fields["digest"])
    return Event(**fields)


def _text(value: str | int | bytes) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return Number(value) if isinstance(value, int) else value


def _bare(event: Event) -> Columns:
    return {
        "event_id": event.event_id,
        "transaction_id": event.xid,
        "audit_timestamp": utc(event.occurred_at),
        "event_kind": event.kind[:12],
        "operation_type": event.op[:16],
        "status": QUARANTINED,
        "event_digest": event.digest,
    }


def _fitting(text: str | None, length: int) -> str | None:
    return None if text is None or len(text) > length else text


def _finding(source: str, event: Event, reason: str, number: int | None) -> tuple[str, Columns]:
    code = "" if number is None else f" (code {number})"
    return security.TABLE, {
        "event_timestamp": utc(event.occurred_at),
        "event_type": "POISON_EVENT",
        "event_severity": "HIGH",
        "rule_id": security.RULE,
        "db_user": _fitting(event.db_user, 63),
        "source_ip": _fitting(event.client_addr, 45),
        "resource_type": "event",
        "resource_name": f"{source}:{event.event_id}",
        "description": f"event {event.event_id} of {source} cannot be stored as it is: {reason}{code}",
        "evidence_count": 1,
        "action_taken": "kept in quarantine",
    }
