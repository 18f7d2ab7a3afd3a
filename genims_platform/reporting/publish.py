"""Read, compute, validate, publish: how one table's rows for a span of hours get into the reporting database."""

import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

import polars as pl

from genims_platform.mysql.connection import Database, identifier
from genims_platform.mysql.slices import exclusive_writer
from genims_platform.reporting.checks import CHECK_NAMES, CheckOutcome, evaluate
from genims_platform.reporting.inputs import Inputs
from genims_platform.reporting.periods import (
    DAY,
    Hours,
    Window,
    affected_periods,
    midnight,
    period_of,
    periods_looking_back,
    slices,
    without_gaps,
)
from genims_platform.reporting.table import ReportingTable
from genims_platform.rolling_window import window_start
from genims_platform.sources.reader import SourceReader, Sources

ATTEMPTS = 2
"""Sources are written while they are read: a slice that fails its checks is read once more before it is refused."""

PREVIEW_ROWS = 5


class NoSourceRowsError(RuntimeError):
    """Every source a model reads is empty though it was not before: rather wrong databases than a lost past."""

    def __init__(self, table: str, source_tables: Sequence[str]) -> None:
        names = sorted({source.partition(".")[0] for source in source_tables})
        variables = ", ".join(f"PG_{name.upper()}_DB" for name in names)
        super().__init__(
            f"{table} keeps its old rows: no source table that it reads holds any ({', '.join(source_tables)}); "
            f"check {variables}, or fill the sources"
        )


@dataclass
class Stopwatch:
    """Seconds of data work by stage: `compute` (read and transform), `validate`, `load`."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, stage: str) -> Generator[None]:
        """Add the time of the block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values(), 0.0)


@dataclass(frozen=True)
class Refresh:
    """What one refresh of a table did.

    `row_counts` holds the published periods with their rows, `changed` those whose rows differ from what stood before.
    Periods of a slice that failed a blocking check are in neither: their old rows stand.
    """

    table: str
    periods: tuple[date, ...]
    as_of: datetime
    row_counts: Mapping[date, int]
    changed: tuple[date, ...]
    preview: pl.DataFrame
    checks: tuple[CheckOutcome, ...]
    rows_read: Mapping[str, int]
    stopwatch: Stopwatch

    @property
    def failures(self) -> tuple[str, ...]:
        """Findings of the checks that blocked publication; empty if everything was published."""
        return tuple(finding for check in self.checks if check.blocks for finding in check.findings)


@dataclass(frozen=True)
class _Slice:
    rows: pl.DataFrame
    checks: tuple[CheckOutcome, ...]

    @property
    def blocked(self) -> bool:
        return any(check.blocks for check in self.checks)


