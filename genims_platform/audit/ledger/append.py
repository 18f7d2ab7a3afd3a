"""Appending batches: one connection, one transaction, and an order of rows that the fences of the database demand."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.ledger.batch import Batch, Head, Span, span_of
from genims_platform.audit.ledger.entries import Columns, Value
from genims_platform.audit.ledger.errors import (
    SIGNAL,
    AuditUnavailableError,
    HaltError,
    LedgerError,
    LostRaceError,
    PacketTooLargeError,
    UnsafeServerError,
    ledger_error,
)
from genims_platform.audit.ledger.layout import TABLE_NUMBERS, TABLES, row_layout
from genims_platform.mysql.append_only import SPINE
from genims_platform.mysql.connection import connect, identifier, is_mariadb
from genims_platform.mysql.contract import contracts
from genims_platform.mysql.errors import DatabaseUnavailableError
from genims_platform.mysql.grants import parse_rights
from genims_platform.mysql.locks import lock_name_in
from genims_platform.mysql.spool import private_folder
from genims_platform.settings import AuditRole, MySQLServer, Settings

MAX_ROWS = 1000
MAX_STATEMENT_BYTES = 4 * 1024 * 1024
LOAD_FROM_ROWS = 200
TIMEOUT_SECONDS = 10
"""Of one reading or writing on the connection."""

_SESSION = "innodb_lock_wait_timeout = 3, lock_wait_timeout = 3, wait_timeout = 20"
_SESSION_MARIADB = "idle_transaction_timeout = 20"
_RIGHTS = frozenset({"SELECT", "INSERT"})
_MEMORY = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
_NO_BATCH = 1 << 62

_HEAD = f"SELECT batch_no, last_sequence, batch_hash, recorded_at FROM {SPINE} ORDER BY batch_no DESC LIMIT 1"  # noqa: S608
_INCARNATIONS = f"SELECT source_db, MAX(incarnation) FROM {SPINE} GROUP BY source_db"  # noqa: S608
_CURSOR = (
    "SELECT source_db, incarnation, tick_from, tick_to, tick_token, part_no, is_last_part "  # noqa: S608
    f"FROM {SPINE} WHERE source_db = %s AND incarnation = %s ORDER BY tick_from DESC, part_no DESC LIMIT 1"
)
_DELIVERED = f"SELECT SUM(event_count) FROM {SPINE} WHERE source_db = %s AND incarnation = %s AND tick_from = %s"  # noqa: S608
_BY_UID = f"SELECT batch_hash FROM {SPINE} WHERE batch_uid = %s"  # noqa: S608
_FILE_FORMAT = (
    r"CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\'' ESCAPED BY '\\' "
    r"LINES TERMINATED BY '\n'"
)

Step = Literal["after_spine", "mid_details", "before_commit", "after_commit"]


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a source is delivered: its newest batch, and how many events of an unfinished range are there."""

    span: Span
    delivered: int = 0


class _LoadMismatchError(Exception):
    """LOAD DATA skipped or changed rows, which it never calls an error."""


def _no_step(_step: Step) -> None: ...


def open_ledger(settings: Settings, role: AuditRole) -> "Ledger":
    """The ledger as the account of a role, with the way of loading that the settings choose."""
    return Ledger(
        settings.mysql_audit_as(role), load=settings.audit_load, allow_administrator=settings.audit_allow_admin
    )


