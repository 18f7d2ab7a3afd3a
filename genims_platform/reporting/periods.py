"""Periods of the reporting tables: which days a span of hours touches, and the instant as of which they are computed.

All boundaries are UTC. A day is half-open, [00:00, next day 00:00).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from genims_platform.sources.scope import Span

DAY = timedelta(days=1)
WINDOW_MONTHS = 12


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
        return tuple(self.first + DAY * n for n in range((self.end - self.first).days))


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


def window_start(today: date, months: int = WINDOW_MONTHS) -> date:
    """First day of the rolling window: the first of the month `months` months before `today`."""
    month = today.year * 12 + today.month - 1 - months
    return date(month // 12, month % 12 + 1, 1)


def affected_days(
    hours: Hours, *, recompute: int, rolling_days: int, touched: Iterable[date], earliest: date, as_of: datetime
) -> frozenset[date]:
    """Days whose rows may depend on events of `hours`.

    `recompute` days before the hours are refreshed for late rows. A measure over `rolling_days` days up to a day makes
    the `rolling_days - 1` days after the hours depend on them as well. `touched` days are linked by a key. Nothing
    before `earliest` nor after the day of `as_of` is returned.
    """
    first = hours.first_day - DAY * recompute
    last = hours.last_day + DAY * (rolling_days - 1)
    days = {first + DAY * n for n in range((last - first).days + 1)} | set(touched)
    return frozenset(day for day in days if earliest <= day <= as_of.date())


def slices(days: Iterable[date]) -> list[tuple[date, date]]:
    """Days as half-open ranges of consecutive days of one month, ascending: what is computed and published at once."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if ranges and ranges[-1][1] == day and ranges[-1][0].month == day.month:
            ranges[-1] = (ranges[-1][0], day + DAY)
        else:
            ranges.append((day, day + DAY))
    return ranges
