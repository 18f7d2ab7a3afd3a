"""What the relay did: counted for each source and each window of time."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from genims_platform.audit.ledger.batch import Batch, Head
from genims_platform.audit.relay.feed import Part
from genims_platform.audit.relay.latency import Latency, LatencyWindow


@dataclass
class SourceFigures:
    """One source in one window."""

    batches: int = 0
    events: int = 0
    rows: int = 0
    quarantined: int = 0
    latency: LatencyWindow = field(default_factory=LatencyWindow)


class Figures:
    """Everything that was committed in one window."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.sources: dict[str, SourceFigures] = {}
        self.latency = LatencyWindow()
        self.rows: Counter[str] = Counter()
        self.events = 0
        self.first_sequence: int | None = None
        self.last_sequence: int | None = None

    def committed(self, parts: Sequence[Part], batches: Sequence[Batch], arrived: float) -> None:
        """Count parts that were committed as these batches; `arrived` in seconds of this machine's clock."""
        for part, batch in zip(parts, batches, strict=True):
            own = self.sources.setdefault(part.span.source, SourceFigures())
            own.batches += 1
            own.events += batch.event_count
            own.quarantined += part.quarantined
            own.latency.add(part.committed, arrived)
            self.latency.add(part.committed, arrived)
            self.events += batch.event_count
            for table, rows in batch.literals.items():
                self.rows[table] += len(rows)
                own.rows += len(rows)
            if batch.event_count:
                last = batch.head.last_sequence
                self.last_sequence = last
                if self.first_sequence is None:
                    self.first_sequence = last - batch.event_count + 1


@dataclass(frozen=True)
class SourceState:
    """One source now: what waits as far as the relay knows, and why nothing is delivered where that is so.

    `halted` needs a person; `problem` mends itself.
    """

    depth: int
    oldest_ms: int | None
    last_tick: int | None
    halted: str | None
    problem: str | None


@dataclass(frozen=True)
class Report:
    """What happened since the last report, about once a second, and how things stand."""

    at: datetime
    events: int
    rate: float
    """Events a second."""

    total_events: int
    """Since the relay began."""

    rows: Mapping[str, int]
    """Rows written since the last report, by table; with the first and last number of their events."""

    first_sequence: int | None
    last_sequence: int | None
    latency: Latency
    depth: int
    oldest_ms: int | None
    head: Head | None
    lost_races: int
    working: bool
    """False: a standby that waits."""

    problem: str | None
    sources: Mapping[str, SourceState]


@dataclass(frozen=True)
class RelayResult:
    """What a relay did until it ended."""

    events: int
    batches: int
    quarantined: int
    lost_races: int
    head: Head | None
    drained: bool
    """Nothing was left to deliver at the end (as far as `once` asked for it)."""

    halted: Mapping[str, str]
    """Source → why a person has to look at it."""

    unreachable: Mapping[str, str]
    """Source → why it could not be asked at the end."""
