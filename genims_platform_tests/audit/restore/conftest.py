"""A trail with checkpoints whose database can be set back."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from genims_platform.audit.ledger.batch import Head
from genims_platform.audit.ledger.layout import TABLES
from genims_platform.audit.relay.figures import RelayResult
from genims_platform.audit.sealer.checkpoint import Checkpoint
from genims_platform.audit.sealer.sealer import Sealer
from genims_platform.audit.sealer.signing import add_public_key, new_signing_key
from genims_platform.audit.verify.findings import Finding
from genims_platform.audit.verify.verifier import Scope, verify
from genims_platform.local.servers import Engine, LocalServers
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import Settings
from genims_platform_tests.audit.relay.trail import Trail, made_trail

ACCOUNT = "INSERT INTO accounts (account_id, account_number, account_name) VALUES (%(id)s, %(id)s, %(id)s)"
ACCOUNTS = (
    "INSERT INTO accounts (account_id, account_number, account_name) "
    "SELECT %(id)s || n, %(id)s || n, 'many' FROM generate_series(1, %(rows)s) n"
)
CONTACT = (
    "INSERT INTO contacts (contact_id, contact_number, account_id, first_name, last_name, phone) "
    "VALUES (%(id)s, %(id)s, 'A1', 'Ada', 'Byron', '+44 1')"
)

Contents = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Restorable:
    """A trail of one source with small batches, checkpoints, and an administrator who restores it."""

    trail: Trail
    settings: Settings

    @property
    def journal(self) -> Path:
        """The folder of the journal."""
        assert self.settings.audit_journal_dir is not None
        (folder,) = self.settings.audit_journal_dir.iterdir()
        return folder

    def change(self, statement: str, **parameters: Any) -> None:
        """What an application does."""
        self.trail.sources["crm"].execute(statement, parameters)

    def deliver(self) -> RelayResult:
        """What waits."""
        return replace(self.trail, settings=self.settings).deliver()

    def seal(self) -> Checkpoint | None:
        """Sign the newest batch."""
        with closing(Sealer(self.settings)) as sealer:
            return sealer.seal_once()

    def head(self) -> Head:
        """The newest batch."""
        with closing(self.trail.ledger()) as ledger:
            head = ledger.head()
        assert head is not None
        return head

    def contents(self) -> Contents:
        """All columns of all rows of all tables."""
        return {table: self.trail.query(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in TABLES}

    def set_back(self, batch_no: int) -> None:
        """Leave of every table what a backup made after this batch holds."""
        with self.trail.database.connection() as connection, connection.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"DROP TRIGGER {table}_no_del")
                cursor.execute(f"DELETE FROM {table} WHERE batch_no > %s", (batch_no,))
            connection.commit()
        deploy(self.trail.database, "audit", today=datetime.now(UTC).date())

    def findings(self) -> tuple[Finding, ...]:
        """What the verifier has to say about the whole trail."""
        return verify(self.settings, Scope("full"), processes=1).findings


@pytest.fixture
def restorable(settings: Settings, engine: Engine, servers: LocalServers, tmp_path: Path) -> Generator[Restorable]:
    (tmp_path / "worm").mkdir()
    key = new_signing_key(tmp_path / "signing.key")
    add_public_key(tmp_path / "public", key.public)
    with made_trail(settings, engine, servers, tmp_path, ("crm",)) as trail:
        changes: dict[str, object] = {
            "audit_worm_uri": (tmp_path / "worm").as_uri(),
            "audit_signing_key_file": tmp_path / "signing.key",
            "audit_public_keys_file": tmp_path / "public",
            # However long a test takes, the age of a checkpoint is not what it is about.
            "audit_checkpoint_seconds": 3600,
            "etl_batch_size": 20,
            "audit_bulk_rows": 30,
        }
        yield Restorable(trail, trail.settings.model_copy(update=changes))
