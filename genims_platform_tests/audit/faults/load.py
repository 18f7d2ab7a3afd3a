"""A long run at a high rate, with the audit database away in the middle: what is lost, how fast it is made up for."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from genims_platform.local.process import wait_until
from genims_platform_tests.audit.faults.run import STALL_SECONDS
from genims_platform_tests.audit.faults.stage import SOURCES, Program, Stage
from genims_platform_tests.audit.faults.writes import Writes, writes

EVENTS_PER_SECOND = 1000
EVENTS_OF_A_TRANSACTION = 25
"""On average, with COPY of 100 to 2,000 rows in one of 50."""


@dataclass(frozen=True)
class Load:
    """Rates are events a second: what applications wrote, and what the relay delivered from the moment that the audit
    database was back until it had caught up with them (None: not before they ended)."""

    seconds: float
    events: int
    input_rate: float
    away_seconds: float
    backlog: int
    catch_up_rate: float
    catch_up_seconds: float
    caught_up_under_load: bool
    writes: Writes
    verdict: dict[str, Any]

    def __str__(self) -> str:
        ended = "" if self.caught_up_under_load else ", not before the applications ended"
        times = self.catch_up_rate / self.input_rate
        return (
            f"{self.events:,} events in {self.seconds:.0f} s ({self.input_rate:,.0f} a second)\n"
            f"audit database away for {self.away_seconds:.0f} s, {self.backlog:,} events behind then\n"
            f"caught up in {self.catch_up_seconds:.0f} s ({self.catch_up_rate:,.0f} a second, {times:.1f} x input"
            f"{ended})\nwrites: {self.writes}"
        )


def load(stage: Stage, seconds: float, report: Callable[[str], None], rate: int = EVENTS_PER_SECOND) -> Load:
    """Applications write for so long; the audit database is away for a sixth of that, from five twelfths on.

    Raises:
        TimeoutError: the relay does not begin, or does not deliver the rest in as much time again.
    """
    stage.new_trail()
    relay = stage.relay()
    away_from, away = seconds * 5 / 12, seconds / 6
    with stage.workload(
        seconds * 2, rate / EVENTS_OF_A_TRANSACTION, writers=16, bulk_rows=2000, longest_pause=0.5
    ) as applications:
        started = time.monotonic()
        wait_until(lambda: _delivered(stage) > 0, STALL_SECONDS, f"the relay does not begin:\n{relay.tail()}")
        _pass_time(applications, started + away_from)
        report(f"{_delivered(stage):,} of {_queued(stage):,} events delivered; the audit database goes")
        stage.mysql.stop()
        gone = time.monotonic()
        _pass_time(applications, gone + away)
        stage.revive(stage.mysql)
        back, before = time.monotonic(), _delivered(stage)
        backlog = _queued(stage) - before
        report(f"it is back; {backlog:,} events wait")
        caught_up = reached = 0.0
        while time.monotonic() < started + seconds:
            _pass_time(applications, time.monotonic() + 1)
            if not caught_up and _written(stage) - _delivered(stage) < rate:
                caught_up, reached = time.monotonic(), _delivered(stage)
                report(f"caught up after {caught_up - back:.0f} s")
    ended = time.monotonic()
    queued = _queued(stage)
    under_load = caught_up > 0
    wait_until(lambda: _delivered(stage) >= queued, max(STALL_SECONDS, seconds), f"the rest waits:\n{relay.tail()}")
    if not under_load:
        caught_up, reached = time.monotonic(), _delivered(stage)
    verdict = stage.check(STALL_SECONDS, events=queued)
    return Load(
        ended - started,
        queued,
        queued / (ended - started),
        back - gone,
        backlog,
        (reached - before) / (caught_up - back),
        caught_up - back,
        under_load,
        writes(stage.histories[-1]),
        verdict,
    )


def _pass_time(applications: Program, until: float) -> None:
    assert applications.wait(max(0.0, until - time.monotonic())) is None, applications.tail()


def _delivered(stage: Stage) -> int:
    """Events of the sources; those that the relay records of itself are few."""
    rows = stage.audit("SELECT COALESCE(SUM(event_count), 0) FROM audit_sequence_manager WHERE batch_kind = 'STREAM'")
    return int(rows[0][0])


def _queued(stage: Stage) -> int:
    total = 0
    for source in SOURCES:
        with stage.session(source) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM audit.queue")
            ((number,),) = cursor.fetchall()
            total += number
    return total


def _written(stage: Stage) -> int:
    """About what `_queued` counts, by PostgreSQL's own statistics: counting a million rows a second slows the relay."""
    total = 0
    for source in SOURCES:
        with stage.session(source) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT sum(n_live_tup)::int FROM pg_stat_user_tables "
                "WHERE relid IN (SELECT relid FROM pg_partition_tree('audit.queue'))"
            )
            ((number,),) = cursor.fetchall()
            total += number
    return total
