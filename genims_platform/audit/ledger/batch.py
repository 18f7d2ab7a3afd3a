"""Batches: a slice of one source's events with its numbers, its rows in leaf order and its place in the hash chain."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from genims_platform.audit.ledger.entries import Columns, Entry, Value
from genims_platform.audit.ledger.errors import UnstorableError
from genims_platform.audit.ledger.layout import (
    HASH_VERSION,
    TABLE_NUMBERS,
    Pieces,
    batch_hash,
    merkle_root,
    placed,
    row_layout,
)
from genims_platform.mysql.append_only import LEDGER, SPINE

MAX_EVENTS = 1000

EncodedEntry = tuple[tuple[str, Pieces], ...]
"""An event whose rows are encoded but for their place: table and row, in the order of the leaves. Cheap to send."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest batch of the chain, as far as the next one needs it."""

    batch_no: int
    last_sequence: int
    batch_hash: bytes
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of which range of which source a batch holds; the range ends with tick `tick_to` and its token."""

    source: str
    incarnation: int
    tick_from: int
    tick_to: int
    tick_token: bytes
    part_no: int = 0
    is_last_part: bool = True


@dataclass(frozen=True)
class Batch:
    """A batch ready to be appended.

    `literals` holds, for each table, its rows as they stand in a statement, values in the order of the table's layout.
    """

    spine: Columns
    literals: Mapping[str, Sequence[bytes]]
    entries: tuple[Entry, ...] = field(default=(), compare=False, repr=False)
    """What it was built from; none if that was encoded before."""

    @property
    def head(self) -> Head:
        """The head of the chain once this batch is there."""
        return Head(*_values(self.spine, "batch_no", "last_sequence", "batch_hash", "recorded_at"))

    @property
    def span(self) -> Span:
        """The part of the source's events that it holds."""
        return span_of(self.spine)

    @property
    def event_count(self) -> int:
        """How many numbers it gives out."""
        count = self.spine["event_count"]
        assert isinstance(count, int)  # noqa: S101
        return count

    @property
    def rows(self) -> Mapping[str, Sequence[Columns]]:
        """The rows of each table but the spine, with all columns that are not NULL, in leaf order.

        Raises:
            ValueError: it was assembled from encoded entries.
        """
        if len(self.entries) != self.event_count:
            raise ValueError("the batch holds no rows, only their statements")
        found: dict[str, list[Columns]] = {table: [] for table in self.literals}
        first, batch_no, recorded_at = _values(self.spine, "first_sequence", "batch_no", "recorded_at")
        for sequence, entry in enumerate(self.entries, first):
            place: Columns = {"audit_sequence": sequence, "batch_no": batch_no, "recorded_at": recorded_at}
            for table, row in _unplaced(self.span.source, self.span.incarnation, entry):
                found[table].append({name: value for name, value in (row | place).items() if value is not None})
        return found


def span_of(spine: Columns) -> Span:
    """The span of a spine row."""
    return Span(
        *_values(spine, "source_db", "incarnation", "tick_from", "tick_to", "tick_token", "part_no"),
        is_last_part=bool(spine["is_last_part"]),
    )


def encode_entry(source: str, incarnation: int, entry: Entry) -> EncodedEntry:
    """The rows of an event of an incarnation of a source, for `assemble_batch`.

    Raises:
        UnstorableError: a value cannot be stored.
    """
    return tuple((table, row_layout(table).pieces(row)) for table, row in _unplaced(source, incarnation, entry))


def build_batch(
    head: Head | None,
    kind: str,
    span: Span,
    entries: Sequence[Entry],
    *,
    recorded_at: datetime,
    writer_id: str,
    batch_uid: bytes,
    routing_version: int,
    event_count: int | None = None,
) -> Batch:
    """The batch that follows `head` (None: it is the first of all). Pure: equal arguments give equal bytes.

    Args:
        head: the newest batch.
        kind: GENESIS, OPEN, STREAM, CONTROL or VOID.
        span: what it holds.
        entries: the events in order, at most 1,000.
        recorded_at: UTC, not before the head's.
        writer_id: at most 64 characters that name this writer.
        batch_uid: 16 random bytes that name this attempt.
        routing_version: version of the policy that routed the events.
        event_count: numbers that a VOID batch uses up without events.

    Raises:
        UnstorableError: a value cannot be stored; `entry` is the position of the event.
        ValueError: too many events, or a clock that runs backwards.
    """
    encoded: list[EncodedEntry] = []
    for position, entry in enumerate(entries):
        try:
            encoded.append(encode_entry(span.source, span.incarnation, entry))
        except UnstorableError as error:
            error.entry = position
            raise
    batch = assemble_batch(
        head,
        kind,
        span,
        encoded,
        recorded_at=recorded_at,
        writer_id=writer_id,
        batch_uid=batch_uid,
        routing_version=routing_version,
        event_count=event_count,
    )
    return replace(batch, entries=tuple(entries))


