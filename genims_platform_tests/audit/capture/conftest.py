"""Source databases with and without capture."""

from zlib import crc32

import pytest

from genims_platform.local.servers import LocalServers
from genims_platform.settings import Settings
from genims_platform_tests.audit.capture.captured import Captured, captured_source, own_source


@pytest.fixture(scope="module")
def crm(settings: Settings, servers: LocalServers, request: pytest.FixtureRequest) -> Captured:
    """A `crm` database with capture, shared by the tests of a module; they leave capture as it is."""
    suffix = request.module.__name__.rpartition("_")[2]
    return captured_source(settings, "crm", suffix, servers.postgres_superuser_dsn)


@pytest.fixture
def bare(settings: Settings, servers: LocalServers, request: pytest.FixtureRequest) -> Captured:
    """A `mes` database of this test alone, without capture."""
    return own_source(settings, "mes", str(crc32(request.node.nodeid.encode())), servers.postgres_superuser_dsn)


@pytest.fixture
def mes(bare: Captured, settings: Settings, servers: LocalServers) -> Captured:
    """The same with capture."""
    return captured_source(settings, "mes", bare.database.rpartition("_")[2], servers.postgres_superuser_dsn)
