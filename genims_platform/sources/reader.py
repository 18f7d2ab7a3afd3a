"""Lazy reading of source tables: Polars asks for columns, and the reader selects those, for one span of time.

Many rows come through connectorx, few ones over connections that are kept.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol
from urllib.parse import quote

import connectorx
import polars as pl
import psycopg2
from polars.io.plugins import register_io_source
from psycopg2 import errors, extensions
from sqlglot import exp

from genims_platform.settings import PostgresServer, Settings
from genims_platform.sources.catalogue import source_table
from genims_platform.sources.connection import SESSION_OPTIONS, IdleConnections, Result
from genims_platform.sources.named_columns import named_columns
from genims_platform.sources.schema import live_columns
from genims_platform.sources.scope import Everything, Foreign, KeyFrom, Scope, Span
from genims_platform.sources.small_reads import copied, expected_rows
from genims_platform.sources.summary import KeyOf, Summary

Parameters = Mapping[str, object]

FEW_ROWS = 20_000
"""Reads of which the planner expects more go through connectorx, which does not hold the rows as text beside them."""

_ADVICE = "run `genims sources check`"


class SourceDriftError(RuntimeError):
    """A live source lacks a table or column that is read, or a column changed its type."""


class SourceReadError(RuntimeError):
    """Reading a source failed after the connection stood; the message names table and cause."""


@dataclass(frozen=True)
class Read:
    """A model's claim on a source table, in `Annotated[pl.LazyFrame, Read("mes.defects", Between("detected_date"))]`.

    Columns are not listed: Polars finds out which ones the model uses.
    """

    table: str
    scope: Scope = field(default_factory=Everything)

    @property
    def database(self) -> str:
        """Short name of the database."""
        return self.table.partition(".")[0]

    @property
    def tables(self) -> tuple[str, ...]:
        """The one table, as for a `Summary`, which may have several."""
        return (self.table,)


class Sources(Protocol):
    """What models and checks need of the sources; tests may pass frames instead of a server."""

    def scan(self, read: Read | Summary, span: Span) -> pl.LazyFrame:
        """The rows of one table, or of a summary, for a span, in their types, read when collected."""
        ...

    def query(self, database: str, statement: str, parameters: Parameters) -> pl.DataFrame:
        """The result of one bound SQL statement; the second, independent way to a figure that checks use."""
        ...


class LookUps(Protocol):
    """What reading a table may need to find first."""

    def keys_from(self, other: Foreign, span: Span) -> Sequence[str]:
        """The distinct keys that `other` selects for a span."""
        ...

    def summed_up(self, summary: Summary, span: Span) -> bytes:
        """The rows of a summary as its `text`."""
        ...


@dataclass(frozen=True)
class _Live:
    """What the first connection to a database found: the columns of its tables, and whether it is encrypted."""

    columns: Mapping[str, Mapping[str, str]]
    encrypted: bool


class SourceReader:
    """Reads the live PostgreSQL sources (the replica where one is set).

    `rows_read` counts rows by table over the life of the reader, which keeps a connection for each database until it is
    closed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._live: dict[str, _Live] = {}
        self._lock = threading.Lock()
        self._connections = IdleConnections(settings.data_sync_timeout)
        self.rows_read: Counter[str] = Counter()

    def scan(self, read: Read | Summary, span: Span, look_ups: LookUps | None = None) -> pl.LazyFrame:
        """The rows of one table for a span as a LazyFrame that selects only the columns it is asked for, or a summary.

        Keys of other databases and summaries come from `look_ups`, from this reader by default.
        """
        asked: LookUps = look_ups or self
        if isinstance(read, Summary):
            return lazy_source(read.table, read.schema, lambda columns: self._rows(read, asked, span).select(columns))
        schema = source_table(read.table).polars_schema
        keys = partial(asked.keys_from, span=span)

        def fetch(columns: list[str]) -> pl.DataFrame:
            return self._fetch(Read(read.table, read.scope.resolved(keys)), span, columns)

        return lazy_source(read.table, schema, fetch)

    def keys_from(self, other: Foreign, span: Span, look_ups: LookUps | None = None) -> list[str]:
        """The distinct keys that `other` selects for a span, ascending. Leaves Polars alone.

        What it needs to find first comes from `look_ups`, from this reader by default.
        """
        asked: LookUps = look_ups or self
        match other:
            case KeyOf():
                return other.summary.keys(asked.summed_up(other.summary, span), other.key)
            case KeyFrom():
                return self._keys_of_table(other, asked, span)
            case _:
                raise TypeError(f"{other} says nowhere to look")

    def summed_up(self, summary: Summary, span: Span) -> bytes:
        """The rows of a summary as its `text`. Leaves Polars alone."""
        server = self._settings.source(summary.database)
        named = {table.partition(".")[2]: columns for table, columns in summary.columns.items()}
        self._require_columns(summary.database, server, named)
        return self._use(server, partial(summary.text, span=span), f"summing up {summary.table}")

    def _keys_of_table(self, other: KeyFrom, look_ups: LookUps, span: Span) -> list[str]:
        database, _, table = other.table.partition(".")
        key = exp.column(other.key, quoted=True)
        scope = other.scope.resolved(partial(look_ups.keys_from, span=span))
        select = (
            exp.select(key)
            .distinct()
            .from_(exp.to_table(table, quoted=True))
            .where(scope.predicate(span), key.is_(exp.null()).not_())
            .order_by(key)
        )
        server = self._settings.source(database)
        self._require_columns(database, server, named_columns(select))

        def run(connection: extensions.connection) -> list[str]:
            with connection.cursor() as cursor:
                cursor.execute(select.sql("postgres"))
                return [found for (found,) in cursor.fetchall()]

        keys = self._use(server, run, f"looking up keys in {table}")
        with self._lock:
            self.rows_read[other.table] += len(keys)
        return keys

    def query(self, database: str, statement: str, parameters: Parameters) -> pl.DataFrame:
        """Run one statement with bound `parameters` and return its rows.

        Raises:
            SourceUnavailableError: the database cannot be reached.
            SourceDriftError: a table or column named in the statement is missing or has another type.
            SourceReadError: the statement failed for another reason, such as its deadline.
        """
        server = self._settings.source(database)

        def run(connection: extensions.connection) -> pl.DataFrame:
            with connection.cursor() as cursor:
                cursor.execute(statement, dict(parameters))
                names = [column.name for column in cursor.description or ()]
                return pl.DataFrame(cursor.fetchall(), schema=names, orient="row", infer_schema_length=None)

        return self._use(server, run, "a query")

    def close(self) -> None:
        """Close the connections; the reader opens new ones if it is used again."""
        self._connections.close()

    def _fetch(self, read: Read, span: Span, columns: list[str]) -> pl.DataFrame:
        server = self._settings.source(read.database)
        table = read.table.partition(".")[2]
        select = (
            exp.select(*(exp.column(name, quoted=True) for name in columns))
            .from_(exp.to_table(table, quoted=True))
            .where(read.scope.predicate(span))
        )
        live = self._require_columns(read.database, server, named_columns(select))
        statement = select.sql("postgres")
        dtypes = source_table(read.table).polars_schema
        schema = {name: dtypes[name] for name in columns}

        def copy_if_few(connection: extensions.connection) -> pl.DataFrame | None:
            if expected_rows(connection, statement) > FEW_ROWS:
                return None
            return copied(connection, statement, schema)

        frame = self._use(server, copy_if_few, f"reading {table}")
        if frame is None:
            address = _address(server, self._settings.data_sync_timeout, encrypted=live.encrypted)
            try:
                frame = pl.DataFrame(connectorx.read_sql(address, statement, return_type="polars")).cast({**schema})
            except RuntimeError as error:
                raise SourceReadError(f"{server.address}: reading {table} failed: {self._cause(error)}") from None
        with self._lock:
            self.rows_read[read.table] += frame.height
        return frame

    def _rows(self, summary: Summary, look_ups: LookUps, span: Span) -> pl.DataFrame:
        try:
            frame = summary.rows(look_ups.summed_up(summary, span))
        except pl.exceptions.PolarsError as error:
            address = self._settings.source(summary.database).address
            raise SourceReadError(f"{address}: summing up {summary.table} failed: {self._cause(error)}") from None
        with self._lock:
            self.rows_read[summary.table] += frame.height
        return frame

    def _use(self, server: PostgresServer, work: Callable[[extensions.connection], Result], what: str) -> Result:
        try:
            return self._connections.use(server, work)
        except (
            errors.UndefinedTable,
            errors.UndefinedColumn,
            errors.UndefinedFunction,  # no such operator or function for the column's type
            errors.DatatypeMismatch,
        ) as error:
            raise SourceDriftError(f"{server.address}: {error.diag.message_primary}; {_ADVICE}") from None
        except (psycopg2.Error, pl.exceptions.PolarsError) as error:
            raise SourceReadError(f"{server.address}: {what} failed: {self._cause(error)}") from None

    def _require_columns(self, database: str, server: PostgresServer, named: Mapping[str, Collection[str]]) -> _Live:
        """Compare what a statement names by table, in its conditions too, with the live database."""
        found = self._live_database(database, server)
        live = found.columns
        wrong: list[str] = []
        for table, columns in named.items():
            if table not in live:
                raise SourceDriftError(f"{server.address} has no table {table}, which reports read; {_ADVICE}")
            expected = {column.name: column.type for column in source_table(f"{database}.{table}").columns}
            wrong += [
                f"{table}.{name} is {live[table].get(name, 'missing')}, expected {expected[name]}"
                for name in sorted(columns)
                if live[table].get(name) != expected[name]
            ]
        if wrong:
            raise SourceDriftError(f"{server.address}: {'; '.join(wrong)}; {_ADVICE}")
        return found

    def _cause(self, error: Exception) -> str:
        cause = (str(error).splitlines() or ["no reason given"])[0]
        if "statement timeout" in cause:
            return f"no answer within {self._settings.data_sync_timeout} s, the limit that DATA_SYNC_TIMEOUT sets"
        return cause

    def _live_database(self, database: str, server: PostgresServer) -> _Live:
        def look(connection: extensions.connection) -> _Live:
            return _Live(live_columns(connection), encrypted=connection.info.ssl_in_use)

        with self._lock:
            if database not in self._live:
                # connectorx keeps retrying a refused connection for 30 s; this one fails at once, with a reason.
                self._live[database] = self._connections.use(server, look)
            return self._live[database]


