"""The stored rows of a range of batches against the roots of their trees, and against what they say of themselves."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.verify.encoding import Layout, RawRow, merkle_root
from genims_platform.audit.verify.findings import Code, Finding
from genims_platform.audit.verify.spine import SpineRow
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.connection import identifier
from genims_platform.mysql.contract import contracts

FETCHED_AT_ONCE = 2000
_SEARCHED_LEAVES = 4000
"""Up to so many leaves the surplus row is looked for by leaving out one after the other."""


See = Callable[[SpineRow, int, RawRow], None]
"""Looks at one row with this number."""


class Rule(Protocol):
    """Something that looks at the rows of a range beyond their hashes; one object for each range."""

    def reader(self, layout: Layout) -> See | None:
        """What to call with each row of this table, or None if the rule does not need them."""
        ...

    def conclude(self) -> Iterator[Finding]:
        """What is wrong, once all rows of the range were seen."""
        ...


@dataclass
class _Owner:
    """A batch, and the rows whose numbers are its."""

    batch: SpineRow
    first: int
    """Its first number; after the last one of the batch before if its own row cannot be trusted."""

    place: tuple[bytes, bytes, bytes] = (b"", b"", b"")
    """batch_no, recorded_at and source_db as its rows must hold them."""

    counts: Counter[str] = field(default_factory=Counter)
    leaves: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    """Number, table number, item and hash of each row."""

    strangers: list[tuple[str, int, bool]] = field(default_factory=list)
    """Table and number of rows that say they are of another batch or time (True), or of another source."""


def table_numbers() -> Mapping[str, int]:
    """The published numbers of the 30 tables: their order in the schema file."""
    return {name: number for number, name in enumerate(contracts("audit"), 1)}


def check_rows(
    connection: MySQLConnectionAbstract,
    layouts: Mapping[str, Layout],
    batches: Sequence[SpineRow],
    rules: Sequence[Rule] = (),
    lost: Collection[tuple[str, int]] = (),
) -> tuple[int, list[Finding]]:
    """Recompute the roots of consecutive batches; returns how many rows were read, and what is wrong.

    Args:
        connection: of the verifier.
        layouts: of all tables.
        batches: in order; the rows of those whose own hash is wrong have nothing to be compared with.
        rules: what else to look for.
        lost: (table, year) whose rows are known to be gone; their batches have no root that could be recomputed.
    """
    owners = list(_owners(batches))
    findings = [
        Finding("V6", batch.batch_no, batch.first_sequence, SPINE, f"batch {batch.batch_no} has rows but no events")
        for batch in batches
        if batch.whole and not batch.event_count and (batch.row_count or batch.merkle_root != merkle_root(()))
    ]
    read = 0
    if owners:
        for table, number in table_numbers().items():
            if table != SPINE and table in layouts:
                read += _read(connection, layouts[table], number, owners, rules)
    for owner in owners:
        if owner.batch.whole:
            findings += _judge(owner, {table for table, year in lost if year == owner.batch.year})
    for rule in rules:
        findings += rule.conclude()
    return read, findings


def _owners(batches: Sequence[SpineRow]) -> Iterator[_Owner]:
    after: int | None = None
    for batch in batches:
        first = batch.first_sequence if batch.whole or after is None else after
        if batch.event_count or not batch.whole:
            place = (str(batch.batch_no).encode(), batch.recorded_text, batch.source_db.encode())
            yield _Owner(batch, first, place)
        after = max(first, batch.last_sequence + 1)


def _read(
    connection: MySQLConnectionAbstract, layout: Layout, number: int, owners: Sequence[_Owner], rules: Sequence[Rule]
) -> int:
    table = layout.table
    at_sequence, at_item = layout.position("audit_sequence"), layout.position("item_no")
    at_batch, at_time = layout.position("batch_no"), layout.position("recorded_at")
    at_source = layout.position("source_db")
    readers = [see for rule in rules if (see := rule.reader(layout)) is not None]
    starts = [owner.first for owner in owners]
    leaf = layout.leaf
    read = 0
    with connection.cursor(raw=True) as cursor:
        # No condition on recorded_at: a row that was moved to another year's partition has to be met as well.
        cursor.execute(
            f"SELECT {layout.select} FROM {identifier(table)} "  # noqa: S608 (names of the server's own catalogue)
            "WHERE audit_sequence BETWEEN %s AND %s ORDER BY audit_sequence, item_no",
            (owners[0].first, max(owner.batch.last_sequence for owner in owners)),
        )
        owner, until, last = owners[0], 0, 0
        while rows := cursor.fetchmany(FETCHED_AT_ONCE):
            read += len(rows)
            for found in rows:
                row: RawRow = found  # pyright: ignore
                sequence = int(row[at_sequence])  # pyright: ignore
                if sequence >= until:
                    following = bisect_right(starts, sequence)
                    owner = owners[following - 1]
                    until = starts[following] if following < len(starts) else sequence + (1 << 62)
                    last = owner.batch.last_sequence
                if sequence > last:  # of a batch that is missing from the spine
                    continue
                owner.counts[table] += 1
                owner.leaves.append((sequence, number, int(row[at_item] or 0), leaf(row)))
                if (row[at_batch], row[at_time], row[at_source]) != owner.place:
                    moved = (row[at_batch], row[at_time]) != owner.place[:2]
                    owner.strangers.append((table, sequence, moved))
                for see in readers:
                    see(owner.batch, sequence, row)
    return read


def _judge(owner: _Owner, lost: Collection[str]) -> Iterator[Finding]:
    batch, expected = owner.batch, owner.batch.counts
    if batch.batch_kind == "VOID":
        if owner.leaves or batch.row_count or expected:
            sequence = min((number for number, *_ in owner.leaves), default=batch.first_sequence)
            yield Finding("V19", batch.batch_no, sequence, None, f"batch {batch.batch_no} is void, but has rows")
        return
    owner.leaves.sort()
    if lost & expected.keys():  # pyright: ignore[reportOperatorIssue]
        return
    for table, sequence, moved in owner.strangers:
        what = "says it is of another batch or time" if moved else "says it is of another source"
        code: Code = "V8" if moved else "V5"
        yield Finding(code, batch.batch_no, sequence, table, f"a row of {table} with number {sequence} {what}")
    if merkle_root([leaf for *_, leaf in owner.leaves]) == batch.merkle_root and owner.counts == expected:
        yield from _unnumbered(owner)
    else:
        yield from _differences(owner, {table for table, *_ in owner.strangers})


def _unnumbered(owner: _Owner) -> Iterator[Finding]:
    """Numbers without an event in a batch whose hashes are right: it was written so."""
    batch = owner.batch
    if missing := _missing_number(owner):
        sentence = f"number {missing} of batch {batch.batch_no} has no row in the ledger"
        yield Finding("V20", batch.batch_no, missing, LEDGER, sentence)


def _differences(owner: _Owner, explained: Collection[str]) -> Iterator[Finding]:
    batch, expected = owner.batch, owner.batch.counts
    tables = {*expected, *owner.counts} - {*explained}
    fewer = {table: expected.get(table, 0) - owner.counts[table] for table in tables}
    lacking = [table for table, number in fewer.items() if number > 0]
    surplus = [table for table, number in fewer.items() if number < 0]
    if len(lacking) == len(surplus) == 1 and fewer[lacking[0]] == -fewer[surplus[0]]:
        sentence = f"batch {batch.batch_no}: {fewer[lacking[0]]} row(s) of {lacking[0]} lie in {surplus[0]}"
        yield Finding("V8", batch.batch_no, _inserted(owner, surplus[0]), surplus[0], sentence)
        return
    for table in sorted(lacking):
        sentence = f"batch {batch.batch_no} had {expected[table]} rows in {table}, {owner.counts[table]} are there"
        yield Finding("V6", batch.batch_no, _deleted(owner, table), table, sentence)
    for table in sorted(surplus):
        sentence = (
            f"batch {batch.batch_no} had {expected.get(table, 0)} rows in {table}, {owner.counts[table]} are there"
        )
        yield Finding("V7", batch.batch_no, _inserted(owner, table), table, sentence)
    if not lacking and not surplus and not explained:
        numbers = f"{batch.first_sequence} to {batch.last_sequence}"
        sentence = (
            f"the rows of batch {batch.batch_no}, numbers {numbers}, do not give its root: one of them was edited"
        )
        yield Finding("V5", batch.batch_no, batch.first_sequence, None, sentence)


def _missing_number(owner: _Owner) -> int | None:
    number = table_numbers()[LEDGER]
    present = {sequence for sequence, table, *_ in owner.leaves if table == number}
    batch = owner.batch
    if len(present) == batch.event_count:
        return None
    return next((n for n in range(batch.first_sequence, batch.last_sequence + 1) if n not in present), None)


def _deleted(owner: _Owner, table: str) -> int:
    """The number of a row that is gone: the one that the ledger lacks; elsewhere one whose items have a hole."""
    if table == LEDGER and (missing := _missing_number(owner)):
        return missing
    number = table_numbers()[table]
    items: dict[int, list[int]] = {}
    for sequence, of_table, item, _ in owner.leaves:
        if of_table == number:
            items.setdefault(sequence, []).append(item)
    holes = (sequence for sequence, found in items.items() if found != list(range(len(found))))
    return min(holes, default=owner.batch.first_sequence)


def _inserted(owner: _Owner, table: str) -> int:
    """The number of the surplus row: the one without which the root is right, if that is how it is."""
    number = table_numbers()[table]
    candidates = [place for place, (_, of_table, *_) in enumerate(owner.leaves) if of_table == number]
    if len(owner.leaves) <= _SEARCHED_LEAVES:
        hashes = [leaf for *_, leaf in owner.leaves]
        for place in candidates:
            if merkle_root(hashes[:place] + hashes[place + 1 :]) == owner.batch.merkle_root:
                return owner.leaves[place][0]
    return min((owner.leaves[place][0] for place in candidates), default=owner.batch.first_sequence)
