"""Runs of the relay that follow each other, as an orchestrator starts them."""

import time
from itertools import count

import psutil
import pytest

from genims_platform.audit.relay.leadership import LEADER, STANDBY
from genims_platform.local.process import wait_until
from genims_platform.mysql.locks import lock_name_in
from genims_platform_tests.audit.faults.run import STALL_SECONDS, attacked
from genims_platform_tests.audit.faults.stage import MATERIALS, Program, Stage

pytestmark = pytest.mark.fault

RUNS = 3
AS_LONG = ("--standby", "--seconds", "6")


def test_each_run_hands_over_to_the_next_one(trail: Stage) -> None:
    """None is told to end: a run that is over goes on until its successor waits, so there is always one that writes."""
    with attacked(trail, 20) as run:
        first = run.head()
        run.restart(*AS_LONG)
        run.progress()
        for _ in range(RUNS):
            ending, run.relay = run.relay, trail.relay(*AS_LONG)
            assert ending.wait(STALL_SECONDS) == 0, ending.tail()
            run.progress(2)
        assert len(run.writers(first)) > RUNS
    verdict = trail.assert_clean()

    assert verdict["delivered"] >= verdict["events"] > 0
    assert run.outcomes().keys() == {"ok", "rolled back"}


def test_a_successor_works_while_its_predecessor_tidies_up(trail: Stage) -> None:
    leader = trail.relay("--standby")
    wait_until(lambda: holder(trail, LEADER) is not None, STALL_SECONDS, leader.tail())
    first = holder(trail, LEADER)
    successor = trail.relay("--standby")
    wait_until(lambda: holder(trail, STANDBY) is not None, STALL_SECONDS, successor.tail())
    with trail.session("erp") as connection, connection.cursor() as cursor:
        # Who waits for an answer of this source takes seconds to end.
        cursor.execute("LOCK TABLE audit.queue")
        wait_until(lambda: waits_for_queue(trail), STALL_SECONDS, leader.tail())
        began = time.monotonic()
        leader.process.terminate()
        wait_until(lambda: holder(trail, LEADER) not in (None, first), STALL_SECONDS, successor.tail())
        assert leader.wait(time.monotonic() - began) is None


def test_a_standby_of_a_busy_relay_has_workers_before_it_takes_over(trail: Stage) -> None:
    """Those who would have to start first would find a backlog that grows meanwhile."""
    trail.relay("--standby")
    wait_until(lambda: holder(trail, LEADER) is not None, STALL_SECONDS, "nobody leads")
    standby = trail.relay("--standby")
    wait_until(lambda: holder(trail, STANDBY) is not None, STALL_SECONDS, standby.tail())
    assert not workers(standby)
    numbers = count()

    def written() -> bool:
        trail.execute("erp", MATERIALS, {"id": f"busy {next(numbers)} ", "rows": 1000})
        return bool(workers(standby))

    wait_until(written, STALL_SECONDS, standby.tail())


def workers(relay: Program) -> list[psutil.Process]:
    return [child for child in psutil.Process(relay.process.pid).children() if "worker" in " ".join(child.cmdline())]


def holder(trail: Stage, purpose: str) -> int | None:
    """The connection that has a lock of the relays."""
    name = lock_name_in(trail.settings.mysql_audit.database, purpose)
    ((connection,),) = trail.audit("SELECT IS_USED_LOCK(%s)", (name,))
    return connection


def waits_for_queue(trail: Stage) -> bool:
    with trail.session("erp") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE relation = 'audit.queue'::regclass AND NOT granted")
        return cursor.fetchall() != [(0,)]