class EmptySources:
    """Tables without a row. `columns_read` records what a model asks for: table → columns."""

    def __init__(self, schema_of: Callable[[str], Mapping[str, pl.DataType]]) -> None:
        self._schema_of = schema_of
        self.columns_read: dict[str, frozenset[str]] = {}

    def scan(self, read: Read | Summary, span: Span) -> pl.LazyFrame:  # noqa: ARG002
        """An empty table, or summary, in its own types."""
        if isinstance(read, Summary):
            for table, columns in read.columns.items():
                self._record(table, columns)
            return pl.LazyFrame(schema=dict(read.schema))
        schema = self._schema_of(read.table)

        def fetch(columns: list[str]) -> pl.DataFrame:
            self._record(read.table, columns)
            return pl.DataFrame(schema={name: schema[name] for name in columns})

        return lazy_source(read.table, schema, fetch)

    def query(self, database: str, statement: str, parameters: Parameters) -> pl.DataFrame:  # noqa: ARG002
        """No rows."""
        return pl.DataFrame()

    def _record(self, table: str, columns: Iterable[str]) -> None:
        self.columns_read[table] = self.columns_read.get(table, frozenset()) | frozenset(columns)


def lazy_source(
    name: str, schema: Mapping[str, pl.DataType], fetch: Callable[[list[str]], pl.DataFrame]
) -> pl.LazyFrame:
    """A LazyFrame over `fetch`, which is called with the columns that the query uses."""

    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        # A query that only counts rows asks for no column at all; the first one stands in for it.
        frame = fetch(list(schema)[:1] if with_columns == [] else list(with_columns or schema))
        if predicate is not None:
            frame = frame.filter(predicate)
        yield frame if n_rows is None else frame.head(n_rows)

    return register_io_source(source, schema=dict(schema), is_pure=True, explain_name=name)


def _address(server: PostgresServer, timeout: int, *, encrypted: bool) -> str:
    # A statement before the query would set the deadline on one of connectorx's connections only.
    options = quote(f"{SESSION_OPTIONS} -c statement_timeout={timeout}s", safe="")
    user, password = quote(server.user, safe=""), quote(server.password, safe="")
    database = quote(server.database, safe="")
    # Only to ask whether a server without TLS offers it, connectorx loads all certificates, which is most of a read.
    plain = "" if encrypted else "&sslmode=disable"
    return f"postgresql://{user}:{password}@{server.host}:{server.port}/{database}?options={options}{plain}"