class Ledger:
    """The chain of batches over one connection, which is opened when needed and again after it was lost.

    Not shared between threads.

    Args:
        server: the audit database and the account that appends.
        load: `auto` sends many rows of a table as a file where the server allows that, `insert` never does.
        allow_administrator: append even as an account that may do more than read and insert (development only).
    """

    def __init__(
        self, server: MySQLServer, *, load: Literal["auto", "insert"] = "auto", allow_administrator: bool = False
    ) -> None:
        self.server = server
        self._load = load
        self._allow_administrator = allow_administrator
        self._session: _Session | None = None
        self._spool = private_folder(self, "ledger", _MEMORY if _MEMORY.is_dir() else None)

    def check_server(self) -> None:
        """Make sure that a committed batch survives a power cut and that the database defends itself.

        Raises:
            UnsafeServerError: it does not; says what to change.
            AuditUnavailableError: the database cannot be reached.
        """
        ((flush, binary_log, sync),) = self.query(
            "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit, @@GLOBAL.log_bin, @@GLOBAL.sync_binlog"
        )
        problems = [*may_lose_commits(flush, binary_log, sync), *self._surplus_rights(), *self._missing_fences()]
        if problems:
            raise UnsafeServerError(f"{self.server.address}: {'; '.join(problems)}")

    def head(self) -> Head | None:
        """The newest batch, or None in an empty database.

        Raises:
            AuditUnavailableError: the database cannot be reached.
        """
        rows = self.query(_HEAD)
        if not rows:
            return None
        number, sequence, digest, recorded_at = rows[0]
        return Head(number, sequence, bytes(digest), recorded_at)

    def cursors(self) -> dict[str, Cursor]:
        """Source → how far its newest incarnation is delivered; `audit` is the source of control batches.

        Raises:
            AuditUnavailableError: the database cannot be reached.
        """
        return {
            source: found
            for source, incarnation in self.query(_INCARNATIONS)
            if (found := self._cursor(source, incarnation))
        }

    def cursor(self, source: str) -> Cursor | None:
        """How far the newest incarnation of one source is delivered, or None if it was never opened.

        Raises:
            AuditUnavailableError: the database cannot be reached.
        """
        rows = self.query(f"SELECT MAX(incarnation) FROM {SPINE} WHERE source_db = %s", (source,))  # noqa: S608
        ((incarnation,),) = rows
        return None if incarnation is None else self._cursor(source, incarnation)

    def recorded_at(self, head: Head | None) -> datetime:
        """When a batch after `head` is recorded: the server's time in UTC, and never before the head's.

        Raises:
            AuditUnavailableError: the database cannot be reached.
        """
        now = self.now()
        return now if head is None else max(now, head.recorded_at)

    def now(self) -> datetime:
        """The server's time in UTC, the only clock of the trail.

        Raises:
            AuditUnavailableError: the database cannot be reached.
        """
        ((now,),) = self.query("SELECT UTC_TIMESTAMP(6)")
        return now

    def hash_of(self, batch_uid: bytes) -> bytes | None:
        """The hash of the batch with this uid, or None if it was not committed.

        Raises:
            AuditUnavailableError: the database cannot be reached.
        """
        rows = self.query(_BY_UID, (batch_uid,))
        return bytes(rows[0][0]) if rows else None

    def append(self, batches: Sequence[Batch], *, at: Callable[[Step], object] = _no_step) -> None:
        """Append consecutive batches in one transaction: all are there afterwards, or none.

        Args:
            batches: each follows the one before it.
            at: called when a step is passed, for tests that stop there.

        Raises:
            LostRaceError: another writer was faster; nothing was written.
            BusyError: another writer's transaction is open; nothing was written.
            AuditUnavailableError: the outcome is unknown; the head tells.
            UnstorableError: a value cannot be stored; nothing was written.
            HaltError: the database refuses what it must accept; nothing was written.
        """
        with self._connected() as session:
            loads = self._load == "auto" and session.loads_files
            try:
                self._attempt(session, batches, at, loads=loads)
            except _LoadMismatchError:
                # INSERT either stores a row as it is or says why not.
                self._roll_back(session)
                self._attempt(session, batches, at, loads=False)

    def query(self, statement: str, parameters: Sequence[Value] = ()) -> list[Any]:
        """Rows of one SELECT in a transaction of its own.

        Raises:
            AuditUnavailableError: the database cannot be reached.
        """
        with self._connected() as session:
            return session.query(statement, parameters)

    @contextmanager
    def lock(self, purpose: str, seconds: float) -> Generator[bool, None, None]:
        """Hold a lock of this audit database if it is free within `seconds`; says whether it is held.

        Raises:
            AuditUnavailableError: the database cannot be reached.
        """
        name = lock_name_in(self.server.database, purpose)
        ((held,),) = self.query("SELECT GET_LOCK(%s, %s)", (name, seconds))  # pyright: ignore[reportArgumentType]
        try:
            yield held == 1
        finally:
            # A connection that was lost has given its locks back.
            if held == 1 and self._session is not None:
                with suppress(AuditUnavailableError):
                    self.query("SELECT RELEASE_LOCK(%s)", (name,))

    def ping(self) -> None:
        """Keep the connection from being closed as idle, which the server does after 20 s.

        Raises:
            AuditUnavailableError: the database cannot be reached.
        """
        self.query("SELECT 1")

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        if self._session is not None:
            session, self._session = self._session, None
            with suppress(mysql.connector.Error):
                session.connection.close()

    def _cursor(self, source: str, incarnation: int) -> Cursor | None:
        rows = self.query(_CURSOR, (source, incarnation))
        if not rows:
            return None
        names = ("source_db", "incarnation", "tick_from", "tick_to", "tick_token", "part_no", "is_last_part")
        columns = dict(zip(names, rows[0], strict=True))
        span = span_of({**columns, "tick_token": bytes(columns["tick_token"])})
        if span.is_last_part:
            return Cursor(span)
        ((delivered,),) = self.query(_DELIVERED, (source, incarnation, span.tick_from))
        return Cursor(span, int(delivered))

    @contextmanager
    def _connected(self) -> "Generator[_Session, None, None]":
        if self._session is None:
            self._session = self._open()
        session = self._session
        try:
            yield session
        except AuditUnavailableError:
            self._roll_back(session)
            self.close()
            raise
        except BaseException:
            # Whatever happened, no half of a batch may be committed by the next statement.
            self._roll_back(session)
            raise

    def _roll_back(self, session: "_Session") -> None:
        try:
            _command(session.connection, b"ROLLBACK")
        except mysql.connector.Error:
            # The server rolls back what a lost connection left.
            self.close()

    def _open(self) -> "_Session":
        try:
            connection = connect(
                self.server,
                database=self.server.database,
                spool=self._spool,
                autocommit=True,
                read_timeout=TIMEOUT_SECONDS,
                write_timeout=TIMEOUT_SECONDS,
            )
        except DatabaseUnavailableError as error:
            raise AuditUnavailableError(str(error), error.errno) from None
        try:
            return _Session(connection, self._spool)
        except LedgerError:
            connection.close()
            raise

    def _attempt(
        self, session: "_Session", batches: Sequence[Batch], at: Callable[[Step], object], *, loads: bool
    ) -> None:
        session.run(b"START TRANSACTION", None)
        for batch in batches:
            try:
                session.insert(SPINE, [_spine_literal(batch.spine)])
            except LostRaceError:
                self._roll_back(session)
                if all(map(self._arrived, batches)):
                    return
                raise
            at("after_spine")
            tables = sorted(batch.literals, key=TABLE_NUMBERS.__getitem__)
            for position, table in enumerate(tables):
                rows = batch.literals[table]
                if loads and len(rows) >= LOAD_FROM_ROWS:
                    session.load(table, rows)
                else:
                    session.insert(table, rows)
                if position == (len(tables) - 1) // 2:
                    at("mid_details")
        at("before_commit")
        session.run(b"COMMIT", None)
        at("after_commit")

    def _arrived(self, batch: Batch) -> bool:
        """Whether an earlier attempt, whose outcome was unknown, had committed this batch."""
        uid = batch.spine["batch_uid"]
        assert isinstance(uid, bytes)  # noqa: S101
        found = self.hash_of(uid)
        if found is not None and found != batch.spine["batch_hash"]:
            raise HaltError(f"another batch than {batch.spine['batch_no']} has its uid {uid.hex()}")
        return found is not None

    def _surplus_rights(self) -> Iterator[str]:
        if self._allow_administrator:
            return
        rights = parse_rights(str(line) for (line,) in self.query("SHOW GRANTS"))
        surplus = sorted({right.privilege for right in rights} - _RIGHTS)
        if surplus:
            yield (
                f"user {self.server.user} may do more than SELECT and INSERT ({', '.join(surplus)}); use an account "
                "that `genims audit accounts` made, or set AUDIT_ALLOW_ADMIN=1 for development"
            )

    def _missing_fences(self) -> Iterator[str]:
        # An account that may only insert cannot see triggers, so each is asked to refuse a row that fits nowhere.
        with self._connected() as session:
            session.run(b"START TRANSACTION", None)
            unguarded = [table for table in TABLES if not session.refuses(table)]
            session.run(b"ROLLBACK", None)
        if unguarded:
            yield (
                f"the insert trigger is missing on {', '.join(unguarded)}; run `genims schema deploy --database audit` "
                "and find out who removed it"
            )


