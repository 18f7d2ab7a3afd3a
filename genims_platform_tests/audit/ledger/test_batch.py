"""Numbers, order and hashes of a batch."""

import pickle
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genims_platform.audit.ledger.batch import MAX_EVENTS, Batch, Head, Span, build_batch
from genims_platform.audit.ledger.entries import Columns, Entry
from genims_platform.audit.ledger.errors import UnstorableError
from genims_platform.audit.ledger.layout import TABLE_NUMBERS, batch_hash, leaf, merkle_root, row_layout
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform_tests.audit.ledger.chain import DETAILS, NOON, entry, full, needed

HEAD = Head(7, 42, bytes(range(32)), NOON - timedelta(seconds=1))
SPAN = Span("crm", 1, 5, 6, b"t" * 16)
Travelling = TypeVar("Travelling")
SHAPES = st.lists(st.lists(st.sampled_from(DETAILS), max_size=6), max_size=8)


@given(SHAPES)
def test_rows_are_numbered_in_leaf_order(shape: list[list[str]]) -> None:
    batch = build(shaped(shape))
    spine = batch.spine
    assert (spine["first_sequence"], spine["last_sequence"], spine["event_count"]) == (43, 42 + len(shape), len(shape))
    keyed = sorted(
        ((row["audit_sequence"], TABLE_NUMBERS[table], row["item_no"]), leaf(row_layout(table).encode(row)[0]))
        for table, rows in batch.rows.items()
        for row in rows
    )
    assert spine["merkle_root"] == merkle_root([found for _, found in keyed])
    assert spine["row_count"] == len(keyed) == len(shape) + sum(map(len, shape))
    expected = sorted(
        (43 + position, TABLE_NUMBERS[table], item)
        for position, tables in enumerate(shape)
        for table in {LEDGER, *tables}
        for item in range(1 if table == LEDGER else tables.count(table))
    )
    assert [key for key, _ in keyed] == expected


@given(SHAPES)
def test_counts_name_the_tables_in_order_without_zeros(shape: list[list[str]]) -> None:
    batch = build(shaped(shape))
    counts = {table: len(rows) for table, rows in batch.rows.items()}
    assert batch.spine["table_counts"] == ";".join(f"{table}={counts[table]}" for table in sorted(counts))
    assert 0 not in counts.values()


@given(SHAPES)
def test_equal_arguments_give_equal_batches(shape: list[list[str]]) -> None:
    assert build(shaped(shape)) == build(shaped(shape))


def test_items_keep_the_order_of_their_table() -> None:
    rows: list[tuple[str, Columns]] = [
        ("security_events", {**needed("security_events"), "description": "first"}),
        ("login_audit", needed("login_audit")),
        ("security_events", {**needed("security_events"), "description": "second"}),
    ]
    found = build([entry(1, rows)]).rows["security_events"]
    assert [(row["item_no"], row["description"]) for row in found] == [(0, "first"), (1, "second")]


def test_the_spine_links_to_the_head() -> None:
    spine = build([entry()]).spine
    links = ("batch_no", "prev_batch_no", "prev_last_sequence", "prev_hash", "prev_recorded_at")
    assert [spine[name] for name in links] == [8, 7, 42, HEAD.batch_hash, HEAD.recorded_at]
    assert spine["batch_hash"] == batch_hash(spine)


def test_the_first_batch_has_no_predecessor() -> None:
    spine = build([entry()], head=None, kind="GENESIS").spine
    assert (spine["batch_no"], spine["first_sequence"], spine["prev_hash"]) == (0, 1, None)


@pytest.mark.parametrize("column", ["tick_to", "tick_token", "part_no", "routing_version", "writer_id"])
def test_every_column_of_the_spine_is_hashed(column: str) -> None:
    spine = build([entry()]).spine
    changed = {"tick_to": 7, "tick_token": b"u" * 16, "part_no": 1, "routing_version": 2, "writer_id": "other"}
    assert batch_hash({**spine, column: changed[column]}) != spine["batch_hash"]


def test_head_and_span_follow_from_the_spine() -> None:
    span = replace(SPAN, part_no=3, is_last_part=False)
    batch = build([entry(), entry()], span=span)
    assert batch.span == span
    assert batch.head == Head(8, 44, batch.spine["batch_hash"], NOON)  # pyright: ignore[reportArgumentType]
    assert batch.event_count == 2


def test_a_batch_travels_between_processes() -> None:
    batch = build([entry(1, [(table, full(table)) for table in DETAILS])])
    copy = travelled(batch)
    assert (copy, copy.rows) == (batch, batch.rows)


def test_a_void_batch_uses_up_numbers_without_rows() -> None:
    spine = build([], kind="VOID", event_count=5_000_000).spine
    assert (spine["last_sequence"], spine["row_count"], spine["table_counts"]) == (5_000_042, 0, "")
    assert spine["merkle_root"] == merkle_root([])
    with pytest.raises(ValueError, match="only a VOID batch"):
        build([], event_count=1)


def test_too_many_events_are_refused() -> None:
    build([entry()] * MAX_EVENTS)
    with pytest.raises(ValueError, match="at most 1000"):
        build([entry()] * (MAX_EVENTS + 1))


def test_a_clock_that_runs_backwards_is_refused() -> None:
    build([], recorded_at=HEAD.recorded_at)
    with pytest.raises(ValueError, match="lies before that of batch 7"):
        build([], recorded_at=HEAD.recorded_at - timedelta(microseconds=1))


def test_the_event_that_cannot_be_stored_is_named() -> None:
    bad = entry(1, [("login_audit", {**needed("login_audit"), "event_type": "x" * 13})])
    with pytest.raises(UnstorableError) as refused:
        build([entry(), entry(), bad, entry()])
    found = travelled(refused.value)
    assert (found.entry, found.table, found.column) == (2, "login_audit", "event_type")
    assert str(found) == str(refused.value)


@pytest.mark.parametrize("table", [LEDGER, SPINE, "employees"])
def test_only_detail_tables_hold_details(table: str) -> None:
    with pytest.raises(UnstorableError, match="no table for details") as refused:
        build([entry(), entry(1, [(table, {})])])
    assert refused.value.entry == 1


def travelled(value: Travelling) -> Travelling:
    """What another process receives."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301


def build(entries: list[Entry], *, head: Head | None = HEAD, kind: str = "STREAM", **changes: Any) -> Batch:
    """A batch with the same uid and time each time."""
    arguments: dict[str, Any] = {"span": SPAN, "recorded_at": NOON, **changes}
    span = arguments.pop("span")
    return build_batch(head, kind, span, entries, writer_id="test", batch_uid=b"u" * 16, routing_version=1, **arguments)


def shaped(shape: list[list[str]]) -> list[Entry]:
    """An event for each list of tables."""
    return [
        entry(number, [(table, needed(table, item)) for item, table in enumerate(tables)])
        for number, tables in enumerate(shape)
    ]
