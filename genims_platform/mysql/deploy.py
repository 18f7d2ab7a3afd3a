"""Schema deployment: compares a live database with the schema files and applies what loses nothing.

Schema changes commit one by one; a deployment that stops half way is finished by the next one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.mysql.append_only import COLLATION as APPEND_ONLY_COLLATION
from genims_platform.mysql.append_only import holds_audit_tables, remedy
from genims_platform.mysql.check_constraints import CheckContract, LiveCheck
from genims_platform.mysql.connection import Database, identifier
from genims_platform.mysql.contract import ColumnContract, IndexContract, Kind, TableContract, contracts
from genims_platform.mysql.errors import TRANSIENT_CODES, connection_lost
from genims_platform.mysql.fences import Fences, fences
from genims_platform.mysql.live import (
    LiveColumn,
    LiveTable,
    live_collation,
    live_routines,
    live_tables,
    live_triggers,
    live_views,
    plain_method,
    plain_type,
)
from genims_platform.mysql.locks import lock_name, named_lock

DATABASE_COLLATION = "utf8mb4_unicode_ci"
DEPLOY_LOCK_SECONDS = 60
_PRIMARY_KEY = re.compile(r"PRIMARY KEY\s*\([^)]*\)", re.IGNORECASE)

# Binary logging is on and the account has no SUPER right.
_TRIGGER_RIGHT_CODE = 1419


class DeployError(RuntimeError):
    """A schema change was refused; earlier ones stay, the message names the statement and the cause."""


@dataclass(frozen=True)
class Change:
    """One difference between the schema files and the live database, and the statement that removes it."""

    kind: str
    object: str
    statement: str
    destructive: bool = False
    applied: bool = False
    locked_table: str | None = None
    """Table that is locked while `preparation` and `statement` are executed."""

    preparation: str | None = None
    """Statement that goes first."""

    remedy: str | None = None
    """What a person has to do where no option of a deployment applies the change."""


def deploy(
    database: Database, kind: Kind, *, today: date, allow_destructive: bool = False, dry_run: bool = False
) -> list[Change]:
    """Bring a database to its schema files; see `deploy_contracts`."""
    return deploy_contracts(
        database,
        contracts(kind),
        today=today,
        fences=fences(kind),
        append_only=kind == "audit",
        allow_destructive=allow_destructive,
        dry_run=dry_run,
    )


def deploy_contracts(
    database: Database,
    tables: Mapping[str, TableContract],
    *,
    today: date,
    fences: Fences = Fences(),  # noqa: B008 - immutable
    append_only: bool = False,
    allow_destructive: bool = False,
    dry_run: bool = False,
) -> list[Change]:
    """Create what is missing (database, tables, columns, indexes, checks, partitions, fences) and update comments.

    A column added to a table with rows holds NULL there, or its type's zero if it is NOT NULL, until its periods are
    refreshed. A trigger that differs is replaced while its table is locked, so that no row passes in between.

    Args:
        database: what to change; the database itself may not exist yet.
        tables: what it should hold.
        today: day around which partitions are wanted.
        fences: its triggers and procedures.
        append_only: never apply a change that is destructive, whatever `allow_destructive` says; also report views,
            triggers and procedures that are not in the schema files.
        allow_destructive: also change types, nullability, collations and keys, and drop what is not in the contracts.
        dry_run: only report.

    Returns:
        All differences found, in the order of application, each saying whether it was applied.

    Raises:
        DeployError: the server refused a change, or the database holds the tables of the other database.
        LockTimeoutError: another deployment of this database is running.
    """
    done: list[Change] = []
    with (
        database.administration() as connection,
        named_lock(connection, lock_name(database, "deploy"), DEPLOY_LOCK_SECONDS),
    ):
        comparison = _Comparison(connection, database.server.database, tables, fences, today, append_only)
        for change in comparison.differences():
            wanted = not dry_run and (not change.destructive or (allow_destructive and not append_only))
            if wanted:
                _apply(connection, change)
            advice = remedy(change.kind) if append_only and change.destructive else None
            done.append(replace(change, applied=wanted, remedy=advice))
    return done


def _apply(connection: MySQLConnectionAbstract, change: Change) -> None:
    statements = [change.preparation, change.statement]
    if change.locked_table:
        statements = [f"LOCK TABLES {identifier(change.locked_table)} WRITE", *statements]
    try:
        with connection.cursor() as cursor:
            for statement in filter(None, statements):
                cursor.execute(statement)
            if change.locked_table:
                cursor.execute("UNLOCK TABLES")
    except mysql.connector.Error as error:
        if error.errno == _TRIGGER_RIGHT_CODE:
            raise DeployError(
                f"{change.kind} {change.object}: the server writes a binary log and lets only administrators create "
                "triggers; set its log_bin_trust_function_creators to 1 for the deployment"
            ) from error
        if error.errno in TRANSIENT_CODES or connection_lost(error):
            raise
        raise DeployError(f"{change.kind} {change.object}: {error.msg}; statement: {change.statement}") from error


@dataclass(frozen=True)
class _Comparison:
    connection: MySQLConnectionAbstract
    database: str
    tables: Mapping[str, TableContract]
    fences: Fences
    today: date
    append_only: bool

    def differences(self) -> Iterator[Change]:
        """Differences one after the other; each is applied before the next table is looked at."""
        live = live_tables(self.connection, self.database)
        if not self.append_only and holds_audit_tables(live):
            raise DeployError(
                f"database {self.database} holds the audit tables; nothing else may be deployed into it: "
                "check the MYSQL_*_DB variables"
            )
        if self.append_only and live and not holds_audit_tables(live):
            raise DeployError(
                f"database {self.database} holds other tables ({', '.join(sorted(live)[:3])} …) and none of the "
                "audit's; the audit database is one of its own: check MYSQL_AUDIT_DB"
            )
        yield from self._database_differences()
        for contract in self.tables.values():
            if contract.name in live:
                yield from _table_differences(contract, live[contract.name], self.today, append_only=self.append_only)
            else:
                yield Change("create table", contract.name, _create_statement(contract, self.today))
        for extra in sorted(live.keys() - self.tables.keys()):
            yield Change("drop table", extra, f"DROP TABLE {identifier(extra)}", destructive=True)
        yield from self._trigger_differences()
        yield from self._procedure_differences()
        if self.append_only:
            for view in live_views(self.connection, self.database):
                yield Change("drop view", view, f"DROP VIEW {identifier(view)}", destructive=True)

    def _database_differences(self) -> Iterator[Change]:
        name = identifier(self.database)
        wanted = APPEND_ONLY_COLLATION if self.append_only else DATABASE_COLLATION
        collation = live_collation(self.connection, self.database)
        character_set = f"CHARACTER SET utf8mb4 COLLATE {wanted}"
        if collation is None:
            yield Change("create database", self.database, f"CREATE DATABASE {name} {character_set}")
        elif collation != wanted:
            yield Change("alter database", self.database, f"ALTER DATABASE {name} {character_set}")
        if live_collation(self.connection, self.database) is not None:
            with self.connection.cursor() as cursor:
                cursor.execute(f"USE {name}")

    def _trigger_differences(self) -> Iterator[Change]:
        live = live_triggers(self.connection, self.database)
        for trigger in self.fences.triggers:
            found = live.get(trigger.name)
            if found is None:
                yield Change("create trigger", trigger.name, trigger.statement)
            elif (found.table, found.timing, found.event, found.body) != (
                trigger.table,
                trigger.timing,
                trigger.event,
                trigger.body,
            ):
                drop = f"DROP TRIGGER {identifier(trigger.name)}"
                # A trigger that was moved elsewhere cannot be dropped under a lock of the table it belongs to.
                locked = trigger.table if found.table == trigger.table else None
                yield Change("replace trigger", trigger.name, trigger.statement, locked_table=locked, preparation=drop)
        if self.append_only:
            for extra in sorted(live.keys() - {trigger.name for trigger in self.fences.triggers}):
                yield Change("drop trigger", extra, f"DROP TRIGGER {identifier(extra)}", destructive=True)

    def _procedure_differences(self) -> Iterator[Change]:
        live = live_routines(self.connection, self.database)
        for procedure in self.fences.procedures:
            found = live.get(procedure.name)
            if found is None:
                yield Change("create procedure", procedure.name, procedure.statement)
            elif found.kind == "PROCEDURE" and found.body is None:
                # Replaced unseen, it would lose the rights to call it each time.
                yield Change("compare procedure", procedure.name, procedure.statement, destructive=True)
            elif (found.kind, found.security, found.parameters, found.body) != (
                "PROCEDURE",
                "DEFINER",
                procedure.parameters,
                procedure.body,
            ):
                drop = f"DROP {found.kind} {identifier(procedure.name)}"
                yield Change("replace procedure", procedure.name, procedure.statement, preparation=drop)
        if self.append_only:
            for extra in sorted(live.keys() - {procedure.name for procedure in self.fences.procedures}):
                statement = f"DROP {live[extra].kind} {identifier(extra)}"
                yield Change(f"drop {live[extra].kind.lower()}", extra, statement, destructive=True)


def _create_statement(contract: TableContract, today: date) -> str:
    """CREATE TABLE with indexes and partitions: one statement is many times faster than altering the table later."""
    keys = "".join(f",\n  {_index_definition(index)}" for index in contract.indexes)
    primary_key = list(_PRIMARY_KEY.finditer(contract.create_statement))[-1]
    text = contract.create_statement
    statement = text[: primary_key.end()] + keys + text[primary_key.end() :]
    if contract.partitioning is None:
        return statement
    return f"{statement}\n{contract.partitioning.clause(today)}"


def _table_differences(contract: TableContract, live: LiveTable, today: date, *, append_only: bool) -> Iterator[Change]:
    table = identifier(contract.name)
    wanted = {index.name: index for index in (*contract.unique_keys, *contract.indexes)}
    # Indexes go before the columns in them.
    for name in sorted(live.indexes.keys() - wanted.keys()):
        statement = f"ALTER TABLE {table} DROP INDEX {identifier(name)}"
        yield Change("drop index", f"{contract.name}.{name}", statement, destructive=True)
    previous: str | None = None
    for column in contract.columns:
        yield from _column_differences(
            contract, column, live.columns.get(column.name), previous, append_only=append_only
        )
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
    yield from _check_differences(contract.name, contract.checks, live.checks)
    if live.comment != contract.comment:
        yield Change("comment table", contract.name, f"ALTER TABLE {table} COMMENT = {_quoted(contract.comment)}")
    yield from _partition_differences(contract, live, today)


def _column_differences(
    contract: TableContract, column: ColumnContract, live: LiveColumn | None, previous: str | None, *, append_only: bool
) -> Iterator[Change]:
    table, name = identifier(contract.name), f"{contract.name}.{column.name}"
    if live is None:
        position = "FIRST" if previous is None else f"AFTER {identifier(previous)}"
        statement = f"ALTER TABLE {table} ADD COLUMN {column.definition} {position}"
        # Old rows would get a value that nobody wrote, and no longer match their hashes.
        yield Change("add column", name, statement, destructive=append_only and not column.nullable)
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


def _check_differences(table: str, wanted: tuple[CheckContract, ...], live: list[LiveCheck]) -> Iterator[Change]:
    """Checks are told apart by their conditions, because unnamed ones are named differently by each server."""
    by_condition = {check.condition: check for check in live}
    for extra in live:
        if extra.condition not in {check.condition for check in wanted}:
            statement = f"ALTER TABLE {identifier(table)} DROP CONSTRAINT {identifier(extra.name)}"
            yield Change("drop check", f"{table}.{extra.name}", statement, destructive=True)
    for check in wanted:
        found = by_condition.get(check.condition)
        label = f"{table}.{check.name or check.definition}"
        if found is None:
            yield Change("create check", label, f"ALTER TABLE {identifier(table)} ADD {check.definition}")
        elif not found.enforced:
            statement = f"ALTER TABLE {identifier(table)} ALTER CHECK {identifier(found.name)} ENFORCED"
            yield Change("enforce check", f"{table}.{found.name}", statement)


def _partition_differences(contract: TableContract, live: LiveTable, today: date) -> Iterator[Change]:
    if contract.partitioning is None:
        return
    if live.partition_method is None:
        statement = f"ALTER TABLE {identifier(contract.name)} {contract.partitioning.clause(today)}"
        yield Change("partition table", contract.name, statement)
    elif live.partition_method != plain_method(contract.partitioning.method):
        statement = f"ALTER TABLE {identifier(contract.name)} {contract.partitioning.clause(today)}"
        yield Change("change partitioning", contract.name, statement, destructive=True)
    else:
        for statement in contract.partitioning.missing_statements(contract.name, live.partitions, today):
            yield Change("add partitions", contract.name, statement)


def _index_definition(index: IndexContract) -> str:
    return f"{'UNIQUE ' if index.unique else ''}INDEX {identifier(index.name)} ({_list(index.columns)})"


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(identifier(name) for name in names)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
