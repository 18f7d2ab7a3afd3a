"""Partitions by month or year: which exist, which are needed, and the statements that bring the missing ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from genims_platform.mysql.connection import identifier
from genims_platform.rolling_window import WINDOW_MONTHS, add_months

MONTHS_AHEAD = 3
FUTURE = "p_future"
YEARS = 10

Period = Literal["month", "year"]


@dataclass(frozen=True)
class Partition:
    """One partition: rows before `end` that no earlier partition takes; None: all the rest."""

    name: str
    end: date | None


@dataclass(frozen=True)
class Partitioning:
    """How a table is divided: by a DATE column into months, or by a DATETIME column into years."""

    column: str
    period: Period

    @property
    def method(self) -> str:
        """What follows PARTITION BY, before the list of partitions."""
        column = identifier(self.column)
        return f"RANGE COLUMNS ({column})" if self.period == "month" else f"RANGE (YEAR({column}))"

    def wanted(self, today: date) -> list[Partition]:
        """What the table needs around `today`.

        By month: 12 months back to 3 ahead, and one for all later rows. By year: this year and the nine after it, and
        none for later rows, which are refused rather than kept where a year's archive would miss them.
        """
        if self.period == "year":
            return [Partition(f"p{year}", date(year + 1, 1, 1)) for year in range(today.year, today.year + YEARS)]
        months = [add_months(today, offset) for offset in range(-WINDOW_MONTHS, MONTHS_AHEAD + 1)]
        return [*(Partition(f"p{month:%Y%m}", add_months(month, 1)) for month in months), Partition(FUTURE, None)]

    def clause(self, today: date) -> str:
        """The PARTITION BY clause that gives a table all wanted partitions."""
        return f"PARTITION BY {self.method} ({self._definitions(self.wanted(today))})"

    def missing(self, present: Sequence[Partition], today: date) -> list[Partition]:
        """The wanted partitions that a partitioned table lacks; none for a table that is not partitioned."""
        ends = {partition.end for partition in present}
        return [partition for partition in self.wanted(today) if partition.end not in ends] if present else []

    def missing_statements(self, table: str, present: Sequence[Partition], today: date) -> list[str]:
        """Statements that split present partitions, in ascending order, at the ends they lack; rows move along."""
        statements: list[str] = []
        wanted = self.wanted(today)
        previous: date | None = None
        for partition in present:
            pieces = [piece for piece in wanted if piece.end and _between(previous, piece.end, partition.end)]
            if pieces:
                statements.append(
                    f"ALTER TABLE {identifier(table)} REORGANIZE PARTITION {identifier(partition.name)} "
                    f"INTO ({self._definitions([*pieces, partition])})"
                )
            previous = partition.end
        last = present[-1].end
        rest = [piece for piece in wanted if last is not None and (piece.end is None or piece.end > last)]
        if rest:
            statements.append(f"ALTER TABLE {identifier(table)} ADD PARTITION ({self._definitions(rest)})")
        return statements

    def _definitions(self, partitions: Sequence[Partition]) -> str:
        return ", ".join(
            f"PARTITION {identifier(part.name)} VALUES LESS THAN ({self._limit(part.end)})" for part in partitions
        )

    def _limit(self, end: date | None) -> str:
        if end is None:
            return "MAXVALUE"
        return f"'{end.isoformat()}'" if self.period == "month" else str(end.year)


def _between(low: date | None, end: date, high: date | None) -> bool:
    return (low is None or low < end) and (high is None or end < high)
