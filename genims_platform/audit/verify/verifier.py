"""A verification from end to end: what is read, in which order, by how many processes."""

import multiprocessing
import os
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.policy import audit_policy
from genims_platform.audit.verify import whole
from genims_platform.audit.verify.accepted import Break, Breaks, Known
from genims_platform.audit.verify.checkpoint_audit import CheckpointAudit, open_checkpoints
from genims_platform.audit.verify.encoding import Layout, live_layouts
from genims_platform.audit.verify.findings import Code, Finding
from genims_platform.audit.verify.personal import PersonalValues
from genims_platform.audit.verify.projections import Projections
from genims_platform.audit.verify.reprocessed import unfounded
from genims_platform.audit.verify.rows import check_rows
from genims_platform.audit.verify.server import account_findings, schema_findings
from genims_platform.audit.verify.spine import ChainWalk, Cursor, Cursors, SpineRow, read_spine, spine_row
from genims_platform.mysql.append_only import SPINE
from genims_platform.mysql.connection import Database
from genims_platform.mysql.errors import DatabaseUnavailableError
from genims_platform.settings import MySQLServer, Settings

BATCHES_AT_ONCE = 200
ROWS_AT_ONCE = 50_000
"""A range ends with the batch that reaches this number of rows, so that memory stays bounded."""

_SAMPLED_ONE_OF = 20
_WORTH_PROCESSES = 200_000
_WAITING_RANGES = 4

ScopeKind = Literal["new", "year", "sample", "full"]
Progress = Callable[[int, int], None]
"""Told how many rows of how many were recomputed."""


@dataclass(frozen=True)
class Scope:
    """What is recomputed.

    `new`: what came since the last verification that found nothing; `year`: the batches of one year; `sample`: the
    whole spine, and the rows of every twentieth range and the last; `full`: everything.
    """

    kind: ScopeKind
    year: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Scope":
        """The scope that `new`, `year=2026`, `sample` or `full` names.

        Raises:
            ValueError: it names none.
        """
        kind, _, year = text.partition("=")
        if kind == "year" and year.isdigit() and len(year) == 4:
            return cls("year", int(year))
        if kind in ("new", "sample", "full") and not year:
            return cls(kind)  # pyright: ignore[reportArgumentType]
        raise ValueError(f"{text!r} is no scope; possible are new, year=2026, sample and full")

    def __str__(self) -> str:
        """As it is recorded: `NEW`, `YEAR:2026`."""
        return self.kind.upper() if self.year is None else f"{self.kind.upper()}:{self.year}"


@dataclass(frozen=True)
class Verification:
    """What a verification looked at, up to which batch, and what it found."""

    scope: str
    covers_batch_no: int
    covers_sequence: int
    covers_hash: str
    batches: int
    rows: int
    seconds: float
    processes: int
    findings: tuple[Finding, ...]
    """Without those that are known."""

    not_testable: tuple[str, ...]
    """What could not be looked at, and why, a sentence each."""

    known: tuple[Known, ...] = ()
    """Breaks that two people accepted, as they were when these did."""

    breaks: tuple[Break, ...] = ()
    """Findings of the codes that were asked for, with the state they are accepted in."""

    @property
    def status(self) -> Literal["OK", "FAILED"]:
        """The verdict."""
        return "FAILED" if self.findings else "OK"

    @property
    def first_bad_sequence(self) -> int | None:
        """The first number that can no longer be relied on."""
        return min((found.sequence for found in self.findings if found.sequence is not None), default=None)


def verify(
    settings: Settings,
    scope: Scope,
    *,
    processes: int | None = None,
    progress: Progress | None = None,
    accepting: Collection[Code] = (),
) -> Verification:
    """Verify the trail as the verifier's account; reads only.

    Args:
        settings: of the verifier: its account, the place of the checkpoints and the file of public keys.
        scope: what to recompute.
        processes: how many recompute rows; by default all processors once that is worth their start.
        progress: told after each range.
        accepting: codes whose findings are about to be accepted.

    Raises:
        DatabaseUnavailableError: the audit database cannot be reached.
        CheckpointStoreError: checkpoints or public keys cannot be read.
        LayoutError: a column has a type that was never published.
    """
    return _Run(settings, scope, processes, progress, accepting).verification()


