"""What a database really holds, read from information_schema and spelt alike for MySQL and MariaDB."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import polars as pl
import polars.selectors as cs
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.mysql.check_constraints import LiveCheck, canonical_condition
from genims_platform.mysql.connection import is_mariadb, read_frame
from genims_platform.mysql.contract import IndexContract
from genims_platform.mysql.fences import single_spaced
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
    checks: list[LiveCheck] = field(default_factory=list)
    partition_method: str | None = None
    """Method and expression as `plain_method` spells them; None for a table without partitions."""

    partitions: list[Partition] = field(default_factory=list)


@dataclass(frozen=True)
class LiveTrigger:
    """One trigger as the server describes it; `body` has single spaces only."""

    table: str
    timing: str
    event: str
    body: str


@dataclass(frozen=True)
class LiveRoutine:
    """One procedure or function; `parameters` and `body` as in `ProcedureContract`, None if it may not be read."""

    kind: str
    security: str
    parameters: str
    body: str | None


def plain_type(sql_type: str) -> str:
    """A type without the display width that MariaDB adds to integers and MySQL does not."""
    return re.sub(r"^((?:tiny|small|medium|big)?int)\(\d+\)", r"\1", sql_type.lower())


def plain_method(method: str) -> str:
    """A partitioning method and its expression in lower case, without quotes and spaces."""
    return re.sub(r"[`\s]", "", method.lower())


def live_collation(connection: MySQLConnectionAbstract, database: str) -> str | None:
    """Default collation of a database, or None where it does not exist."""
    rows = _rows(
        connection, "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = %s", database
    )
    return next((collation for (collation,) in rows), None)


def live_views(connection: MySQLConnectionAbstract, database: str) -> list[str]:
    """Names of all views of a database."""
    statement = "SELECT table_name FROM information_schema.views WHERE table_schema = %s ORDER BY table_name"
    return [name for (name,) in _rows(connection, statement, database)]


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
    _add_checks(tables, connection, database)
    _add_partitions(tables, connection, database)
    return tables


def live_triggers(connection: MySQLConnectionAbstract, database: str) -> Mapping[str, LiveTrigger]:
    """All triggers on tables of a database by name."""
    statement = (
        "SELECT trigger_name, event_object_table, action_timing, event_manipulation, action_statement "
        "FROM information_schema.triggers WHERE trigger_schema = %s ORDER BY trigger_name"
    )
    return {
        name: LiveTrigger(table, timing, event, single_spaced(body))
        for name, table, timing, event, body in _rows(connection, statement, database)
    }


def live_routines(connection: MySQLConnectionAbstract, database: str) -> Mapping[str, LiveRoutine]:
    """All procedures and functions of a database by name."""
    parameters: dict[str, list[str]] = {}
    for name, mode, parameter, sql_type in _rows(
        connection,
        "SELECT specific_name, parameter_mode, parameter_name, dtd_identifier FROM information_schema.parameters "
        "WHERE specific_schema = %s ORDER BY specific_name, ordinal_position",
        database,
    ):
        parts = (mode, parameter, plain_type(sql_type))
        parameters.setdefault(name, []).append(" ".join(part.lower() for part in parts if part))
    statement = (
        "SELECT routine_name, routine_type, security_type, routine_definition FROM information_schema.routines "
        "WHERE routine_schema = %s ORDER BY routine_name"
    )
    return {
        name: LiveRoutine(kind, security, ", ".join(parameters.get(name, ())), body and single_spaced(body))
        for name, kind, security, body in _rows(connection, statement, database)
    }


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
            tables[table] = replace(tables[table], primary_key=tuple(names))
        else:
            tables[table].indexes[index] = IndexContract(index, tuple(names), unique)


def _add_checks(tables: dict[str, LiveTable], connection: MySQLConnectionAbstract, database: str) -> None:
    if is_mariadb(connection):  # names are unique within a table, and all are enforced
        statement = (
            "SELECT table_name, constraint_name, check_clause, 'YES' FROM information_schema.check_constraints "
            "WHERE constraint_schema = %s ORDER BY table_name, constraint_name"
        )
    else:  # names are unique within the database
        statement = (
            "SELECT t.table_name, t.constraint_name, c.check_clause, t.enforced "
            "FROM information_schema.table_constraints t JOIN information_schema.check_constraints c "
            "USING (constraint_schema, constraint_name) WHERE t.constraint_schema = %s "
            "AND t.constraint_type = 'CHECK' ORDER BY t.table_name, t.constraint_name"
        )
    for table, name, condition, enforced in _rows(connection, statement, database):
        if table in tables:
            tables[table].checks.append(LiveCheck(name, canonical_condition(condition), enforced == "YES"))


def _add_partitions(tables: dict[str, LiveTable], connection: MySQLConnectionAbstract, database: str) -> None:
    for table, method, expression, name, end in _rows(
        connection,
        "SELECT table_name, partition_method, partition_expression, partition_name, partition_description "
        "FROM information_schema.partitions WHERE table_schema = %s AND partition_name IS NOT NULL "
        "ORDER BY table_name, partition_ordinal_position",
        database,
    ):
        if tables[table].partition_method is None:
            tables[table] = replace(tables[table], partition_method=plain_method(f"{method}({expression})"))
        tables[table].partitions.append(Partition(name, _end(end)))


def _end(limit: str | None) -> date | None:
    """The day before which a partition ends; other kinds of partitions, which no contract has, end nowhere."""
    text = (limit or "").strip("'")
    if re.fullmatch(r"\d{4}", text):
        return date(int(text), 1, 1)
    return date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None


def _rows(connection: MySQLConnectionAbstract, statement: str, database: str) -> Iterable[tuple[Any, ...]]:
    # MySQL describes some columns of information_schema as binary.
    return read_frame(connection, statement, (database,)).with_columns(cs.binary().cast(pl.String)).rows()
