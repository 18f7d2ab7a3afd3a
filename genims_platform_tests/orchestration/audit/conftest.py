"""A small audit trail that Dagster looks after: one captured source, an audit database, an instance."""

import base64
import secrets
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from psycopg2 import sql
from pydantic import SecretStr

from genims_platform.audit.accounts import ensure_accounts
from genims_platform.audit.database import audit_database
from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.ledger.control import Appender, ensure_genesis
from genims_platform.audit.ledger.opening import open_source
from genims_platform.local.postgres import connect_postgres
from genims_platform.local.servers import Engine, LocalServers
from genims_platform.mysql.connection import Database
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import Settings, load_settings
from genims_platform_tests.audit.capture.captured import Captured, captured_source
from genims_platform_tests.audit.conftest import drop, with_accounts
from genims_platform_tests.databases import drop_database
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

    def captured(self) -> int:
        """Row events in the queue."""
        return int(self.source.value("SELECT count(*) FROM audit.queue WHERE kind = 'ROW'"))


@pytest.fixture(scope="module")
def trail_settings(
    settings: Settings, engine: Engine, servers: LocalServers, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Settings]:
    """Settings of a trail of the module's own."""
    name, folder = secrets.token_hex(4), tmp_path_factory.mktemp("trail")
    kek = base64.b64encode(secrets.token_bytes(32)).decode()
    changes = {
        "audit_pg_relay_user": f"g{name}_relay",
        "audit_pg_relay_password": secrets.token_hex(8),
        "audit_journal_dir": folder / "journal",
        "audit_keystore_uri": f"sqlite:///{folder / 'keys.db'}",
        "audit_kek": kek,
        "audit_worm_uri": (folder / "checkpoints").as_uri(),
        "etl_audit_interval": 60,
        "dagster_pg_db": f"{settings.dagster_pg_db}_{name}",
        "pg_crm_db": f"{settings.pg_crm_db}_{name}",
    }
    own = with_accounts(settings, engine, f"{settings.mysql_audit_db}_{name}")
    yield Settings.model_validate({**own.model_dump(), **changes})
    with closing(connect_postgres(servers.postgres_port, servers.postgres_password)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            role = sql.Identifier(str(changes["audit_pg_relay_user"]))
            cursor.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))


@pytest.fixture(scope="module")
def trail(trail_settings: Settings, servers: LocalServers) -> Generator[Trail]:
    """The trail: capture installed in the source, the audit database begun, the source open."""
    source = captured_source(trail_settings, SOURCE, "x", servers.postgres_superuser_dsn)
    own = source.settings
    database = audit_database(own)
    deploy(database, "audit", today=datetime.now(UTC).date())
    ensure_accounts(database, own)
    with closing(open_ledger(own, "writer")) as ledger:
        appender = Appender(ledger)
        ensure_genesis(appender)
        open_source(appender, own.audit_relay(SOURCE), SOURCE)
    yield Trail(own, source, database)
    drop(database, own)
    with closing(connect_postgres(servers.postgres_port, servers.postgres_password)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (source.database,)
            )
        drop_database(connection, source.database)


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
