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


@pytest.fixture(scope="module")
def stage_of_file(shared_stage: Stage) -> Stage:
    """The stage, on which a new trail begins: a trail is checked as a whole, again after each test."""
    shared_stage.broken = True
    return shared_stage


@pytest.fixture
def trail(stage_of_file: Stage) -> Generator[Stage]:
    """The stage with the trail of the file's tests before, ready for a relay; a new one if that is broken."""
    if stage_of_file.broken or not stage_of_file.trail:
        stage_of_file.new_trail()
    yield stage_of_file
    stage_of_file.stop_programs()
    stage_of_file.restart_servers()
