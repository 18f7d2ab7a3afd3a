"""One event as the audit trail stores it: its rows in every table, its batch, and the checkpoint that covers it."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from genims_platform.audit.database import audit_database
from genims_platform.audit.ledger.layout import TABLES
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.connection import Database
from genims_platform.settings import Settings

# The index on first_sequence is read backwards; batches without events stand between the batch and the next number.
_BATCH = f"""
SELECT * FROM {SPINE} WHERE first_sequence <= %(sequence)s AND last_sequence >= %(sequence)s
ORDER BY first_sequence DESC LIMIT 1
"""  # noqa: S608
_NEWEST = f"SELECT last_sequence FROM {SPINE} ORDER BY batch_no DESC LIMIT 1"  # noqa: S608
# By time because there is one a minute for years; the hour is what clocks may differ by.
_CHECKPOINT = """
SELECT checkpoint_no, checkpoint_timestamp FROM audit_integrity_checkpoints
WHERE record_type = 'CHECKPOINT' AND checkpoint_timestamp >= %(recorded_at)s - INTERVAL 1 HOUR
  AND covers_sequence >= %(sequence)s
ORDER BY checkpoint_timestamp LIMIT 1
"""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class EventRecord:
    """All that is stored of one event; instants are naive UTC, hashes bytes, personal values ciphertexts.

    `rows` has the tables in the order in which their rows are hashed, the ledger first. It is empty for a number that
    was declared void: `batch` says so by its kind.
    """

    audit_sequence: int
    batch: Row
    checkpoint: Row | None
    """The first one that covers the event; None as long as none does."""

    rows: Mapping[str, Sequence[Row]]


def event_record(settings: Settings, sequence: int) -> EventRecord:
    """The event of this number, read as the auditor.

    Raises:
        LookupError: no event has this number yet.
        DatabaseUnavailableError: the audit database cannot be reached.
    """
    with closing(audit_database(settings, "auditor")) as database:
        newest = _first(database, _NEWEST, {})
        last = newest["last_sequence"] if newest else 0
        batch = _first(database, _BATCH, {"sequence": sequence}) if 0 < sequence <= last else None
        if batch is None:
            raise LookupError(f"the audit trail has no event {sequence}; its numbers are 1 to {last}")
        named = {part.partition("=")[0] for part in batch["table_counts"].split(";")}
        rows = {table: _rows(database, table, sequence) for table in TABLES if table in named}
        checkpoint = _first(database, _CHECKPOINT, {"sequence": sequence, "recorded_at": batch["recorded_at"]})
    return EventRecord(sequence, batch, checkpoint, {table: found for table, found in rows.items() if found})


def _rows(database: Database, table: str, sequence: int) -> list[dict[str, Any]]:
    statement = f"SELECT * FROM {table} WHERE audit_sequence = %s ORDER BY item_no"  # noqa: S608
    return database.read(statement, (sequence,)).rows(named=True)


def _first(database: Database, statement: str, parameters: dict[str, Any]) -> Row | None:
    return next(database.read(statement, parameters).iter_rows(named=True), None)


def ledger_row(event: EventRecord) -> Row | None:
    """Its row of the ledger; None for a number that was declared void."""
    return next(iter(event.rows.get(LEDGER, ())), None)
