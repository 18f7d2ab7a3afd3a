"""A small audit trail that Dagster looks after: one captured source, an audit database, an instance."""

import secrets
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from genims_platform.audit.consistency import broken_rules, broken_sequence, part_since
from genims_platform.local.servers import Engine, LocalServers
from genims_platform.mysql.connection import Database
from genims_platform.mysql.contract import contracts
from genims_platform.settings import Settings, load_settings
from genims_platform_tests.audit.capture.captured import Captured
from genims_platform_tests.audit.relay.trail import made_trail
from genims_platform_tests.orchestration.conftest import shipped_instance

SOURCE = "crm"


@dataclass(frozen=True)
class Trail:
    """A trail with one open source."""

    settings: Settings
    source: Captured
    database: Database
    """The audit database as its administrator."""

    def change(self, name: str) -> None:
        """A new account row in the source: one event."""
        self.source.execute(
            "INSERT INTO accounts (account_id, account_number, account_name) VALUES (%(id)s, %(id)s, %(name)s)",
            {"id": f"ACC-{secrets.token_hex(4)}", "name": name},
        )

    def arrived(self) -> int:
        """Row events of the source in the ledger."""
        statement = "SELECT COUNT(*) FROM system_audit_log WHERE source_db = %s AND event_kind = 'ROW'"
        return int(self.database.read(statement, (SOURCE,)).item())

    def assert_contiguous(self) -> None:
        """Every number is there once, and every row belongs where it stands."""
        with self.database.connection() as connection:
            part = part_since(connection, datetime(2000, 1, 1))
            assert part is not None
            assert not any(broken_sequence(connection, part).values())
            for table in contracts("audit"):
                assert not any(broken_rules(connection, table, part).values()), table

    def captured(self) -> int:
        """Row events in the queue."""
        return int(self.source.value("SELECT count(*) FROM audit.queue WHERE kind = 'ROW'"))


@pytest.fixture(scope="module")
def trail(
    settings: Settings, engine: Engine, servers: LocalServers, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Trail]:
    """A trail of the module's own, and the name of a database for the instance that looks after it."""
    own = settings.model_copy(update={"dagster_pg_db": f"{settings.dagster_pg_db}_{secrets.token_hex(4)}"})
    with made_trail(own, engine, servers, tmp_path_factory.mktemp("trail"), [SOURCE]) as made:
        yield Trail(made.settings, made.sources[SOURCE], made.database)


@pytest.fixture(scope="module")
def audit_instance(
    trail: Trail, servers: LocalServers, tmp_path_factory: pytest.TempPathFactory
) -> Generator[dg.DagsterInstance]:
    """The shipped instance with the settings of the trail."""
    home = tmp_path_factory.mktemp("dagster")
    with shipped_instance(trail.settings, variables(trail.settings), servers, home) as instance:
        yield instance


def variables(settings: Settings) -> dict[str, str]:
    """The environment that makes these settings."""
    defaults = load_settings()
    found: dict[str, str] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is None or value == getattr(defaults, name):
            continue
        if isinstance(value, SecretStr):
            found[name.upper()] = value.get_secret_value()
        elif isinstance(value, str | int | float | Path):
            found[name.upper()] = str(value)
    return found
