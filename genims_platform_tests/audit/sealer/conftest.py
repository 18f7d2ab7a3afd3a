"""An audit trail that each test begins anew, with places of checkpoints and a signing key of its own."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from genims_platform.audit.accounts import ensure_accounts
from genims_platform.audit.database import audit_database
from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.control import Appender, ensure_genesis, instance
from genims_platform.audit.ledger.layout import TABLES
from genims_platform.audit.sealer.checkpoint import Checkpoint
from genims_platform.audit.sealer.sealer import Sealer
from genims_platform.audit.sealer.signing import add_public_key, new_signing_key
from genims_platform.audit.sealer.worm import CheckpointFolder
from genims_platform.local.servers import Engine
from genims_platform.mysql.connection import Database
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import Settings
from genims_platform_tests.audit.conftest import drop, with_accounts
from genims_platform_tests.audit.ledger.chain import Chain, entry, full


@dataclass
class Trail:
    """A trail with a genesis, a writer, an administrator who may tamper, and a sealer."""

    settings: Settings
    owner: Database
    chain: Chain
    folder: Path

    def sealer(self, **changes: object) -> Sealer:
        """A sealer that starts now."""
        return Sealer(self.settings.model_copy(update=changes))

    def seal(self) -> Checkpoint | None:
        """What a sealer that starts now makes."""
        return self.sealer().seal_once()

    def happens(self, events: int = 1) -> None:
        """A batch of some events, each with a row of the change table."""
        self.chain.append(
            "STREAM", [entry(n, [("data_change_audit", full("data_change_audit", n))]) for n in range(events)]
        )

    def place(self, name: str = "worm") -> CheckpointFolder:
        """One of the two places of checkpoints."""
        return CheckpointFolder(self.folder / name)

    def kept(self, name: str = "worm") -> list[Checkpoint]:
        """All checkpoints of a place."""
        return list(self.place(name).since(instance(self.chain.ledger), 0))

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        """Rows as the writer sees them."""
        return self.chain.ledger.query(statement)

    def tamper(self, *statements: str) -> None:
        """What an administrator does who first removes the triggers that stand in the way."""
        with self.owner.connection() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()


@pytest.fixture(scope="session")
def sealed_settings(settings: Settings, engine: Engine) -> Settings:
    """Settings of the database of these tests."""
    return with_accounts(settings, engine, f"{settings.mysql_audit_db}_sealed")


@pytest.fixture(scope="session")
def sealed_owner(sealed_settings: Settings) -> Generator[Database]:
    """That database as its administrator; without triggers against changes, for some tests make them."""
    database = audit_database(sealed_settings)
    deploy(database, "audit", today=datetime.now(UTC).date())
    ensure_accounts(database, sealed_settings)
    with database.connection() as connection, connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DROP TRIGGER {table}_no_upd")
            cursor.execute(f"DROP TRIGGER {table}_no_del")
    yield database
    drop(database, sealed_settings)


@pytest.fixture
def trail(sealed_owner: Database, sealed_settings: Settings, tmp_path: Path) -> Generator[Trail]:
    """A trail with nothing but its genesis and one opened source."""
    with sealed_owner.connection() as connection, connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table}")
        connection.commit()
    for name in ("worm", "witness"):
        (tmp_path / name).mkdir()
    changes = {
        "audit_signing_key_file": tmp_path / "signing-key",
        "audit_public_keys_file": tmp_path / "public-keys",
        "audit_worm_uri": (tmp_path / "worm").as_uri(),
        "audit_witness_uri": (tmp_path / "witness").as_uri(),
    }
    key = new_signing_key(tmp_path / "signing-key")
    add_public_key(tmp_path / "public-keys", key.public)
    with closing(Ledger(sealed_settings.mysql_audit_as("relay"))) as ledger:
        ensure_genesis(Appender(ledger), public_keys=[key.public.text])
        chain = Chain.of_new_source(ledger)
        yield Trail(sealed_settings.model_copy(update=changes), sealed_owner, chain, tmp_path)
