"""Batches for tests: made-up events of a made-up source, and what the database holds of them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.batch import Batch, Head, Span, build_batch
from genims_platform.audit.ledger.entries import Columns, Entry, Value
from genims_platform.audit.ledger.layout import TABLES
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.connection import Database, identifier
from genims_platform.mysql.contract import ColumnContract, contracts

NOON = datetime(2026, 11, 22, 12, 0, 0, 1)
COMMON = frozenset({"audit_sequence", "item_no", "recorded_at", "batch_no", "source_db", "incarnation"})
DETAILS = tuple(table for table in TABLES if table not in (LEDGER, SPINE))


@dataclass
class Chain:
    """One source and a ledger to append to."""

    ledger: Ledger
    source: str
    tick: int = 0

    @classmethod
    def of_new_source(cls, ledger: Ledger) -> "Chain":
        """A source that is opened here, after a genesis if there is none."""
        if ledger.head() is None:
            ledger.append([cls(ledger, "audit").batch("GENESIS", [entry()], head=None)])
        chain = cls(ledger, f"s{secrets.token_hex(6)}")
        chain.append("OPEN", [])
        return chain

    def batch(self, kind: str, entries: Sequence[Entry], *, head: Head | None, **changes: Any) -> Batch:
        """A batch of the next range after `head`."""
        span: dict[str, Any] = {"tick_from": self.tick, "tick_to": self.tick + 1, **changes}
        return build_batch(
            head,
            kind,
            Span(self.source, 1, tick_token=secrets.token_bytes(16), **span),
            entries,
            recorded_at=self.ledger.recorded_at(head),
            writer_id="test",
            batch_uid=secrets.token_bytes(16),
            routing_version=1,
        )

    def next(self, entries: Sequence[Entry], kind: str = "STREAM", **changes: Any) -> Batch:
        """A batch of the next range after the head that the database has now."""
        return self.batch(kind, entries, head=self.ledger.head(), **changes)

    def append(self, kind: str, entries: Sequence[Entry]) -> Batch:
        """Append the next range and move on."""
        batch = self.next(entries, kind)
        self.ledger.append([batch])
        self.tick += 1
        return batch


def entry(number: int = 1, details: Sequence[tuple[str, Columns]] = (), **changes: Value) -> Entry:
    """An event with the columns that have no NULL, and those given."""
    return Entry({**needed(LEDGER, number), "event_id": number, **changes}, tuple(details))


def needed(table: str, number: int = 1) -> dict[str, Value]:
    """A value for each column that has no NULL."""
    return {column.name: any_value(column, number) for column in _own(table) if not column.nullable}


def full(table: str, number: int = 1) -> dict[str, Value]:
    """A value for each column."""
    return {column.name: any_value(column, number) for column in _own(table)}


def any_value(column: ColumnContract, number: int) -> Value:
    """A value that fits the column and differs with `number`."""
    kind, _, size = column.sql_type.rstrip(")").partition("(")
    value: Value
    match kind.split()[0]:
        case "tinyint" | "smallint" | "int":
            value = number % 100
        case "bigint":
            value = number
        case "decimal":
            precision, scale = map(int, size.split(","))
            value = Decimal(number % 1000).scaleb(-scale) - Decimal(precision > 1)
        case "datetime":
            value = NOON + timedelta(microseconds=number)
        case "date":
            value = date(2026, 1, 1) + timedelta(days=number % 365)
        case "binary" | "varbinary":
            value = (number % 256).to_bytes(1, "big") * int(size)
        case "varchar":
            value = f"{number}'\\\"ü😀"[: int(size)]
        case _:
            value = f"{number}:\n\t\r\0\x1a,'\\N' \"NULL\" \\ 😀 Müller\\"
    return value


def stored(owner: Database, batch: Batch) -> dict[str, list[dict[str, Any]]]:
    """The rows of a batch as the server returns them, without NULLs, in leaf order."""
    found: dict[str, list[dict[str, Any]]] = {}
    with owner.connection() as connection, connection.cursor(dictionary=True) as cursor:
        for table in TABLES:
            if table == SPINE:
                continue
            cursor.execute(
                f"SELECT * FROM {identifier(table)} WHERE batch_no = %s ORDER BY audit_sequence, item_no",
                (batch.head.batch_no,),
            )
            rows: Any = cursor.fetchall()
            if rows:
                found[table] = [{name: value for name, value in row.items() if value is not None} for row in rows]
    return found


def _own(table: str) -> list[ColumnContract]:
    return [column for column in contracts("audit")[table].columns if column.name not in COMMON]
