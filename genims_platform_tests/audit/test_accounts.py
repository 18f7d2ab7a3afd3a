"""Accounts of the audit database on a real server."""

from collections.abc import Generator
from dataclasses import replace
from typing import get_args

import mysql.connector
import pytest

from genims_platform.audit.accounts import AccountRefusedError, Accounts, AccountSettingsError, ensure_accounts
from genims_platform.audit.database import audit_database
from genims_platform.local.servers import Engine
from genims_platform.mysql.connection import Database
from genims_platform.mysql.deploy import deploy
from genims_platform.mysql.errors import DatabaseUnavailableError
from genims_platform.mysql.grants import parse_rights
from genims_platform.settings import AuditRole, Settings
from genims_platform_tests.audit.conftest import drop, with_accounts
from genims_platform_tests.audit.spine import START, Writer

ROLES = get_args(AuditRole)


@pytest.fixture
def own(settings: Settings, engine: Engine) -> Settings:
    """Settings of a database and accounts for one test."""
    return with_accounts(settings, engine, f"{settings.mysql_audit_db}_accounts")


@pytest.fixture
def empty(own: Settings) -> Generator[Database]:
    """A database that does not exist yet, as its administrator."""
    database = audit_database(own)
    yield database
    drop(database, own)


@pytest.fixture
def deployed(empty: Database) -> Database:
    """The same, deployed and without accounts."""
    deploy(empty, "audit", today=START.date())
    return empty


def _changed(settings: Settings, **changes: object) -> Settings:
    return Settings.model_validate({**settings.model_dump(), **changes})


def _administer(database: Database, statement: str, *parameters: str) -> None:
    with database.administration() as connection, connection.cursor() as cursor:
        cursor.execute(f"USE `{database.server.database}`")
        cursor.execute(statement, parameters)


def _changes(done: Accounts) -> dict[str, tuple[str, ...]]:
    return {account.role: account.changes for account in done.accounts if account.changes}


def _errno(settings: Settings, role: AuditRole) -> int | None:
    """Code of the error with which the account is refused, or None if it may connect."""
    try:
        with audit_database(settings, role).administration():
            return None
    except DatabaseUnavailableError as error:
        return error.errno


def test_accounts_are_made_once_with_the_rights_they_need(deployed: Database, own: Settings) -> None:
    planned = ensure_accounts(deployed, own, dry_run=True)
    assert {_errno(own, role) for role in ROLES} <= {1045, 1698}
    first = ensure_accounts(deployed, own)
    assert [account.role for account in first.accounts] == list(ROLES)
    assert (first.accounts, first.surplus) == (planned.accounts, ())
    assert first.accounts[0].account == f"{own.mysql_audit_relay_user}@127.0.0.1"
    name = own.mysql_audit_db.replace("_", r"\_")
    insert, select = f"INSERT on `{name}`.*", f"SELECT on `{name}`.*"
    assert _changes(first) == {
        "relay": ("created", insert, select),
        "writer": ("created", insert, select),
        "verifier": ("created", select),
        "auditor": ("created", select),
        "retention": ("created", f"EXECUTE on PROCEDURE `{own.mysql_audit_db}`.`audit_purge_partition`"),
    }
    again = ensure_accounts(deployed, own)
    assert (_changes(again), again.surplus) == ({}, ())
    assert {role: _errno(own, role) for role in ROLES[:-1]} == dict.fromkeys(ROLES[:-1])
    assert _errno(own, "retention") in {3118, 4151}  # locked
    for secret in (getattr(own, f"mysql_audit_{role}_password").get_secret_value() for role in ROLES):
        assert secret not in repr((planned, first, again))


