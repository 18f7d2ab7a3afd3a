"""The walk along the spine: hashes, links, numbers, cursors and time of every batch, in order."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.verify.encoding import Layout, RawRow, microseconds
from genims_platform.audit.verify.findings import Code, Finding
from genims_platform.mysql.append_only import SPINE

HASH_VERSION = 1
_OPENING_KINDS = ("GENESIS", "OPEN")
_Report = Callable[..., None]


@dataclass(frozen=True, slots=True)
class SpineRow:
    """One row of the spine as it is stored, and its hash as it should be. Times are microseconds since 1970 in UTC."""

    batch_no: int
    batch_kind: str
    source_db: str
    incarnation: int
    tick_from: int
    tick_to: int
    part_no: int
    is_last_part: bool
    prev_batch_no: int | None
    prev_last_sequence: int | None
    prev_hash: bytes | None
    prev_recorded_at: int | None
    first_sequence: int
    last_sequence: int
    event_count: int
    row_count: int
    table_counts: str
    merkle_root: bytes
    batch_hash: bytes
    recorded_at: int
    recorded_text: bytes
    hash_version: int
    routing_version: int
    recomputed: bytes

    @property
    def whole(self) -> bool:
        """Whether the row gives the hash that it names."""
        return self.batch_hash == self.recomputed

    @property
    def counts(self) -> Mapping[str, int]:
        """Rows by table, as the row says."""
        pairs = (pair.partition("=") for pair in self.table_counts.split(";") if pair)
        return {table: int(number) if number.isdigit() else -1 for table, _, number in pairs}

    @property
    def year(self) -> int:
        """The year whose partitions hold the rows of the batch."""
        return int(self.recorded_text[:4])


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a source had come with one batch."""

    tick_from: int
    tick_to: int
    part_no: int
    is_last_part: bool


Cursors = dict[tuple[str, int], Cursor]
"""(source, incarnation) → its cursor."""

_UNKNOWN = Cursor(-1, -1, -1, is_last_part=True)


def spine_row(layout: Layout, row: RawRow) -> SpineRow:
    """A row of the spine from the bytes the server sent."""
    value = dict(zip(layout.columns, row, strict=True))

    def number(column: str) -> int:
        return int(value[column] or b"0")

    def optional(column: str) -> int | None:
        found = value[column]
        return None if found is None else int(found)

    def text(column: str) -> str:
        return (value[column] or b"").decode()

    recorded = value["recorded_at"] or b"1970-01-01 00:00:00"
    previous = value["prev_recorded_at"]
    return SpineRow(
        number("batch_no"),
        text("batch_kind"),
        text("source_db"),
        number("incarnation"),
        number("tick_from"),
        number("tick_to"),
        number("part_no"),
        bool(number("is_last_part")),
        optional("prev_batch_no"),
        optional("prev_last_sequence"),
        value["prev_hash"],
        None if previous is None else microseconds(previous),
        number("first_sequence"),
        number("last_sequence"),
        number("event_count"),
        number("row_count"),
        text("table_counts"),
        value["merkle_root"] or b"",
        value["batch_hash"] or b"",
        microseconds(recorded),
        recorded,
        number("hash_version"),
        number("routing_version"),
        layout.batch_hash(row),
    )


def read_spine(
    connection: MySQLConnectionAbstract, layout: Layout, first: int, last: int, *, at_once: int = 1000
) -> Iterator[SpineRow]:
    """The rows of the spine from batch `first` to batch `last`, in order, read in pieces."""
    while True:
        with connection.cursor(raw=True) as cursor:
            cursor.execute(
                f"SELECT {layout.select} FROM {SPINE} "  # noqa: S608 (names of the server's own catalogue)
                "WHERE batch_no BETWEEN %s AND %s ORDER BY batch_no LIMIT %s",
                (first, last, at_once),
            )
            rows = [spine_row(layout, row) for row in cursor.fetchall()]  # pyright: ignore
        yield from rows
        if len(rows) < at_once:
            return
        first = rows[-1].batch_no + 1


