"""Runs of the relay that follow each other, as an orchestrator starts them."""

import pytest

from genims_platform_tests.audit.faults.run import STALL_SECONDS, attacked
from genims_platform_tests.audit.faults.stage import Stage

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
