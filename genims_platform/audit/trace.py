"""The history of one row of a source, as the audit trail tells it; personal values stay encrypted."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from genims_platform.audit.database import audit_database
from genims_platform.audit.reprocessed import OPERATION
from genims_platform.mysql.append_only import LEDGER
from genims_platform.settings import Settings

_HEAD = (
    "audit_sequence",
    "audit_timestamp",
    "recorded_at",
    "operation_type",
    "status",
    "user_id",
    "user_role",
    "db_user",
    "application_name",
    "reason_code",
    "approval_id",
)
_CHANGE = ("column_name", "value_state", "chunk_no", "old_value", "new_value", "key_id")
# What was recorded after all stands among the control events, whose source is the audit trail itself.
_HISTORY = f"""
SELECT l.audit_sequence, l.audit_timestamp, l.recorded_at, l.operation_type, l.status, l.user_id, l.user_role,
  l.db_user, l.application_name, d.reason_code, d.approval_id, {", ".join(f"d.{name}" for name in _CHANGE)},
  CASE WHEN l.operation_type = %(reprocessed)s THEN l.payload END AS original
FROM (
  SELECT audit_sequence FROM {LEDGER} WHERE table_name = %(table)s AND primary_key_value = %(key)s
    AND CASE WHEN event_kind = 'CONTROL' AND operation_type = %(reprocessed)s
      THEN JSON_UNQUOTE(JSON_EXTRACT(payload, '$.original.source')) = %(source)s ELSE source_db = %(source)s END
  ORDER BY audit_sequence DESC LIMIT %(limit)s
) newest
JOIN {LEDGER} l ON l.audit_sequence = newest.audit_sequence
LEFT JOIN data_change_audit d ON d.audit_sequence = l.audit_sequence AND d.recorded_at = l.recorded_at
ORDER BY l.audit_sequence, d.item_no
"""  # noqa: S608


@dataclass(frozen=True)
class ValueChange:
    """One column before and after; `column` is `*` for the whole row as JSON.

    `state` is PLAIN, IMAGE, SECRET (values are never kept) or ENC (values are ciphertexts under key `key_id`).
    """

    column: str
    state: str
    old: str | None
    new: str | None
    key_id: str | None


@dataclass(frozen=True)
class Traced:
    """One event: when, what and who by; instants are naive UTC."""

    audit_sequence: int
    happened_at: datetime
    recorded_at: datetime
    operation: str
    status: str
    user_id: str | None
    user_role: str | None
    db_user: str | None
    application: str | None
    reason: str | None
    approval: str | None
    changes: tuple[ValueChange, ...]
    original: "Original | None" = None
    """The event in quarantine that this one records after all; `user_id` is who had it recorded."""

    reprocessed_as: int | None = None
    """Number of the event that records this one after all."""


@dataclass(frozen=True)
class Original:
    """An event that could not be stored as it should be at first; its number is None if it was not stored at all."""

    audit_sequence: int | None
    happened_at: datetime
    operation: str
    user_id: str | None
    user_role: str | None


def trace(settings: Settings, source: str, table: str, key: str, limit: int) -> Sequence[Traced]:
    """The newest events of the row with this primary key, oldest first; read as the auditor.

    Raises:
        DatabaseUnavailableError: the audit database cannot be reached.
    """
    with closing(audit_database(settings, "auditor")) as database:
        parameters = {"source": source, "table": table, "key": key, "limit": limit, "reprocessed": OPERATION}
        rows = database.read(_HISTORY, parameters).rows(named=True)
    events = [_event(list(event)) for _, event in groupby(rows, lambda row: row["audit_sequence"])]
    later = {event.original.audit_sequence: event.audit_sequence for event in events if event.original is not None}
    return [replace(event, reprocessed_as=later.get(event.audit_sequence)) for event in events]


def _event(rows: Sequence[Mapping[str, Any]]) -> Traced:
    changed = [row for row in rows if row["column_name"] is not None]
    changes = [_change(list(parts)) for _, parts in groupby(changed, lambda row: row["column_name"])]
    return Traced(*(rows[0][name] for name in _HEAD), changes=tuple(changes), original=_original(rows[0]["original"]))


def _original(payload: str | None) -> Original | None:
    if payload is None:
        return None
    said = json.loads(payload)
    event = said["event"]
    return Original(
        said["original"]["sequence"],
        datetime.fromisoformat(event["audit_timestamp"]),
        event["operation_type"],
        event.get("user_id"),
        event.get("user_role"),
    )


def _change(parts: Sequence[Mapping[str, Any]]) -> ValueChange:
    first = parts[0]
    return ValueChange(
        first["column_name"],
        first["value_state"],
        _joined([part["old_value"] for part in parts]),
        _joined([part["new_value"] for part in parts]),
        first["key_id"],
    )


def _joined(pieces: Sequence[str | None]) -> str | None:
    """A long value is stored in pieces; a short side of the same change has no more of them."""
    found = [piece for piece in pieces if piece is not None]
    return "".join(found) if found else None
