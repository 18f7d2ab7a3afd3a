"""Which source rows a model reads, in words."""

import re
from dataclasses import fields
from datetime import timedelta

from genims_platform.sources.scope import (
    Alike,
    Between,
    CodeRange,
    Earliest,
    Everything,
    KeyFrom,
    KeyIn,
    LastSnapshot,
    Latest,
    MonthNamed,
    NumberedBetween,
    Overlapping,
    Scope,
    Unended,
    Unlike,
    Until,
    YearToDate,
    _Both,  # pyright: ignore[reportPrivateUsage]
    _Either,  # pyright: ignore[reportPrivateUsage]
)
from genims_platform.sources.summary import KeyOf


def in_words(scope: Scope) -> str:  # noqa: PLR0911, PLR0912 - one line a kind of scope
    """The rows that a scope selects; "the window" are the days or months that a run computes."""
    match scope:
        case Everything():
            return "all rows"
        case Between(column, before, after):
            return f"`{column}` in the window{_widened(before, after)}"
        case NumberedBetween(column, prefix):
            return f"`{column}` names a day of the window ({prefix}-yyyymmdd-…)"
        case MonthNamed(column):
            return f"`{column}` names a month of the window"
        case Until(column):
            return f"`{column}` before the end of the window"
        case Unended(column):
            return f"`{column}` empty or not before the window"
        case YearToDate(column):
            return f"`{column}` from January 1 to the end of the window"
        case Alike(column, value):
            return f"`{column}` is `{value}`"
        case Unlike(column, value):
            return f"`{column}` is not `{value}`"
        case CodeRange(column, low, high):
            return f"`{column}` from `{low}` to `{high}`"
        case Overlapping(start, end):
            return f"`{start}` to `{end}` touches the window"
        case KeyIn(column, table, key, inner) | KeyFrom(column, table, key, inner):
            return f"`{column}` is the `{key}` of a row of `{table}` with {in_words(inner)}"
        case KeyOf(column, summary, key):
            return f"`{column}` is the `{key}` of one of the {summary.description}"
        case Earliest(_, column):
            return f"the smallest `{column}`"
        case Latest(_, column, by, inner):
            return f"the latest `{column}` of each `{by}` among rows with {in_words(inner)}"
        case LastSnapshot(_, column):
            return f"the last `{column}` of the window"
        case _Either(left, right):
            return f"{in_words(left)}, or {in_words(right)}"
        case _Both(left, right):
            return f"{in_words(left)}, and {in_words(right)}"
        case _:
            return _described(scope)


def _widened(before: timedelta, after: timedelta) -> str:
    parts = [f"up to {_span(span)} {side} it" for span, side in ((before, "before"), (after, "after")) if span]
    return f" or {' or '.join(parts)}" if parts else ""


def _span(span: timedelta) -> str:
    hours, minutes = divmod(span.seconds // 60, 60)
    parts = ((span.days, "day" if span.days == 1 else "days"), (hours, "h"), (minutes, "min"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def _described(scope: Scope) -> str:
    """The first sentence of the scope's own description, with values for the names of its fields."""
    text = re.split(r"[.:](?:\s|$)", scope.__doc__ or type(scope).__name__)[0]
    for field in fields(scope):  # pyright: ignore[reportArgumentType]
        value = getattr(scope, field.name)
        text = text.replace(f"`{field.name}`", in_words(value) if isinstance(value, Scope) else f"`{value}`")
    return " ".join(text.split())
