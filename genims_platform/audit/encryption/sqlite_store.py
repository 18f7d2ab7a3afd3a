"""The key store in one SQLite file, for the processes of one machine."""

import os
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from genims_platform.audit.encryption.errors import (
    KeyStoreCorruptError,
    KeyStoreMissingError,
    KeyStoreUnavailableError,
)
from genims_platform.audit.encryption.kek import KeyEncryptionKey
from genims_platform.audit.encryption.stored_keys import FIRST_ROW, FORMAT, TABLES, StoredKeys

BUSY_SECONDS = 10

_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class SQLiteKeyStore(StoredKeys):
    """Keys in a file that `create_sqlite_store` made; several processes of one machine may use it at once."""

    def __init__(self, path: Path, kek: KeyEncryptionKey) -> None:
        super().__init__(kek)
        self._path = path.absolute()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    @property
    def location(self) -> str:
        """See `StoredKeys.location`."""
        return f"key store {self._path}"

    def close(self) -> None:
        """See `StoredKeys.close`."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._file = None
        self._forget()

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Generator[None]:
        try:
            self._connect()
            self._execute("BEGIN IMMEDIATE" if write else "BEGIN")
            yield
            self._execute("COMMIT")
        except sqlite3.Error as error:
            self.close()  # what was not committed is rolled back
            raise self._explain(error) from error
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        # A connection goes on working on a file that was moved away: keys made then would be lost with it.
        try:
            status = self._path.stat()
        except OSError as error:
            self.close()
            missing = isinstance(error, FileNotFoundError)
            kind = KeyStoreMissingError if missing else KeyStoreUnavailableError
            hint = "; put it back. A first one is made with: genims audit keys store" if missing else ""
            raise kind(f"{self.location}: {error.strerror}{hint}") from None
        file = (status.st_dev, status.st_ino)
        if self._connection is not None and file == self._file:
            return
        self.close()
        # Never creates a file.
        self._connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            timeout=BUSY_SECONDS,
            check_same_thread=False,
        )
        self._file = file
        self._execute("PRAGMA journal_mode = WAL")
        self._execute("PRAGMA synchronous = FULL")
        self._execute("PRAGMA secure_delete = ON")
        self._opened()

    def _execute(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        assert self._connection is not None  # noqa: S101
        return self._connection.execute(statement, tuple(parameters)).fetchall()  # pyright: ignore[reportArgumentType]

    def _scrub(self) -> None:
        """Move everything into the main file, where destroyed material is overwritten, and empty the log."""
        try:
            self._connect()
            ((busy, *_),) = self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            self.close()
            raise self._explain(error) from error
        if busy:
            raise KeyStoreUnavailableError(
                f"{self.location}: the key is destroyed, but another process kept its log from being emptied for "
                f"{BUSY_SECONDS} s; do it again"
            )

    def _explain(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _CORRUPT:
            return KeyStoreCorruptError(f"{self.location}: {error}; restore it from a backup")
        if "no such table" in str(error):
            return KeyStoreMissingError(f"{self.location}: the file holds no key store; put the right one there")
        if isinstance(error, sqlite3.OperationalError):
            return KeyStoreUnavailableError(f"{self.location}: {error}")
        return error


def create_sqlite_store(path: Path, kek: KeyEncryptionKey) -> bool:
    """Make an empty key store; the file appears whole, only its owner may read it. Says False if there is one already.

    Raises:
        KeyStoreUnavailableError: the file cannot be written.
    """
    path = path.absolute()
    if path.exists():
        return False
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN")
                for table in TABLES:
                    connection.execute(table.format(bytes="BLOB"))
                connection.execute(FIRST_ROW, (FORMAT, kek.mark()))
                connection.execute("COMMIT")
            path.hardlink_to(fresh)  # fails if another process was faster
        except FileExistsError:
            return False
        finally:
            fresh.unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, sqlite3.Error) as error:
        raise KeyStoreUnavailableError(f"key store {path} cannot be made: {error}") from None
    return True
