"""One stage for all fault tests; each test goes on with the trail of the one before, unless that was broken."""

from collections.abc import Generator

import pytest

from genims_platform.local.servers import Engine
from genims_platform_tests.audit.faults import stage as stages
from genims_platform_tests.audit.faults.stage import Stage


@pytest.fixture(scope="session")
def shared_stage(engine: Engine) -> Generator[Stage]:
    with stages.stage(engine) as made:
        yield made


@pytest.fixture
def fresh(shared_stage: Stage) -> Generator[Stage]:
    """The stage with a new trail."""
    shared_stage.restart_servers()
    shared_stage.build()
    yield shared_stage
    shared_stage.stop_programs()
    shared_stage.broken = True  # a trail of others does not go on


@pytest.fixture
def trail(shared_stage: Stage) -> Generator[Stage]:
    """The stage with the trail of the tests before, ready for a relay; a new one if that is broken."""
    if shared_stage.broken or not shared_stage.trail:
        shared_stage.new_trail()
    yield shared_stage
    shared_stage.stop_programs()
    shared_stage.restart_servers()