class ChainWalk:
    """Follows the spine from a batch whose predecessor is known.

    A break is reported where it is; what only follows from it is not reported again.

    Args:
        before: the batch before the first one to follow; None: the walk starts at the beginning.
        cursors: the cursors of all sources at `before`.
    """

    def __init__(self, before: SpineRow | None, cursors: Cursors) -> None:
        self._previous = before
        self._previous_is_whole = True
        self._cursors = dict(cursors)
        self.leaves: Counter[str] = Counter()
        """Rows by table of the batches followed so far."""

    @property
    def cursors(self) -> Cursors:
        """The cursors after the last batch followed."""
        return self._cursors

    def follow(self, batch: SpineRow) -> list[Finding]:
        """What is wrong with the next batch."""
        found: list[Finding] = []

        def report(code: Code, sentence: str, sequence: int | None = None) -> None:
            number = batch.first_sequence if sequence is None else sequence
            found.append(Finding(code, batch.batch_no, number, SPINE, sentence))

        whole = batch.whole
        if batch.hash_version != HASH_VERSION:
            report("V1", f"batch {batch.batch_no} names hash version {batch.hash_version}, which was never published")
        elif not whole:
            report("V1", f"the row of batch {batch.batch_no} does not give its hash")
        linked = self._links(batch, report)
        if linked and whole:
            self._numbers(batch, report)
            self._time(batch, report)
        self._cursor(batch, report, trusted=linked and whole)
        self._previous, self._previous_is_whole = batch, whole
        self.leaves.update(batch.counts)
        return found

    def _links(self, batch: SpineRow, report: _Report) -> bool:
        previous = self._previous
        if previous is None:
            if batch.batch_no == 0:
                if batch.batch_kind != "GENESIS" or batch.prev_hash is not None:
                    report("V2", "the first batch is not a genesis")
                return True
            report("V2", f"the trail begins with batch {batch.batch_no}; those before it are gone", 1)
            return False
        expected = previous.last_sequence + 1
        if batch.batch_no != previous.batch_no + 1:
            report(
                "V2", f"batches {previous.batch_no + 1} to {batch.batch_no - 1} are missing from the spine", expected
            )
            return False
        names = (batch.prev_batch_no, batch.prev_hash)
        says = (batch.prev_last_sequence, batch.prev_recorded_at)
        is_so = (previous.last_sequence, previous.recorded_at)
        if names != (previous.batch_no, previous.batch_hash) or (self._previous_is_whole and says != is_so):
            # A batch that was edited is named already; its successor names what it was.
            if batch.whole:
                report(
                    "V2",
                    f"batch {batch.batch_no} does not follow batch {previous.batch_no} as it is stored",
                    previous.first_sequence,
                )
            return False
        return self._previous_is_whole

    def _numbers(self, batch: SpineRow, report: _Report) -> None:
        expected = self._previous.last_sequence + 1 if self._previous else 1
        if batch.first_sequence != expected:
            what = "leaves out" if batch.first_sequence > expected else "gives again"
            low, high = sorted((batch.first_sequence, expected))
            report("V3", f"batch {batch.batch_no} {what} the numbers {low} to {high - 1}", low)
        if batch.last_sequence != batch.first_sequence + batch.event_count - 1:
            report("V3", f"batch {batch.batch_no} has {batch.event_count} events, which its numbers do not count")

    def _time(self, batch: SpineRow, report: _Report) -> None:
        if self._previous and batch.recorded_at < self._previous.recorded_at:
            report("V23", f"batch {batch.batch_no} is recorded before its predecessor")

    def _cursor(self, batch: SpineRow, report: _Report, *, trusted: bool) -> None:
        place = (batch.source_db, batch.incarnation)
        if trusted:
            if problem := self._cursor_problem(batch, self._cursors.get(place)):
                report("V4", f"{batch.source_db}, incarnation {batch.incarnation}: {problem}")
        else:
            # Whatever stood here is unknown: each source is picked up where it comes next.
            self._cursors = dict.fromkeys(self._cursors, _UNKNOWN)
        self._cursors[place] = Cursor(batch.tick_from, batch.tick_to, batch.part_no, batch.is_last_part)

    def _cursor_problem(self, batch: SpineRow, cursor: Cursor | None) -> str | None:
        if cursor is _UNKNOWN:
            return None
        if cursor is None:
            return self._opening_problem(batch)
        if cursor.is_last_part:
            if (batch.tick_from, batch.part_no) != (cursor.tick_to, 0):
                return f"batch {batch.batch_no} starts at tick {batch.tick_from}, delivered is up to {cursor.tick_to}"
        elif (batch.tick_from, batch.tick_to, batch.part_no) != (cursor.tick_from, cursor.tick_to, cursor.part_no + 1):
            ticks = f"{cursor.tick_from} to {cursor.tick_to}"
            return f"batch {batch.batch_no} does not continue part {cursor.part_no} of ticks {ticks}"
        return None

    def _opening_problem(self, batch: SpineRow) -> str | None:
        if any(known is _UNKNOWN for known in self._cursors.values()):
            return None
        if batch.batch_kind not in _OPENING_KINDS or batch.part_no:
            return f"begins with batch {batch.batch_no}, which opens nothing"
        newest = max((number for name, number in self._cursors if name == batch.source_db), default=0)
        return None if batch.incarnation == newest + 1 else f"batch {batch.batch_no} opens it out of turn"
