"""How late events arrive while one run of the relay hands over to the next one, as runs of an orchestrator do.

Servers, load and clock are those of `benchmarks.audit_delivery`. Each run is a standby for a fixed time; its successor
is started some seconds before that time is over, as the sensor of the stream job does. Events count as near a hand-over
when they were committed between the start of a successor and 5 s after the end of its predecessor.

Run:

    python -m benchmarks.audit_handover [--runs 20] [--seconds 60] [--lead 20] [--rate 60000] [--rows 4]
        [--engine mysql] [--json]
"""

import json
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.audit_delivery import Arrival, add_rows, observed, wait_for_delivery, write
from genims_platform_tests.audit.faults.stage import Program, Stage, stage
from genims_platform_tests.audit.faults.workload import TARGETS

LATE_MS = 1000
AFTERWARDS_SECONDS = 5
PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class HandOver:
    """Instants in seconds since 1970: the successor's start, the predecessor's end; delays in ms from commit."""

    started: float
    ended: float

    def near(self, committed: float) -> bool:
        return self.started <= committed <= self.ended + AFTERWARDS_SECONDS


@dataclass(frozen=True)
class Delays:
    """Milliseconds from commit to arrival of some of the events; `late` counts those over a second."""

    when: str
    events: int
    p50: float
    p99: float
    max: float
    late: int


def main(
    runs: Annotated[int, typer.Option(min=2, help="Runs that follow each other.")] = 20,
    seconds: Annotated[float, typer.Option(min=20, help="How long each of them leads.")] = 60,
    lead: Annotated[float, typer.Option(min=5, help="Seconds from a successor's start to that time's end.")] = 20,
    rate: Annotated[int, typer.Option(min=60, help="Events a minute.")] = 60_000,
    rows: Annotated[int, typer.Option(min=1, max=100, help="Most rows of a transaction.")] = 4,
    engine: Annotated[str, typer.Option(help="mariadb or mysql.")] = "mariadb",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure and print delays near hand-overs and between them."""
    if engine not in ("mariadb", "mysql"):
        raise typer.BadParameter(f"{engine} is neither mariadb nor mysql")
    if lead >= seconds:
        raise typer.BadParameter("a successor cannot start before its predecessor leads: --lead below --seconds")
    with stage(engine, on_disk=True) as made:
        made.new_trail()
        add_rows(made)
        options = ("--standby", "--seconds", f"{seconds:.0f}")
        first, since = made.relay(*options), time.time()
        wait_for_delivery(made)
        load = threading.Thread(target=write, args=(made, TARGETS, rate / 60, runs * seconds, rows))
        with observed(made, lambda: None) as observer:
            load.start()
            hand_overs = follow_each_other(made, first, since, options, runs, seconds - lead)
            load.join()
        arrivals, missing = observer.arrivals()
    near = [found for found in arrivals if any(one.near(found.committed) for one in hand_overs)]
    between = [found for found in arrivals if not any(one.near(found.committed) for one in hand_overs)]
    measured = [delays("near a hand-over", near), delays("between", between)]
    late = [found for found in near if found.delay > LATE_MS]
    undisturbed = sum(not any(one.near(found.committed) for found in late) for one in hand_overs)
    if as_json:
        summary = {"hand_overs": len(hand_overs), "without_late_event": undisturbed, "missing": missing}
        print(json.dumps(summary | {"delays": [asdict(row) for row in measured]}, indent=2))
        return
    shown = Table("events", "number", "p50 ms", "p99 ms", "max ms", "later than 1 s", box=None)
    for row in measured:
        shown.add_row(
            row.when, f"{row.events:,}", f"{row.p50:.0f}", f"{row.p99:.0f}", f"{row.max:.0f}", f"{row.late:,}"
        )
    console = Console()
    console.print(shown)
    console.print(
        f"{len(hand_overs)} hand-overs, {undisturbed} without an event later than 1 s; "
        f"{missing} events missing; {os.cpu_count()} cores"
    )


def follow_each_other(
    made: Stage, leader: Program, since: float, options: Sequence[str], runs: int, alone: float
) -> list[HandOver]:
    """Start each run when its predecessor has led for so many seconds, and wait until that one has ended.

    Raises:
        RuntimeError: a run failed, or did not hand over.
    """
    found: list[HandOver] = []
    for _ in range(runs - 1):
        time.sleep(max(0, since + alone - time.time()))
        started = time.time()
        successor = made.relay(*options)
        if leader.wait(PATIENCE_SECONDS) != 0:
            raise RuntimeError(f"a run did not hand over:\n{leader.tail()}\nits successor:\n{successor.tail()}")
        since = time.time()
        found.append(HandOver(started, since))
        leader = successor
    return found


def delays(when: str, found: Sequence[Arrival]) -> Delays:
    ordered = sorted(arrival.delay for arrival in found)
    return Delays(
        when,
        len(ordered),
        ordered[len(ordered) // 2],
        ordered[len(ordered) * 99 // 100],
        ordered[-1],
        sum(delay > LATE_MS for delay in ordered),
    )


if __name__ == "__main__":
    typer.run(main)
