"""What a database really holds, read from information_schema and spelt alike for MySQL and MariaDB."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl
import polars.selectors as cs
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.mysql.connection import read_frame
from genims_platform.mysql.contract import IndexContract
from genims_platform.mysql.partitions import Partition


@dataclass(frozen=True)
class LiveColumn:
    """One column as the server describes it."""

    sql_type: str
    nullable: bool
    collation: str | None
    comment: str


@dataclass(frozen=True)
class LiveTable:
    """One base table as the server describes it."""

    comment: str
    columns: dict[str, LiveColumn] = field(default_factory=dict)
    primary_key: tuple[str, ...] = ()
    indexes: dict[str, IndexContract] = field(default_factory=dict)
    partitions: list[Partition] = field(default_factory=list)


def plain_type(sql_type: str) -> str:
    """A type without the display width that MariaDB adds to integers and MySQL does not."""
    return re.sub(r"^((?:tiny|small|medium|big)?int)\(\d+\)", r"\1", sql_type.lower())


def live_collation(connection: MySQLConnectionAbstract, database: str) -> str | None:
    """Default collation of a database, or None where it does not exist."""
    rows = _rows(
        connection, "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = %s", database
    )
    return next((collation for (collation,) in rows), None)


def live_tables(connection: MySQLConnectionAbstract, database: str) -> Mapping[str, LiveTable]:
    """All base tables of a database by name; views are not listed."""
    tables = {
        name: LiveTable(comment)
        for name, comment in _rows(
            connection,
            "SELECT table_name, table_comment FROM information_schema.tables "
            "WHERE table_schema = %s AND table_type = 'BASE TABLE' ORDER BY table_name",
            database,
        )
    }
    for table, name, sql_type, nullable, collation, comment in _rows(
        connection,
        "SELECT table_name, column_name, column_type, is_nullable, collation_name, column_comment "
        "FROM information_schema.columns WHERE table_schema = %s ORDER BY table_name, ordinal_position",
        database,
    ):
        if table in tables:
            tables[table].columns[name] = LiveColumn(plain_type(sql_type), nullable == "YES", collation, comment)
    _add_indexes(tables, connection, database)
    for table, name, end in _rows(
        connection,
        "SELECT table_name, partition_name, partition_description FROM information_schema.partitions "
        "WHERE table_schema = %s AND partition_method = 'RANGE COLUMNS' "
        "ORDER BY table_name, partition_ordinal_position",
        database,
    ):
        limit = end.strip("'")
        tables[table].partitions.append(Partition(name, None if limit == "MAXVALUE" else date.fromisoformat(limit)))
    return tables


def _add_indexes(tables: dict[str, LiveTable], connection: MySQLConnectionAbstract, database: str) -> None:
    columns: dict[tuple[str, str, bool], list[str]] = {}
    for table, index, not_unique, column in _rows(
        connection,
        "SELECT table_name, index_name, non_unique, column_name FROM information_schema.statistics "
        "WHERE table_schema = %s ORDER BY table_name, index_name, seq_in_index",
        database,
    ):
        columns.setdefault((table, index, not not_unique), []).append(column)
    for (table, index, unique), names in columns.items():
        if index == "PRIMARY":
            known = tables[table]
            tables[table] = LiveTable(known.comment, known.columns, tuple(names), known.indexes, known.partitions)
        else:
            tables[table].indexes[index] = IndexContract(index, tuple(names), unique)


def _rows(connection: MySQLConnectionAbstract, statement: str, database: str) -> Iterable[tuple[Any, ...]]:
    # MySQL describes some columns of information_schema as binary.
    return read_frame(connection, statement, (database,)).with_columns(cs.binary().cast(pl.String)).rows()
