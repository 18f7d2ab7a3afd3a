"""Retention of the reporting database: periods that have left the rolling window go, monthly partitions ahead come."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.mysql.append_only import holds_audit_tables
from genims_platform.mysql.connection import Database, identifier, scalar
from genims_platform.mysql.contract import TableContract, contracts
from genims_platform.mysql.errors import TransientError
from genims_platform.mysql.live import LiveTable, live_tables
from genims_platform.mysql.locks import lock_name, named_lock
from genims_platform.rolling_window import window_start

DEPLOY_LOCK_SECONDS = 60
WRITER_LOCK_SECONDS = 60

# While ALTER TABLE waits for a long query, every later query of the table waits behind it.
METADATA_LOCK_SECONDS = 5


class AppendOnlyError(RuntimeError):
    """Retention of the reporting database was pointed at the audit database; nothing was done."""


@dataclass(frozen=True)
class TableRetention:
    """What was done to one table; `problem` says why the rest was left for the next time."""

    table: str
    rows_dropped: int
    partitions_dropped: tuple[str, ...] = ()
    partitions_created: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class RetentionResult:
    """What retention did, or with `dry_run` would do; `window_start` is the first day that is kept."""

    window_start: date
    dry_run: bool
    tables: tuple[TableRetention, ...]

    @property
    def rows_dropped(self) -> int:
        """Rows of all tables that are gone, in dropped partitions and deleted one by one."""
        return sum(table.rows_dropped for table in self.tables)

    @property
    def partitions_dropped(self) -> int:
        """How many monthly partitions of all tables are gone."""
        return sum(len(table.partitions_dropped) for table in self.tables)

    @property
    def partitions_created(self) -> int:
        """How many monthly partitions of all tables are new."""
        return sum(len(table.partitions_created) for table in self.tables)

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for each table that could not be finished."""
        return tuple(f"{table.table}: {table.problem}" for table in self.tables if table.problem)


def apply_retention(
    database: Database,
    *,
    today: date,
    tables: Mapping[str, TableContract] | None = None,
    dry_run: bool = False,
    lock_timeout: float = WRITER_LOCK_SECONDS,
) -> RetentionResult:
    """Drop rows whose period, the first column of the primary key, began before the window; keep all others.

    A partition that lies before the window is dropped whole, which costs a moment however large it is. Partitions that
    the window and the next months need are created first. A table that is busy or missing does not stop the others.

    Args:
        database: the reporting database.
        today: day (UTC) whose rolling window is kept.
        tables: tables by name; all of the reporting schema by default.
        dry_run: only count.
        lock_timeout: longest wait for the writer of a table, in seconds.

    Raises:
        DatabaseUnavailableError: the database cannot be reached.
        LockTimeoutError: its schema is being deployed.
        AppendOnlyError: the database holds audit tables, or `tables` are audit tables.
    """
    contracts_by_name = contracts("reporting") if tables is None else tables
    start = window_start(today)
    with (
        database.administration() as connection,
        named_lock(connection, lock_name(database, "deploy"), DEPLOY_LOCK_SECONDS),
    ):
        live = live_tables(connection, database.server.database)
        if holds_audit_tables(live) or holds_audit_tables(contracts_by_name):
            raise AppendOnlyError(
                f"{database.server.address} holds the audit trail, which this never shortens; check MYSQL_REPORTING_DB"
            )
        done = tuple(
            _apply_to_table(database, contract, live.get(name), today, dry_run=dry_run, lock_timeout=lock_timeout)
            for name, contract in contracts_by_name.items()
        )
    return RetentionResult(start, dry_run, done)


def _apply_to_table(
    database: Database,
    contract: TableContract,
    live: LiveTable | None,
    today: date,
    *,
    dry_run: bool,
    lock_timeout: float,
) -> TableRetention:
    if live is None:
        return TableRetention(contract.name, 0, problem="is not deployed; run `genims schema deploy`")
    start = window_start(today)
    expired = tuple(part.name for part in live.partitions if part.end is not None and part.end <= start)
    partitioning = contract.partitioning
    missing = partitioning.missing(live.partitions, today) if partitioning else []
    wanted = tuple(part.name for part in missing)
    done = [TableRetention(contract.name, 0)]
    try:
        with database.administration() as connection:
            _use(connection, database.server.database)
            if dry_run:
                return TableRetention(contract.name, _count_expired(connection, contract, start), expired, wanted)
            # No refresh is under way while the lock is held, so changes of the table wait for short queries only.
            with named_lock(connection, lock_name(database, contract.name), lock_timeout):
                for step in _steps(connection, contract, live, today, expired, wanted):
                    done.append(step)  # noqa: PERF402 - steps before a failing one count
    except TransientError as error:
        return replace(done[-1], problem=f"is busy, try again: {error}")
    except mysql.connector.Error as error:
        return replace(done[-1], problem=f"the server refused a change: {error}")
    return done[-1]


def _steps(
    connection: MySQLConnectionAbstract,
    contract: TableContract,
    live: LiveTable,
    today: date,
    expired: tuple[str, ...],
    wanted: tuple[str, ...],
) -> Iterator[TableRetention]:
    """What has been done after each committed step."""
    start = window_start(today)
    table = identifier(contract.name)
    with connection.cursor() as cursor:
        if wanted and contract.partitioning:
            for statement in contract.partitioning.missing_statements(contract.name, live.partitions, today):
                cursor.execute(statement)
            yield TableRetention(contract.name, 0, (), wanted)
        rows = 0
        if expired:
            names = ", ".join(map(identifier, expired))
            cursor.execute(f"SELECT COUNT(*) FROM {table} PARTITION ({names})")  # noqa: S608
            rows = int(scalar(cursor))
            cursor.execute(f"ALTER TABLE {table} DROP PARTITION {names}")
            yield TableRetention(contract.name, rows, expired, wanted)
        cursor.execute(f"DELETE FROM {table} WHERE {identifier(contract.primary_key[0])} < %s", (start,))  # noqa: S608
        yield TableRetention(contract.name, rows + cursor.rowcount, expired, wanted)


def _use(connection: MySQLConnectionAbstract, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"USE {identifier(name)}")
        cursor.execute("SET SESSION lock_wait_timeout = %s", (METADATA_LOCK_SECONDS,))


def _count_expired(connection: MySQLConnectionAbstract, contract: TableContract, start: date) -> int:
    period = identifier(contract.primary_key[0])
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {identifier(contract.name)} WHERE {period} < %s", (start,))  # noqa: S608
        return int(scalar(cursor))