@dataclass
class _Run:
    settings: Settings
    scope: Scope
    processes: int | None
    progress: Progress | None
    accepting: Collection[Code]
    findings: list[Finding] = field(default_factory=list)
    not_testable: list[str] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    batches: int = 0
    rows: int = 0

    def verification(self) -> Verification:
        started = time.monotonic()
        server = self.settings.mysql_audit_as("verifier")
        database = verifier_database(server)
        checkpoints = open_checkpoints(self.settings)
        try:
            with snapshot(database) as connection:
                layouts = live_layouts(connection, server.database)
                head = self._walk(connection, layouts, checkpoints) if SPINE in layouts else None
                if self.findings and head:
                    self._sort_out(Breaks(connection, layouts))
                today = _today(connection)
            self._look_around(database, today)
        finally:
            database.close()
        self.not_testable += checkpoints.not_testable
        return Verification(
            scope=str(self.scope),
            covers_batch_no=head.batch_no if head else -1,
            covers_sequence=head.last_sequence if head else 0,
            covers_hash=head.batch_hash.hex() if head else "",
            batches=self.batches,
            rows=self.rows,
            seconds=time.monotonic() - started,
            processes=self.processes or 1,
            findings=tuple(sorted(set(self.findings), key=_order)),
            not_testable=tuple(self.not_testable),
            known=tuple(self.known),
            breaks=tuple(self.breaks),
        )

    def _sort_out(self, breaks: Breaks) -> None:
        """Tell known breaks from others."""
        self.findings = sorted(set(self.findings), key=_order)
        self.known = breaks.known(self.findings)
        accepted = {known.finding for known in self.known}
        self.findings = [found for found in self.findings if found not in accepted]
        self.breaks = [breaks.of(found) for found in self.findings if found.code in self.accepting]

    def _walk(
        self, connection: MySQLConnectionAbstract, layouts: Mapping[str, Layout], checkpoints: CheckpointAudit
    ) -> SpineRow | None:
        spine = layouts[SPINE]
        head = _batch_at(connection, spine, "ORDER BY batch_no DESC LIMIT 1")
        if head is None:
            self.findings += checkpoints.without_spine()
            return None
        first, last = self._bounds(connection, head)
        before = _batch_at(connection, spine, "WHERE batch_no = %s", first - 1) if first else None
        if first and before is None and self.scope.kind == "new":
            first, before = 0, None  # what the last verification covered is gone: look at everything
        self.findings += checkpoints.begin(connection, layouts, first, head)
        state = whole.partition_state(connection, self.settings.mysql_audit.database)
        walk = ChainWalk(before, _cursors_before(connection, first))
        years, voids = self._recompute(connection, layouts, walk, checkpoints, state, (first, last))
        self.findings += checkpoints.conclude(connection, layouts, head)
        self.findings += whole.lost_partitions(state, years)
        self.findings += whole.missing_partitions(state, _today(connection).year)
        self.findings += whole.unrecorded_voids(connection, voids)
        self.findings += whole.beyond_the_spine(connection, head)
        low = before.last_sequence + 1 if before else 1
        self.findings += whole.repeated_events(connection, low, head.last_sequence)
        if self.scope.kind in ("full", "sample"):
            named = {found.table for found in self.findings if found.code in ("V6", "V7", "V8", "V9")}
            self.findings += (
                found
                for found in whole.miscounted_partitions(connection, state, years, head)
                if found.table not in named
            )
        return head

    def _bounds(self, connection: MySQLConnectionAbstract, head: SpineRow) -> tuple[int, int]:
        """The first and the last batch of the scope."""
        with connection.cursor() as cursor:
            if self.scope.kind == "new":
                cursor.execute(
                    "SELECT MAX(covers_batch_no) FROM audit_integrity_checkpoints "
                    "WHERE record_type = 'VERIFY_RESULT' AND verify_status = 'OK'"
                )
                ((covered,),) = cursor.fetchall()  # pyright: ignore
                return (0 if covered is None else int(covered) + 1), head.batch_no  # pyright: ignore
            if self.scope.year is not None:
                cursor.execute(
                    f"SELECT MIN(batch_no), MAX(batch_no) FROM {SPINE} "  # noqa: S608
                    "WHERE recorded_at >= %s AND recorded_at < %s",
                    (datetime(self.scope.year, 1, 1), datetime(self.scope.year + 1, 1, 1)),  # noqa: DTZ001
                )
                ((low, high),) = cursor.fetchall()  # pyright: ignore
                return (head.batch_no + 1, head.batch_no) if low is None else (int(low), int(high))  # pyright: ignore
        return 0, head.batch_no

    def _recompute(
        self,
        connection: MySQLConnectionAbstract,
        layouts: Mapping[str, Layout],
        walk: ChainWalk,
        checkpoints: CheckpointAudit,
        state: whole.PartitionState,
        bounds: tuple[int, int],
    ) -> tuple[dict[tuple[str, int], tuple[int, int]], list[SpineRow]]:
        years: dict[tuple[str, int], tuple[int, int]] = {}
        voids: list[SpineRow] = []
        total = _row_count(connection, bounds)
        lost = frozenset(
            (table, year)
            for table in whole.detail_tables()
            for year in {year for _, year in state.present} | _years(connection)
            if state.is_lost(table, year)
        )
        if self.processes is None:
            self.processes = (os.cpu_count() or 1) if total >= _WORTH_PROCESSES else 1
        with _Workers(self.settings.mysql_audit_as("verifier"), lost, self.processes) as workers:
            for piece, is_last in _ranges(read_spine(connection, layouts[SPINE], *bounds)):
                for batch in piece:
                    self.findings += walk.follow(batch)
                    self.findings += checkpoints.pass_batch(batch, walk.leaves)
                    for table, number in batch.counts.items():
                        known, first = years.get((table, batch.year), (0, batch.first_sequence))
                        years[table, batch.year] = known + number, first
                    if batch.batch_kind == "VOID":
                        voids.append(batch)
                self.batches += len(piece)
                if self.scope.kind != "sample" or is_last or _sampled(piece[0]):
                    workers.submit(piece)
                self._collect(workers.finished(), total)
            self._collect(workers.rest(), total)
        return years, voids

    def _collect(self, results: Iterator[tuple[int, list[Finding]]], total: int) -> None:
        for rows, findings in results:
            self.rows += rows
            self.findings += findings
            if self.progress:
                self.progress(self.rows, total)

    def _look_around(self, database: Database, today: date) -> None:
        """Schema and accounts; with the administrator's account where the verifier's own may not look."""
        inspector: Database | None = None
        try:
            if self.settings.mysql_audit.password:
                try:
                    inspector = verifier_database(self.settings.mysql_audit)
                    with inspector.connection():
                        pass
                except DatabaseUnavailableError:
                    inspector = None
            self.findings += schema_findings(inspector or database, today, sees_fences=inspector is not None)
            accounts = None
            with (inspector or database).connection() as connection:
                accounts = account_findings(connection, self.settings)
                self.findings += accounts or ()
            if inspector is None:
                self.not_testable.append("V15 triggers and procedures: only an administrator may look at them")
            if accounts is None:
                self.not_testable.append("V16 accounts: only an account with SELECT on mysql.* may look at others")
        finally:
            if inspector is not None:
                inspector.close()


