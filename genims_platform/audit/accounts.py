"""MySQL accounts of the audit database: one for each kind of work, with the rights that work needs and no more."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.mysql.connection import Database, identifier, is_mariadb, read_frame
from genims_platform.mysql.errors import DatabaseUnavailableError
from genims_platform.mysql.grants import (
    AccountOptions,
    Right,
    account_options,
    account_rights,
    database_object,
    other_hosts,
    writers_of,
)
from genims_platform.mysql.live import live_routines
from genims_platform.settings import AuditRole, MySQLServer, Settings, SettingsError

PURGE_PROCEDURE = "audit_purge_partition"
AUDITOR_CONNECTIONS = 10
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_PRIVILEGES: Mapping[AuditRole, tuple[str, ...]] = {
    "relay": ("INSERT", "SELECT"),
    "writer": ("INSERT", "SELECT"),
    "verifier": ("SELECT",),
    "auditor": ("SELECT",),
    # ALTER and DROP, which a purge needs, would allow DROP TABLE; the procedure does the one thing and asks first.
    "retention": (),
}

_ACCESS_DENIED = 1045
# MySQL and MariaDB look at the lock after the password.
_LOCKED = frozenset({3118, 4151})
_NOT_ALLOWED = frozenset({1044, 1142, 1143, 1227, 1370, 1410})


class AccountSettingsError(SettingsError):
    """The variables do not describe the accounts; a line for each problem, never a password."""


class AccountRefusedError(RuntimeError):
    """The server refused to create, change or show an account; the message never holds a password."""


@dataclass(frozen=True)
class Account:
    """One account: what was done to it (`created`, `password`, `options`, a right), and what it has too many."""

    role: AuditRole
    account: str
    changes: tuple[str, ...]
    surplus: tuple[str, ...]


@dataclass(frozen=True)
class Accounts:
    """All accounts, and rights to write that others have, which nothing here gave them."""

    dry_run: bool
    accounts: tuple[Account, ...]
    others: tuple[str, ...]

    @property
    def surplus(self) -> tuple[str, ...]:
        """A sentence for each right that should not exist."""
        own = (f"{account.account}: {right}" for account in self.accounts for right in account.surplus)
        return (*own, *self.others)


def ensure_accounts(database: Database, settings: Settings, *, dry_run: bool = False) -> Accounts:
    """Create the accounts that are missing, give them their passwords, options and rights, and name surplus rights.

    What is right is left alone, so a second call changes nothing. No right is taken away: a surplus one is evidence,
    and who gave it is a question for a person.

    Args:
        database: the audit database as its administrator, who needs CREATE USER, SELECT on `mysql` and the rights on
            the audit database with the option to grant them.
        settings: names, passwords and the host the accounts come from.
        dry_run: only say what would be done.

    Raises:
        AccountSettingsError: a password is missing or used twice, a name is used twice, or no host is set.
        AccountRefusedError: the server refused, or the schema is not deployed.
        DatabaseUnavailableError: the database cannot be reached.
    """
    servers = {role: settings.mysql_audit_as(role) for role in get_args(AuditRole)}
    host = _client_host(settings)
    _check(settings, servers, host)
    name = database.server.database
    with database.administration() as connection:
        try:
            # An account without rights sees no procedure either, so it is told about its rights first.
            read_frame(connection, "SELECT COUNT(*) FROM mysql.user")
            if PURGE_PROCEDURE not in live_routines(connection, name):
                raise AccountRefusedError(
                    f"{database.server.address} is not deployed; run `genims schema deploy --database audit` first"
                )
            work = _Work(connection, host, tls=not settings.audit_insecure, dry_run=dry_run)
            accounts = tuple(work.ensure(role, server) for role, server in servers.items())
            others = _other_writers(connection, database.server, accounts)
        except mysql.connector.Error as error:
            if error.errno not in _NOT_ALLOWED:
                raise
            raise AccountRefusedError(
                f"{database.server.address}: user {database.server.user} may not manage accounts "
                f"({error.msg}); needed are CREATE USER on *.*, SELECT on mysql.*, and all rights on {name} "
                "WITH GRANT OPTION"
            ) from None
    return Accounts(dry_run, accounts, others)


def expected_rights(connection: MySQLConnectionAbstract, role: AuditRole, database: str) -> set[Right]:
    """All rights that the account of a role has on this server."""
    if role == "retention":
        return {Right("EXECUTE", f"PROCEDURE {identifier(database)}.{identifier(PURGE_PROCEDURE)}")}
    target = database_object(connection, database)
    return {Right(privilege, target) for privilege in _PRIVILEGES[role]}


def _client_host(settings: Settings) -> str | None:
    if settings.mysql_audit_client_host is not None:
        return settings.mysql_audit_client_host
    return "127.0.0.1" if settings.mysql_audit_host in LOOPBACK else None


def _check(settings: Settings, servers: Mapping[AuditRole, MySQLServer], host: str | None) -> None:
    problems: list[str] = []
    if host is None:
        problems.append(
            f"MYSQL_AUDIT_CLIENT_HOST is not set, and {settings.mysql_audit_host} is another machine: "
            "name the address or pattern the accounts connect from"
        )
    if settings.audit_insecure and settings.mysql_audit_host not in LOOPBACK:
        problems.append(f"AUDIT_INSECURE=1 is for a server on this machine, not for {settings.mysql_audit_host}")
    owners = {settings.mysql_audit.user: "MYSQL_AUDIT_USER"}
    passwords = {settings.mysql_audit.password: "MYSQL_AUDIT_PASSWORD"}
    for role, server in servers.items():
        user, password = f"MYSQL_AUDIT_{role.upper()}_USER", f"MYSQL_AUDIT_{role.upper()}_PASSWORD"
        if server.user in owners:
            problems.append(
                f"{user}={server.user!r} is {owners[server.user]} as well; each needs an account of its own"
            )
        if not server.password:
            problems.append(f"{password} is not set")
        elif server.password in passwords:
            problems.append(f"{password} is {passwords[server.password]} as well; nobody may know both")
        owners.setdefault(server.user, user)
        passwords.setdefault(server.password, password)
    if problems:
        raise AccountSettingsError("\n".join(problems))


class _Work:
    def __init__(self, connection: MySQLConnectionAbstract, host: str | None, *, tls: bool, dry_run: bool) -> None:
        self.connection = connection
        self.host = host or ""
        self.tls = tls
        self.dry_run = dry_run

    def ensure(self, role: AuditRole, server: MySQLServer) -> Account:
        """Bring one account to what it should be."""
        options = AccountOptions(
            tls=self.tls,
            locked=role == "retention",
            max_connections=AUDITOR_CONNECTIONS if role == "auditor" else 0,
        )
        found = account_options(self.connection, server.user, self.host)
        present = account_rights(self.connection, server.user, self.host) if found else set[Right]()
        changes: list[str] = []
        if found is None:
            self._identify("CREATE", server, options.clause)
            changes.append("created")
        else:
            if not _password_is_right(server):
                self._identify("ALTER", server, "")
                changes.append("password")
            if found != options:
                self._execute(f"ALTER USER %s@%s {options.clause}", (server.user, self.host))
                changes.append("options")
        wanted = expected_rights(self.connection, role, server.database)
        for right in sorted(wanted - present):
            self._execute(f"GRANT {right.privilege} ON {right.target} TO %s@%s", (server.user, self.host))
            changes.append(str(right))
        surplus = [str(right) for right in sorted(present - wanted)]
        elsewhere = other_hosts(self.connection, server.user, self.host)
        surplus += [f"may also connect from {other}, as an account of its own" for other in elsewhere]
        return Account(role, f"{server.user}@{self.host}", tuple(changes), tuple(surplus))

    def _identify(self, verb: str, server: MySQLServer, options: str) -> None:
        """Set the password. MySQL leaves passwords out of its logs; MariaDB does not, so it gets the hash it stores."""
        if is_mariadb(self.connection):
            inner = hashlib.sha1(server.password.encode(), usedforsecurity=False).digest()
            secret = "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()
            statement = f"{verb} USER %s@%s IDENTIFIED BY PASSWORD %s {options}"
        else:
            secret = server.password
            statement = f"{verb} USER %s@%s IDENTIFIED BY %s {options}"
        try:
            self._execute(statement, (server.user, self.host, secret))
        except mysql.connector.Error as error:
            if error.errno in _NOT_ALLOWED:
                raise
            text = str(error.msg).replace(secret, "***").replace(server.password, "***")
            raise AccountRefusedError(f"account {server.user}@{self.host}: {text}") from None

    def _execute(self, statement: str, parameters: tuple[str, ...]) -> None:
        if not self.dry_run:
            with self.connection.cursor() as cursor:
                cursor.execute(statement, parameters)


def _password_is_right(server: MySQLServer) -> bool:
    """Whether the account takes the password; only the server can tell, so this connects as the account."""
    try:
        with Database(server).administration():
            return True
    except DatabaseUnavailableError as error:
        return error.errno in _LOCKED


def _other_writers(
    connection: MySQLConnectionAbstract, server: MySQLServer, accounts: tuple[Account, ...]
) -> tuple[str, ...]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_USER()")
        row = cursor.fetchone()
    known = {account.account for account in accounts} | {str(next(iter(row or ())))}  # pyright: ignore[reportArgumentType]
    return tuple(
        f"{grantee}: {right}"
        for grantee, right in writers_of(connection, server.database)
        if grantee.replace("'", "") not in known
    )