def refresh(
    table: ReportingTable,
    hours: Hours,
    *,
    sources: SourceReader,
    target: Database,
    as_of: datetime,
    lock_timeout: float,
    only_changed: bool = False,
    whole: Hours | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Refresh:
    """Publish every period of `table` that events of `hours` touch, computed from what the sources know now.

    The table's lock is taken before its sources are read and held until the last slice is committed, so an older read
    never overwrites a newer one. A slice is at most a month: it bounds memory, and is replaced in one transaction. With
    `only_changed`, periods whose rows equal those stored are left as they are. If the refresh is one of several that
    cover the `whole` hours of a backfill, the periods of the others are left to them. `progress` gets slices done and
    in all.

    Raises:
        SourceUnavailableError, SourceDriftError, SourceReadError: a source cannot be read.
        DatabaseUnavailableError, TransientError: the reporting database cannot be written now.
        NoSourceRowsError: all that `table` reads is empty, its master data included, and stored rows would be lost.
        ContractError: the model's result does not have the columns of the schema.
    """
    watch = Stopwatch()
    before = sources.rows_read.copy()
    counts: dict[date, int] = {}
    changed: list[date] = []
    evaluations: list[tuple[CheckOutcome, ...]] = []
    preview = pl.DataFrame(schema=table.contract.polars_schema)
    with exclusive_writer(target, table.name, timeout=lock_timeout) as writer:
        periods = periods_to_refresh(
            table, hours, inputs=Inputs(sources, target), target=target, as_of=as_of, whole=whole
        )
        ranges = slices(periods, table.period)
        for done, (first, end) in enumerate(ranges, start=1):
            window = Window(first, end, as_of)
            piece = _read_until_valid(table, window, lambda: Inputs(sources, target), watch)
            if not sources.rows_read - before and _stored(table, [first, end - DAY], target):
                raise NoSourceRowsError(table.name, table.source_tables)
            evaluations.append(piece.checks)
            if not piece.blocked:
                with watch.measure("load"):
                    published = writer.replace(
                        table.contract,
                        piece.rows,
                        [(first, end)],
                        period_column=table.period_column,
                        only_changed=only_changed,
                    )
                changed += published.periods_changed
                counts |= _rows_by_period(piece.rows, table.period_column, [p for p in periods if first <= p < end])
                preview = piece.rows.tail(PREVIEW_ROWS) if piece.rows.height else preview
            if progress:
                progress(done, len(ranges))
    return Refresh(
        table=table.name,
        periods=tuple(sorted(periods)),
        as_of=as_of,
        row_counts=counts,
        changed=tuple(changed),
        preview=preview,
        checks=_combine(evaluations),
        rows_read=sources.rows_read - before,
        stopwatch=watch,
    )


def periods_to_refresh(
    table: ReportingTable,
    hours: Hours,
    *,
    inputs: Inputs,
    target: Database,
    as_of: datetime,
    whole: Hours | None = None,
) -> frozenset[date]:
    """The periods of `table` that events of `hours` touch, within the rolling window and up to `as_of`.

    Periods after them whose measures look back at them are included where they are published already; others will see
    these events anyway when their turn comes. So will those of other hours of the `whole` that this is a part of.
    """
    earliest = window_start(as_of.date())
    own = affected_periods(hours, period=table.period, recompute=0, touched=(), earliest=earliest, as_of=as_of)
    affected = affected_periods(
        hours,
        period=table.period,
        recompute=table.recompute,
        touched=linked_days(table, hours, inputs=inputs, as_of=as_of),
        earliest=earliest,
        as_of=as_of,
    )
    if table.period == "snapshot":
        return affected
    looking_back = periods_looking_back(hours, period=table.period, rolling_days=table.rolling_days, as_of=as_of)
    unseen = looking_back - affected
    periods = affected | (unseen & _stored(table, unseen, target))
    if whole is not None:
        periods = own | {start for start in periods if not whole.start <= midnight(start) < whole.end}
    return without_gaps(periods) if table.period == "day" else periods


def linked_days(table: ReportingTable, hours: Hours, *, inputs: Sources, as_of: datetime) -> Sequence[date]:
    """Days within the table's horizon whose rows are linked to events of `hours` by a key."""
    if table.touched is None:
        return ()
    days_before = table.recompute if table.period == "day" else 1
    refreshed = Window(hours.first_day - DAY * days_before, hours.last_day + DAY, as_of)
    linked = table.touched(inputs, refreshed)
    oldest = period_of(hours.first_day - DAY * table.horizon_days, table.period)
    return [day for day in linked.to_series().drop_nulls() if day >= oldest] if linked.width else ()


def _stored(table: ReportingTable, periods: Collection[date], target: Database) -> set[date]:
    """The periods between the first and the last of these that have stored rows."""
    if not periods:
        return set()
    column = identifier(table.period_column)
    statement = f"SELECT DISTINCT {column} FROM {identifier(table.name)} WHERE {column} BETWEEN %s AND %s"  # noqa: S608
    return set(target.read(statement, (min(periods), max(periods))).to_series())


def _read_until_valid(table: ReportingTable, window: Window, inputs: Callable[[], Inputs], watch: Stopwatch) -> _Slice:
    piece = _read(table, window, inputs(), watch)
    for _ in range(ATTEMPTS - 1):
        if not piece.blocked:
            break
        piece = _read(table, window, inputs(), watch)
    return piece


def _read(table: ReportingTable, window: Window, inputs: Inputs, watch: Stopwatch) -> _Slice:
    with watch.measure("compute"):
        # Many steps over few rows: the streaming engine would take several times as long, most of it to schedule them.
        rows, overflows = table.contract.cast(table.compute(inputs, window).collect(engine="in-memory"))
    with watch.measure("validate"):
        checks = evaluate(
            table.checks,
            table.contract,
            rows,
            sources=inputs,
            window=window,
            overflows=overflows,
            period=table.period,
        )
    return _Slice(rows, checks)


def _rows_by_period(rows: pl.DataFrame, period_column: str, periods: Iterable[date]) -> dict[date, int]:
    return dict.fromkeys(periods, 0) | dict(rows.group_by(period_column).len().iter_rows())


def _combine(evaluations: Sequence[Sequence[CheckOutcome]]) -> tuple[CheckOutcome, ...]:
    combined: list[CheckOutcome] = []
    for position, name in enumerate(CHECK_NAMES):
        outcomes = [evaluation[position] for evaluation in evaluations]
        facts: dict[str, int | float] = {}
        for outcome in outcomes:
            for fact, value in outcome.facts.items():
                # Shares are not additive; the worst one is what a reader looks for.
                worst = fact.endswith("_share")
                facts[fact] = max(facts.get(fact, 0), value) if worst else facts.get(fact, 0) + value
        combined.append(
            CheckOutcome(
                name,
                all(outcome.passed for outcome in outcomes),
                "error"
                if any(outcome.blocks for outcome in outcomes) or name in ("rows", "keys", "reconcile")
                else "warn",
                tuple(finding for outcome in outcomes for finding in outcome.findings),
                facts,
            )
        )
    return tuple(combined)
