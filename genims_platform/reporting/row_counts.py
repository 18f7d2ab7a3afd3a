"""Whether a period has about as many rows as the ones that it should resemble."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from statistics import median

from genims_platform.reporting.periods import DAY, Period, moved

WEEKS_COMPARED = 4
MONTHS_COMPARED = 3

USUAL_FACTOR = 2.0
"""A period is unusual if it has more than twice, or less than half, the rows of its like."""

NOTABLE_ROWS = 10
"""Differences of fewer rows than this are never worth a warning."""


@dataclass(frozen=True)
class UnusualCount:
    """A period whose number of rows differs from the median of comparable ones."""

    period: date
    rows: int
    usual: float


def comparable_periods(start: date, period: Period) -> list[date]:
    """The periods that one should resemble: the same weekday of the last weeks, or the last months."""
    if period == "month":
        return [moved(start, -back, period) for back in range(1, MONTHS_COMPARED + 1)]
    return [start - 7 * DAY * back for back in range(1, WEEKS_COMPARED + 1)]


def unusual_row_counts(starts: Iterable[date], counts: Mapping[date, int], period: Period) -> list[UnusualCount]:
    """Those of the periods whose `counts` differ by more than `USUAL_FACTOR` from the median of comparable ones.

    A period without a row in `counts` has none; with fewer than two comparable ones that have rows nothing is said.
    """
    unusual: list[UnusualCount] = []
    for start in starts:
        like = [counts[other] for other in comparable_periods(start, period) if counts.get(other)]
        rows = counts.get(start, 0)
        if len(like) < 2 or abs(rows - median(like)) < NOTABLE_ROWS:
            continue
        usual = median(like)
        if not usual / USUAL_FACTOR <= rows <= usual * USUAL_FACTOR:
            unusual.append(UnusualCount(start, rows, usual))
    return unusual
