"""A source's queue against the ledger, for ranges of ticks that are delivered whole."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import psycopg2
from mysql.connector.abstracts import MySQLConnectionAbstract
from psycopg2 import extensions

from genims_platform.audit.capture.queue import EVENTS, Event, event_keys, event_of, read_events
from genims_platform.audit.consistency import broken_sequence, part_since
from genims_platform.audit.database import audit_database
from genims_platform.audit.ledger.append import Ledger, open_ledger
from genims_platform.audit.reconcile.comparison import CheckType, Comparison, Difference, Totals
from genims_platform.audit.reconcile.suspended import with_suspensions
from genims_platform.audit.reprocessed import EventName, reprocessed
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.connection import Database
from genims_platform.settings import Settings
from genims_platform.sources.connection import connect

SETTLED_SECONDS = 5
"""Younger batches are left to the next comparison."""

EVENTS_AT_ONCE = 10_000
_SLOTS = range(32)
_ROOTS = """
    SELECT leaf.relname, root.relname FROM pg_class leaf JOIN pg_class root ON root.oid = pg_partition_root(leaf.oid)
    WHERE leaf.relispartition AND leaf.relkind = 'r' AND leaf.relnamespace <> 'audit'::regnamespace
"""
_BEGINNING = datetime(1970, 1, 1)  # noqa: DTZ001 - the audit database has naive UTC only
_DELIVERED = (
    f"SELECT MAX(tick_to) FROM {SPINE} WHERE source_db = %s AND incarnation = %s AND is_last_part = 1 "  # noqa: S608
    "AND recorded_at <= %s"
)
_SEQUENCES = (
    f"SELECT MIN(first_sequence), MAX(last_sequence) FROM {SPINE} "  # noqa: S608
    "WHERE source_db = %s AND incarnation = %s AND tick_from >= %s AND tick_to <= %s AND event_count > 0"
)
_NEWEST = f"SELECT MAX(incarnation), UTC_TIMESTAMP(6) FROM {SPINE} WHERE source_db = %s"  # noqa: S608
_OPENED = f"SELECT tick_to FROM {SPINE} WHERE source_db = %s AND incarnation = %s AND batch_kind = 'OPEN'"  # noqa: S608
_ACCEPTED = "SELECT findings FROM audit_integrity_checkpoints WHERE record_type = 'REANCHOR'"
_HAS = f"SELECT COUNT(*) FROM {LEDGER} WHERE audit_sequence = %s"  # noqa: S608
_NUMBERED = f"SELECT COUNT(*) FROM {LEDGER} WHERE audit_sequence <= %s"  # noqa: S608
_STORED = f"FROM {LEDGER} WHERE audit_sequence BETWEEN %s AND %s AND source_db = %s AND incarnation = %s"
_SUM = "CAST(COALESCE(SUM(CAST(CONV(HEX(LEFT(event_digest, 7)), 16, 10) AS UNSIGNED)), 0) AS CHAR)"


class ReconciliationError(RuntimeError):
    """A source cannot be compared; the message says what to run."""


@dataclass(frozen=True)
class DeliveredRange:
    """Ticks of a source between which everything is delivered, and the numbers of the batches between them."""

    source: str
    incarnation: int
    tick_from: int
    tick_to: int
    first: int | None = None
    last: int | None = None


def reconcile_hour(settings: Settings, source: str) -> list[Comparison]:
    """The last hour of a source as a whole; nothing for a source that was never opened.

    Raises:
        ReconciliationError: capture in the source is older than this version.
        SourceUnavailableError: the source cannot be reached.
        DatabaseUnavailableError: the audit database cannot be reached.
    """
    return _reconcile(settings, source, "HOURLY")


def reconcile_days(settings: Settings, source: str) -> list[Comparison]:
    """Each UTC day that the queue of a source still holds whole, and today, as a whole and by table.

    Raises:
        ReconciliationError: capture in the source is older than this version.
        SourceUnavailableError: the source cannot be reached.
        DatabaseUnavailableError: the audit database cannot be reached.
    """
    return _reconcile(settings, source, "DAILY")


def reconcile_sequence(settings: Settings) -> Comparison | None:
    """The whole ledger: as many events as numbers, no number and no event twice; None while there is no batch.

    Raises:
        DatabaseUnavailableError: the audit database cannot be reached.
    """
    database = _database(settings)
    with database.connection() as connection:
        part = part_since(connection, _BEGINNING)
        if part is None:
            return None
        broken = broken_sequence(connection, part)
        known = _accepted_numbers(connection)
        ((number,),) = _rows(connection, _NUMBERED, part.last)
    database.close()
    expected = part.last - part.first + 1 - part.void - known
    broken["numbers_missing_or_twice"] = abs(int(number) - expected)
    ends = (part.first, part.last)
    return Comparison("SEQUENCE", "*", 0, None, None, None, *ends, (expected, 0), (int(number), 0), broken=broken)


def _accepted_numbers(connection: MySQLConnectionAbstract) -> int:
    """How many numbers have no event, as two people accepted."""
    numbers = {
        int(found["sequence"])
        for (findings,) in _rows(connection, _ACCEPTED)
        for found in json.loads(findings)
        if found["code"] in ("V6", "V20") and found["table"] == LEDGER and found["sequence"] is not None
    }
    return sum(_rows(connection, _HAS, number) == [(0,)] for number in numbers)


def newest_incarnation(connection: MySQLConnectionAbstract, source: str) -> int | None:
    """Which life of a source is delivered now; None if it was never opened."""
    ((incarnation, _),) = _rows(connection, _NEWEST, source)
    return incarnation


def _reconcile(settings: Settings, source: str, check: CheckType) -> list[Comparison]:
    database = _database(settings)
    try:
        with database.connection() as connection:
            places = _ranges(connection, source, check, settings.audit_queue_keep_days)
            if not places:
                return []
            with (
                closing(connect(settings.audit_relay(source), autocommit=True)) as queue,
                closing(open_ledger(settings, "writer")) as ledger,
            ):
                found = [found for place in places for found in _compare(connection, queue, ledger, place, check)]
                return with_suspensions(queue, found)
    except psycopg2.errors.UndefinedFunction:
        raise ReconciliationError(
            f"{source}: capture has no audit.reconcile; run `genims audit install --source {source}`"
        ) from None
    finally:
        database.close()


def delivered_range(
    connection: MySQLConnectionAbstract, source: str, start: datetime | timedelta, end: datetime | None = None
) -> DeliveredRange | None:
    """What was recorded of a source from `start` (naive UTC, or so long ago) until `end`, by default until now.

    None if nothing was. The newest seconds are left out: a relay may be amid them.
    """
    ((incarnation, now),) = _rows(connection, _NEWEST, source)
    if incarnation is None:
        return None
    settled = now - timedelta(seconds=SETTLED_SECONDS)
    ends = [now - start if isinstance(start, timedelta) else start, settled if end is None else min(end, settled)]
    return next(_between(connection, source, incarnation, ends), None)


def _ranges(connection: MySQLConnectionAbstract, source: str, check: CheckType, keep_days: int) -> list[DeliveredRange]:
    """The ranges to compare, each from the end of one delivered range to the end of another."""
    if check == "HOURLY":
        place = delivered_range(connection, source, timedelta(hours=1))
        return [] if place is None else [place]
    ((incarnation, now),) = _rows(connection, _NEWEST, source)
    if incarnation is None:
        return []
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    ends = [midnight - timedelta(days=day) for day in range(keep_days - 1, -1, -1)]
    return list(_between(connection, source, incarnation, [*ends, now - timedelta(seconds=SETTLED_SECONDS)]))


def _between(
    connection: MySQLConnectionAbstract, source: str, incarnation: int, ends: Sequence[datetime]
) -> Iterator[DeliveredRange]:
    ((opened,),) = _rows(connection, _OPENED, source, incarnation)

    def delivered(until: datetime) -> int:
        ((tick,),) = _rows(connection, _DELIVERED, source, incarnation, until)
        return int(opened if tick is None else max(tick, opened))

    ticks = [delivered(end) for end in ends]
    for start, end in pairwise(ticks):
        if end > start:
            ((first, last),) = _rows(connection, _SEQUENCES, source, incarnation, start, end)
            yield DeliveredRange(source, incarnation, start, end, first, last)


def _compare(
    connection: MySQLConnectionAbstract,
    queue: extensions.connection,
    ledger: Ledger,
    place: DeliveredRange,
    check: CheckType,
) -> Iterator[Comparison]:
    stored = _stored_totals(connection, place)
    queued = _queued_totals(queue, place)
    ends = (place.tick_from, place.tick_to, place.first, place.last)
    if queued is None:
        yield Comparison(check, place.source, place.incarnation, None, *ends, None, _total(stored))
        return
    difference, repaired = Difference(), ()
    if queued != stored:
        difference = _difference(connection, queue, place)
        difference, repaired, stored = _after_repairs(ledger, queue, place, difference, stored)
    yield Comparison(
        check,
        place.source,
        place.incarnation,
        None,
        *ends,
        _total(queued),
        _total(stored),
        difference,
        repaired=repaired,
    )
    if check == "DAILY":
        for table in sorted({*queued, *stored} - {None}, key=str):
            counted = queued.get(table, (0, 0)), stored.get(table, (0, 0))
            yield Comparison(check, place.source, place.incarnation, table, *ends, *counted)


def _after_repairs(
    ledger: Ledger, queue: extensions.connection, place: DeliveredRange, difference: Difference, stored: Totals
) -> tuple[Difference, tuple[int, ...], Totals]:
    """The difference without events that were recorded after all, which these are, and totals that count them."""
    names = [EventName(place.source, place.incarnation, event) for event in difference.missing]
    repaired = tuple(name.event_id for name in reprocessed(ledger, names))
    totals = dict(stored)
    roots = partitions(queue) if repaired else {}
    for event in queued_events(queue, repaired):
        table = event.table_name
        if event.kind in ("ROW", "TRUNCATE") and table is not None:
            table = roots.get(table, table)
        number, digest = totals.get(table, (0, 0))
        totals[table] = number + 1, digest + int.from_bytes(event.digest[:7])
    missing = tuple(event for event in difference.missing if event not in repaired)
    return replace(difference, missing=missing), repaired, totals


def partitions(queue: extensions.connection) -> dict[str, str]:
    """Partition → the partitioned table that the policy knows."""
    with queue.cursor() as cursor:
        cursor.execute(_ROOTS)
        return dict(cursor.fetchall())


def queued_events(queue: extensions.connection, numbers: Sequence[int]) -> list[Event]:
    """Those of these events that the queue still holds."""
    found: list[Event] = []
    with queue.cursor() as cursor:
        for slot in _SLOTS:
            cursor.execute(EVENTS, {"slot": slot, "ids": list(numbers)})
            found += map(event_of, cursor.fetchall())
    return found


def _queued_totals(queue: extensions.connection, place: DeliveredRange) -> Totals | None:
    """What the source says of its own events; None if it no longer has all of them."""
    with queue.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit.tick WHERE tick_id IN (%s, %s)", (place.tick_from, place.tick_to))
        if cursor.fetchall() != [(2,)]:
            return None
        cursor.execute("SELECT * FROM audit.reconcile(%s, %s)", (place.tick_from, place.tick_to))
        return {table: (int(number), int(digest)) for table, number, digest in cursor.fetchall()}


def _stored_totals(connection: MySQLConnectionAbstract, place: DeliveredRange) -> Totals:
    if place.first is None or place.last is None:
        return {}
    rows = _rows(
        connection,
        f"SELECT table_name, COUNT(*), {_SUM} {_STORED} GROUP BY table_name",
        place.first,
        place.last,
        place.source,
        place.incarnation,
    )
    return {table: (int(number), int(digest)) for table, number, digest in rows}


def _difference(connection: MySQLConnectionAbstract, queue: extensions.connection, place: DeliveredRange) -> Difference:
    """Event by event."""
    keys = event_keys(queue, place.tick_from, place.tick_to)
    queued: dict[int, bytes] = {}
    for start in range(0, len(keys), EVENTS_AT_ONCE):
        queued |= {event.event_id: event.digest for event in read_events(queue, keys[start : start + EVENTS_AT_ONCE])}
    stored: list[Any] = []
    if place.first is not None and place.last is not None:
        ends = (place.first, place.last, place.source, place.incarnation)
        stored = _rows(connection, f"SELECT event_id, event_digest {_STORED}", *ends)
    return Difference.between(queued, ((int(event), bytes(digest)) for event, digest in stored))


def _total(totals: Totals) -> tuple[int, int]:
    return sum(number for number, _ in totals.values()), sum(digest for _, digest in totals.values())


def _database(settings: Settings) -> Database:
    return audit_database(settings, "writer")


def _rows(connection: MySQLConnectionAbstract, statement: str, *parameters: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
