"""Which rows of a source table a model needs for a span of time, as SQL predicates.

connectorx cannot bind parameters, so the predicate is built as a syntax tree: identifiers come from the source
catalogue and are quoted, and the only values are instants that the platform itself computed, keys that it has read
and codes that a model names.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlglot import exp

NO_TIME = timedelta()


@dataclass(frozen=True)
class Span:
    """A half-open span of source time [start, end), naive UTC."""

    start: datetime
    end: datetime


class Scope(ABC):
    """A rule that selects rows of one table for a span."""

    @abstractmethod
    def predicate(self, span: Span) -> exp.Condition:
        """The rows for this span, as an SQL condition."""

    def resolved(self, keys: "Callable[[Foreign], Sequence[str]]") -> "Scope":  # noqa: ARG002
        """The same rule with every look-up in another database replaced by what `keys` finds there."""
        return self

    def __or__(self, other: "Scope") -> "Scope":
        """Rows that either rule selects."""
        return _Either(self, other)

    def __and__(self, other: "Scope") -> "Scope":
        """Rows that both rules select."""
        return _Both(self, other)


@dataclass(frozen=True)
class Everything(Scope):
    """All rows: master data and tables that only know their present state."""

    def predicate(self, span: Span) -> exp.Condition:  # noqa: ARG002
        """Always true."""
        return exp.true()


@dataclass(frozen=True)
class Between(Scope):
    """Rows whose `column` lies in the span, widened by `before` and `after`."""

    column: str
    before: timedelta = field(default=NO_TIME)
    after: timedelta = field(default=NO_TIME)

    def predicate(self, span: Span) -> exp.Condition:
        """`column >= start - before AND column < end + after`."""
        column = _column(self.column)
        return exp.and_(column >= _instant(span.start - self.before), column < _instant(span.end + self.after))


@dataclass(frozen=True)
class NumberedBetween(Scope):
    """Rows whose document number names a day of the span, such as `PICK-20261122-000017` for the prefix `PICK`.

    For tables without any time column. The day of the last instant counts as a whole.
    """

    column: str
    prefix: str

    def predicate(self, span: Span) -> exp.Condition:
        """`column >= 'PICK-20261122' AND column < 'PICK-20261123'`: a range of text, which an index serves."""
        column = _column(self.column)
        after_last = (span.end - timedelta(microseconds=1)).date() + timedelta(days=1)
        first, end = (exp.Literal.string(f"{self.prefix}-{day:%Y%m%d}") for day in (span.start.date(), after_last))
        return exp.and_(column >= first, column < end)


@dataclass(frozen=True)
class MonthNamed(Scope):
    """Rows whose text `column` names a month of the span, such as `2026-11`."""

    column: str

    def predicate(self, span: Span) -> exp.Condition:
        """`column >= '2026-11' AND column <= '2026-11'`."""
        column, last = _column(self.column), span.end - timedelta(microseconds=1)
        first, end = (exp.Literal.string(f"{instant:%Y-%m}") for instant in (span.start, last))
        return exp.and_(column >= first, column <= end)


@dataclass(frozen=True)
class Until(Scope):
    """Rows whose `column` lies before the end of the span: running totals and latest values."""

    column: str

    def predicate(self, span: Span) -> exp.Condition:
        """`column < end`."""
        return _column(self.column) < _instant(span.end)


@dataclass(frozen=True)
class Unended(Scope):
    """Rows whose `column`, where they ended, is empty or not before the span: what was still open when it began."""

    column: str

    def predicate(self, span: Span) -> exp.Condition:
        """`column IS NULL OR column >= start`."""
        column = _column(self.column)
        return exp.or_(column.is_(exp.null()), column >= _instant(span.start))


@dataclass(frozen=True)
class YearToDate(Scope):
    """Rows whose `column` lies between the January 1 before the span and its end."""

    column: str

    def predicate(self, span: Span) -> exp.Condition:
        """`column >= January 1 AND column < end`."""
        column = _column(self.column)
        new_year = span.start.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
        return exp.and_(column >= _instant(new_year), column < _instant(span.end))


@dataclass(frozen=True)
class Alike(Scope):
    """Rows whose `column` is `value`: those of one kind in a table of several."""

    column: str
    value: str

    def predicate(self, span: Span) -> exp.Condition:  # noqa: ARG002
        """`column = value`."""
        return _column(self.column).eq(exp.Literal.string(self.value))


@dataclass(frozen=True)
class Unlike(Scope):
    """Rows whose `column` is not `value`, or says nothing: what is still open, such as an invoice that is not paid."""

    column: str
    value: str

    def predicate(self, span: Span) -> exp.Condition:  # noqa: ARG002
        """`column IS DISTINCT FROM value`."""
        return exp.NullSafeNEQ(this=_column(self.column), expression=exp.Literal.string(self.value))


@dataclass(frozen=True)
class CodeRange(Scope):
    """Rows whose text `column` lies between two codes of equal length, both included, such as a group of accounts."""

    column: str
    low: str
    high: str

    def predicate(self, span: Span) -> exp.Condition:  # noqa: ARG002
        """`column BETWEEN low AND high`."""
        return exp.Between(
            this=_column(self.column), low=exp.Literal.string(self.low), high=exp.Literal.string(self.high)
        )


@dataclass(frozen=True)
class Overlapping(Scope):
    """Rows whose interval [`start`, `end`) touches the span."""

    start: str
    end: str

    def predicate(self, span: Span) -> exp.Condition:
        """`start < span end AND end > span start`."""
        return exp.and_(_column(self.start) < _instant(span.end), _column(self.end) > _instant(span.start))


@dataclass(frozen=True)
class KeyIn(Scope):
    """Rows whose `column` holds a key of the rows that `scope` selects from `table` of the same database."""

    column: str
    table: str
    key: str
    scope: Scope

    def predicate(self, span: Span) -> exp.Condition:
        """`column IN (SELECT key FROM table WHERE …)`."""
        keys = (
            exp.select(_column(self.key)).from_(exp.to_table(self.table, quoted=True)).where(self.scope.predicate(span))
        )
        return exp.In(this=_column(self.column), query=exp.Subquery(this=keys))

    def resolved(self, keys: "Callable[[Foreign], Sequence[str]]") -> Scope:
        """With the look-ups of the inner rule replaced."""
        return KeyIn(self.column, self.table, self.key, self.scope.resolved(keys))


@dataclass(frozen=True)
class Foreign(Scope):
    """Rows whose `column` holds a key that is found in another database, where SQL cannot look.

    The reader finds the keys first and passes them as a list.
    """

    column: str

    def predicate(self, span: Span) -> exp.Condition:  # noqa: ARG002
        """Not to be asked before `resolved`."""
        raise TypeError(f"the keys for {self.column} have to be looked up first")

    def resolved(self, keys: "Callable[[Foreign], Sequence[str]]") -> Scope:
        """The keys that were found."""
        return _OneOf(self.column, tuple(keys(self)))


@dataclass(frozen=True)
class KeyFrom(Foreign):
    """Rows whose `column` holds a `key` of the rows that `scope` selects from `table`, such as `tms.shipments`."""

    table: str
    key: str
    scope: Scope


@dataclass(frozen=True)
class Earliest(Scope):
    """Rows that hold the smallest `column` of `table`, the one read: where its history begins."""

    table: str
    column: str

    def predicate(self, span: Span) -> exp.Condition:  # noqa: ARG002
        """`column = (SELECT min(column) FROM table)`."""
        column = _column(self.column)
        smallest = exp.select(exp.Min(this=column)).from_(exp.to_table(self.table, quoted=True))
        return column.eq(exp.Subquery(this=smallest))


@dataclass(frozen=True)
class Latest(Scope):
    """Rows of `table`, the one read, that hold the largest `column` for their key `by` among those `scope` selects."""

    table: str
    column: str
    by: str
    scope: Scope

    def predicate(self, span: Span) -> exp.Condition:
        """`(by, column) IN (SELECT by, max(column) FROM table WHERE … GROUP BY by)`."""
        by, column = _column(self.by), _column(self.column)
        latest = (
            exp.select(by, exp.Max(this=column))
            .from_(exp.to_table(self.table, quoted=True))
            .where(self.scope.predicate(span))
            .group_by(by)
        )
        return exp.In(this=exp.Tuple(expressions=[by.copy(), column.copy()]), query=exp.Subquery(this=latest))


@dataclass(frozen=True)
class LastSnapshot(Scope):
    """Rows of `table`, the one read, on the latest day `column` within the span: the last snapshot of a month."""

    table: str
    column: str

    def predicate(self, span: Span) -> exp.Condition:
        """`column = (SELECT max(column) FROM table WHERE …)`."""
        column = _column(self.column)
        latest = (
            exp.select(exp.Max(this=column))
            .from_(exp.to_table(self.table, quoted=True))
            .where(Between(self.column).predicate(span))
        )
        return column.eq(exp.Subquery(this=latest))


@dataclass(frozen=True)
class _Either(Scope):
    left: Scope
    right: Scope

    def predicate(self, span: Span) -> exp.Condition:
        left, right = self.left.predicate(span), self.right.predicate(span)
        if left.this == right.this and isinstance(left.args.get("query"), exp.Subquery) and right.args.get("query"):
            # One look-up of keys from both: with OR between two, PostgreSQL reads the whole table.
            keys = exp.union(left.args["query"].this, right.args["query"].this, distinct=False)
            return exp.In(this=left.this, query=exp.Subquery(this=keys))
        return exp.or_(left, right)

    def resolved(self, keys: Callable[[Foreign], Sequence[str]]) -> Scope:
        return _Either(self.left.resolved(keys), self.right.resolved(keys))


@dataclass(frozen=True)
class _Both(Scope):
    left: Scope
    right: Scope

    def predicate(self, span: Span) -> exp.Condition:
        return exp.and_(self.left.predicate(span), self.right.predicate(span))

    def resolved(self, keys: Callable[[Foreign], Sequence[str]]) -> Scope:
        return _Both(self.left.resolved(keys), self.right.resolved(keys))


@dataclass(frozen=True)
class _OneOf(Scope):
    column: str
    values: tuple[str, ...]

    def predicate(self, span: Span) -> exp.Condition:  # noqa: ARG002
        """`column = ANY ('{…}')`: one literal for all keys, which may be thousands."""
        if not self.values:
            return exp.false()
        quoted = (value.replace("\\", r"\\").replace('"', r"\"") for value in self.values)
        array = exp.cast(exp.Literal.string("{" + ",".join(f'"{value}"' for value in quoted) + "}"), "text[]")
        return exp.EQ(this=_column(self.column), expression=exp.Any(this=exp.paren(array)))


def _column(name: str) -> exp.Column:
    return exp.column(name, quoted=True)


def _instant(value: datetime) -> exp.Cast:
    return exp.cast(exp.Literal.string(value.isoformat(sep=" ")), exp.DataType.Type.TIMESTAMP)
