"""Monthly partitions of day-grain tables: which exist, which the rolling window needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from genims_platform.mysql.connection import identifier
from genims_platform.rolling_window import WINDOW_MONTHS, add_months

MONTHS_AHEAD = 3
FUTURE = "p_future"


@dataclass(frozen=True)
class Partition:
    """One RANGE COLUMNS partition: rows before `end` that no earlier partition takes; None: all the rest."""

    name: str
    end: date | None

    @property
    def definition(self) -> str:
        """The partition as it is written in a statement."""
        limit = "MAXVALUE" if self.end is None else f"'{self.end.isoformat()}'"
        return f"PARTITION {identifier(self.name)} VALUES LESS THAN ({limit})"


def wanted_partitions(today: date) -> list[Partition]:
    """A partition a month, from 12 months before `today` to 3 ahead, and one for all later rows."""
    months = [add_months(today, offset) for offset in range(-WINDOW_MONTHS, MONTHS_AHEAD + 1)]
    return [*(Partition(f"p{month:%Y%m}", add_months(month, 1)) for month in months), Partition(FUTURE, None)]


def partition_clause(column: str, today: date) -> str:
    """The PARTITION BY clause that gives a table all wanted partitions."""
    return f"PARTITION BY RANGE COLUMNS ({identifier(column)}) ({_definitions(wanted_partitions(today))})"


def missing_partitions(present: Sequence[Partition], today: date) -> list[Partition]:
    """The wanted partitions that a partitioned table lacks; none for a table that is not partitioned."""
    ends = {partition.end for partition in present}
    return [partition for partition in wanted_partitions(today) if partition.end not in ends] if present else []


def missing_partition_statements(table: str, present: Sequence[Partition], today: date) -> list[str]:
    """Statements that split present partitions, in ascending order, at the month ends they lack; rows move along."""
    statements: list[str] = []
    wanted = wanted_partitions(today)
    previous: date | None = None
    for partition in present:
        pieces = [piece for piece in wanted if piece.end and _between(previous, piece.end, partition.end)]
        if pieces:
            statements.append(
                f"ALTER TABLE {identifier(table)} REORGANIZE PARTITION {identifier(partition.name)} "
                f"INTO ({_definitions([*pieces, partition])})"
            )
        previous = partition.end
    if present[-1].end is not None:
        rest = [piece for piece in wanted if piece.end is None or piece.end > present[-1].end]
        statements.append(f"ALTER TABLE {identifier(table)} ADD PARTITION ({_definitions(rest)})")
    return statements


def _between(low: date | None, end: date, high: date | None) -> bool:
    return (low is None or low < end) and (high is None or end < high)


def _definitions(partitions: Sequence[Partition]) -> str:
    return ", ".join(partition.definition for partition in partitions)
