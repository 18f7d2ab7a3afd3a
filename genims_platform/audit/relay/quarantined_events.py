"""The events in quarantine: which they are, what they hold, and which of them were reprocessed."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.encryption.cipher import Place, decrypt, stored_key_id
from genims_platform.audit.encryption.keystore import KeyStore
from genims_platform.audit.ledger.append import Ledger, open_ledger
from genims_platform.audit.reprocessed import EventName, reprocessed
from genims_platform.audit.routing.change import WHOLE_ROW
from genims_platform.audit.routing.quarantine import event_of, quarantine_subject, raw_fields
from genims_platform.settings import Settings

# Each has a finding, and findings are indexed by their severity.
_LIST = """
    SELECT l.audit_sequence, l.source_db, l.incarnation, l.event_id, l.audit_timestamp, l.event_kind, l.operation_type,
        l.table_name, l.primary_key_value, l.event_digest, l.payload, s.description
    FROM security_events s
    JOIN system_audit_log l ON l.audit_sequence = s.audit_sequence AND l.recorded_at = s.recorded_at
    WHERE s.event_severity = 'HIGH' AND s.event_type = 'POISON_EVENT' AND l.status = 'QUARANTINED'
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

    reprocessed_as: int | None
    """Number of the later event that carries its details, once it was reprocessed."""

    @property
    def name(self) -> EventName:
        """Which event it is."""
        return EventName(self.source, self.incarnation, self.event_id)


@dataclass(frozen=True)
class StoredEvent:
    """An event in quarantine as the ledger has it: `digest` is that of the queue row, `sealed` its encrypted copy."""

    event: QuarantinedEvent
    digest: bytes
    sealed: str | None

    def raw(self, keys: KeyStore) -> str | None:
        """What `raw_row` made of the queue row; None where only the digest was kept.

        Raises:
            KeyGoneError: the key of the quarantine was destroyed.
            DecryptionError: the copy is not what was encrypted.
        """
        if self.sealed is None:
            return None
        found = self.event
        place = Place(found.source, found.incarnation, found.event_id, WHOLE_ROW, "n")
        key = keys.get(stored_key_id(self.sealed))
        return decrypt(key, quarantine_subject(found.source), place, self.sealed)[1]

    def original(self, keys: KeyStore) -> Event | None:
        """The event; None where only its digest was kept.

        Raises:
            KeyGoneError: the key of the quarantine was destroyed.
            DecryptionError: the copy is not what was encrypted.
        """
        raw = self.raw(keys)
        return None if raw is None else event_of(raw)


def quarantined_events(settings: Settings) -> list[QuarantinedEvent]:
    """All of them, oldest first.

    Raises:
        AuditUnavailableError: the audit database cannot be reached.
    """
    with closing(open_ledger(settings, "relay")) as ledger:
        return [found.event for found in stored_events(ledger)]


def stored_events(ledger: Ledger, sequences: Sequence[int] | None = None) -> list[StoredEvent]:
    """The events in quarantine with these numbers, or all, oldest first.

    Raises:
        LookupError: no event in quarantine has one of the numbers.
        AuditUnavailableError: the audit database cannot be reached.
    """
    rows: list[tuple[Any, ...]] = []
    if sequences is None:
        rows = ledger.query(f"{_LIST} ORDER BY l.audit_sequence")
    else:
        for sequence in sorted({*sequences}):
            found = ledger.query(f"{_LIST} AND s.audit_sequence = %s", (sequence,))
            if not found:
                raise LookupError(f"event {sequence} is not in quarantine; see `genims audit quarantine list`")
            rows += found
    done = reprocessed(ledger, (EventName(*row[1:4]) for row in rows))
    return [_event(row, done) for row in rows]


def explain(settings: Settings, keys: KeyStore, sequence: int) -> tuple[QuarantinedEvent, Mapping[str, Any] | None]:
    """An event with what its row in the queue held, decrypted; None instead where only the digest was kept.

    Raises:
        LookupError: no event in quarantine has this number.
        KeyGoneError: the key of the quarantine was destroyed.
        AuditUnavailableError: the audit database cannot be reached.
    """
    with closing(open_ledger(settings, "relay")) as ledger:
        (found,) = stored_events(ledger, [sequence])
    raw = found.raw(keys)
    return found.event, None if raw is None else raw_fields(raw)


def _event(row: tuple[Any, ...], done: Mapping[EventName, int]) -> StoredEvent:
    sequence, source, incarnation, number, at, kind, operation, table, key, digest, payload, description = row
    event = QuarantinedEvent(
        sequence,
        source,
        incarnation,
        number,
        at,
        kind,
        operation,
        table,
        key,
        description,
        payload is not None,
        done.get(EventName(source, incarnation, number)),
    )
    return StoredEvent(event, bytes(digest), None if payload is None else str(json.loads(payload)["event"]))
