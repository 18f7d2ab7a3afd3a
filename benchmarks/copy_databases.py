"""Databases of the copy benchmark: a PostgreSQL source with as many rows as asked for, and MySQL targets."""

import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg2 import sql

from genims_platform.mysql.connection import Database, identifier
from genims_platform.settings import PostgresServer, Settings
from genims_platform.sources.catalogue import source_table
from genims_platform.sources.connection import connect
from genims_platform.sources.schema import create

SOURCE_DATABASE = "genims_bench_mes"
TARGET_DATABASE = "genims_bench"
DLT_DATABASE = "genims_bench_dlt"
TABLE = "material_transactions"

OVERRIDES = {"pg_mes_db": SOURCE_DATABASE, "mysql_reporting_db": TARGET_DATABASE}
"""Settings under which the platform's own reader and loader use the databases of the benchmark."""

_SUMS = ("quantity", "unit_cost", "total_cost")


class NoRowsError(RuntimeError):
    """The local MES database holds no rows to multiply."""


@dataclass(frozen=True)
class Content:
    """What a copy must reproduce: rows, distinct keys, exact sums of the amounts, first and last instant."""

    rows: int
    keys: int
    sums: tuple[Decimal, ...]
    first: datetime
    last: datetime


@contextmanager
def bench_databases(settings: Settings, original: PostgresServer, rows: int) -> Generator[None]:
    """A source with `rows` rows, made from those of `original`, and empty targets; dropped at the end.

    Raises:
        NoRowsError: `original` holds no material transactions.
    """
    source = settings.source_primary("mes")
    target = Database(settings.mysql_reporting)
    try:
        _drop(source, target)
        create(settings, ["mes"])
        _fill(original, source, rows)
        _execute_mysql(target, [f"CREATE DATABASE {identifier(TARGET_DATABASE)} COLLATE utf8mb4_unicode_ci"])
        yield
    finally:
        _drop(source, target)
        target.close()


def source_content(settings: Settings) -> Content:
    """What the source holds."""
    connection = connect(settings.source("mes"))
    try:
        with connection.cursor() as cursor:
            cursor.execute(_content_statement(TABLE))
            return _content(cursor.fetchone())
    finally:
        connection.close()


def target_content(settings: Settings, table: str) -> Content:
    """What a copy holds; `table` is `<database>.<table>`."""
    target = Database(settings.mysql_reporting)
    try:
        with target.administration() as connection, connection.cursor() as cursor:
            cursor.execute(_content_statement(table))
            return _content(cursor.fetchone())
    finally:
        target.close()


def _content_statement(table: str) -> str:
    sums = ", ".join(f"sum({column})" for column in _SUMS)
    return (
        f"SELECT count(*), count(DISTINCT transaction_id), {sums}, min(transaction_date), max(transaction_date) "
        f"FROM {table}"
    )


def _content(row: Any) -> Content:
    rows, keys, *sums, first, last = row
    return Content(rows, keys, tuple(Decimal(value) for value in sums), first, last)


def _fill(original: PostgresServer, source: PostgresServer, rows: int) -> None:
    names = [column.name for column in source_table(f"mes.{TABLE}").columns]
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in names)
    table = sql.Identifier(TABLE)
    numbered = sql.SQL(", ").join(
        sql.SQL("transaction_id || '-' || n" if name == "transaction_id" else "{}").format(sql.Identifier(name))
        for name in names
    )
    reading, writing = connect(original), connect(source)
    try:
        with tempfile.TemporaryFile() as spool, reading.cursor() as reader, writing, writing.cursor() as writer:
            selected = sql.SQL("COPY (SELECT {} FROM {} LIMIT {}) TO STDOUT").format(columns, table, sql.Literal(rows))
            reader.copy_expert(selected, spool)
            spool.seek(0)
            writer.copy_expert(sql.SQL("COPY {} ({}) FROM STDIN").format(table, columns), spool)
            present = writer.rowcount
            if not present:
                raise NoRowsError(f"{original.address} holds no {TABLE}; run `genims generate` first")
            writer.execute(
                sql.SQL("INSERT INTO {0} ({1}) SELECT {2} FROM {0}, generate_series(1, %s) n LIMIT %s").format(
                    table, columns, numbered
                ),
                (rows // present, rows - present),
            )
            writer.execute(sql.SQL("ANALYZE {}").format(table))
    finally:
        reading.close()
        writing.close()


def _drop(source: PostgresServer, target: Database) -> None:
    connection = connect(replace(source, database="postgres"), autocommit=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(SOURCE_DATABASE)))
    finally:
        connection.close()
    _execute_mysql(target, [f"DROP DATABASE IF EXISTS {identifier(name)}" for name in (TARGET_DATABASE, DLT_DATABASE)])


def _execute_mysql(target: Database, statements: Sequence[str]) -> None:
    with target.administration() as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
