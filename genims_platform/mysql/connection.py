"""Connections to one MySQL or MariaDB database: pooled, strict, UTC, in C, with a deadline for every statement."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import mysql.connector
import polars as pl
from mysql.connector.abstracts import MySQLConnectionAbstract, MySQLCursorAbstract
from sqlalchemy import exc as pool_errors
from sqlalchemy.dialects.mysql.mysqlconnector import MySQLDialect_mysqlconnector
from sqlalchemy.pool import QueuePool

from genims_platform.mysql.errors import TransientError, connect_error, connection_lost, statement_error
from genims_platform.mysql.spool import private_folder
from genims_platform.settings import MySQLServer

Parameters = Sequence[Any] | Mapping[str, Any]
Result = TypeVar("Result")

# Without the strict modes a value that does not fit is changed to one that does, without an error.
SQL_MODE = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO"
LOCK_WAIT_SECONDS = 30
POOL_RECYCLE_SECONDS = 3600


class Database:
    """One database of one server, with a pool that holds 1 and opens up to `server.pool_max` connections.

    Args:
        server: address, account and limits.
        retries: further attempts of `retrying` after a transient error.
        retry_delay: seconds between two attempts.
        statement_timeout: seconds after which the server ends a statement (MySQL: a SELECT).
        batch_size: rows of one INSERT where LOAD DATA is not allowed.
    """

    def __init__(
        self,
        server: MySQLServer,
        *,
        retries: int = 3,
        retry_delay: float = 5,
        statement_timeout: int = 300,
        batch_size: int = 1000,
    ) -> None:
        if not mysql.connector.HAVE_CEXT:
            raise RuntimeError(
                "mysql-connector-python runs without its C extension and would be three times slower; "
                "install version 9.7, whose wheel holds one for this system"
            )
        self.server = server
        self.retries = retries
        self.retry_delay = retry_delay
        self.statement_timeout = statement_timeout
        self.batch_size = batch_size
        self._pool = QueuePool(
            self._open_pooled,
            pool_size=1,
            max_overflow=server.pool_max - 1,
            timeout=server.timeout,
            recycle=POOL_RECYCLE_SECONDS,
            pre_ping=True,
            dialect=MySQLDialect_mysqlconnector(dbapi=mysql.connector),  # pyright: ignore[reportArgumentType]
        )

    @contextmanager
    def connection(self) -> Generator[MySQLConnectionAbstract, None, None]:
        """A pooled connection in a transaction of its own; what is not committed at the end is rolled back.

        Raises:
            DatabaseUnavailableError: no connection, with the cause in words.
            TransientError: all connections are in use, or a statement failed with a transient code.
        """
        try:
            pooled = self._pool.connect()
        except pool_errors.TimeoutError as error:
            raise TransientError(
                f"{self.server.address}: all {self.server.pool_max} connections of this process are in use"
            ) from error
        try:
            # The pool hands out a proxy that behaves like the connection it wraps.
            yield pooled  # pyright: ignore[reportReturnType]
        except mysql.connector.Error as error:
            if connection_lost(error):
                pooled.invalidate()
            raise statement_error(self.server, error) from error
        finally:
            pooled.close()

    @contextmanager
    def administration(self) -> Generator[MySQLConnectionAbstract, None, None]:
        """A connection of its own with no default database and no deadline, for schema changes; autocommit.

        Raises:
            DatabaseUnavailableError: no connection, with the cause in words.
            TransientError: a statement failed with a transient code.
        """
        connection = self._open(database=None, statement_timeout=0)
        try:
            connection.autocommit = True
            yield connection
        except mysql.connector.Error as error:
            raise statement_error(self.server, error) from error
        finally:
            connection.close()

    def retrying(self, work: Callable[[], Result]) -> Result:
        """Result of `work`, called again after each `TransientError`, at most `retries` times, `retry_delay` apart."""
        for _ in range(self.retries):
            try:
                return work()
            except TransientError:
                time.sleep(self.retry_delay)
        return work()

    def read(
        self, statement: str, parameters: Parameters = (), schema: dict[str, pl.DataType] | None = None
    ) -> pl.DataFrame:
        """Rows of one SELECT with bound parameters; types follow the values unless `schema` gives them."""
        with self.connection() as connection:
            return read_frame(connection, statement, parameters, schema)

    @cached_property
    def loads_files(self) -> bool:
        """Whether the server lets this client send a file with LOAD DATA LOCAL; asked once."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT @@GLOBAL.local_infile")
            return scalar(cursor) == 1

    @cached_property
    def spool(self) -> Path:
        """Folder that only this account can read, gone with this object; the only one whose files may be sent."""
        return private_folder(self, "load")

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.dispose()

    def _open_pooled(self) -> Any:
        return self._open(self.server.database, self.statement_timeout)

    def _open(self, database: str | None, statement_timeout: int) -> MySQLConnectionAbstract:
        connection = connect(self.server, database=database, spool=self.spool)
        if is_mariadb(connection):
            deadline = f"max_statement_time = {statement_timeout}"
        else:
            deadline = f"max_execution_time = {statement_timeout * 1000}"
        with connection.cursor() as cursor:
            # READ COMMITTED locks the rows it deletes and no gaps, so retention and a refresh do not collide.
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute(
                f"SET SESSION {deadline}, innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS}, "
                f"lock_wait_timeout = {LOCK_WAIT_SECONDS}"
            )
        return connection