class _Workers:
    """Recomputes ranges: in this process, or in several others."""

    def __init__(self, server: MySQLServer, lost: frozenset[tuple[str, int]], processes: int) -> None:
        self._setting = (server, lost)
        self._pool: ProcessPoolExecutor | None = None
        self._here: list[tuple[int, list[Finding]]] = []
        self._waiting: set[Future[tuple[int, list[Finding]]]] = set()
        self._limit = processes * _WAITING_RANGES
        if processes > 1:
            # A fresh interpreter: a copy of a process with threads may hold locks that nobody frees.
            self._pool = ProcessPoolExecutor(
                processes, multiprocessing.get_context("spawn"), _start_worker, self._setting
            )
        else:
            _start_worker(*self._setting)

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
        else:
            _stop_worker()

    def submit(self, piece: Sequence[SpineRow]) -> None:
        if self._pool:
            self._waiting.add(self._pool.submit(_check_range, piece))
        else:
            self._here.append(_check_range(piece))

    def finished(self) -> Iterator[tuple[int, list[Finding]]]:
        """Results that are there; waits while too many ranges are under way."""
        yield from self._taken()
        if len(self._waiting) >= self._limit:
            done, self._waiting = wait(self._waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)

    def rest(self) -> Iterator[tuple[int, list[Finding]]]:
        """All results that are still to come."""
        yield from self._taken()
        while self._waiting:
            done, self._waiting = wait(self._waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)

    def _taken(self) -> list[tuple[int, list[Finding]]]:
        taken, self._here = self._here, []
        return taken


_worker: dict[str, Any] = {}


