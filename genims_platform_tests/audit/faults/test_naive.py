"""The checker finds what relays lose and repeat that are built as one would at first; else it proves nothing."""

import pytest

from genims_platform_tests.audit.faults.stage import Program, Stage

pytestmark = pytest.mark.fault


def naive(stage: Stage, kind: str, *options: str) -> Program:
    place = stage.folder / "place.json"
    return stage.start(stage.python("naive", stage.addresses, "--kind", kind, "--place", place, *options), "naive")


def test_nothing_is_found_in_a_whole_trail(fresh: Stage) -> None:
    relay = naive(fresh, "ranges")
    with fresh.workload(rate=40) as workload:
        assert workload.wait(4) is None
    verdict = fresh.assert_clean()

    assert relay.running, relay.tail()
    assert verdict["delivered"] == verdict["events"] > 100


def test_a_relay_that_goes_by_numbers_loses_events(fresh: Stage) -> None:
    naive(fresh, "by-number")
    with fresh.workload(rate=80, longest_pause=1.0) as workload:
        assert workload.wait(8) is None
    verdict = fresh.check(wait=5)

    assert verdict["lost"] > 0, verdict
    assert verdict["holes"] == verdict["chain"] == verdict["phantom"] == 0  # its sequence looks perfect


def test_a_relay_with_a_cursor_of_its_own_repeats_events(fresh: Stage) -> None:
    relay = naive(fresh, "cursor-file", "--die-after", "8")
    with fresh.workload(rate=40) as workload:
        assert relay.wait(20) == -9
        again = naive(fresh, "cursor-file", "--seconds", "30")
        assert workload.wait(1) is None
    verdict = fresh.check()

    assert again.running, again.tail()
    assert verdict["repeated"] > 0, verdict
    assert verdict["lost"] == 0
