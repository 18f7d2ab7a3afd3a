"""The events in quarantine: which they are, and what they hold."""

import base64
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from genims_platform.audit.encryption.cipher import Place, decrypt, stored_key_id
from genims_platform.audit.encryption.keystore import KeyStore
from genims_platform.audit.ledger.append import Ledger, open_ledger
from genims_platform.audit.routing.change import WHOLE_ROW
from genims_platform.audit.routing.quarantine import quarantine_subject
from genims_platform.settings import Settings

_LIST = """
    SELECT l.audit_sequence, l.source_db, l.incarnation, l.event_id, l.audit_timestamp, l.event_kind, l.operation_type,
        l.table_name, l.primary_key_value, l.payload, s.description
    FROM system_audit_log l
    LEFT JOIN security_events s ON s.audit_sequence = l.audit_sequence AND s.event_type = 'POISON_EVENT'
    WHERE l.status = 'QUARANTINED'
"""


@dataclass(frozen=True)
class QuarantinedEvent:
    """One event in quarantine; `occurred_at` is UTC, `reason` quotes no value."""

    sequence: int
    source: str
    incarnation: int
    event_id: int
    occurred_at: datetime
    kind: str
    operation: str
    table: str | None
    key: str | None
    reason: str
    has_copy: bool
    """The whole event is there, encrypted; otherwise only its digest is."""


def quarantined_events(settings: Settings) -> list[QuarantinedEvent]:
    """All of them, oldest first.

    Raises:
        AuditUnavailableError: the audit database cannot be reached.
    """
    with closing(open_ledger(settings, "relay")) as ledger:
        return [_event(row) for row in ledger.query(f"{_LIST} ORDER BY l.audit_sequence")]


def explain(settings: Settings, keys: KeyStore, sequence: int) -> tuple[QuarantinedEvent, Mapping[str, Any] | None]:
    """An event with what its row in the queue held, decrypted; None instead where only the digest was kept.

    Raises:
        LookupError: no event in quarantine has this number.
        KeyGoneError: the key of the quarantine was destroyed.
        AuditUnavailableError: the audit database cannot be reached.
    """
    with closing(open_ledger(settings, "relay")) as ledger:
        row = _row(ledger, sequence)
    event = _event(row)
    if not event.has_copy:
        return event, None
    sealed = str(json.loads(row[9])["event"])
    place = Place(event.source, event.incarnation, event.event_id, WHOLE_ROW, "n")
    key = keys.get(stored_key_id(sealed))
    _, text = decrypt(key, quarantine_subject(event.source), place, sealed)
    return event, json.loads(base64.b64decode(text))


def _row(ledger: Ledger, sequence: int) -> tuple[Any, ...]:
    rows = ledger.query(f"{_LIST} AND l.audit_sequence = %s", (sequence,))
    if not rows:
        raise LookupError(f"event {sequence} is not in quarantine; see `genims audit quarantine list`")
    return rows[0]


def _event(row: tuple[Any, ...]) -> QuarantinedEvent:
    sequence, source, incarnation, number, at, kind, operation, table, key, payload, description = row
    return QuarantinedEvent(
        sequence, source, incarnation, number, at, kind, operation, table, key, description or "", payload is not None
    )
