"""What can go wrong with MySQL, sorted by what a caller can do about it: try again, or mend something."""

from mysql.connector import Error, OperationalError

from genims_platform.settings import MySQLServer

TRANSIENT_CODES = frozenset(
    {
        1040,  # too many connections: others close theirs
        1053,  # the server is shutting down: it comes back, or its standby does
        1158,  # network read error
        1159,  # network read timeout
        1160,  # network write error
        1161,  # network write timeout
        1203,  # the account has used up its connections for now
        1205,  # lock wait timeout: the holder commits sooner or later
        1213,  # deadlock: the other transaction was let through
        1226,  # hourly resource limit of the account
        1927,  # MariaDB: connection killed by an administrator
        2002,  # nothing listens on the socket: the server restarts
        2003,  # nothing listens on the port: the server restarts
        2006,  # server has gone away
        2013,  # connection lost during a statement; every write here is safe to repeat
        2055,  # connection lost, with the cause in the text
        4031,  # MySQL closed a connection that had been idle for too long
    }
)
"""Server (1000..) and client (2000..) error codes that may be gone at the next attempt."""

CONNECTION_LOST_CODES = frozenset({1053, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2055, 4031})
"""The transient codes after which the connection is useless."""

_REASONS = {
    1044: "the account may not use this database; grant it, or check the *_USER variable",
    1045: "wrong user or password; check the *_USER and *_PASSWORD variables",
    1049: "no such database; run `genims schema deploy`, or check the *_DB variable",
    1130: "the server does not accept connections from this host",
    1251: "the account's authentication plugin is not supported by the client",
    1698: "wrong user or password; check the *_USER and *_PASSWORD variables",
    2002: "connection refused; is the server running, and are host and port right?",
    2003: "connection refused; is the server running, and are host and port right?",
    2005: "unknown host name; check the *_HOST variable",
    2026: "no trusted TLS connection; check the *_SSL_CA variable and the server's certificate",
}


class TransientError(ConnectionError):
    """An error that may be gone at the next attempt; `errno` is MySQL's code, or None."""

    errno: int | None = None


class DatabaseUnavailableError(ConnectionError):
    """A MySQL database cannot be used; the message says which, where and why, never the password.

    `errno` is MySQL's code, or None.
    """

    errno: int | None = None

    def __init__(self, server: MySQLServer, reason: str) -> None:
        super().__init__(f"MySQL database {server.address} as user {server.user}: {reason}")
        self.server = server


class DatabaseUnreachableError(DatabaseUnavailableError, TransientError):
    """No connection for now: the server is down, restarting or full."""


def connect_error(server: MySQLServer, error: Error) -> DatabaseUnavailableError:
    """The error for a connection attempt that failed."""
    code = error.errno
    reason = _REASONS.get(code, f"{error.msg or 'unknown error'} (code {code})")
    kind = DatabaseUnreachableError if code in TRANSIENT_CODES else DatabaseUnavailableError
    unavailable = kind(server, reason)
    unavailable.errno = code
    return unavailable


def connection_lost(error: Error) -> bool:
    """Whether the connection is useless after this error."""
    # The connector finds out itself, without a code, when it opens a cursor on a dead connection.
    return error.errno in CONNECTION_LOST_CODES or (isinstance(error, OperationalError) and error.errno == -1)


def statement_error(server: MySQLServer, error: Error) -> Exception:
    """The error for a statement that failed: transient codes become `TransientError`, others stay as they are."""
    if error.errno not in TRANSIENT_CODES and not connection_lost(error):
        return error
    transient = TransientError(f"MySQL database {server.address}: {error.msg} (code {error.errno})")
    transient.errno = error.errno
    return transient
