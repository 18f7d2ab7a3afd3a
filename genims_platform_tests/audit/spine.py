"""Rows of the audit database as a writer would send them; hashes are stand-ins, because the server computes none."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.connection import identifier
from genims_platform.mysql.contract import ColumnContract, contracts

START = datetime(2026, 11, 22, 12)
Row = dict[str, Any]


@dataclass
class Writer:
    """Writes batches on one connection and remembers the head it expects."""

    connection: MySQLConnectionAbstract
    head: Row | None = None

    def next_batch(self, source: str, tick_from: int, tick_to: int, *, events: int = 0, **changes: Any) -> Row:
        """The spine row that follows the head, before it is sent; `changes` spoil or vary it."""
        head = self.head
        last = head["last_sequence"] if head else 0
        number = head["batch_no"] + 1 if head else 0
        return {
            "batch_no": number,
            "batch_kind": "STREAM" if head else "GENESIS",
            "source_db": source,
            "incarnation": 1,
            "tick_from": tick_from,
            "tick_to": tick_to,
            "tick_token": bytes(16),
            "part_no": 0,
            "is_last_part": 1,
            "prev_batch_no": head["batch_no"] if head else None,
            "prev_last_sequence": head["last_sequence"] if head else None,
            "prev_hash": head["batch_hash"] if head else None,
            "prev_recorded_at": head["recorded_at"] if head else None,
            "first_sequence": last + 1,
            "last_sequence": last + events,
            "event_count": events,
            "row_count": events,
            "table_counts": f"{LEDGER}={events}" if events else "",
            "merkle_root": digest("root", number),
            "batch_hash": digest("batch", number),
            "recorded_at": head["recorded_at"] + timedelta(seconds=1) if head else START,
            "writer_id": "test",
            "batch_uid": digest("uid", number)[:16],
            "hash_version": 1,
            "routing_version": 1,
            **changes,
        }

    def send(self, source: str, tick_from: int, tick_to: int, *, events: int = 0, **changes: Any) -> Row:
        """Insert the batch that follows and its ledger rows, commit, and return the spine row."""
        row = self.next_batch(source, tick_from, tick_to, events=events, **changes)
        insert(self.connection, SPINE, row)
        for sequence in range(row["first_sequence"], row["last_sequence"] + 1):
            insert(self.connection, LEDGER, event_row(LEDGER, row, sequence))
        self.connection.commit()
        self.head = row
        return row


def event_row(table: str, batch: Mapping[str, Any], sequence: int, **changes: Any) -> Row:
    """A row of the ledger or a detail table in this batch: any value where one is needed, NULL elsewhere."""
    made_up = {column.name: _value(column) for column in contracts("audit")[table].columns if not column.nullable}
    place = {
        "audit_sequence": sequence,
        "item_no": 0,
        "recorded_at": batch["recorded_at"],
        "batch_no": batch["batch_no"],
        "source_db": batch["source_db"],
    }
    return {**made_up, **place, **changes}


def insert(connection: MySQLConnectionAbstract, table: str, row: Mapping[str, Any], verb: str = "INSERT") -> None:
    """Send one row."""
    columns = ", ".join(map(identifier, row))
    values = ", ".join(["%s"] * len(row))
    execute(connection, f"{verb} INTO {identifier(table)} ({columns}) VALUES ({values})", list(row.values()))


def execute(connection: MySQLConnectionAbstract, statement: str, parameters: Sequence[Any] = ()) -> None:
    """Send one statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement, tuple(parameters))


def digest(*parts: object) -> bytes:
    """32 bytes that differ with the parts."""
    return hashlib.sha256(repr(parts).encode()).digest()


def _value(column: ColumnContract) -> Any:
    if column.sql_type.startswith("binary"):
        return digest(column.name)
    if column.sql_type == "date":
        return date(2026, 11, 22)
    if column.sql_type == "datetime(6)":
        return START
    return "X" if column.max_length or column.sql_type == "longtext" else 1
