"""Whatever is killed, stopped or cut off, and whenever: every event arrives once, unchanged and in order."""

from collections.abc import Sequence
from typing import Any, get_args

import pytest

from genims_platform.audit.relay.failpoints import Step
from genims_platform_tests.audit.faults.injections import FAULTS, Fault, kill_relay, kill_relay_at
from genims_platform_tests.audit.faults.load import load
from genims_platform_tests.audit.faults.run import attacked
from genims_platform_tests.audit.faults.soak import undone
from genims_platform_tests.audit.faults.stage import Stage
from genims_platform_tests.audit.faults.writes import without_and_with_relay

pytestmark = pytest.mark.fault

KILLED = "PostgreSQL killed, its last commits lost"
LONG = (
    "answers take 2 s",
    "leader stopped for 21 s",
    "half-open connection",
    "answers do not arrive",
    "requests do not arrive",
    "one transaction of 20,000 rows",
)


OTHERS = [name for name in FAULTS if not name.startswith("relay killed") and name not in (KILLED, *LONG)]


def survive(stage: Stage, faults: Sequence[Fault], seed: int, *, writes_fail: bool = False) -> dict[str, Any]:
    """These faults, one after another; then the checker finds nothing. Its verdict."""
    with attacked(stage, seed) as run:
        for fault in faults:
            fault(run)
    verdict = stage.assert_clean()

    assert verdict["delivered"] >= verdict["events"] > 100
    if not writes_fail:
        assert run.outcomes().keys() == {"ok", "rolled back"}
    return verdict


def test_a_relay_that_is_killed_at_any_moment(trail: Stage) -> None:
    survive(trail, [kill_relay] * 3, seed=1)


def test_a_relay_that_is_killed_at_each_step(trail: Stage) -> None:
    survive(trail, [kill_relay_at(*get_args(Step))], seed=2)


def test_commits_that_postgresql_loses_were_never_delivered(trail: Stage) -> None:
    # Applications can't write while their own server is down.
    verdict = survive(trail, [FAULTS[KILLED]], seed=3, writes_fail=True)

    assert undone(verdict) > 0, "nothing was lost, so nothing was proved"


def test_applications_do_not_notice_the_relay(trail: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    alone, beside = without_and_with_relay(trail, 6)
    trail.assert_clean()

    with capsys.disabled():
        print(f"\nwithout relay: {alone}\nwith relay: {beside}", flush=True)  # noqa: T201
    assert alone.failed == beside.failed == 0
    assert min(alone.transactions, beside.transactions) > 10


@pytest.mark.parametrize("name", OTHERS)
def test_a_fault(trail: Stage, name: str) -> None:
    survive(trail, [FAULTS[name]], seed=3)


@pytest.mark.parametrize("name", LONG)
def test_a_long_fault(trail: Stage, name: str, pytestconfig: pytest.Config) -> None:
    if not pytestconfig.getoption("--soak"):
        pytest.skip("takes half a minute; part of --soak")
    survive(trail, [FAULTS[name]], seed=4)


def test_soak(shared_stage: Stage, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]) -> None:
    given = pytestconfig.getoption("--soak")
    if not given:
        pytest.skip("only with --soak TIME")
    seconds = float(given[:-1]) * {"s": 1, "m": 60, "h": 3600}[given[-1]]

    def report(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)  # noqa: T201

    result = load(shared_stage, seconds, report)
    report(str(result))
    assert result.verdict["clean"], result.verdict
    assert result.writes.failed == 0
