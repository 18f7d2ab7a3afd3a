"""Events that were in quarantine and are recorded after all: what a REPROCESSED event says against its original."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.verify.findings import Finding
from genims_platform.mysql.append_only import LEDGER, SPINE

OPERATION = b"REPROCESSED"
_QUARANTINED = "QUARANTINED"
_ORIGINAL = (
    "SELECT source_db, incarnation, event_id, event_digest, status, event_kind, operation_type, table_name, "  # noqa: S608
    f"primary_key_value FROM {LEDGER} WHERE audit_sequence = %s"
)
_BY_EVENT = f"SELECT MIN(audit_sequence) FROM {LEDGER} WHERE source_db = %s AND incarnation = %s AND event_id = %s"  # noqa: S608
_UID = f"SELECT batch_uid, event_count FROM {SPINE} WHERE batch_no = %s"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Reprocessed:
    """A REPROCESSED event: its own place, and which event it says it records."""

    batch_no: int
    number: int
    sequence: int | None
    """Of the original; None if that has none."""

    source: str
    incarnation: int
    event_id: int
    digest: str
    kind: str
    operation: str
    table: str | None
    key: str | None


def read_reprocessed(
    batch_no: int, number: int, payload: bytes | None, table: bytes | None, key: bytes | None
) -> Reprocessed | None:
    """What a ledger row of this operation says; None if it does not say which event it records."""
    try:
        said: Any = json.loads(payload or b"")
        original, event = said["original"], said["event"]
        return Reprocessed(
            batch_no,
            number,
            None if original["sequence"] is None else int(original["sequence"]),
            str(original["source"]),
            int(original["incarnation"]),
            int(original["event_id"]),
            str(original["digest"]),
            str(event["event_kind"]),
            str(event["operation_type"]),
            None if table is None else table.decode(),
            None if key is None else key.decode(),
        )
    except (ValueError, KeyError, TypeError):
        return None


def unfounded(connection: MySQLConnectionAbstract, found: Sequence[Reprocessed]) -> Iterator[Finding]:
    """Those that record another event than the one they name, or could record it twice."""
    with connection.cursor() as cursor:
        for event in found:
            cursor.execute(_UID, (event.batch_no,))
            if cursor.fetchall() != [(_uid(event), 1)]:
                sentence = (
                    f"number {event.number} records event {event.event_id} of {event.source} after all, but not under "
                    "the uid that can be given only once"
                )
                yield Finding("V20", event.batch_no, event.number, SPINE, sentence)
            if problem := _problem(cursor, event):
                sentence = f"number {event.number} records an event after all, but {problem}"
                yield Finding("V21", event.batch_no, event.number, LEDGER, sentence)


def _problem(cursor: Any, event: Reprocessed) -> str | None:
    if event.sequence is None:
        cursor.execute(_BY_EVENT, (event.source, event.incarnation, event.event_id))
        ((known,),) = cursor.fetchall()
        return None if known is None else f"the ledger has that event as number {known}"
    cursor.execute(_ORIGINAL, (event.sequence,))
    rows = cursor.fetchall()
    if not rows or event.sequence >= event.number:
        return f"no number {event.sequence} stands before it"
    source, incarnation, event_id, digest, status, kind, operation, table, key = rows[0]
    if status != _QUARANTINED:
        return f"number {event.sequence} is not in quarantine"
    if (source, incarnation, event_id) != (event.source, event.incarnation, event.event_id):
        return f"number {event.sequence} is another event"
    # The header of the original holds what fits.
    same = bytes(digest).hex() == event.digest and (kind, operation) == (event.kind[:12], event.operation[:16])
    if not same or table not in (None, event.table) or key not in (None, event.key):
        return f"number {event.sequence} is about something else"
    return None


def _uid(event: Reprocessed) -> bytes:
    return hashlib.sha256(f"REPROCESSED {event.source} {event.incarnation} {event.event_id}".encode()).digest()[:16]
