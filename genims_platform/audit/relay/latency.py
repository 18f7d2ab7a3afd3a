"""How long events took from commit in their source to commit in the audit database."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

_MEASURED = 100_000
"""Events of one window whose latency is remembered; more would tell no more."""


@dataclass(frozen=True)
class Latency:
    """Percentiles in milliseconds; None without events."""

    p50_ms: int | None = None
    p99_ms: int | None = None
    max_ms: int | None = None


class LatencyWindow:
    """The latencies of one span of time."""

    def __init__(self) -> None:
        self._milliseconds = array("f")
        self._longest = 0.0

    def add(self, committed: Iterable[float], arrived: float) -> None:
        """Record events that were committed in the source at these times; all in seconds of the same clock."""
        for at in committed:
            late = max(0.0, (arrived - at) * 1000)
            self._longest = max(self._longest, late)
            if len(self._milliseconds) < _MEASURED:
                self._milliseconds.append(late)

    def summary(self) -> Latency:
        """The percentiles."""
        if not self._milliseconds:
            return Latency()
        ordered = sorted(self._milliseconds)
        last = len(ordered) - 1
        return Latency(round(ordered[last // 2]), round(ordered[last * 99 // 100]), round(self._longest))
