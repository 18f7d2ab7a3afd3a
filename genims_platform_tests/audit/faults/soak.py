"""Random faults, one after another, while applications write; and the table of what they did."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from genims_platform_tests.audit.faults.injections import FAULTS
from genims_platform_tests.audit.faults.run import attacked
from genims_platform_tests.audit.faults.stage import Stage

COUNTS = ("lost", "phantom", "repeated", "reordered", "split")
OTHER_COUNTS = ("holes", "inconsistent", "value_differences", "chain", "heads_changed", "not_captured", "invented")
EVENTS_OF_A_TRAIL = 40_000
"""A check reads the whole trail, so a longer one is begun anew."""


@dataclass
class Line:
    """What one fault did, all times together."""

    fault: str
    times: int = 0
    events: int = 0
    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*COUNTS, *OTHER_COUNTS), 0))

    def add(self, verdict: dict[str, Any], events_before: int) -> None:
        """Count the fault once more, with a verdict that is about the whole trail."""
        self.times += 1
        self.events += verdict["events"] - events_before
        for name in self.found:
            self.found[name] += verdict[name]


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
        events = 0
        with attacked(stage, seed + done) as run:
            while events < EVENTS_OF_A_TRAIL and (time.monotonic() < deadline or done < len(faults)):
                name = next(names)
                FAULTS[name](run)
                verdict = stage.check(60)
                lines[name].add(verdict, events)
                events = verdict["events"]
                done += 1
                report(f"{name}: {events} events, {'clean' if verdict['clean'] else verdict['examples']}")
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
    total = Line("all", sum(line.times for line in lines), sum(line.events for line in lines))
    total.found = {name: sum(line.found[name] for line in lines) for name in total.found}
    head = ["fault", "times", "events", *COUNTS, "anything else"]
    rows = [
        [
            line.fault,
            f"{line.times:,}",
            f"{line.events:,}",
            *(str(line.found[name]) for name in COUNTS),
            str(sum(line.found[name] for name in OTHER_COUNTS)),
        ]
        for line in (*lines, total)
    ]
    body = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in body)
