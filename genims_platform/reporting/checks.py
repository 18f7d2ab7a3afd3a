"""What must hold for a slice before it is published, evaluated on the rows that are about to be loaded.

Six checks a table: `rows` (the keys equal those found by separate SQL on the sources), `keys` (no NULL where the
schema forbids it, primary key unique), `values` (identities between columns; ranges of the schema), `reconcile`
(totals equal separate SQL on the sources), `orphans` (keys that match no master row) and `row_count` (about as many
rows as on the same weekday before). A failed one is an error and blocks publication, except ranges, warnings, orphans
and row counts, which only warn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from genims_platform.mysql.connection import identifier
from genims_platform.mysql.contract import TableContract
from genims_platform.reporting import kpi
from genims_platform.reporting.periods import Period, Window, midnight, moved, period_of
from genims_platform.reporting.row_counts import comparable_periods, unusual_row_counts
from genims_platform.sources.reader import Sources

Expected = Callable[[Sources, Window], pl.DataFrame]
"""A second way to a figure: reads the sources by SQL and returns a row a period (and key)."""

CheckName = Literal["rows", "keys", "values", "reconcile", "orphans", "row_count"]
CHECK_NAMES: tuple[CheckName, ...] = ("rows", "keys", "values", "reconcile", "orphans", "row_count")
_SAMPLES = 5


@dataclass(frozen=True)
class Reconciliation:
    """Totals a period that must equal `expected`, which returns the period column and one column a measure.

    `measures` says how a total is formed from the table's rows; by default it is the sum of the column of that name.
    Totals of counts are exact, others may differ by `tolerance` for each row of the period, for rounding at load; a
    total of values that did not fit their column is not compared. With `blocks` False, a difference is a warning among
    the `values`: it says that the sources contradict each other, which no transform may repair.
    """

    name: str
    expected: Expected
    measures: Mapping[str, pl.Expr] = field(default_factory=dict)
    tolerance: float = 0.005
    blocks: bool = True


@dataclass(frozen=True)
class Identity:
    """An equation between columns of one row: `difference` must stay within ±`tolerance` (NULL passes).

    With `by_period` it is one of a whole period: `difference` aggregates its rows.
    """

    name: str
    difference: pl.Expr
    tolerance: float = 0.0
    by_period: bool = False


@dataclass(frozen=True)
class Expectation:
    """What rows should fulfil without being kept back if they do not: `holds` is true or NULL."""

    name: str
    holds: pl.Expr


@dataclass(frozen=True)
class Checks:
    """What a table promises.

    `orphans` maps a key column to an attribute that only a known key has; `left_out` names source rows that no period
    can hold, such as those without a date, and says by SQL how many there are.
    """

    rows: Expected
    reconcile: Sequence[Reconciliation] = ()
    identities: Sequence[Identity] = ()
    warnings: Sequence[Expectation] = ()
    orphans: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, Expected] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckOutcome:
    """Result of one check; only errors block publication. `findings` are sentences for a person."""

    name: CheckName
    passed: bool
    severity: Literal["error", "warn"]
    findings: tuple[str, ...]
    facts: Mapping[str, int | float]

    @property
    def blocks(self) -> bool:
        """Whether the slice must not be published."""
        return not self.passed and self.severity == "error"


def sql(database: str, statement: str) -> Expected:
    """One statement on one source, with the instants of the window bound.

    `%(start)s` and `%(end)s` are the span of events, `%(days_end)s` the end of the last day even if it is still to
    come (plans, and rows that every day has), `%(as_of)s` the instant of the run, `%(first_day)s` and `%(last_day)s`
    the first day and the last of which anything is known.
    """

    def expected(sources: Sources, window: Window) -> pl.DataFrame:
        instants = {"start": window.span.start, "end": window.span.end, "days_end": midnight(window.end)}
        days = {"first_day": window.first, "last_day": window.last_day}
        return sources.query(database, statement, instants | days | {"as_of": window.as_of})

    return expected


def all_of(*parts: Expected) -> Expected:
    """The distinct rows of several statements, possibly on different databases, with the same columns."""

    def expected(sources: Sources, window: Window) -> pl.DataFrame:
        frames = [part(sources, window) for part in parts]
        return pl.concat([f for f in frames if f.height] or frames[:1], how="vertical_relaxed").unique()

    return expected


def evaluate(
    checks: Checks,
    contract: TableContract,
    rows: pl.DataFrame,
    *,
    sources: Sources,
    window: Window,
    overflows: Mapping[str, int],
    period: Period = "day",
) -> tuple[CheckOutcome, ...]:
    """All checks over the rows of one window, in the contract's types.

    `overflows` counts, by column, values that did not fit the column and became NULL.
    """
    complete = rows.select(name for name in rows.columns if not overflows.get(name))
    blocking = [rule for rule in checks.reconcile if rule.blocks]
    doubtful = [rule for rule in checks.reconcile if not rule.blocks]
    return (
        _check_rows(checks.rows, contract, rows, sources, window),
        _check_keys(contract, rows),
        _check_values(
            checks, contract, rows, overflows, _compare_totals(doubtful, contract, complete, sources, window)[0]
        ),
        _check_totals(blocking, contract, complete, sources, window),
        _check_orphans(checks, rows, sources, window),
        _check_row_count(contract, rows, sources, window, period),
    )


def _check_rows(
    rule: Expected, contract: TableContract, rows: pl.DataFrame, sources: Sources, window: Window
) -> CheckOutcome:
    period, *others = contract.primary_key
    expected = rule(sources, window)
    if expected.is_empty():
        expected = pl.DataFrame(schema={name: rows.schema[name] for name in contract.primary_key})
    keys = expected.select(
        pl.col(period).cast(pl.Date), *(kpi.key(pl.col(name).cast(pl.String)).alias(name) for name in others)
    ).unique()
    missing = keys.join(rows, on=list(contract.primary_key), how="anti")
    surplus = rows.select(contract.primary_key).join(keys, on=list(contract.primary_key), how="anti")
    findings = _sample("missing", missing) + _sample("not in the sources", surplus)
    facts = {"rows": rows.height, "expected": keys.height, "missing": missing.height, "surplus": surplus.height}
    return CheckOutcome("rows", not findings, "error", findings, facts)


def _check_keys(contract: TableContract, rows: pl.DataFrame) -> CheckOutcome:
    required = [column.name for column in contract.columns if not column.nullable and column.name in rows.columns]
    nulls = {name: count for name, count in rows.select(required).null_count().row(0, named=True).items() if count}
    repeated = rows.select(contract.primary_key).filter(pl.struct(contract.primary_key).is_duplicated()).unique()
    findings = tuple(f"{name} is NULL in {count} rows" for name, count in nulls.items()) + _sample("repeated", repeated)
    facts = {"null_values": sum(nulls.values()), "repeated_keys": repeated.height}
    return CheckOutcome("keys", not findings, "error", findings, facts)


def _check_values(
    checks: Checks,
    contract: TableContract,
    rows: pl.DataFrame,
    overflows: Mapping[str, int],
    contradictions: Sequence[str],
) -> CheckOutcome:
    period = contract.primary_key[0]
    broken: list[str] = []
    for identity in checks.identities:
        # Half a unit of the last binary digit must not turn an exact tolerance into a failure.
        holds = identity.difference.cast(pl.Float64).abs() <= identity.tolerance + 1e-9
        if identity.by_period:
            off = rows.group_by(period).agg(holds=holds).filter(~pl.col("holds")).select(period)
        else:
            off = rows.filter(~holds).select(contract.primary_key)
        broken += _sample(f"{identity.name} does not hold", off)
    odd = [f"{name}: {count} values do not fit the column and are NULL" for name, count in overflows.items() if count]
    odd += contradictions
    for expectation in checks.warnings:
        unusual = rows.filter(~expectation.holds).select(contract.primary_key)
        odd += _sample(expectation.name, unusual)
    for column in contract.columns:
        if column.value_range is None or column.name not in rows.columns:
            continue
        low, high = column.value_range
        value = pl.col(column.name).cast(pl.Float64)
        outside = pl.lit(value=False)
        if low is not None:
            outside = outside | (value < float(low))
        if high is not None:
            outside = outside | (value > float(high))
        count = rows.filter(outside).height
        if count:
            bounds = f"{'' if low is None else f'{low:g}'}..{'' if high is None else f'{high:g}'}"
            odd.append(f"{column.name} lies outside {bounds} in {count} rows")
    facts = {"broken_identities": len(broken), "warnings": len(odd)}
    return CheckOutcome("values", not broken and not odd, "error" if broken else "warn", (*broken, *odd), facts)


def _check_totals(
    rules: Sequence[Reconciliation], contract: TableContract, rows: pl.DataFrame, sources: Sources, window: Window
) -> CheckOutcome:
    findings, compared = _compare_totals(rules, contract, rows, sources, window)
    return CheckOutcome("reconcile", not findings, "error", tuple(findings), {"totals_compared": compared})


def _compare_totals(
    rules: Sequence[Reconciliation], contract: TableContract, rows: pl.DataFrame, sources: Sources, window: Window
) -> tuple[list[str], int]:
    findings: list[str] = []
    compared = 0
    for rule in rules:
        expected = rule.expected(sources, window)
        compared += expected.height
        findings += _differences(rule, contract.primary_key[0], rows, expected)
    return findings, compared


def _differences(rule: Reconciliation, period: str, rows: pl.DataFrame, expected: pl.DataFrame) -> list[str]:
    measures = {name: rule.measures.get(name, pl.col(name).sum()) for name in expected.columns if name != period}
    if not measures:
        measures = dict(rule.measures)
        expected = pl.DataFrame(schema={period: pl.Date, **dict.fromkeys(measures, pl.Float64)})
    measures = {name: total for name, total in measures.items() if set(total.meta.root_names()) <= set(rows.columns)}
    exact = {name for name in measures if name in rows.columns and rows.schema[name].is_integer()}
    actual = rows.group_by(period).agg(
        pl.len().alias("_rows"), *(expression.cast(pl.Float64).alias(name) for name, expression in measures.items())
    )
    wanted = expected.select(
        pl.col(period).cast(pl.Date), *(pl.col(name).cast(pl.Float64).alias(f"{name}_expected") for name in measures)
    )
    joined = actual.join(wanted, on=period, how="full", coalesce=True).fill_null(0)
    findings: list[str] = []
    for name in measures:
        allowed = pl.lit(0.0) if name in exact else rule.tolerance * pl.col("_rows").clip(lower_bound=1)
        off = joined.filter((pl.col(name) - pl.col(f"{name}_expected")).abs() > allowed + 1e-6).sort(period)
        findings += [
            f"{rule.name}: {name} of {row[period]} is {row[name]:g}, the sources say {row[f'{name}_expected']:g}"
            for row in off.head(_SAMPLES).iter_rows(named=True)
        ]
        if off.height > _SAMPLES:
            findings.append(f"{rule.name}: {name} differs on {off.height} days in all")
    return findings


def _check_orphans(checks: Checks, rows: pl.DataFrame, sources: Sources, window: Window) -> CheckOutcome:
    facts: dict[str, int | float] = {}
    findings: list[str] = []
    for name, rule in checks.left_out.items():
        count = _number(rule(sources, window))
        facts[name.replace(" ", "_")] = count
        if count:
            findings.append(f"{name}: {count} source rows are in no period")
    for column, attribute in checks.orphans.items():
        keys = rows.select(column, attribute).filter(pl.col(column).is_not_null())
        lost = keys.filter(pl.col(attribute).is_null())
        share = lost.height / keys.height if keys.height else 0.0
        facts |= {f"{column}_orphan_rows": lost.height, f"{column}_orphan_share": round(share, 6)}
        if lost.height:
            names = ", ".join(lost[column].unique().sort().head(_SAMPLES).to_list())
            findings.append(f"{column}: {lost.height} rows ({share:.1%}) match no master row, such as {names}")
    return CheckOutcome("orphans", not findings, "warn", tuple(findings), facts)


def _check_row_count(
    contract: TableContract, rows: pl.DataFrame, sources: Sources, window: Window, period: Period
) -> CheckOutcome:
    column = identifier(contract.primary_key[0])
    # The day or month that still runs has fewer rows than it will have; a snapshot is whole at once.
    starts = {period_of(day, period) for day in window.days}
    closed = sorted(start for start in starts if period == "snapshot" or moved(start, 1, period) <= window.as_of.date())
    compared = [other for start in closed for other in comparable_periods(start, period)]
    stored = sources.query(
        "reporting",
        f"SELECT {column}, COUNT(*) AS row_count FROM {identifier(contract.name)} "  # noqa: S608
        f"WHERE {column} >= %(first)s AND {column} < %(end)s GROUP BY {column}",
        {"first": min(compared, default=window.first), "end": window.first},
    )
    counts = dict(stored.iter_rows()) | dict(rows.group_by(contract.primary_key[0]).len().iter_rows())
    findings = tuple(
        f"{unusual.period} has {unusual.rows} rows, comparable {period}s have {unusual.usual:g}"
        for unusual in unusual_row_counts(closed, counts, period)
    )
    return CheckOutcome("row_count", not findings, "warn", findings, {"periods_compared": len(closed)})


def _number(frame: pl.DataFrame) -> int:
    return int(frame.item() or 0) if frame.height else 0


def _sample(what: str, keys: pl.DataFrame) -> tuple[str, ...]:
    if keys.is_empty():
        return ()
    examples = "; ".join(", ".join(str(value) for value in row) for row in keys.sort(keys.columns).head(3).rows())
    return (f"{what}: {keys.height} rows, such as {examples}",)