def test_what_differs_is_put_right(deployed: Database, own: Settings) -> None:
    ensure_accounts(deployed, own)
    _administer(deployed, "ALTER USER %s@'127.0.0.1' IDENTIFIED BY 'another'", own.mysql_audit_verifier_user)
    _administer(deployed, "ALTER USER %s@'127.0.0.1' ACCOUNT UNLOCK", own.mysql_audit_retention_user)
    _administer(
        deployed, "ALTER USER %s@'127.0.0.1' WITH MAX_USER_CONNECTIONS 0 ACCOUNT UNLOCK", own.mysql_audit_auditor_user
    )
    name = own.mysql_audit_db.replace("_", r"\_")
    _administer(deployed, f"REVOKE INSERT ON `{name}`.* FROM %s@'127.0.0.1'", own.mysql_audit_relay_user)
    assert _changes(ensure_accounts(deployed, own)) == {
        "relay": (f"INSERT on `{name}`.*",),
        "verifier": ("password",),
        "auditor": ("options",),
        "retention": ("options",),
    }
    assert _changes(ensure_accounts(deployed, own)) == {}
    assert _errno(own, "verifier") is None


def test_surplus_rights_are_named_and_left(deployed: Database, own: Settings) -> None:
    ensure_accounts(deployed, own)
    user = own.mysql_audit_auditor_user
    name = own.mysql_audit_db.replace("_", r"\_")
    _administer(deployed, f"GRANT UPDATE, DROP ON `{name}`.* TO %s@'127.0.0.1' WITH GRANT OPTION", user)
    _administer(deployed, "GRANT DELETE ON login_audit TO %s@'127.0.0.1'", user)
    _administer(deployed, "CREATE USER %s@'10.1.2.3'", own.mysql_audit_writer_user)
    _administer(deployed, "CREATE USER %s@'127.0.0.1'", f"{user}_x")
    _administer(deployed, f"GRANT INSERT, SELECT ON `{name}`.* TO %s@'127.0.0.1'", f"{user}_x")
    try:
        for _ in range(2):
            found = ensure_accounts(deployed, own)
            assert _changes(found) == {}
            assert found.surplus == (
                f"{own.mysql_audit_writer_user}@127.0.0.1: may also connect from 10.1.2.3, as an account of its own",
                f"{user}@127.0.0.1: DELETE on `{own.mysql_audit_db}`.`login_audit`",
                f"{user}@127.0.0.1: DROP on `{name}`.*",
                f"{user}@127.0.0.1: GRANT OPTION on `{name}`.*",
                f"{user}@127.0.0.1: UPDATE on `{name}`.*",
                f"'{user}_x'@'127.0.0.1': INSERT on `{name}`.*",
            )
    finally:
        _administer(deployed, "DROP USER %s@'127.0.0.1', %s@'10.1.2.3'", f"{user}_x", own.mysql_audit_writer_user)


def test_without_tls_only_where_it_is_allowed(deployed: Database, own: Settings, engine: Engine) -> None:
    strict = _changed(own, audit_insecure=False)
    done = ensure_accounts(deployed, strict)
    assert len(_changes(done)) == 5
    if engine == "mariadb":  # the local server has no certificate
        assert _errno(own, "relay") == 1045
    else:
        assert _errno(own, "relay") is None
        with audit_database(own, "relay").administration() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
            assert cursor.fetchall()[0][1]  # pyright: ignore


def test_settings_that_do_not_describe_the_accounts_are_named(deployed: Database, own: Settings) -> None:
    secret = own.mysql_audit_relay_password
    wrong = _changed(
        own,
        mysql_audit_host="db.example",
        audit_insecure=True,
        mysql_audit_writer_user=own.mysql_audit_relay_user,
        mysql_audit_verifier_password="",
        mysql_audit_auditor_password=secret,
    )
    with pytest.raises(AccountSettingsError) as refused:
        ensure_accounts(deployed, wrong)
    relay = own.mysql_audit_relay_user
    assert str(refused.value).splitlines() == [
        (
            "MYSQL_AUDIT_CLIENT_HOST is not set, and db.example is another machine: "
            "name the address or pattern the accounts connect from"
        ),
        "AUDIT_INSECURE=1 is for a server on this machine, not for db.example",
        f"MYSQL_AUDIT_WRITER_USER={relay!r} is MYSQL_AUDIT_RELAY_USER as well; each needs an account of its own",
        "MYSQL_AUDIT_VERIFIER_PASSWORD is not set",
        "MYSQL_AUDIT_AUDITOR_PASSWORD is MYSQL_AUDIT_RELAY_PASSWORD as well; nobody may know both",
    ]


