"""What the relay wrote since it was last said: sums for each table, told at most once in an interval."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Written:
    """Rows that were written into one table, the numbers of their events, and the slowest 99th percentile, in ms."""

    rows: int
    first_sequence: int
    last_sequence: int
    latency_p99_ms: int | None = None

    def __add__(self, later: "Written") -> "Written":
        """Both together; percentiles cannot be added, so the worse one stands."""
        latencies = [ms for ms in (self.latency_p99_ms, later.latency_p99_ms) if ms is not None]
        return Written(
            self.rows + later.rows,
            min(self.first_sequence, later.first_sequence),
            max(self.last_sequence, later.last_sequence),
            max(latencies, default=None),
        )


class Tally:
    """Sums by table between two times that they are told."""

    def __init__(self, interval: timedelta) -> None:
        """`interval`: a table is told at most this often."""
        self._interval = interval
        self._sums: dict[str, Written] = {}
        self._told: dict[str, datetime] = {}

    def add(self, written: Mapping[str, Written], now: datetime) -> None:
        """Count what was written; a table without rows is left out."""
        for table, found in written.items():
            if found.rows:
                self._sums[table] = self._sums[table] + found if table in self._sums else found
                self._told.setdefault(table, now)

    def due(self, now: datetime, *, last: bool = False) -> dict[str, Written]:
        """What is to be told now; everything that is left, if this is the `last` time."""
        return {
            table: found for table, found in self._sums.items() if last or now - self._told[table] >= self._interval
        }

    def told(self, table: str, now: datetime) -> None:
        """The sums of this table were told."""
        self._sums.pop(table, None)
        self._told[table] = now