def assemble_batch(
    head: Head | None,
    kind: str,
    span: Span,
    entries: Sequence[EncodedEntry],
    *,
    recorded_at: datetime,
    writer_id: str,
    batch_uid: bytes,
    routing_version: int,
    event_count: int | None = None,
) -> Batch:
    """As `build_batch`, from entries that are encoded already, for the source and incarnation of `span`.

    Raises:
        UnstorableError: a value of the spine row cannot be stored.
        ValueError: as `build_batch`.
    """
    if len(entries) > MAX_EVENTS:
        raise ValueError(f"{len(entries)} events; a batch holds at most {MAX_EVENTS}")
    if head is not None and recorded_at < head.recorded_at:
        raise ValueError(f"recorded_at {recorded_at} lies before that of batch {head.batch_no}, {head.recorded_at}")
    if event_count is not None and (kind != "VOID" or entries):
        raise ValueError("only a VOID batch, which has no events, uses up numbers without them")
    last = head.last_sequence if head else 0
    count = len(entries) if event_count is None else event_count
    spine: dict[str, Value] = {
        "batch_no": head.batch_no + 1 if head else 0,
        "batch_kind": kind,
        "source_db": span.source,
        "incarnation": span.incarnation,
        "tick_from": span.tick_from,
        "tick_to": span.tick_to,
        "tick_token": span.tick_token,
        "part_no": span.part_no,
        "is_last_part": int(span.is_last_part),
        "prev_batch_no": head.batch_no if head else None,
        "prev_last_sequence": head.last_sequence if head else None,
        "prev_hash": head.batch_hash if head else None,
        "prev_recorded_at": head.recorded_at if head else None,
        "first_sequence": last + 1,
        "last_sequence": last + count,
        "event_count": count,
        "recorded_at": recorded_at,
        "writer_id": writer_id,
        "batch_uid": batch_uid,
        "hash_version": HASH_VERSION,
        "routing_version": routing_version,
    }
    literals: dict[str, list[bytes]] = {}
    leaves: list[bytes] = []
    common = row_layout(LEDGER)
    batch_no, at = common.value("batch_no", spine["batch_no"]), common.value("recorded_at", recorded_at)
    for sequence, entry in enumerate(entries, last + 1):
        number = common.value("audit_sequence", sequence)
        for table, pieces in entry:
            leaf, literal = placed(pieces, number, batch_no, at)
            leaves.append(leaf)
            literals.setdefault(table, []).append(literal)
    spine |= {
        "row_count": len(leaves),
        "table_counts": ";".join(f"{table}={len(literals[table])}" for table in sorted(literals)),
        "merkle_root": merkle_root(leaves),
    }
    spine["batch_hash"] = batch_hash(spine)
    return Batch(spine, literals)


def _unplaced(source: str, incarnation: int, entry: Entry) -> Iterator[tuple[str, dict[str, Value]]]:
    """Table and row but for its place, in the order of the leaves."""
    yield LEDGER, {**entry.ledger, "source_db": source, "item_no": 0, "incarnation": incarnation}
    items: dict[str, int] = {}
    for table, row in sorted(entry.details, key=_table_number):
        item = items.get(table, 0)
        items[table] = item + 1
        yield table, {**row, "source_db": source, "item_no": item}


def _values(spine: Columns, *names: str) -> Iterator[Any]:
    return (spine[name] for name in names)


def _table_number(detail: tuple[str, Columns]) -> int:
    table, _ = detail
    if table in (LEDGER, SPINE) or table not in TABLE_NUMBERS:
        raise UnstorableError(f"{table} is no table for details of an event", table=table)
    return TABLE_NUMBERS[table]
