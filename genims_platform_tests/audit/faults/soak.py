"""Random faults, one after another, while applications write; and the table of what they did."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from genims_platform_tests.audit.faults.injections import FAULTS
from genims_platform_tests.audit.faults.run import STALL_SECONDS, attacked
from genims_platform_tests.audit.faults.stage import Stage

COUNTS = {
    "lost": ("lost",),
    "invented": ("phantom", "invented"),
    "repeated": ("repeated",),
    "reordered": ("reordered",),
    "split": ("split",),
    "anything else": (
        "holes",
        "inconsistent",
        "value_differences",
        "chain",
        "heads_changed",
        "quarantined",
        "not_captured",
    ),
}
"""Columns of the table, and what of a verdict they count."""

EVENTS_OF_A_TRAIL = 40_000
"""A check reads the whole trail, so a longer one is begun anew."""


@dataclass
class Line:
    """What one fault did, all times together."""

    fault: str
    times: int = 0
    events: int = 0
    undone: int = 0
    """Transactions that PostgreSQL acknowledged and had lost after it was killed, as asynchronous commit allows."""

    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))

    def add(self, verdict: dict[str, Any], before: dict[str, Any] | None) -> None:
        """Count the fault once more, with verdicts that are about the whole trail."""
        self.times += 1
        self.events += verdict["events"] - (before["events"] if before else 0)
        self.undone += undone(verdict) - (undone(before) if before else 0)
        for name, kinds in COUNTS.items():
            self.found[name] += sum(verdict[kind] for kind in kinds)


def undone(verdict: dict[str, Any]) -> int:
    """Transactions of a trail that PostgreSQL acknowledged and lost."""
    return verdict["context"].get("lost_by_postgresql", 0)


def soak(
    stage: Stage, seconds: float, seed: int, report: Callable[[str], None], faults: Sequence[str] = tuple(FAULTS)
) -> list[Line]:
    """Every fault in turn, in a new order each round, until time is up; each is done at least once.

    A trail that was found broken is left behind; the rest goes on with a new one.

    Raises:
        AssertionError: a relay died of something else than the fault.
        TimeoutError: no event flowed any more.
    """
    lines = {name: Line(name) for name in faults}
    names = _in_rounds(faults, seed)
    deadline = time.monotonic() + seconds
    done = 0
    while time.monotonic() < deadline or done < len(faults):
        stage.new_trail()
        before: dict[str, Any] | None = None
        with attacked(stage, seed + done) as run:
            while before is None or before["events"] < EVENTS_OF_A_TRAIL:
                if time.monotonic() > deadline and done >= len(faults):
                    break
                name = next(names)
                FAULTS[name](run)
                with run.applications_stopped():
                    verdict = stage.check(STALL_SECONDS)
                lines[name].add(verdict, before)
                before = verdict
                done += 1
                report(f"{name}: {verdict['events']} events, {'clean' if verdict['clean'] else verdict['examples']}")
                if not verdict["clean"]:
                    break
    return list(lines.values())


def _in_rounds(faults: Sequence[str], seed: int) -> Iterator[str]:
    """Each once, in an order of its own, and again."""
    order = random.Random(seed)  # noqa: S311
    while True:
        yield from order.sample(faults, len(faults))


def table(lines: Iterable[Line]) -> str:
    """Markdown: a line a fault and their sum."""
    lines = list(lines)
    total = Line(
        "all",
        sum(line.times for line in lines),
        sum(line.events for line in lines),
        sum(line.undone for line in lines),
        {name: sum(line.found[name] for line in lines) for name in COUNTS},
    )
    head = ["fault", "times", "events", *COUNTS, "lost by PostgreSQL itself"]
    rows = [
        [line.fault, f"{line.times:,}", f"{line.events:,}", *map(str, line.found.values()), str(line.undone)]
        for line in (*lines, total)
    ]
    body = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in body)