def connect(
    server: MySQLServer, *, database: str | None, spool: Path, autocommit: bool = False, **limits: int
) -> MySQLConnectionAbstract:
    """Open a strict connection in UTC, written in C.

    Args:
        server: address and account.
        database: default database, if any.
        spool: the only folder whose files may be sent to the server.
        autocommit: whether a statement outside a transaction commits itself.
        limits: further options of the connector, such as `read_timeout` in seconds.

    Raises:
        DatabaseUnavailableError: no connection, with the cause in words.
    """
    options: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": server.password,
        "charset": server.charset,
        # MariaDB does not know the connector's default collation.
        "collation": f"{server.charset}_unicode_ci",
        "connection_timeout": server.timeout,
        "autocommit": autocommit,
        "time_zone": "+00:00",
        "sql_mode": SQL_MODE,
        "use_pure": False,
        # A hostile server can ask for any file the client allows, so only the spool folder is allowed.
        "allow_local_infile": False,
        "allow_local_infile_in_path": str(spool),
        **limits,
    }
    if database is not None:
        options["database"] = database
    if server.ssl_ca is not None:
        options |= {"ssl_ca": str(server.ssl_ca), "ssl_verify_cert": True, "ssl_verify_identity": True}
    try:
        connection = mysql.connector.connect(**options)
    except mysql.connector.Error as error:
        # The connector's own exception chain may quote its arguments.
        raise connect_error(server, error) from None
    assert isinstance(connection, MySQLConnectionAbstract)  # noqa: S101
    return connection


def is_mariadb(connection: MySQLConnectionAbstract) -> bool:
    """Whether the server is MariaDB rather than MySQL."""
    return "mariadb" in str(connection.server_info).lower()


def identifier(name: str) -> str:
    """`name` quoted for use in a statement."""
    return "`" + name.replace("`", "``") + "`"


def scalar(cursor: MySQLCursorAbstract) -> Any:
    """First column of the only row of the statement just executed."""
    (row,) = cursor.fetchall()
    return next(iter(row))  # pyright: ignore[reportArgumentType]


def read_frame(
    connection: MySQLConnectionAbstract,
    statement: str,
    parameters: Parameters = (),
    schema: dict[str, pl.DataType] | None = None,
) -> pl.DataFrame:
    """Rows of one SELECT on this connection, in its transaction."""
    with connection.cursor() as cursor:
        cursor.execute(statement, dict(parameters) if isinstance(parameters, Mapping) else tuple(parameters))
        rows = cursor.fetchall()
        names = [column[0] for column in cursor.description or ()]
    return pl.DataFrame(rows, schema=schema or names, orient="row", infer_schema_length=None)
