"""A small trail in a database of its own."""

from collections.abc import Generator
from pathlib import Path

import pytest

from genims_platform.audit.accounts import ensure_accounts
from genims_platform.audit.database import audit_database
from genims_platform.local.servers import Engine
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import Settings
from genims_platform_tests.audit.conftest import drop, with_accounts
from genims_platform_tests.audit.verify.trail import START, Trail


@pytest.fixture(scope="module")
def trail(settings: Settings, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Generator[Trail]:
    own = with_accounts(settings, engine, f"{settings.mysql_audit_db}_verify")
    database = audit_database(own)
    deploy(database, "audit", today=START.date())
    ensure_accounts(database, own)
    home: Path = tmp_path_factory.mktemp("checkpoints")
    built = Trail(own, home)
    built.build()
    yield built
    built.ledger.close()
    drop(database, own)
