"""What the relay asks one source: ticks, the events between two of them, who it is, what changed in its catalogue."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psycopg2
from psycopg2 import extensions

from genims_platform.audit.capture.queue import EVENTS, KEYS, Event, EventKey, by_slot, in_order, make_tick
from genims_platform.audit.capture.tables import live_tables
from genims_platform.audit.capture.unclassified import unclassified
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.relay.event_range import EventRange, KeyRow, Keys
from genims_platform.audit.routing.router import Unclassified
from genims_platform.settings import PostgresServer
from genims_platform.sources.connection import connect

_FETCHED_KEYS = 20_000
"""Keys of a backlog are fetched in pieces, so that only their compact form is ever held as a whole."""

_LONGEST_STATEMENT_SECONDS = 300
_GENERIC_PLANS = "SET plan_cache_mode = force_generic_plan"  # planning 32 partitions anew costs more than reading them

# A partition's events belong to the table that the policy knows.
_TABLES = """
    SELECT t.relname, root.relname FROM pg_class t JOIN pg_namespace space ON space.oid = t.relnamespace
    LEFT JOIN pg_class root ON root.oid = pg_partition_root(t.oid) AND t.relispartition
    WHERE t.relkind IN ('r', 'p') AND space.nspname NOT IN ('audit', 'pg_catalog', 'information_schema')
