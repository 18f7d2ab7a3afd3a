"""Whatever is killed, stopped or cut off, and whenever: every event arrives once, unchanged and in order."""

from collections.abc import Sequence

import pytest

from genims_platform_tests.audit.faults.injections import FAULTS
from genims_platform_tests.audit.faults.run import attacked
from genims_platform_tests.audit.faults.soak import soak, table
from genims_platform_tests.audit.faults.stage import Stage

pytestmark = pytest.mark.fault

KILLED_AT = [name for name in FAULTS if name.startswith("relay killed ")]
OTHERS = [name for name in FAULTS if not name.startswith("relay killed")]
# Applications can't write while their own server is down.
FAILING_WRITES = ("PostgreSQL killed",)
LONG = ("leader stopped for 21 s", "half-open connection")


def survive(stage: Stage, names: Sequence[str], seed: int) -> None:
    """These faults, one after another; then the checker finds nothing."""
    with attacked(stage, seed) as run:
        for name in names:
            FAULTS[name](run)
    verdict = stage.assert_clean()

    assert verdict["delivered"] >= verdict["events"] > 100
    if not set(names) & set(FAILING_WRITES):
        assert run.outcomes().keys() == {"ok", "rolled back"}


def test_a_relay_that_is_killed_at_any_moment(trail: Stage) -> None:
    survive(trail, ["relay killed"] * 3, seed=1)


def test_a_relay_that_is_killed_at_each_step(trail: Stage) -> None:
    survive(trail, KILLED_AT, seed=2)


@pytest.mark.parametrize("name", [name for name in OTHERS if name not in LONG])
def test_a_fault(trail: Stage, name: str) -> None:
    survive(trail, [name], seed=3)


@pytest.mark.parametrize("name", LONG)
def test_a_long_fault(trail: Stage, name: str, pytestconfig: pytest.Config) -> None:
    if not pytestconfig.getoption("--soak"):
        pytest.skip("takes half a minute; part of --soak")
    survive(trail, [name], seed=4)


def test_soak(shared_stage: Stage, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]) -> None:
    given = pytestconfig.getoption("--soak")
    if not given:
        pytest.skip("only with --soak TIME")
    seconds = float(given[:-1]) * {"s": 1, "m": 60, "h": 3600}[given[-1]]

    def report(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)  # noqa: T201

    lines = soak(shared_stage, seconds, seed=5, report=report)
    report(f"\n{table(lines)}")
    assert not any(any(line.found.values()) for line in lines)
