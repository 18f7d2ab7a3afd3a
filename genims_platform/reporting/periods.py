"""Periods of the reporting tables: which ones a span of hours touches, and the instant as of which they are computed.

A period is a day, a month (named by its first day) or a snapshot: the present day of a source that knows only its
present state, so that no other day can ever be computed. All boundaries are UTC. A day is half-open, [00:00, next day
00:00).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Literal

from genims_platform.rolling_window import add_months
from genims_platform.sources.scope import Span

Period = Literal["day", "month", "snapshot"]

DAY = timedelta(days=1)
BRIDGED_DAYS = 9
LATE_DAYS = 35
"""How many days after they happened facts may still arrive before the weekly close; what the daily close covers."""


@dataclass(frozen=True)
class Window:
    """Consecutive days [first, end) to compute, with what was known at `as_of` (naive UTC)."""

    first: date
    end: date
    as_of: datetime

    @property
    def span(self) -> Span:
        """Source time of these days: events after `as_of` are left for the day on which they come true."""
        return Span(midnight(self.first), min(midnight(self.end), self.as_of))

    @property
    def days(self) -> tuple[date, ...]:
        """The days, ascending."""
        return tuple(_days(self.first, self.end))

    @property
    def last_day(self) -> date:
        """The last day of which anything is known: today, or the last day of a window that is over."""
        return (self.span.end - timedelta(microseconds=1)).date()


@dataclass(frozen=True)
class Hours:
    """Consecutive hours [start, end) of source events, naive UTC: what one refresh is asked for."""

    start: datetime
    end: datetime

    @property
    def first_day(self) -> date:
        """Day of the first hour."""
        return self.start.date()

    @property
    def last_day(self) -> date:
        """Day of the last hour."""
        return (self.end - timedelta(microseconds=1)).date()


def midnight(day: date) -> datetime:
    """The first instant of a day."""
    return datetime.combine(day, time())


def period_of(day: date, period: Period) -> date:
    """First day of the period that holds `day`."""
    return day.replace(day=1) if period == "month" else day


def moved(start: date, periods: int, period: Period) -> date:
    """First day of the period `periods` after (before, if negative) the one that starts on `start`."""
    return add_months(start, periods) if period == "month" else start + DAY * periods


def affected_periods(
    hours: Hours, *, period: Period, recompute: int, touched: Iterable[date], earliest: date, as_of: datetime
) -> frozenset[date]:
    """First days of the periods that hold events of `hours`, `recompute` ones before them, and those `touched`.

    Touched days are linked to the hours by a key, such as an order's. Periods before `earliest` or after `as_of` are
    left out. A snapshot is affected only if the hours reach the present day.
    """
    today = as_of.date()
    if period == "snapshot":
        return frozenset({today} if hours.first_day <= today <= hours.last_day else ())
    first = moved(period_of(hours.first_day, period), -recompute, period)
    days = {*_days(first, hours.last_day + DAY), *touched}
    return frozenset(period_of(day, period) for day in days if earliest <= day <= today)


def periods_looking_back(hours: Hours, *, period: Period, rolling_days: int, as_of: datetime) -> frozenset[date]:
    """Periods after `hours` whose measures over `rolling_days` days reach back to them, up to that of `as_of`.

    At most LATE_DAYS of days: facts that are later than that need an explicit backfill of the periods after them.
    """
    reach = min(rolling_days - 1, LATE_DAYS)
    days = _days(hours.last_day + DAY, hours.last_day + DAY * (reach + 1))
    return frozenset(period_of(day, period) for day in days if day <= as_of.date())


def without_gaps(days: Iterable[date]) -> frozenset[date]:
    """The days and those between them wherever at most BRIDGED_DAYS lie between two.

    A run of days is read and computed at once, and costs hardly more than one day; scattered ones are as many readings.
    """
    ordered = sorted(set(days))
    between = (_days(day, later) for day, later in pairwise(ordered) if (later - day).days <= BRIDGED_DAYS + 1)
    return frozenset(ordered).union(*between)


def slices(starts: Iterable[date], period: Period) -> list[tuple[date, date]]:
    """Periods as half-open ranges of days, ascending: what is computed and published at once.

    Consecutive days of one month form one range; a month is a range of its own.
    """
    ranges: list[tuple[date, date]] = []
    for start in sorted(set(starts)):
        end = moved(start, 1, period)
        if ranges and ranges[-1][1] == start and ranges[-1][0].month == start.month:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    return ranges


def _days(first: date, end: date) -> list[date]:
    return [first + DAY * n for n in range((end - first).days)]