def may_lose_commits(flush: int, binary_log: int, sync: int) -> Iterator[str]:
    """Why a server with these settings may lose what it said it had committed."""
    if flush != 1:
        yield f"innodb_flush_log_at_trx_commit is {flush}: a power cut loses committed events; set it to 1"
    if binary_log and sync != 1:
        yield f"sync_binlog is {sync}: a power cut loses committed events of replicas and restores; set it to 1"


class _Session:
    """One connection with the settings of a writer."""

    def __init__(self, connection: MySQLConnectionAbstract, spool: Path) -> None:
        self.connection = connection
        self._file = spool / "rows"
        settings = f"{_SESSION}, {_SESSION_MARIADB}" if is_mariadb(connection) else _SESSION
        self.run(b"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", None)
        self.run(f"SET SESSION {settings}".encode(), None)
        ((files, packet),) = self.query("SELECT @@GLOBAL.local_infile, @@GLOBAL.max_allowed_packet")
        self.loads_files = files == 1
        self._packet = int(packet)
        self._statement_bytes = min(MAX_STATEMENT_BYTES, self._packet // 4)

    def query(self, statement: str, parameters: Sequence[Value] = ()) -> list[Any]:
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(statement, tuple(parameters))
                return cursor.fetchall()
        except mysql.connector.Error as error:
            raise ledger_error(error, None) from None

    def run(self, statement: bytes, table: str | None) -> tuple[int, int]:
        """Rows and warnings of one statement that returns none."""
        try:
            return _command(self.connection, statement)
        except mysql.connector.Error as error:
            raise ledger_error(error, table) from None

    def insert(self, table: str, rows: Sequence[bytes]) -> None:
        head = _insert_head(table)
        for chunk in self._chunks(table, rows):
            written, _ = self.run(b"%b (%b)" % (head, b"),(".join(chunk)), table)
            if written != len(chunk):
                raise HaltError(f"{table}: {len(chunk)} rows sent, {written} written")

    def load(self, table: str, rows: Sequence[bytes]) -> None:
        try:
            self._file.write_bytes(b"\n".join((*rows, b"")))
            written, warnings = self.run(_load_statement(table, self._file), table)
        finally:
            self._file.unlink(missing_ok=True)
        if written != len(rows) or warnings:
            raise _LoadMismatchError

    def refuses(self, table: str) -> bool:
        row = {column.name: _any_value(column.sql_type) for column in contracts("audit")[table].columns}
        if table == SPINE:
            row |= {"batch_no": _NO_BATCH, "prev_batch_no": _NO_BATCH - 1, "source_db": "none"}
        _, literal = row_layout(table).encode(row)
        try:
            _command(self.connection, b"%b (%b)" % (_insert_head(table), literal))
        except mysql.connector.Error as error:
            if error.errno == SIGNAL:
                return True
            # Another refusal says nothing about the trigger.
            found = ledger_error(error, table)
            if isinstance(found, AuditUnavailableError):
                raise found from None
        return False

    def _chunks(self, table: str, rows: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        start = size = 0
        for position, row in enumerate(rows):
            if len(row) + 1024 > self._packet:
                raise PacketTooLargeError(
                    f"{table}: a row of {len(row)} bytes; the server's max_allowed_packet is {self._packet}",
                    table=table,
                )
            if position > start and (size + len(row) > self._statement_bytes or position - start == MAX_ROWS):
                yield rows[start:position]
                start, size = position, 0
            size += len(row) + 3
        yield rows[start:]


def _command(connection: MySQLConnectionAbstract, statement: bytes) -> tuple[int, int]:
    # A statement without a result gives counts; the connector's hints know neither those nor bytes.
    status: Any = connection.cmd_query(statement)  # pyright: ignore[reportArgumentType]
    return status["affected_rows"], status["warning_count"]


def _spine_literal(spine: Columns) -> bytes:
    _, literal = row_layout(SPINE).encode(spine)
    return literal


def _insert_head(table: str) -> bytes:
    columns = ",".join(map(identifier, row_layout(table).columns))
    return f"INSERT INTO {identifier(table)} ({columns}) VALUES".encode()


def _load_statement(table: str, file: Path) -> bytes:
    # Bytes stand in the file as they do in a statement, which the server does not read as a number there.
    kinds = {column.name: column.sql_type for column in contracts("audit")[table].columns}
    columns = row_layout(table).columns
    binary = {name: f"@b{number}" for number, name in enumerate(columns) if "binary" in kinds[name]}
    targets = ",".join(binary.get(name, identifier(name)) for name in columns)
    values = ", ".join(f"{identifier(name)} = UNHEX(SUBSTR({variable}, 3))" for name, variable in binary.items())
    path = str(file).replace("\\", "\\\\").replace("'", "\\'")
    return (
        f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {identifier(table)} {_FILE_FORMAT} ({targets})"
        + (f" SET {values}" if values else "")
    ).encode()


def _any_value(sql_type: str) -> Value:
    if sql_type.startswith(("binary", "varbinary")):
        size = int(sql_type.partition("(")[2].rstrip(")"))
        return bytes(size)
    if sql_type == "date":
        return date(2000, 1, 1)
    if sql_type.startswith("datetime"):
        return datetime(2000, 1, 1)  # noqa: DTZ001
    return "X" if sql_type.startswith(("varchar", "longtext")) else 1
