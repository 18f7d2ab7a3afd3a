"""Trails that tests deliver to."""

from collections.abc import Generator
from pathlib import Path

import pytest

from genims_platform.local.servers import Engine, LocalServers
from genims_platform.settings import Settings
from genims_platform_tests.audit.relay.trail import Trail, made_trail


@pytest.fixture(scope="session")
def trail_of_three(
    settings: Settings, engine: Engine, servers: LocalServers, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Trail]:
    """Three sources; tests leave it delivered and working."""
    folder = tmp_path_factory.mktemp("relay")
    with made_trail(settings, engine, servers, folder, ("crm", "hcm", "erp")) as trail:
        yield trail


@pytest.fixture
def trail(settings: Settings, engine: Engine, servers: LocalServers, tmp_path: Path) -> Generator[Trail]:
    """One source, for a test that breaks something."""
    with made_trail(settings, engine, servers, tmp_path, ("crm",)) as made:
        yield made
