"""What an equation between tables is, and finding what breaks it.

Statements take `%(first)s` and `%(end)s`, a half-open range of days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import polars as pl

from genims_platform.mysql.connection import Database

Grain = Literal["day", "month"]

SAMPLES = 3


@dataclass(frozen=True)
class Invariant:
    """An equation that holds between `tables` for every day, or every closed month, of the window.

    Each statement returns the totals that break it: the keys, then both sides.
    """

    name: str
    grain: Grain
    description: str
    tables: tuple[str, ...]
    statements: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """Whether an invariant holds; `findings` name some totals that break it, `broken` counts them."""

    invariant: Invariant
    broken: int
    findings: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """No total breaks it."""
        return self.broken == 0


def verify(database: Database, invariants: Sequence[Invariant], first: date, end: date) -> list[Verdict]:
    """Check invariants over the days [first, end); those by month over the months that lie in it as a whole."""
    return [_verdict(database, invariant, {"first": first, "end": end}) for invariant in invariants]


def _verdict(database: Database, invariant: Invariant, days: Mapping[str, date]) -> Verdict:
    broken = [database.read(statement, days) for statement in invariant.statements]
    findings = [finding for rows in broken for finding in _sentences(rows)]
    return Verdict(invariant, sum(rows.height for rows in broken), tuple(findings))


def _sentences(rows: pl.DataFrame) -> list[str]:
    *keys, left, right = rows.columns
    return [
        f"{', '.join(str(row[key]) for key in keys)}: {left} is {row[left]}, {right} is {row[right]}"
        for row in rows.head(SAMPLES).iter_rows(named=True)
    ]
