"""COPY into the source databases: emptied only with the caller's permission, loaded by two threads, then analysed."""

from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from io import BytesIO
from queue import SimpleQueue

import polars as pl
from psycopg2 import extensions, sql

from genims_platform.settings import SOURCE_NAMES, Settings
from genims_platform.sources.catalogue import catalogue
from genims_platform.sources.connection import connect
from genims_platform.sources.schema import create, index_name, indexed_columns

_ROWS_A_COPY = 50_000
_THREADS = 2


class DataPresentError(RuntimeError):
    """The databases hold rows already, and replacing them was not allowed."""


def prepare(settings: Settings, *, replace: bool) -> None:
    """Create missing databases and tables, and empty the tables.

    Raises:
        DataPresentError: a table holds rows and `replace` is false; nothing was changed.
        SourceUnavailableError: the server cannot be reached.
    """
    create(settings)
    if not replace:
        for name in SOURCE_NAMES:
            _refuse_rows(settings, name)
    for name in SOURCE_NAMES:
        tables = sql.SQL(", ").join(sql.Identifier(table) for table in catalogue()[name])
        _execute(settings, name, [sql.SQL("TRUNCATE {}").format(tables)])


def _refuse_rows(settings: Settings, name: str) -> None:
    server = settings.source_primary(name)
    connection = connect(server)
    try:
        with connection, connection.cursor() as cursor:
            for table in catalogue()[name]:
                cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table)))
                found = cursor.fetchone()
                if found and found[0]:
                    raise DataPresentError(
                        f"{server.address} holds data already (table {table}); "
                        "generating replaces everything in it: pass --replace, or name other databases in PG_*_DB"
                    )
    finally:
        connection.close()


@contextmanager
def indexes_rebuilt(settings: Settings) -> Generator[None]:
    """Load without the secondary indexes; building them afterwards takes less than keeping them. Then ANALYZE.

    They are rebuilt when loading fails, too.
    """
    for name in SOURCE_NAMES:
        drops = [
            sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(index)) for index, _, _ in _secondary_indexes(name)
        ]
        _execute(settings, name, drops)
    try:
        yield
    finally:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="index") as threads:
            for done in [threads.submit(_execute, settings, name, _finishing(name)) for name in SOURCE_NAMES]:
                done.result()


def _secondary_indexes(name: str) -> list[tuple[str, str, str]]:
    return [
        (index_name(table, column), table, column)
        for table, facts in catalogue()[name].items()
        for column in indexed_columns(name, table, facts)
    ]


def _finishing(name: str) -> list[sql.Composable]:
    creates: list[sql.Composable] = [
        sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} ({})").format(*map(sql.Identifier, index))
        for index in _secondary_indexes(name)
    ]
    return [*creates, sql.SQL("ANALYZE")]


def _execute(settings: Settings, name: str, statements: Sequence[sql.Composable]) -> None:
    if not statements:
        return
    connection = connect(settings.source_primary(name))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("SET LOCAL maintenance_work_mem = '256MB'"))
            cursor.execute(sql.SQL(";\n").join(statements))
    finally:
        connection.close()


class Loader:
    """Copies frames while the caller makes the next ones; at most a few wait in memory.

    Use as a context manager: leaving it waits for the last copy and raises what went wrong in any.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="copy")
        self._idle: dict[str, SimpleQueue[extensions.connection]] = {name: SimpleQueue() for name in SOURCE_NAMES}
        self._running: set[Future[None]] = set()

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *failure: object) -> None:
        try:
            self._settle(most=0)
        finally:
            self._threads.shutdown(cancel_futures=True)
            for queue in self._idle.values():
                while not queue.empty():
                    queue.get().close()

    def load(self, reference: str, frame: pl.DataFrame) -> None:
        """Append a frame to its table, in the background."""
        for piece in frame.iter_slices(_ROWS_A_COPY):
            self._settle(most=_THREADS)
            self._running.add(self._threads.submit(self._copy, reference, piece))

    def _settle(self, most: int) -> None:
        while len(self._running) > most:
            done, self._running = wait(self._running, return_when=FIRST_COMPLETED if most else FIRST_EXCEPTION)
            for future in done:
                future.result()

    def _connection(self, name: str) -> extensions.connection:
        queue = self._idle[name]
        return connect(self._settings.source_primary(name)) if queue.empty() else queue.get()

    def _copy(self, reference: str, piece: pl.DataFrame) -> None:
        database, _, table = reference.partition(".")
        data = BytesIO()
        piece.write_csv(data, include_header=False, datetime_format="%Y-%m-%d %H:%M:%S%.6f")
        data.seek(0)
        copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
            sql.Identifier(table), sql.SQL(", ").join(sql.Identifier(column) for column in piece.columns)
        )
        connection = self._connection(database)
        with connection, connection.cursor() as cursor:
            cursor.copy_expert(copy, data)
        self._idle[database].put(connection)
