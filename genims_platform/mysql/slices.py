"""The loader: replaces periods of one table atomically, under a lock that makes it the table's only writer.

Every write is one transaction: delete the rows of the periods, load the new ones, verify, commit. A reader sees the
old slice or the new one; whatever fails leaves the old one.
"""

import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from uuid import uuid4

import polars as pl
from mysql.connector import DataError, IntegrityError
from mysql.connector.abstracts import MySQLConnectionAbstract, MySQLCursorAbstract

from genims_platform.mysql.connection import Database, identifier, read_frame, scalar
from genims_platform.mysql.contract import LOAD_INSTANT, ContractError, TableContract
from genims_platform.mysql.locks import lock_name, named_lock

Period = tuple[date, date]
"""Half-open range of a table's period column."""

WARNINGS_SHOWN = 5

# With ENCLOSED BY and no escape character the bare word NULL is the null value, "NULL" a text, and only a quote is
# doubled: exactly what Polars writes when it quotes every text.
_FILE_FORMAT = (
    "CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' LINES TERMINATED BY '\\n'"
)


class LoadError(RuntimeError):
    """The server did not take every row exactly as given; the transaction was rolled back and the old slice stays."""


@dataclass(frozen=True)
class Published:
    """What one replacement did; `periods_changed` are the values of the period column whose rows were rewritten."""

    rows_written: int
    rows_deleted: int
    periods_changed: tuple[date, ...]
    seconds: float


class SliceWriter:
    """The only writer of one table for as long as its block lasts."""

    def __init__(self, database: Database, connection: MySQLConnectionAbstract, table: str) -> None:
        self._database = database
        self._connection = connection
        self._table = table

    def replace(
        self,
        contract: TableContract,
        frame: pl.DataFrame,
        periods: Sequence[Period],
        *,
        period_column: str,
        only_changed: bool = False,
    ) -> Published:
        """Make `frame` the content of `periods`, in one transaction; all rows get one `last_updated_at`.

        Args:
            contract: contract of this writer's table.
            frame: all rows of the periods, cast by the contract.
            periods: half-open ranges of the period column.
            period_column: the DATE column of the table that says which period a row belongs to.
            only_changed: compare with the rows in place first and rewrite only days or months that differ.

        Raises:
            ContractError: the frame is not cast, or holds rows outside the periods; nothing was touched.
            LoadError: the server changed, skipped or warned about a row; rolled back.
            TransientError: lost connection, deadlock or lock timeout; rolled back, safe to repeat.
        """
        started = time.perf_counter()
        self._check(contract, frame, periods, period_column)
        where, bounds = _in_periods(period_column, periods)
        try:
            self._connection.start_transaction()
            if only_changed:
                changed = self._differing(contract, frame, where, bounds, period_column)
                frame = frame.filter(pl.col(period_column).is_in(changed))
                where, bounds = f"{identifier(period_column)} IN ({_marks(changed)})", changed
            else:
                changed = sorted({*self._present(where, bounds, period_column), *frame[period_column].to_list()})
            deleted = self._delete(where, bounds) if changed else 0
            if frame.height:
                self._load(frame)
            self._connection.commit()
        except BaseException:
            if self._connection.is_connected():
                self._connection.rollback()
            raise
        return Published(frame.height, deleted, tuple(changed), time.perf_counter() - started)

    def _check(
        self, contract: TableContract, frame: pl.DataFrame, periods: Sequence[Period], period_column: str
    ) -> None:
        if contract.name != self._table:
            raise ContractError(f"the writer of {self._table} cannot write {contract.name}")
        if dict(frame.schema) != contract.polars_schema:
            raise ContractError(
                f"{self._table}: the frame is not in the contract's types; pass it through cast() first"
            )
        if not periods or any(first >= end for first, end in periods):
            raise ContractError(f"{self._table}: periods must be given as non-empty half-open ranges, got {periods}")
        inside = pl.any_horizontal(
            (pl.col(period_column) >= first) & (pl.col(period_column) < end) for first, end in periods
        )
        outside = frame.filter(~inside.fill_null(value=False))
        if outside.height:
            raise ContractError(
                f"{self._table}: {outside.height} rows lie outside the periods to be replaced, "
                f"the first with {period_column} = {outside[period_column][0]}"
            )

    def _present(self, where: str, bounds: Sequence[date], period_column: str) -> list[date]:
        column = identifier(period_column)
        statement = f"SELECT DISTINCT {column} AS period FROM {identifier(self._table)} WHERE {where}"  # noqa: S608
        return read_frame(self._connection, statement, bounds, {"period": pl.Date()})["period"].to_list()

    def _differing(
        self, contract: TableContract, frame: pl.DataFrame, where: str, bounds: Sequence[date], period_column: str
    ) -> list[date]:
        names = list(contract.polars_schema)
        present = stored_rows(self._connection, contract, where, bounds)
        side = "_side"
        # Equal rows of the two sides cancel out, however many there are of each.
        balance = (
            pl.concat([frame.with_columns(pl.lit(1).alias(side)), present.with_columns(pl.lit(-1).alias(side))])
            .group_by(names)
            .agg(pl.col(side).sum())
            .filter(pl.col(side) != 0)
        )
        return balance[period_column].unique().sort().to_list()

    def _delete(self, where: str, bounds: Sequence[date]) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {identifier(self._table)} WHERE {where}", tuple(bounds))  # noqa: S608
            return cursor.rowcount

    def _load(self, frame: pl.DataFrame) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT UTC_TIMESTAMP(6)")
            instant: datetime = scalar(cursor)
            if self._database.loads_files:
                loaded = self._load_file(cursor, frame, instant)
            else:
                loaded = self._insert(cursor, frame, instant)
        if loaded != frame.height:
            raise LoadError(f"{self._table}: {loaded} of {frame.height} rows were loaded; rolled back")

    def _load_file(self, cursor: MySQLCursorAbstract, frame: pl.DataFrame, instant: datetime) -> int:
        file = self._database.spool / f"{uuid4().hex}.csv"
        try:
            frame.write_csv(
                file,
                include_header=False,
                quote_style="non_numeric",
                null_value="NULL",
                datetime_format="%Y-%m-%d %H:%M:%S%.6f",
            )
            cursor.execute(
                f"LOAD DATA LOCAL INFILE %s INTO TABLE {identifier(self._table)} {_FILE_FORMAT} "
                f"({_list(frame.columns)}) SET {identifier(LOAD_INSTANT)} = %s",
                (str(file), instant),
            )
        finally:
            file.unlink(missing_ok=True)
        loaded = cursor.rowcount
        self._refuse_warnings(cursor)
        return loaded

    def _insert(self, cursor: MySQLCursorAbstract, frame: pl.DataFrame, instant: datetime) -> int:
        columns = [*frame.columns, LOAD_INSTANT]
        statement = f"INSERT INTO {identifier(self._table)} ({_list(columns)}) VALUES ({_marks(columns)})"  # noqa: S608
        loaded = 0
        stamped = frame.with_columns(pl.lit(instant, dtype=pl.Datetime("us")).alias(LOAD_INSTANT))
        for batch in stamped.iter_slices(self._database.batch_size):
            try:
                cursor.executemany(statement, batch.rows())
            except (DataError, IntegrityError) as error:
                raise LoadError(f"{self._table}: the server refused values, rolled back: {error.msg}") from error
            loaded += cursor.rowcount
            self._refuse_warnings(cursor)
        return loaded

    def _refuse_warnings(self, cursor: MySQLCursorAbstract) -> None:
        """A file sent by LOAD DATA LOCAL never fails: the server mends what does not fit and only warns."""
        count = cursor.warning_count
        if not count:
            return
        cursor.execute(f"SHOW WARNINGS LIMIT {WARNINGS_SHOWN}")
        shown = "; ".join(str(tuple(row)[2]) for row in cursor.fetchall())  # pyright: ignore[reportArgumentType]
        raise LoadError(f"{self._table}: the server changed or refused values ({count} warnings), rolled back: {shown}")