def test_a_refusal_says_why_and_holds_no_password(empty: Database, own: Settings) -> None:
    with pytest.raises(AccountRefusedError, match="run `genims schema deploy --database audit` first"):
        ensure_accounts(empty, own)
    deploy(empty, "audit", today=START.date())
    ensure_accounts(empty, own)
    relay = replace(own.mysql_audit_as("relay"), database=empty.server.database)
    with pytest.raises(AccountRefusedError, match="may not manage accounts"):
        ensure_accounts(Database(relay), own)
    wrong = _changed(own, mysql_audit_client_host="x" * 300)
    with pytest.raises(AccountRefusedError) as refused:
        ensure_accounts(empty, wrong)
    assert own.mysql_audit_relay_password.get_secret_value() not in str(refused.value)


def test_rights_are_read_from_both_spellings() -> None:
    assert {
        str(right)
        for right in parse_rights(
            [
                "GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*0' REQUIRE SSL WITH MAX_USER_CONNECTIONS 10",
                "GRANT SELECT (`a`, `b`), INSERT ON `x`.`y` TO `a`@`%` WITH GRANT OPTION",
                "GRANT `auditors`@`%` TO `a`@`%`",
                "SET DEFAULT ROLE `auditors` FOR `a`@`%`",
            ]
        )
    } == {
        "SELECT (`a`, `b`) on `x`.`y`",
        "INSERT on `x`.`y`",
        "GRANT OPTION on `x`.`y`",
        "`auditors`@`%`",
        "SET DEFAULT ROLE `auditors`",
    }


def test_fences_work_after_the_account_that_deployed_them_is_locked(
    empty: Database, own: Settings, engine: Engine
) -> None:
    name = own.mysql_audit_db.replace("_", r"\_")
    owner = replace(own.mysql_audit_as("writer"), user=f"{own.mysql_audit_relay_user}_o", password="the owner's")
    try:
        with empty.administration() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE USER %s@'127.0.0.1' IDENTIFIED BY %s", (owner.user, owner.password))
            cursor.execute(f"GRANT ALL ON `{name}`.* TO %s@'127.0.0.1' WITH GRANT OPTION", (owner.user,))
        schema = Database(owner)
        deploy(schema, "audit", today=START.date())
        schema.close()
        with empty.administration() as connection, connection.cursor() as cursor:
            cursor.execute("ALTER USER %s@'127.0.0.1' ACCOUNT LOCK", (owner.user,))
        others = ensure_accounts(empty, own).others
        assert f"'{owner.user}'@'127.0.0.1': DROP on `{name}`.*" in others
        relay = audit_database(own, "relay")
        with relay.connection() as connection:
            writer = Writer(connection)
            writer.send("audit", 0, 1, events=1)
            with pytest.raises(mysql.connector.Error, match="chain: predecessor does not match"):
                writer.send("audit", 1, 2, prev_hash=bytes(32))
        relay.close()
        left = [(change.kind, change.applied) for change in deploy(empty, "audit", today=START.date())]
        # MySQL shows the text of a procedure to its definer, MariaDB to who may read its own tables.
        assert left == ([] if engine == "mariadb" else [("compare procedure", False)])
    finally:
        # MySQL keeps the account of a definer for as long as there is something it defines.
        drop(empty, own)
        with empty.administration() as connection, connection.cursor() as cursor:
            cursor.execute("DROP USER %s@'127.0.0.1'", (owner.user,))
