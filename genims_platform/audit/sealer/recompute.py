"""Stored batches computed again from the rows that the server holds, before anything is signed."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import Any

from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.entries import Value
from genims_platform.audit.ledger.errors import UnstorableError
from genims_platform.audit.ledger.layout import (
    HASH_VERSION,
    TABLE_NUMBERS,
    TABLES,
    batch_hash,
    leaf,
    merkle_root,
    row_layout,
)
from genims_platform.audit.sealer.errors import SealRefusedError
from genims_platform.mysql.append_only import SPINE
from genims_platform.mysql.connection import identifier
from genims_platform.mysql.contract import contracts

BATCHES_AT_ONCE = 50
ROWS_AT_ONCE = 5_000

Row = dict[str, Any]


@dataclass
class Sealed:
    """Batches from the first on that are as they were written: the newest of them, cursors and rows by table."""

    spine: Row | None = None
    cursors: dict[str, tuple[int, int, int]] = field(default_factory=dict[str, tuple[int, int, int]])
    table_rows: Counter[str] = field(default_factory=Counter[str])


def recompute(ledger: Ledger, sealed: Sealed, to_batch: int) -> None:
    """Extend `sealed` by every batch up to `to_batch`, each computed from its rows.

    Raises:
        SealRefusedError: a batch is not as it was written; `sealed` holds those before it.
        AuditUnavailableError: the database cannot be reached.
    """
    while (done := sealed.spine["batch_no"] if sealed.spine else -1) < to_batch:
        batches = _rows(ledger, SPINE, "batch_no", done + 1, min(to_batch, done + BATCHES_AT_ONCE))
        if not batches:
            first = sealed.spine["last_sequence"] + 1 if sealed.spine else 1
            raise SealRefusedError(done + 1, first, "it is not there, but later ones are")
        for piece in _pieces(batches):
            leaves = _leaves(ledger, piece)
            for batch in piece:
                _check(sealed.spine, batch, leaves[batch["batch_no"]])
                sealed.spine = batch
                sealed.cursors[batch["source_db"]] = (batch["incarnation"], batch["tick_to"], batch["part_no"])
                sealed.table_rows.update(table for table, _ in leaves[batch["batch_no"]])


def spine_row(ledger: Ledger, batch_no: int) -> Row | None:
    """The spine row of a batch, or None if there is none.

    Raises:
        AuditUnavailableError: the database cannot be reached.
    """
    return next(iter(_rows(ledger, SPINE, "batch_no", batch_no, batch_no)), None)


def _check(before: Row | None, batch: Row, leaves: Sequence[tuple[str, bytes]]) -> None:
    problem = next(_problems(before, batch, leaves), None)
    if problem is not None:
        first = before["last_sequence"] + 1 if before else 1
        raise SealRefusedError(before["batch_no"] + 1 if before else 0, first, problem)


def _problems(before: Row | None, batch: Row, leaves: Sequence[tuple[str, bytes]]) -> Iterator[str]:
    names = ("batch_no", "last_sequence", "batch_hash", "recorded_at")
    expected = [before[name] for name in names] if before else [None] * 4
    found = [batch.get(f"prev_{name}") for name in ("batch_no", "last_sequence", "hash", "recorded_at")]
    if batch["batch_no"] != (before["batch_no"] + 1 if before else 0):
        yield f"it is not there, batch {batch['batch_no']} is"
    if found != expected:
        yield "it does not follow the batch before it"
    first = (before["last_sequence"] if before else 0) + 1
    if (batch["first_sequence"], batch["last_sequence"]) != (first, first + batch["event_count"] - 1):
        yield "its numbers leave a gap or overlap"
    if before and batch["recorded_at"] < before["recorded_at"]:
        yield "it was recorded before the one before it"
    if batch["hash_version"] != HASH_VERSION:
        yield f"its hashes are of version {batch['hash_version']}, this program computes version {HASH_VERSION}"
    if batch_hash(batch) != batch["batch_hash"]:
        yield "its spine row is not as it was hashed"
    counts = Counter(table for table, _ in leaves)
    if (len(leaves), ";".join(f"{table}={counts[table]}" for table in sorted(counts))) != (
        batch["row_count"],
        batch["table_counts"],
    ):
        yield "rows are missing or surplus"
    if merkle_root([hashed for _, hashed in leaves]) != batch["merkle_root"]:
        yield "its rows are not as they were hashed"


def _leaves(ledger: Ledger, batches: Sequence[Row]) -> Mapping[int, Sequence[tuple[str, bytes]]]:
    """Batch → table and hash of each of its rows, in the order of the leaves."""
    found: dict[int, list[tuple[tuple[int, int, int], str, bytes]]] = {batch["batch_no"]: [] for batch in batches}
    filled = [batch for batch in batches if batch["event_count"]]
    if filled:
        starts = [batch["first_sequence"] for batch in filled]
        for table in TABLES:
            if table == SPINE:
                continue
            layout, number = row_layout(table), TABLE_NUMBERS[table]
            for row in _rows(ledger, table, "audit_sequence", starts[0], filled[-1]["last_sequence"]):
                batch = filled[bisect_right(starts, row["audit_sequence"]) - 1]
                if row["audit_sequence"] > batch["last_sequence"]:
                    continue  # of a batch that is gone, which the chain tells
                try:
                    encoding, _ = layout.encode(row)
                except UnstorableError as error:
                    raise SealRefusedError(batch["batch_no"], row["audit_sequence"], str(error)) from None
                place = (row["audit_sequence"], number, row["item_no"])
                found[batch["batch_no"]].append((place, table, leaf(encoding)))
    return {batch: [(table, hashed) for _, table, hashed in sorted(leaves)] for batch, leaves in found.items()}


def _pieces(batches: Sequence[Row]) -> Iterator[list[Row]]:
    """Runs of batches whose rows are read together."""
    rows = 0

    def piece(batch: Row) -> int:
        nonlocal rows
        rows += batch["row_count"]
        return (rows - 1) // ROWS_AT_ONCE

    return (list(run) for _, run in groupby(batches, piece))


def _rows(ledger: Ledger, table: str, column: str, first: int, last: int) -> list[Row]:
    names, binary = _columns(table)
    columns = ", ".join(map(identifier, names))
    statement = (
        f"SELECT {columns} FROM {identifier(table)} WHERE {identifier(column)} BETWEEN %s AND %s "  # noqa: S608
        f"ORDER BY {identifier(column)}"
    )
    return [
        {name: _plain(value, name in binary) for name, value in zip(names, row, strict=True) if value is not None}
        for row in ledger.query(statement, (first, last))
    ]


@cache
def _columns(table: str) -> tuple[tuple[str, ...], frozenset[str]]:
    columns = contracts("audit")[table].columns
    return tuple(column.name for column in columns), frozenset(
        column.name for column in columns if "binary" in column.sql_type
    )


def _plain(value: Any, binary: bool) -> Value:
    return bytes(value) if binary else value