@contextmanager
def exclusive_writer(database: Database, table: str, *, timeout: float) -> Generator[SliceWriter, None, None]:
    """A writer of `table` that no other writer overlaps; take it before the sources are read.

    The lock lives on the connection that publishes, so whoever loses it cannot publish any more.

    Args:
        database: where the table is.
        table: its name.
        timeout: longest wait for another writer, in seconds.

    Raises:
        LockTimeoutError: another writer still holds the table; says which connection.
    """
    with database.connection() as connection, named_lock(connection, lock_name(database, table), timeout):
        yield SliceWriter(database, connection, table)


def stored_rows(
    connection: MySQLConnectionAbstract,
    contract: TableContract,
    condition: str,
    parameters: Sequence[object] = (),
    *,
    columns: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Rows of a table that meet a condition, in the contract's types, all columns but `last_updated_at` by default."""
    schema = {name: contract.polars_schema[name] for name in columns or contract.polars_schema}
    # A decimal read as text is exact and costs a fifth of one that becomes a Python object.
    selected = ", ".join(
        f"CAST({identifier(name)} AS CHAR) AS {identifier(name)}" if dtype.is_decimal() else identifier(name)
        for name, dtype in schema.items()
    )
    statement = f"SELECT {selected} FROM {identifier(contract.name)} WHERE {condition}"  # noqa: S608
    read_as = {name: pl.String() if dtype.is_decimal() else dtype for name, dtype in schema.items()}
    return read_frame(connection, statement, parameters, read_as).cast({**schema})


def _in_periods(column: str, periods: Sequence[Period]) -> tuple[str, list[date]]:
    """Condition for rows of these periods and its parameters; periods that touch are merged."""
    merged: list[Period] = []
    for first, end in sorted(periods):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((first, end))
    name = identifier(column)
    condition = " OR ".join(f"({name} >= %s AND {name} < %s)" for _ in merged)
    return condition, [bound for period in merged for bound in period]


def _list(names: Iterable[str]) -> str:
    return ", ".join(identifier(name) for name in names)


def _marks(values: Sequence[object]) -> str:
    return ", ".join(["%s"] * len(values))
