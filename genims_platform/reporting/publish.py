"""Read, compute, validate, publish: how one table's rows for a span of hours get into the reporting database."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import polars as pl

from genims_platform.mysql.connection import Database
from genims_platform.mysql.slices import Published, exclusive_writer
from genims_platform.reporting.checks import CHECK_NAMES, CheckOutcome, evaluate
from genims_platform.reporting.periods import DAY, Hours, Window, affected_days, consecutive, window_start
from genims_platform.reporting.table import ReportingTable
from genims_platform.sources.reader import SourceReader

ATTEMPTS = 2
"""Sources are written while they are read: a slice that fails its checks is read once more before it is refused."""


@dataclass
class Stopwatch:
    """Seconds spent in each stage of a refresh."""

    extract_transform: float = 0.0
    validate: float = 0.0
    load: float = 0.0

    @property
    def total(self) -> float:
        """Seconds of data work."""
        return self.extract_transform + self.validate + self.load


@dataclass(frozen=True)
class Refresh:
    """What one refresh of a table did. `published` is None if a blocking check failed: the old slice stands."""

    table: str
    days: tuple[date, ...]
    as_of: datetime
    rows: pl.DataFrame
    checks: tuple[CheckOutcome, ...]
    published: Published | None
    rows_read: Mapping[str, int]
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    @property
    def failures(self) -> tuple[str, ...]:
        """Findings of the checks that blocked publication."""
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
) -> Refresh:
    """Publish every day of `table` that events of `hours` touch, computed from what the sources know now.

    The table's lock is taken before its sources are read and held until the slice is committed, so an older read never
    overwrites a newer one. With `only_changed`, days whose rows are the same as those stored are left as they are.

    Raises:
        SourceUnavailableError, SourceDriftError, SourceReadError: a source cannot be read.
        DatabaseUnavailableError, TransientError: the reporting database cannot be written now.
        ContractError: the model's result does not have the columns of the schema.
    """
    watch = Stopwatch()
    before = sources.rows_read.copy()
    with exclusive_writer(target, table.name, lock_timeout) as writer:
        days = days_to_refresh(table, hours, sources=sources, as_of=as_of)
        slices = [
            _read_until_valid(table, Window(first, end, as_of), sources, watch) for first, end in consecutive(days)
        ]
        rows = (
            pl.concat(piece.rows for piece in slices) if slices else pl.DataFrame(schema=table.contract.polars_schema)
        )
        checks = _combine([piece.checks for piece in slices])
        published = None
        if not any(piece.blocked for piece in slices):
            started = time.perf_counter()
            published = writer.replace(
                table.contract,
                rows,
                consecutive(days),
                period_column=table.period_column,
                only_changed=only_changed,
            )
            watch.load = time.perf_counter() - started
    read = sources.rows_read - before
    return Refresh(table.name, tuple(sorted(days)), as_of, rows, checks, published, read, watch)


def days_to_refresh(table: ReportingTable, hours: Hours, *, sources: SourceReader, as_of: datetime) -> frozenset[date]:
    """The days of `table` that events of `hours` touch, within the rolling window and up to `as_of`."""
    touched: Sequence[date] = ()
    if table.touched is not None:
        refreshed = Window(hours.first_day - DAY * table.recompute, hours.last_day + DAY, as_of)
        linked = table.touched(sources, refreshed)
        oldest = hours.first_day - DAY * table.horizon
        touched = [day for day in linked.to_series().drop_nulls() if day >= oldest] if linked.width else ()
    return affected_days(
        hours,
        recompute=table.recompute,
        rolling_days=table.rolling_days,
        touched=touched,
        earliest=window_start(as_of.date()),
        as_of=as_of,
    )


def _read_until_valid(table: ReportingTable, window: Window, sources: SourceReader, watch: Stopwatch) -> _Slice:
    piece = _read(table, window, sources, watch)
    for _ in range(ATTEMPTS - 1):
        if not piece.blocked:
            break
        piece = _read(table, window, sources, watch)
    return piece


def _read(table: ReportingTable, window: Window, sources: SourceReader, watch: Stopwatch) -> _Slice:
    started = time.perf_counter()
    computed = table.compute(sources, window).collect()
    rows, overflows = table.contract.cast(computed)
    computed_at = time.perf_counter()
    checks = evaluate(table.checks, table.contract, rows, sources=sources, window=window, overflows=overflows)
    watch.extract_transform += computed_at - started
    watch.validate += time.perf_counter() - computed_at
    return _Slice(rows, checks)


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
