"""The server around the trail: its schema, fences, accounts and rights against those that are published."""

from collections.abc import Iterator
from datetime import date
from typing import get_args

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.accounts import expected_rights
from genims_platform.audit.verify.findings import Finding
from genims_platform.mysql.connection import Database, read_frame
from genims_platform.mysql.deploy import DeployError, deploy
from genims_platform.mysql.grants import account_options, account_rights, writers_of
from genims_platform.settings import AuditRole, Settings

# What comments say is no matter; whether the years to come have partitions is looked at by itself.
_NO_DIFFERENCE = frozenset({"comment table", "comment column", "add partitions"})
_FENCES = ("trigger", "procedure")
_TOO_FEW_RIGHTS = frozenset({1044, 1142, 1227, 1370})


def schema_findings(database: Database, today: date, *, sees_fences: bool) -> Iterator[Finding]:
    """Differences from the published schema, a finding each.

    Args:
        database: the audit database as an account that may look at it.
        today: day of the comparison.
        sees_fences: whether the account may look at triggers and procedures; to others there seem to be none.
    """
    try:
        # A deployment that changes nothing names every difference.
        changes = deploy(database, "audit", today=today, dry_run=True)
    except DeployError as error:
        yield Finding("V15", None, None, None, str(error))
        return
    for change in changes:
        if change.kind in _NO_DIFFERENCE or (not sees_fences and change.kind.endswith(_FENCES)):
            continue
        table = change.object.partition(".")[0]
        sentence = f"the schema differs from the published one; to mend it: {change.kind} {change.object}"
        yield Finding("V15", None, None, table, sentence)


def account_findings(connection: MySQLConnectionAbstract, settings: Settings) -> Iterator[Finding] | None:
    """Differences from the published rights; None if this account may not look at others."""
    try:
        read_frame(connection, "SELECT COUNT(*) FROM mysql.user")
    except mysql.connector.Error as error:
        if error.errno in _TOO_FEW_RIGHTS:
            return None
        raise
    return _account_findings(connection, settings)


def _account_findings(connection: MySQLConnectionAbstract, settings: Settings) -> Iterator[Finding]:
    known: set[str] = {settings.mysql_audit.user}
    for role in get_args(AuditRole):
        server = settings.mysql_audit_as(role)
        known.add(server.user)
        hosts = read_frame(connection, "SELECT host FROM mysql.user WHERE user = %s ORDER BY host", (server.user,))
        names = [_name(host) for (host,) in hosts.rows()]
        if not names:
            yield _finding(f"the account {server.user} is missing")
        for host in names:
            account = f"{server.user}@{host}"
            wanted = expected_rights(connection, role, server.database)
            present = account_rights(connection, server.user, host)
            for right in sorted(present - wanted):
                yield _finding(f"{account} has the right {right}")
            for right in sorted(wanted - present):
                yield _finding(f"{account} lacks the right {right}")
            options = account_options(connection, server.user, host)
            if options and not options.tls and not settings.audit_insecure:
                yield _finding(f"{account} may connect without TLS")
            if options and role == "retention" and not options.locked:
                yield _finding(f"{account} is not locked")
        if len(names) > 1:
            yield _finding(f"{server.user} may connect from {', '.join(names)}; one place is published")
    for grantee, right in writers_of(connection, settings.mysql_audit.database):
        if grantee.split("@")[0].strip("'") not in known:
            yield _finding(f"{grantee} has the right {right}")


def _finding(sentence: str) -> Finding:
    return Finding("V16", None, None, None, sentence)


def _name(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
