"""Connections to PostgreSQL that fail within seconds and say which database, where and why."""

import threading
from collections.abc import Callable
from typing import Literal, TypeVar

import psycopg2
from psycopg2 import extensions

from genims_platform.settings import PostgresServer

Result = TypeVar("Result")

CONNECT_TIMEOUT_SECONDS = 5

SESSION_OPTIONS = "-c timezone=UTC -c random_page_cost=1.1 -c jit=off"
"""PostgreSQL takes a page by an index for four times as dear as the next of a scan, which no disk of today makes true:
it would scan a history of years for the rows of a few days. And compiling a statement that reads little, which it does
where many partitions make it seem dear, takes longer than running it."""

KEPT = 16
"""Idle connections that a process keeps over all databases: a server has about a hundred, and several runs share it."""

DEAD_AFTER_SECONDS = 30
"""A network that drops packets without a word is noticed after this time; by default, after two hours."""

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
            options=SESSION_OPTIONS,
            sslmode="verify-full" if server.ssl_root_cert else "prefer",
            sslrootcert=str(server.ssl_root_cert) if server.ssl_root_cert else None,
            keepalives_idle=DEAD_AFTER_SECONDS // 2,
            keepalives_interval=DEAD_AFTER_SECONDS // 6,
            keepalives_count=3,
            tcp_user_timeout=DEAD_AFTER_SECONDS * 1000,
        )
    except psycopg2.OperationalError as error:
        raise _explain(server, str(error)) from None
    connection.autocommit = autocommit
    return connection


class IdleConnections:
    """Connections to PostgreSQL in autocommit that are kept between uses: the KEPT that were used last.

    Threads may share it: a connection is lent to one of them at a time, and another gets a new one.
    """

    def __init__(self, statement_timeout: int) -> None:
        """`statement_timeout`: seconds after which the server ends a statement."""
        self._statement_timeout = statement_timeout
        self._idle: list[tuple[PostgresServer, extensions.connection]] = []
        self._lock = threading.Lock()

    def use(self, server: PostgresServer, work: Callable[[extensions.connection], Result]) -> Result:
        """The result of `work` on a connection; called again on a new one if the server closed the idle one meanwhile.

        Raises:
            SourceUnavailableError: no connection within five seconds, with the cause in words.
        """
        idle = self._take(server)
        if idle is not None:
            try:
                return self._lend(server, idle, work)
            except psycopg2.Error:
                if not idle.closed:
                    raise
        return self._lend(server, self._open(server), work)

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _take(self, server: PostgresServer) -> extensions.connection | None:
        with self._lock:
            for place in reversed(range(len(self._idle))):
                if self._idle[place][0] == server:
                    return self._idle.pop(place)[1]
        return None

    def _open(self, server: PostgresServer) -> extensions.connection:
        connection = connect(server, autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = %s", (f"{self._statement_timeout}s",))
        return connection

    def _lend(
        self, server: PostgresServer, connection: extensions.connection, work: Callable[[extensions.connection], Result]
    ) -> Result:
        try:
            return work(connection)
        finally:
            surplus: extensions.connection | None = None
            with self._lock:
                if not connection.closed:
                    self._idle.append((server, connection))
                if len(self._idle) > KEPT:
                    _, surplus = self._idle.pop(0)
            if surplus is not None:
                surplus.close()


def _explain(server: PostgresServer, text: str) -> SourceUnavailableError:
    for pattern, reason, explanation in _REASONS:
        if pattern in text:
            return SourceUnavailableError(server, reason, explanation)
    last_line = text.strip().splitlines()[-1] if text.strip() else "no reason given"
    return SourceUnavailableError(server, "other", last_line)
