"""What applications notice of the relay: their transactions that failed, and how long the others took."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genims_platform_tests.audit.faults.stage import Stage


@dataclass(frozen=True)
class Writes:
    """Transactions of applications that were to be committed; `p99_ms` of the small ones, pauses of their own aside."""

    transactions: int
    failed: int
    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return f"{self.transactions} transactions, {self.failed} failed, p50 {self.p50_ms} ms, p99 {self.p99_ms} ms"


def writes(history: Path) -> Writes:
    """What a history says."""
    return counted(entry for entry in map(json.loads, history.read_text().splitlines()) if "outcome" in entry)


def counted(outcomes: Iterable[dict[str, Any]]) -> Writes:
    """The same of its outcomes."""
    meant = [entry for entry in outcomes if entry["kind"] != "rollback"]
    seconds = sorted(entry["seconds"] for entry in meant if entry["kind"] == "plain")
    p50, p99 = (round(seconds[len(seconds) * share // 100] * 1000, 1) if seconds else 0.0 for share in (50, 99))
    return Writes(len(meant), sum(entry["outcome"] != "ok" for entry in meant), p50, p99)


def without_and_with_relay(stage: Stage, seconds: float) -> tuple[Writes, Writes]:
    """The same applications for so long each, first while nothing delivers what they write, then while a relay does."""
    with stage.workload(longest_pause=0) as alone:
        assert alone.wait(seconds) is None
    relay = stage.relay()
    with stage.workload(longest_pause=0) as beside:
        assert beside.wait(seconds) is None
    assert relay.running, relay.tail()
    first, second = map(writes, stage.histories[-2:])
    return first, second
