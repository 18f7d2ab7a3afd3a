"""An audit database that tests really write to, with its accounts."""

from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime

import pytest

from genims_platform.audit.accounts import ensure_accounts
from genims_platform.audit.database import audit_database
from genims_platform.audit.ledger.append import Ledger
from genims_platform.local.servers import Engine
from genims_platform.mysql.connection import Database
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import Settings
from genims_platform_tests.audit.conftest import drop, with_accounts
from genims_platform_tests.audit.ledger.chain import Chain


@pytest.fixture(scope="session")
def ledger_settings(settings: Settings, engine: Engine) -> Settings:
    """Settings of the database of these tests."""
    return with_accounts(settings, engine, f"{settings.mysql_audit_db}_ledger")


@pytest.fixture(scope="session")
def owner(ledger_settings: Settings) -> Generator[Database]:
    """That database as its administrator; what tests append stays, and each test goes on from the head it finds."""
    database = audit_database(ledger_settings)
    deploy(database, "audit", today=datetime.now(UTC).date())
    ensure_accounts(database, ledger_settings)
    yield database
    drop(database, ledger_settings)


@pytest.fixture
def ledger(owner: Database, ledger_settings: Settings) -> Generator[Ledger]:
    """The ledger as the relay."""
    assert owner.server.database == ledger_settings.mysql_audit_db
    with closing(Ledger(ledger_settings.mysql_audit_as("relay"))) as opened:
        yield opened


@pytest.fixture
def chain(ledger: Ledger) -> Chain:
    """Batches of a source that no other test uses, after the head."""
    return Chain.of_new_source(ledger)
