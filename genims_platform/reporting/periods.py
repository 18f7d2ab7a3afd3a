"""Periods of the reporting tables: which days a span of hours touches, and the instant as of which they are computed.

All boundaries are UTC. A day is half-open, [00:00, next day 00:00).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from genims_platform.sources.scope import Span

DAY = timedelta(days=1)
LATE_DAYS = 35
"""How many days after they happened facts may still arrive without a backfill; what the daily close covers."""


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


def affected_days(
    hours: Hours, *, recompute: int, touched: Iterable[date], earliest: date, as_of: datetime
) -> frozenset[date]:
    """Days whose rows hold events of `hours`, `recompute` days before them for late rows, and the `touched` days.

    Touched days are linked to the hours by a key, such as an order's. Days before `earliest` or after that of `as_of`
    are left out.
    """
    first = hours.first_day - DAY * recompute
    days = set(_days(first, hours.last_day + DAY)) | set(touched)
    return frozenset(day for day in days if earliest <= day <= as_of.date())


def days_looking_back(hours: Hours, *, rolling_days: int, as_of: datetime) -> frozenset[date]:
    """Days after `hours` whose measures over `rolling_days` days reach back to them, up to the day of `as_of`.

    At most LATE_DAYS of them: facts that are later than that need an explicit backfill of the days after them.
    """
    reach = min(rolling_days - 1, LATE_DAYS)
    days = _days(hours.last_day + DAY, hours.last_day + DAY * (reach + 1))
    return frozenset(day for day in days if day <= as_of.date())


def slices(days: Iterable[date]) -> list[tuple[date, date]]:
    """Days as half-open ranges of consecutive days of one month, ascending: what is computed and published at once."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if ranges and ranges[-1][1] == day and ranges[-1][0].month == day.month:
            ranges[-1] = (ranges[-1][0], day + DAY)
        else:
            ranges.append((day, day + DAY))
    return ranges


def _days(first: date, end: date) -> list[date]:
    return [first + DAY * n for n in range((end - first).days)]
