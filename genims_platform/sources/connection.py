"""Connections to PostgreSQL that fail within seconds and say which database, where and why."""

from typing import Literal

import psycopg2
from psycopg2 import extensions

from genims_platform.settings import PostgresServer

CONNECT_TIMEOUT_SECONDS = 5

Reason = Literal["unreachable", "refused", "password", "no_database", "other"]

# libpq reports these without an SQLSTATE, so the text is all there is.
_REASONS: tuple[tuple[str, Reason, str], ...] = (
    ("password authentication failed", "password", "wrong user or password; check PG_USER and PG_PASSWORD"),
    ("no password supplied", "password", "a password is required; set PG_PASSWORD"),
    ('role "', "password", "no such user, or it may not log in; check PG_USER"),
    ("does not exist", "no_database", "no such database; check its PG_*_DB variable"),
    ("Connection refused", "refused", "connection refused; is the server running, and are PG_HOST and PG_PORT right?"),
    ("No such file", "refused", "no server listens on this socket; check PG_HOST and PG_PORT"),
    ("timeout expired", "unreachable", f"no answer within {CONNECT_TIMEOUT_SECONDS} s; check PG_HOST and the network"),
    ("could not translate host name", "unreachable", "unknown host name; check PG_HOST"),
)


class SourceUnavailableError(ConnectionError):
    """A PostgreSQL database cannot be reached; the message names it and the cause, never the password."""

    def __init__(self, server: PostgresServer, reason: Reason, explanation: str) -> None:
        super().__init__(f"{server.address}: {explanation}")
        self.server = server
        self.reason: Reason = reason


def connect(server: PostgresServer, *, autocommit: bool = False) -> extensions.connection:
    """Open a connection to one PostgreSQL database, session time zone UTC.

    Raises:
        SourceUnavailableError: no connection within five seconds, with the cause in words.
    """
    try:
        connection = psycopg2.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password or None,
            dbname=server.database,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name="genims",
            options="-c timezone=UTC",
        )
    except psycopg2.OperationalError as error:
        raise _explain(server, str(error)) from None
    connection.autocommit = autocommit
    return connection


def _explain(server: PostgresServer, text: str) -> SourceUnavailableError:
    for pattern, reason, explanation in _REASONS:
        if pattern in text:
            return SourceUnavailableError(server, reason, explanation)
    last_line = text.strip().splitlines()[-1] if text.strip() else "no reason given"
    return SourceUnavailableError(server, "other", last_line)
