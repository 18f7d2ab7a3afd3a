"""The audit database's server is lost and its replica, which was behind, takes over."""

from collections.abc import Generator
from pathlib import Path

import pytest

from genims_platform.audit.verify.verifier import Scope, verify
from genims_platform_tests.audit.faults.checkpoints import Checkpoints
from genims_platform_tests.audit.faults.replica import Replica, replicated
from genims_platform_tests.audit.faults.run import STALL_SECONDS
from genims_platform_tests.audit.faults.stage import ACCOUNT, Stage

pytestmark = pytest.mark.fault

HALTED = 5


@pytest.fixture
def replica(trail: Stage) -> Generator[Replica]:
    trail.new_trail()
    with replicated(trail) as found:
        yield found


def test_what_is_signed_is_never_lost_with_the_first_server(trail: Stage, replica: Replica, tmp_path: Path) -> None:
    checkpoints = Checkpoints(trail, tmp_path, **replica.variables)

    def delivered(key: str) -> None:
        trail.execute("crm", ACCOUNT, {"id": key})
        checkpoints.happens()

    delivered("FIRST")
    replica.catch_up()
    first = checkpoints.sealer.seal_once()
    assert first is not None
    delivered("SECOND")
    assert checkpoints.sealer.seal_once() is None
    replica.catch_up()
    second = checkpoints.sealer.seal_once()
    assert second is not None
    assert second.statement.last_sequence > first.statement.last_sequence
    replica.catch_up()
    delivered("LOST")
    assert checkpoints.sealer.seal_once() is None

    replica.take_over()
    for name in replica.variables:
        del checkpoints.variables[name]

    # The command would record its result under a number that is to come back.
    assert verify(checkpoints.settings, Scope("full")).findings == ()
    refused = trail.relay("--once")
    assert refused.wait(STALL_SECONDS) == HALTED, refused.tail()
    replay = trail.genims("audit", "restore", "--replay")
    assert replay.wait(STALL_SECONDS) == 0, replay.tail()
    delivered("NEXT")
    trail.assert_clean()
    third = checkpoints.sealer.seal_once()
    assert third is not None
    assert verify(checkpoints.settings, Scope("full")).findings == ()
    assert checkpoints.copies() == checkpoints.numbers() == [1, 2, 3]
