"""The key store in a PostgreSQL database of its own, for the processes of several machines."""

from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import parse_dsn

from genims_platform.audit.encryption.errors import (
    KeyStoreCorruptError,
    KeyStoreMissingError,
    KeyStoreUnavailableError,
)
from genims_platform.audit.encryption.kek import KeyEncryptionKey
from genims_platform.audit.encryption.stored_keys import FIRST_ROW, FORMAT, TABLES, StoredKeys

# A server that does not answer is unavailable after these, in seconds.
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 10

_CREATION = 0x67656E696D73  # the advisory lock of whoever makes the tables


class PostgresKeyStore(StoredKeys):
    """Keys in the tables that `create_postgres_store` made."""

    def __init__(self, uri: str, kek: KeyEncryptionKey) -> None:
        super().__init__(kek)
        self._uri = uri
        self._connection: Connection | None = None

    @property
    def location(self) -> str:
        """See `StoredKeys.location`."""
        return _location(self._uri)

    def close(self) -> None:
        """See `StoredKeys.close`."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._forget()

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Generator[None]:  # noqa: ARG002
        try:
            connection = self._connect()
            yield
            connection.commit()
        except psycopg2.Error as error:
            self.close()
            raise _explain(self._uri, error) from error
        except BaseException:
            self.close()
            raise

    def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = _open(self._uri)
            self._opened()
        return self._connection

    def _execute(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        assert self._connection is not None  # noqa: S101
        with self._connection.cursor() as cursor:
            cursor.execute(statement.replace("?", "%s"), tuple(parameters))
            return cursor.fetchall()

    def _scrub(self) -> None:
        """Rewrite the table: until then the old versions of its rows hold the destroyed material."""
        try:
            connection = self._connect()
            connection.commit()
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SET statement_timeout = 0")
                cursor.execute("VACUUM FULL data_key")
        except psycopg2.Error as error:
            raise _explain(self._uri, error) from error
        finally:
            self.close()


def create_postgres_store(uri: str, kek: KeyEncryptionKey) -> bool:
    """Make the tables of an empty key store in this database; says False if they are there already.

    Raises:
        KeyStoreUnavailableError: the database cannot be reached, or the account may not make tables there.
    """
    try:
        with closing(_open(uri)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATION,))
            cursor.execute("SELECT to_regclass('key_store') IS NOT NULL")
            if cursor.fetchone() == (True,):
                return False
            for table in TABLES:
                cursor.execute(table.format(bytes="BYTEA"))
            cursor.execute(FIRST_ROW.replace("?", "%s"), (FORMAT, kek.mark()))
            return True
    except psycopg2.Error as error:
        raise _explain(uri, error) from error


def _open(uri: str) -> Connection:
    return psycopg2.connect(
        uri,
        connect_timeout=CONNECT_SECONDS,
        application_name="genims-audit-keys",
        tcp_user_timeout=STATEMENT_SECONDS * 1000,
        # A commit that returned is on disk, whatever the server's default.
        options=f"-c synchronous_commit=on -c statement_timeout={STATEMENT_SECONDS}s -c timezone=UTC",
    )


def _location(uri: str) -> str:
    parts = parse_dsn(uri)
    return f"key store {parts.get('dbname', '?')} at {parts.get('host', 'localhost')}:{parts.get('port', '5432')}"


def _explain(uri: str, error: psycopg2.Error) -> Exception:
    where = _location(uri)
    if error.pgcode == errorcodes.UNDEFINED_TABLE:
        return KeyStoreMissingError(
            f"{where}: the database holds no key store. A first one is made with: genims audit keys store"
        )
    if error.pgcode in {errorcodes.DATA_CORRUPTED, errorcodes.INDEX_CORRUPTED}:
        return KeyStoreCorruptError(f"{where}: {error.pgcode}; restore it from a backup")
    if isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)) or (
        error.pgcode == errorcodes.INSUFFICIENT_PRIVILEGE
    ):
        lines = str(error).strip().splitlines()
        return KeyStoreUnavailableError(f"{where}: {lines[0] if lines else 'no answer'}")
    return error
