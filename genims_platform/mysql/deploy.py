"""Schema deployment: compares a live database with the schema files and applies what loses nothing.

Schema changes commit one by one; a deployment that stops half way is finished by the next one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.mysql.connection import Database, identifier
from genims_platform.mysql.contract import ColumnContract, IndexContract, Kind, TableContract, contracts
from genims_platform.mysql.live import LiveColumn, LiveTable, live_collation, live_tables, plain_type
from genims_platform.mysql.locks import lock_name, named_lock
from genims_platform.mysql.partitions import missing_partition_statements, partition_clause

DATABASE_COLLATION = "utf8mb4_unicode_ci"
DEPLOY_LOCK_SECONDS = 60
_PRIMARY_KEY = re.compile(r"PRIMARY KEY\s*\([^)]*\)", re.IGNORECASE)


class DeployError(RuntimeError):
    """The server refused a schema change; earlier ones stay, the message names the statement and the cause."""


@dataclass(frozen=True)
class Change:
    """One difference between the schema files and the live database, and the statement that removes it."""

    kind: str
    object: str
    statement: str
    destructive: bool = False
    applied: bool = False


def deploy(
    database: Database, kind: Kind, *, today: date, allow_destructive: bool = False, dry_run: bool = False
) -> list[Change]:
    """Bring a database to its schema files; see `deploy_contracts`."""
    return deploy_contracts(
        database, contracts(kind), today=today, allow_destructive=allow_destructive, dry_run=dry_run
    )


def deploy_contracts(
    database: Database,
    tables: Mapping[str, TableContract],
    *,
    today: date,
    allow_destructive: bool = False,
    dry_run: bool = False,
) -> list[Change]:
    """Create what is missing (database, tables, columns, indexes, monthly partitions) and update comments.

    A column added to a table with rows holds NULL there, or its type's zero if it is NOT NULL, until its periods are
    refreshed.

    Args:
        database: what to change; the database itself may not exist yet.
        tables: what it should hold.
        today: day around which monthly partitions are wanted.
        allow_destructive: also change types, nullability, collations and keys, and drop what is not in the contracts.
        dry_run: only report.

    Returns:
        All differences found, in the order of application, each saying whether it was applied.

    Raises:
        DeployError: the server refused a change.
        LockTimeoutError: another deployment of this database is running.
    """
    done: list[Change] = []
    with (
        database.administration() as connection,
        named_lock(connection, lock_name(database, "deploy"), DEPLOY_LOCK_SECONDS),
    ):
        for change in _differences(connection, database.server.database, tables, today):
            wanted = not dry_run and (allow_destructive or not change.destructive)
            if wanted:
                _apply(connection, change)
            done.append(replace(change, applied=wanted))
    return done


def _apply(connection: MySQLConnectionAbstract, change: Change) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute(change.statement)
    except (mysql.connector.ProgrammingError, mysql.connector.DataError, mysql.connector.IntegrityError) as error:
        raise DeployError(f"{change.kind} {change.object}: {error.msg}; statement: {change.statement}") from error


def _differences(
    connection: MySQLConnectionAbstract, database: str, tables: Mapping[str, TableContract], today: date
) -> Iterator[Change]:
    """Differences one after the other; each is applied before the next table is looked at."""
    name = identifier(database)
    collation = live_collation(connection, database)
    character_set = f"CHARACTER SET utf8mb4 COLLATE {DATABASE_COLLATION}"
    if collation is None:
        yield Change("create database", database, f"CREATE DATABASE {name} {character_set}")
    elif collation != DATABASE_COLLATION:
        yield Change("alter database", database, f"ALTER DATABASE {name} {character_set}")
    live = live_tables(connection, database)
    if live_collation(connection, database) is not None:
        with connection.cursor() as cursor:
            cursor.execute(f"USE {name}")
    for contract in tables.values():
        if contract.name in live:
            yield from _table_differences(contract, live[contract.name], today)
        else:
            yield Change("create table", contract.name, _create_statement(contract, today))
    for extra in sorted(live.keys() - tables.keys()):
        yield Change("drop table", extra, f"DROP TABLE {identifier(extra)}", destructive=True)


def _create_statement(contract: TableContract, today: date) -> str:
    """CREATE TABLE with indexes and partitions: one statement is many times faster than altering the table later."""
    keys = "".join(f",\n  {_index_definition(index)}" for index in contract.indexes)
    primary_key = list(_PRIMARY_KEY.finditer(contract.create_statement))[-1]
    text = contract.create_statement
    statement = text[: primary_key.end()] + keys + text[primary_key.end() :]
    if contract.partition_column is None:
        return statement
    return f"{statement}\n{partition_clause(contract.partition_column, today)}"


def _table_differences(contract: TableContract, live: LiveTable, today: date) -> Iterator[Change]:
    table = identifier(contract.name)
    wanted = {index.name: index for index in contract.indexes}
    # Indexes go before the columns in them.
    for name in sorted(live.indexes.keys() - wanted.keys()):
        statement = f"ALTER TABLE {table} DROP INDEX {identifier(name)}"
        yield Change("drop index", f"{contract.name}.{name}", statement, destructive=True)
    previous: str | None = None
    for column in contract.columns:
        yield from _column_differences(contract, column, live.columns.get(column.name), previous)
        previous = column.name
    if live.primary_key != contract.primary_key:
        drop = "DROP PRIMARY KEY, " if live.primary_key else ""
        statement = f"ALTER TABLE {table} {drop}ADD PRIMARY KEY ({_list(contract.primary_key)})"
        yield Change("change primary key", contract.name, statement, destructive=True)
    for name in sorted(live.columns.keys() - {column.name for column in contract.columns}):
        statement = f"ALTER TABLE {table} DROP COLUMN {identifier(name)}"
        yield Change("drop column", f"{contract.name}.{name}", statement, destructive=True)
    for name, index in wanted.items():
        if name not in live.indexes:
            statement = f"ALTER TABLE {table} ADD {_index_definition(index)}"
            yield Change("create index", f"{contract.name}.{name}", statement)
        elif live.indexes[name] != index:
            statement = f"ALTER TABLE {table} DROP INDEX {identifier(name)}, ADD {_index_definition(index)}"
            yield Change("change index", f"{contract.name}.{name}", statement, destructive=True)
    if live.comment != contract.comment:
        yield Change("comment table", contract.name, f"ALTER TABLE {table} COMMENT = {_quoted(contract.comment)}")
    if contract.partition_column is None:
        return
    if not live.partitions:
        statement = f"ALTER TABLE {table} {partition_clause(contract.partition_column, today)}"
        yield Change("partition table", contract.name, statement)
        return
    for statement in missing_partition_statements(contract.name, live.partitions, today):
        yield Change("add partitions", contract.name, statement)


def _column_differences(
    contract: TableContract, column: ColumnContract, live: LiveColumn | None, previous: str | None
) -> Iterator[Change]:
    table, name = identifier(contract.name), f"{contract.name}.{column.name}"
    if live is None:
        position = "FIRST" if previous is None else f"AFTER {identifier(previous)}"
        yield Change("add column", name, f"ALTER TABLE {table} ADD COLUMN {column.definition} {position}")
        return
    statement = f"ALTER TABLE {table} MODIFY COLUMN {column.definition}"
    same_values = (plain_type(column.sql_type), column.nullable, column.collation) == (
        live.sql_type,
        live.nullable,
        live.collation,
    )
    if not same_values:
        yield Change("change column", name, statement, destructive=True)
    elif live.comment != column.comment:
        yield Change("comment column", name, statement)


def _index_definition(index: IndexContract) -> str:
    return f"{'UNIQUE ' if index.unique else ''}INDEX {identifier(index.name)} ({_list(index.columns)})"


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(identifier(name) for name in names)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
