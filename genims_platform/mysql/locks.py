"""Named locks of the server: one writer for a table, one deployment for a database."""

import hashlib
import time
from collections.abc import Generator
from contextlib import contextmanager

from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.mysql.connection import Database, scalar
from genims_platform.mysql.errors import TransientError

LOCK_NAME_LIMIT = 64
LOCK_POLL_SECONDS = 5


class LockTimeoutError(TransientError):
    """Another writer held the table's lock for longer than the caller would wait."""


def lock_name(database: Database, purpose: str) -> str:
    """Name of a server-wide lock for a purpose in this database; at most 64 characters, MySQL's limit."""
    return lock_name_in(database.server.database, purpose)


def lock_name_in(database: str, purpose: str) -> str:
    """The same for the database of this name."""
    name = f"genims:{database}.{purpose}"
    if len(name) <= LOCK_NAME_LIMIT:
        return name
    return f"genims:{hashlib.sha256(name.encode()).hexdigest()[:48]}"


@contextmanager
def named_lock(connection: MySQLConnectionAbstract, name: str, timeout: float) -> Generator[None, None, None]:
    """Hold a named lock of the server on this connection until the block ends.

    Raises:
        LockTimeoutError: another connection still holds it after `timeout` seconds; says which.
    """
    deadline = time.monotonic() + timeout
    with connection.cursor() as cursor:
        while True:
            # Waits in short turns stay clear of the deadline that the server sets on a statement.
            wait = max(0.0, min(LOCK_POLL_SECONDS, deadline - time.monotonic()))
            cursor.execute("SELECT GET_LOCK(%s, %s)", (name, wait))
            if scalar(cursor) == 1:
                break
            if time.monotonic() >= deadline:
                cursor.execute("SELECT IS_USED_LOCK(%s)", (name,))
                raise LockTimeoutError(
                    f"lock {name}: still held by connection {scalar(cursor)} of the server after {timeout:g} s"
                )
    try:
        yield
    finally:
        # A connection that is gone has given its locks back already.
        if connection.is_connected():
            with connection.cursor() as cursor:
                cursor.execute("SELECT RELEASE_LOCK(%s)", (name,))
                cursor.fetchall()
