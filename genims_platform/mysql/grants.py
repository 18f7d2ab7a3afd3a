"""What accounts may do, as the server shows it; spelt alike for MySQL and MariaDB."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl
import polars.selectors as cs
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.mysql.connection import Parameters, identifier, is_mariadb, read_frame, scalar

_GRANT = re.compile(r"GRANT (?P<privileges>.+?) ON (?P<object>.+?) TO (?P<rest>.*)", re.DOTALL)
_WILDCARD, _ESCAPED = re.compile(r"([_%\\])"), r"\\\1"
_CONNECTIONS = re.compile(r"MAX_USER_CONNECTIONS (\d+)")


@dataclass(frozen=True, order=True)
class Right:
    """One privilege on one object as it is written in GRANT; a role is a privilege on nothing."""

    privilege: str
    target: str

    def __str__(self) -> str:
        """`SELECT on *.*`."""
        return f"{self.privilege} on {self.target}" if self.target else self.privilege


@dataclass(frozen=True)
class AccountOptions:
    """What an account needs to connect."""

    tls: bool
    locked: bool = False
    max_connections: int = 0
    """At once; 0: no limit of its own."""

    @property
    def clause(self) -> str:
        """The options as they are written in CREATE USER and ALTER USER."""
        return (
            f"REQUIRE {'SSL' if self.tls else 'NONE'} WITH MAX_USER_CONNECTIONS {self.max_connections} "
            f"ACCOUNT {'LOCK' if self.locked else 'UNLOCK'}"
        )


def database_object(connection: MySQLConnectionAbstract, database: str) -> str:
    """All tables of a database as GRANT names them: `_` and `%` stand for themselves, not for any character."""
    if not is_mariadb(connection):
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@GLOBAL.partial_revokes")
            if scalar(cursor):  # names are literal then
                return f"{identifier(database)}.*"
    return f"{identifier(_WILDCARD.sub(_ESCAPED, database))}.*"


def account_options(connection: MySQLConnectionAbstract, user: str, host: str) -> AccountOptions | None:
    """How an account has to connect, or None where there is no such account."""
    if not _rows(connection, "SELECT 1 FROM mysql.user WHERE user = %s AND host = %s", (user, host)):
        return None
    with connection.cursor() as cursor:
        cursor.execute("SHOW CREATE USER %s@%s", (user, host))
        text = str(scalar(cursor))
    limit = _CONNECTIONS.search(text)
    return AccountOptions(
        tls=bool(re.search(r"REQUIRE (SSL|X509|SUBJECT|ISSUER|CIPHER)", text)),
        locked="ACCOUNT LOCK" in text,
        max_connections=int(limit[1]) if limit else 0,
    )


def account_rights(connection: MySQLConnectionAbstract, user: str, host: str) -> set[Right]:
    """All rights of an account, without the one to connect; roles and default roles count as rights."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW GRANTS FOR %s@%s", (user, host))
        lines = [str(next(iter(row))) for row in cursor.fetchall()]  # pyright: ignore[reportArgumentType]
    return parse_rights(lines)


def parse_rights(lines: Iterable[str]) -> set[Right]:
    """Rights from the lines of SHOW GRANTS."""
    rights: set[Right] = set()
    for line in lines:
        found = _GRANT.fullmatch(line)
        if found is None:
            # A granted role or a default role; what follows the role names accounts only.
            rights.add(Right(re.split(r" (?:TO|FOR) ", line)[0].removeprefix("GRANT "), ""))
            continue
        target = found["object"]
        privileges = set(re.split(r", (?![^(]*\))", found["privileges"])) - {"USAGE"}
        rights |= {Right(privilege, target) for privilege in privileges}
        if "GRANT OPTION" in found["rest"]:
            rights.add(Right("GRANT OPTION", target))
    return rights


def other_hosts(connection: MySQLConnectionAbstract, user: str, host: str) -> list[str]:
    """Further accounts of the same user name, by the host they may come from."""
    statement = "SELECT host FROM mysql.user WHERE user = %s AND host <> %s ORDER BY host"
    return [str(found) for (found,) in _rows(connection, statement, (user, host))]


def writers_of(connection: MySQLConnectionAbstract, database: str) -> list[tuple[str, Right]]:
    """Accounts and roles with more than SELECT on a database or a part of it, as 'user'@'host', in order.

    Rights on all databases of the server are those of its administrators and not listed.
    """
    statement = (
        "SELECT grantee, privilege_type, table_schema, '*' FROM information_schema.schema_privileges "
        "WHERE %(database)s LIKE table_schema "
        "UNION SELECT grantee, privilege_type, table_schema, table_name FROM information_schema.table_privileges "
        "WHERE table_schema = %(database)s "
        "UNION SELECT grantee, privilege_type, table_schema, table_name FROM information_schema.column_privileges "
        "WHERE table_schema = %(database)s ORDER BY 1, 2, 3, 4"
    )
    return [
        (grantee, Right(privilege, f"{identifier(schema)}.{table}"))
        for grantee, privilege, schema, table in _rows(connection, statement, {"database": database})
        if privilege not in ("SELECT", "USAGE")
    ]


def _rows(connection: MySQLConnectionAbstract, statement: str, parameters: Parameters) -> list[tuple[str, ...]]:
    return read_frame(connection, statement, parameters).with_columns(cs.binary().cast(pl.String)).rows()
