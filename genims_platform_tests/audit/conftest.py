"""An audit database of the session's own, with its accounts."""

import secrets
from collections.abc import Generator
from typing import get_args

import pytest

from genims_platform.audit.accounts import ensure_accounts
from genims_platform.audit.database import audit_database
from genims_platform.local.servers import Engine
from genims_platform.mysql.connection import Database
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import AuditRole, Settings
from genims_platform_tests.audit.spine import START


def with_accounts(settings: Settings, engine: Engine, database: str) -> Settings:
    """Settings for an audit database with accounts that no other test has; local MariaDB has no TLS."""
    prefix = f"g{secrets.token_hex(4)}_"
    accounts = {f"mysql_audit_{role}_user": f"{prefix}{role}" for role in get_args(AuditRole)}
    passwords = {f"mysql_audit_{role}_password": f"{role}'s \"{secrets.token_hex(8)}" for role in get_args(AuditRole)}
    changes = {**accounts, "mysql_audit_db": database, "audit_insecure": engine == "mariadb"}
    return Settings.model_validate({**settings.model_dump(), **changes, **passwords})


def drop(administrator: Database, settings: Settings) -> None:
    """Remove a database and its accounts."""
    with administrator.administration() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS `{administrator.server.database}`")
        for role in get_args(AuditRole):
            cursor.execute("DROP USER IF EXISTS %s@'127.0.0.1'", (settings.mysql_audit_as(role).user,))
    administrator.close()


@pytest.fixture(scope="session")
def audit_settings(settings: Settings, engine: Engine) -> Settings:
    """Settings of the session's audit database and its accounts."""
    return with_accounts(settings, engine, f"{settings.mysql_audit_db}_trail")


@pytest.fixture(scope="session")
def administrator(audit_settings: Settings) -> Generator[Database]:
    """The session's audit database as its administrator, deployed and with accounts; tests roll their rows back."""
    database = audit_database(audit_settings)
    deploy(database, "audit", today=START.date())
    ensure_accounts(database, audit_settings)
    yield database
    drop(database, audit_settings)
