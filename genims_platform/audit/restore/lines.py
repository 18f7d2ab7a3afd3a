"""Lines of the journal as what they were written from: rows of the spine, and the entries of events."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from genims_platform.audit.ledger.entries import Columns, Entry, Value
from genims_platform.audit.ledger.layout import TABLE_NUMBERS
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.contract import contracts

Line = Mapping[str, Any]

_PLACE = frozenset({"audit_sequence", "item_no", "recorded_at", "batch_no", "source_db", "incarnation"})
"""What an event gets with its number."""


def spine_of(line: Line) -> Columns:
    """The row of the spine."""
    return _typed(SPINE, {name: value for name, value in line.items() if name != "rows"})


def entries_of(line: Line) -> dict[int, Entry]:
    """Number in the ledger → the event, for those whose rows the line holds, in their order."""
    rows: Mapping[str, list[Mapping[str, Any]]] = line.get("rows") or {}
    details: dict[int, list[tuple[str, Columns]]] = {row["audit_sequence"]: [] for row in rows.get(LEDGER, ())}
    for table in sorted(rows, key=TABLE_NUMBERS.__getitem__):
        if table != LEDGER:
            for row in rows[table]:
                details[row["audit_sequence"]].append((table, _unplaced(table, row)))
    header = {row["audit_sequence"]: _unplaced(LEDGER, row) for row in rows.get(LEDGER, ())}
    return {number: Entry(header[number], tuple(details[number])) for number in sorted(header)}


def differences(said: Columns, found: Columns) -> Iterable[str]:
    """Columns of the spine in which a batch that was built again differs from the journal; hashes follow from them."""
    return (name for name, value in said.items() if found[name] != value)


def _unplaced(table: str, row: Mapping[str, Any]) -> Columns:
    return _typed(table, {name: value for name, value in row.items() if name not in _PLACE and value is not None})


def _typed(table: str, row: Mapping[str, Any]) -> Columns:
    kinds = {column.name: column.sql_type for column in contracts("audit")[table].columns}
    return {name: _value(kinds[name], value) for name, value in row.items()}


def _value(sql_type: str, value: Any) -> Value:
    if value is None:
        return None
    if "binary" in sql_type:
        return bytes.fromhex(value)
    if sql_type.startswith("datetime"):
        return datetime.fromisoformat(value)
    if sql_type.startswith("date"):
        return date.fromisoformat(value)
    return Decimal(value) if sql_type.startswith("decimal") else value
