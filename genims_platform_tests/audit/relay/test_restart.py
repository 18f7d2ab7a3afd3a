"""The audit database's server is killed and comes back: the relay waits for it and goes on."""

import os
import secrets
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from genims_platform.local import servers as local_servers
from genims_platform.local.process import wait_until
from genims_platform.local.servers import Engine
from genims_platform.settings import SOURCE_NAMES, load_settings
from genims_platform_tests.audit.relay.trail import PATIENCE, Trail, made_trail, running

ACCOUNT = "INSERT INTO accounts (account_id, account_number, account_name) VALUES (%(id)s, %(id)s, %(id)s)"


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    """Servers of this test alone."""
    folder = tmp_path_factory.mktemp("servers")
    yield folder
    local_servers.reset(folder)


@pytest.fixture
def own_trail(home: Path, engine: Engine, tmp_path: Path) -> Generator[Trail]:
    servers = local_servers.up(engine, home)
    prefix = f"genims_t{secrets.token_hex(4)}_"
    names = {f"PG_{name.upper()}_DB": f"{prefix}{name}" for name in SOURCE_NAMES}
    values = servers.environment() | names | {"MYSQL_AUDIT_DB": f"{prefix}audit"}
    settings = load_settings({name.lower(): value for name, value in values.items()})
    with made_trail(settings, engine, servers, tmp_path, ("crm",)) as trail:
        yield trail


def test_a_killed_server_is_waited_for(own_trail: Trail, home: Path, engine: Engine) -> None:
    trail = own_trail
    crm = trail.sources["crm"]
    with running(trail) as relay:
        for number in range(20):
            crm.execute(ACCOUNT, {"id": f"before {number}"})
        relay.wait_for(lambda: relay.delivered > 0, "nothing was delivered")
        (server,) = [found for found in local_servers.status(home) if found.engine == engine]
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
        for number in range(20):
            crm.execute(ACCOUNT, {"id": f"meanwhile {number}"})
        relay.wait_for(lambda: bool(relay.reports[-1].problem), "the outage was not noticed")
        local_servers.up(engine, home)
        crm.execute(ACCOUNT, {"id": "after"})
        queued = len(trail.queued("crm"))
        wait_until(lambda: len(trail.ledger_events("crm")) >= queued, PATIENCE, "not delivered")
    assert relay.error is None
    trail.deliver()
    trail.check_complete()