"""
_PREPARED = {
    "genims_keys (bigint, bigint)": f"{KEYS % {'after': '$1', 'upto': '$2'}} LIMIT {_FETCHED_KEYS + 1}",
    "genims_events (smallint, bigint[])": EVENTS % {"slot": "$1", "ids": "$2"},
    "genims_ticks (bigint[])": "SELECT tick_id, token::text FROM audit.tick WHERE tick_id = ANY ($1)",
    "genims_commits (text[])": """
        SELECT xid, extract(epoch FROM pg_xact_commit_timestamp(xid::xid8::xid))::float8 FROM unnest($1) xid
    """,
}


class SourceChangedError(RuntimeError):
    """The source is not the one that was delivered so far, or not at that point; the message says how to go on."""


class SourceReader:
    """One connection to one source in autocommit and READ COMMITTED; used by one thread at a time."""

    def __init__(self, source: str, server: PostgresServer, passing: Callable[[str], None]) -> None:
        """`passing` is told each step that a test may stop at."""
        self.source = source
        self._server = server
        self._passing = passing
        self._open: extensions.connection | None = None
        self._roots: dict[str, str] = {}
        self._known: set[str | None] = {None}
        self._knows_commits = False
        self.clock_ahead = 0.0
        """Seconds that the source's clock is ahead of this machine's."""

    def open(self) -> bool:
        """Make sure that there is a connection; whether it is a new one.

        Raises:
            SourceUnavailableError: no connection.
        """
        if self._open is not None and not self._open.closed:
            return False
        self._open = connect(self._server, autocommit=True)
        try:
            with self._open.cursor() as cursor:
                cursor.execute("SET application_name = 'genims-audit-relay'")
                cursor.execute(f"SET statement_timeout = '{_LONGEST_STATEMENT_SECONDS}s'")
                cursor.execute(_GENERIC_PLANS)
                for name, statement in _PREPARED.items():
                    cursor.execute(f"PREPARE {name} AS {statement}")
                cursor.execute("SHOW track_commit_timestamp")
                self._knows_commits = cursor.fetchall() == [("on",)]
            self._read_tables()
            self.check_clock()
        except BaseException:
            self.close()
            raise
        return True

    def close(self) -> None:
        """Close the connection."""
        if self._open is not None:
            with suppress(psycopg2.Error):
                self._open.close()
        self._open = None

    def install_uid(self) -> str | None:
        """Names the installation of capture: a database that was made anew has another."""
        found = self._rows("SELECT value FROM audit.state WHERE key = 'install_uid'")
        return found[0][0] if found else None

    def tokens(self, ticks: Sequence[int]) -> dict[int, bytes]:
        """Tick → its token, for those of the ticks that exist."""
        found = self._rows("EXECUTE genims_ticks (%s)", (list(ticks),))
        return {tick: uuid.UUID(token).bytes for tick, token in found}

    def newest_tick(self) -> int:
        """The newest tick, made now if anything may have happened since the last one."""
        self._passing("before_tick")
        tick, _ = make_tick(self._connection)
        self._passing("after_tick")
        return tick

    def range(self, after: int, upto: int) -> EventRange:
        """The events that tick `upto` sees and tick `after` does not.

        Raises:
            SourceChangedError: one of the ticks is gone.
        """
        tokens = self.tokens((after, upto))
        if len(tokens) < len({after, upto}):
            missing = ", ".join(str(tick) for tick in (after, upto) if tick not in tokens)
            raise SourceChangedError(f"{self._server.address} does not know tick {missing} any more")
        keys = self._keys(after, upto)
        self._passing("after_keys")
        return EventRange(after, upto, tokens[upto], keys)

    @property
    def roots(self) -> Mapping[str, str]:
        """Partition → partitioned table, as the catalogue was when it was looked at last."""
        return self._roots

    def events(self, keys: Sequence[EventKey], roots: Mapping[str, str] | None = None) -> list[Event]:
        """These events in full, in the order of `keys`; partitions are called by their roots (`self.roots`).

        Raises:
            SourceChangedError: the queue no longer holds one of them.
        """
        rows: list[tuple[Any, ...]] = []
        for slot, ids in by_slot(keys).items():
            rows += self._rows("EXECUTE genims_events (%s, %s)", (slot, ids))
        try:
            found = in_order(rows, keys)
        except LookupError as error:
            raise SourceChangedError(f"{self._server.address}: {error}") from None
        known = self._roots if roots is None else roots
        return [_rooted(event, known) for event in found] if known else found

    def committed(self, events: Sequence[Event]) -> list[float]:
        """When each event was committed, by the source's clock in seconds; when it happened, where nobody knows."""
        known: dict[int, float] = {}
        if self._knows_commits:
            transactions = [str(number) for number in {event.xid for event in events}]
            found = self._rows("EXECUTE genims_commits (%s)", (transactions,))
            known = {int(xid): at for xid, at in found if at is not None}
        return [known.get(event.xid) or event.occurred_at.timestamp() for event in events]

    def check_catalog(self) -> bool:
        """Have the source record what changed in its structure and rights; whether anything did."""
        ((differences,),) = self._rows("SELECT audit.check_catalog()")
        if differences:
            self._read_tables()
        return bool(differences)

    def unclassified(self) -> Set[Unclassified]:
        """Tables and columns that the audit policy does not know."""
        with self._connection.cursor() as cursor:
            return {*unclassified(self.source, audit_policy(), live_tables(cursor))}

    def check_clock(self) -> None:
        """Measure `clock_ahead`."""
        asked = time.time()
        ((theirs,),) = self._rows("SELECT extract(epoch FROM clock_timestamp())::float8")
        self.clock_ahead = theirs - (asked + time.time()) / 2

    def rotate(self, delivered: int, keep_days: int) -> list[str]:
        """Empty the slots of the queue whose events tick `delivered` sees and are older than this; their numbers."""
        ((emptied,),) = self._rows("SELECT audit.rotate(%s, %s)", (delivered, keep_days))
        return emptied

    @property
    def _connection(self) -> extensions.connection:
        if self._open is None:
            raise psycopg2.InterfaceError("no connection")
        return self._open

    def _rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall()

    def _keys(self, after: int, upto: int) -> Keys:
        found = self._rows("EXECUTE genims_keys (%s, %s)", (after, upto))
        if len(found) <= _FETCHED_KEYS:
            return Keys(map(self._key_row, found))
        # WITH HOLD, because there is no transaction that could keep the cursor.
        with self._connection.cursor(name="genims_keys", withhold=True) as cursor:
            cursor.itersize = _FETCHED_KEYS
            cursor.execute(KEYS, {"after": after, "upto": upto})
            return Keys(map(self._key_row, cursor))

    def _read_tables(self) -> None:
        found = self._rows(_TABLES)
        self._roots = {table: root for table, root in found if root is not None}
        self._known = {None, *(table for table, _ in found)}

    def _key_row(self, row: tuple[Any, ...]) -> KeyRow:
        slot, number, transaction, table, op, size, _ = row
        if table not in self._known:
            # A partition that is newer than what was read, or something else that was dropped meanwhile.
            self._read_tables()
            self._known.add(table)
        return slot, number, int(transaction), self._roots.get(table or "", table), op, size


def _rooted(event: Event, roots: Mapping[str, str]) -> Event:
    # Other kinds hold something else than a table's name there.
    root = roots.get(event.table_name or "") if event.kind in ("ROW", "TRUNCATE") else None
    return event if root is None else replace(event, table_name=root)
