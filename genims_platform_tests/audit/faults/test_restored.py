"""The audit database's server is set back to a copy of its data folder, as a backup is restored."""

import shutil
import signal
import subprocess
from collections.abc import Callable

import pytest

from genims_platform_tests.audit.faults.altered import again
from genims_platform_tests.audit.faults.run import STALL_SECONDS, attacked
from genims_platform_tests.audit.faults.stage import Stage

pytestmark = pytest.mark.fault

HALTED = 5


@pytest.fixture
def backed_up(trail: Stage) -> Callable[[], Callable[[], None]]:
    """Copies the data folder of the stopped server, and returns what puts the copy in its place."""
    data, copy = trail.mysql.data, trail.mysql.root / "backup"

    def put_back() -> None:
        trail.mysql.stop()
        shutil.rmtree(data)
        copy.rename(data)
        again(trail.mysql)

    def back_up() -> Callable[[], None]:
        trail.mysql.stop()
        subprocess.run(["cp", "-a", data, copy], check=True)  # noqa: S607 - with owners, which Python does not copy
        again(trail.mysql)
        return put_back

    return back_up


def heads(trail: Stage) -> set[tuple[int, str]]:
    return {
        (number, found) for number, found in trail.audit("SELECT batch_no, HEX(batch_hash) FROM audit_sequence_manager")
    }


def test_an_older_copy_is_refused_and_brought_up_to_date(
    trail: Stage, backed_up: Callable[[], Callable[[], None]]
) -> None:
    with attacked(trail, 22) as run:
        put_back = backed_up()
        known = run.head()
        run.progress(20)
        run.relay.send(signal.SIGTERM)
        assert run.relay.wait(STALL_SECONDS) == 0
        published = heads(trail)
        put_back()
        assert run.head() < max(number for number, _ in published)

        refused = trail.relay()
        assert refused.wait(STALL_SECONDS) == HALTED
        assert "genims audit restore" in refused.tail()
        replay = trail.genims("audit", "restore", "--replay")
        assert replay.wait(STALL_SECONDS) == 0, replay.tail()

        assert heads(trail) >= published
        assert max(published)[0] > known
        run.relay = trail.relay()
    verdict = trail.assert_clean()
    assert verdict["delivered"] >= verdict["events"] > 0