def _start_worker(server: MySQLServer, lost: frozenset[tuple[str, int]]) -> None:
    database = verifier_database(server)
    with database.connection() as connection:
        layouts = live_layouts(connection, server.database)
    _worker.update(database=database, layouts=layouts, lost=lost, policy=audit_policy())


def _stop_worker() -> None:
    _worker.pop("database").close()
    _worker.clear()


def _check_range(piece: Sequence[SpineRow]) -> tuple[int, list[Finding]]:
    projections = Projections(_worker["policy"])
    rules = (PersonalValues(_worker["policy"]), projections)
    with _worker["database"].connection() as connection:
        rows, findings = check_rows(connection, _worker["layouts"], piece, rules, _worker["lost"])
        return rows, [*findings, *unfounded(connection, projections.reprocessed)]


def verifier_database(server: MySQLServer) -> Database:
    """A database whose statements may take as long as they need."""
    return Database(server, statement_timeout=0)


@contextmanager
def snapshot(database: Database) -> Generator[MySQLConnectionAbstract]:
    """A connection that sees one state of the database until the block ends."""
    with database.connection() as connection:
        connection.rollback()
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        try:
            yield connection
        finally:
            connection.rollback()


def _batch_at(connection: MySQLConnectionAbstract, spine: Layout, condition: str, *parameters: int) -> SpineRow | None:
    with connection.cursor(raw=True) as cursor:
        cursor.execute(f"SELECT {spine.select} FROM {SPINE} {condition}", parameters)  # noqa: S608
        rows = cursor.fetchall()
    return spine_row(spine, rows[0]) if rows else None  # pyright: ignore


def _cursors_before(connection: MySQLConnectionAbstract, first: int) -> Cursors:
    """The cursors of all sources after the batches before `first`."""
    if first == 0:
        return {}
    cursors: Cursors = {}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT source_db, incarnation FROM {SPINE} WHERE batch_no < %s", (first,))  # noqa: S608
        places: list[Any] = cursor.fetchall()
        for source, incarnation in places:
            cursor.execute(
                f"SELECT tick_from, tick_to, part_no, is_last_part FROM {SPINE} "  # noqa: S608
                "WHERE source_db = %s AND incarnation = %s AND batch_no < %s "
                "ORDER BY tick_from DESC, part_no DESC LIMIT 1",
                (source, incarnation, first),
            )
            ((tick_from, tick_to, part, is_last),) = cursor.fetchall()  # pyright: ignore
            cursors[source, incarnation] = Cursor(tick_from, tick_to, part, bool(is_last))  # pyright: ignore
    return cursors


def _ranges(batches: Iterator[SpineRow]) -> Iterator[tuple[list[SpineRow], bool]]:
    """Batches in pieces of bounded size, and whether a piece is the last one."""
    piece: list[SpineRow] = []
    rows = 0
    following = next(batches, None)
    while following is not None:
        piece.append(following)
        rows += following.row_count
        following = next(batches, None)
        if following is None or len(piece) >= BATCHES_AT_ONCE or rows >= ROWS_AT_ONCE:
            yield piece, following is None
            piece, rows = [], 0


def _sampled(batch: SpineRow) -> bool:
    return batch.batch_hash[-1] % _SAMPLED_ONE_OF == 0 if batch.batch_hash else True


def _row_count(connection: MySQLConnectionAbstract, bounds: tuple[int, int]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT COALESCE(SUM(row_count), 0) FROM {SPINE} WHERE batch_no BETWEEN %s AND %s",  # noqa: S608
            bounds,
        )
        ((total,),) = cursor.fetchall()  # pyright: ignore
        return int(total)  # pyright: ignore


def _years(connection: MySQLConnectionAbstract) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT YEAR(MIN(recorded_at)), YEAR(MAX(recorded_at)) FROM {SPINE}")  # noqa: S608
        ((low, high),) = cursor.fetchall()  # pyright: ignore
    return set(range(int(low), int(high) + 1))  # pyright: ignore


def _today(connection: MySQLConnectionAbstract) -> date:
    with connection.cursor() as cursor:
        cursor.execute("SELECT UTC_DATE()")
        ((today,),) = cursor.fetchall()  # pyright: ignore
    return today if isinstance(today, date) else datetime.now(UTC).date()


def _order(finding: Finding) -> tuple[int, int, str, str, str]:
    last = 1 << 62
    place = last if finding.sequence is None else finding.sequence
    return place, int(finding.code[1:]), finding.code, finding.table or "", finding.sentence
