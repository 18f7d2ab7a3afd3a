"""Every stored value of some events, or of all of one day, against the queue of their source."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, datetime, timedelta
from typing import Any

from mysql.connector.abstracts import MySQLConnectionAbstract
from psycopg2 import extensions

from genims_platform.audit.database import audit_database
from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.reconcile.comparison import LISTED_EVENTS, Comparison, Difference
from genims_platform.audit.reconcile.source import DeliveredRange, delivered_range, partitions, queued_events
from genims_platform.audit.reconcile.stored_values import TABLES, Reader, Row
from genims_platform.mysql.append_only import LEDGER
from genims_platform.mysql.connection import identifier
from genims_platform.settings import Settings
from genims_platform.sources.connection import connect

SAMPLE = 1000
EVENTS_AT_ONCE = 250
"""Images may be large, so few of them are held at a time."""

_NAMED_PLACES = 20
_OVERSAMPLED = 4
_ENDS = """
    SELECT min(lowest), max(highest) FROM generate_series(0, 31) s, LATERAL (SELECT
        (SELECT event_id FROM audit.queue WHERE slot = s ORDER BY event_id LIMIT 1) AS lowest,
        (SELECT event_id FROM audit.queue WHERE slot = s ORDER BY event_id DESC LIMIT 1) AS highest) ends
"""
_OF_RANGE = f"FROM {LEDGER} WHERE audit_sequence BETWEEN %s AND %s AND source_db = %s AND incarnation = %s"


def reconcile_deep(
    settings: Settings, source: str, *, sample: int = SAMPLE, day: date | None = None
) -> Comparison | None:
    """A random sample of the events of a source that its queue still holds, or all that were recorded on a UTC day.

    None if there is nothing to compare. Personal values are decrypted and compared, never kept.

    Raises:
        SourceUnavailableError: the source cannot be reached.
        DatabaseUnavailableError: the audit database cannot be reached.
        KeyStoreUnavailableError: the keys of persons cannot be reached.
        KeySettingsError: no store of keys is set up here.
    """
    database = audit_database(settings, "writer")
    try:
        with (
            database.connection() as connection,
            closing(connect(settings.audit_relay(source), autocommit=True)) as queue,
            closing(key_store(settings)) as keys,
        ):
            place = _range(connection, settings, source, day)
            if place is None:
                return None
            reader = Reader(source, place.incarnation, audit_policy(), keys, partitions(queue))
            pieces = _day(connection, place) if day else _sample(connection, queue, place, sample)
            return _compare(connection, queue, place, reader, pieces)
    finally:
        database.close()


def _range(
    connection: MySQLConnectionAbstract, settings: Settings, source: str, day: date | None
) -> DeliveredRange | None:
    if day is None:
        return delivered_range(connection, source, timedelta(days=settings.audit_queue_keep_days))
    start = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - the audit database has naive UTC only
    return delivered_range(connection, source, start, start + timedelta(days=1))


def _day(connection: MySQLConnectionAbstract, place: DeliveredRange) -> Iterator[dict[int, int]]:
    """Number in the ledger → event, in pieces."""
    after = (place.first or 1) - 1
    while piece := _numbers(
        connection, f"{_OF_RANGE} ORDER BY audit_sequence LIMIT {EVENTS_AT_ONCE}", place, after + 1
    ):
        yield piece
        after = max(piece)


def _sample(
    connection: MySQLConnectionAbstract, queue: extensions.connection, place: DeliveredRange, size: int
) -> Iterator[dict[int, int]]:
    with queue.cursor() as cursor:
        cursor.execute(_ENDS)
        ((lowest, highest),) = cursor.fetchall()
    if lowest is None:
        return
    numbers = range(lowest, highest + 1)
    # What was rolled back has taken numbers too.
    drawn = random.sample(numbers, min(len(numbers), _OVERSAMPLED * size))
    for start in range(0, len(drawn), EVENTS_AT_ONCE):
        some = drawn[start : start + EVENTS_AT_ONCE]
        marks = ", ".join(["%s"] * len(some))
        found = _numbers(connection, f"{_OF_RANGE} AND event_id IN ({marks})", place, place.first or 1, *some)
        kept = dict(list(found.items())[:size])
        size -= len(kept)
        yield kept
        if not size:
            return


def _numbers(
    connection: MySQLConnectionAbstract, condition: str, place: DeliveredRange, first: int, *more: int
) -> dict[int, int]:
    values = (first, place.last or 0, place.source, place.incarnation, *more)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT audit_sequence, event_id {condition}", values)
        rows: list[Any] = cursor.fetchall()
    return {int(sequence): int(event) for sequence, event in rows}


def _compare(
    connection: MySQLConnectionAbstract,
    queue: extensions.connection,
    place: DeliveredRange,
    reader: Reader,
    pieces: Iterator[dict[int, int]],
) -> Comparison:
    expected = actual = expected_sum = actual_sum = 0
    unexpected: list[int] = []
    differing: dict[int, list[str]] = {}
    altered: list[int] = []
    for piece in pieces:
        if not piece:
            continue
        queued = {event.event_id: event for event in queued_events(queue, list(piece.values()))}
        for sequence, stored in _stored(connection, list(piece)).items():
            event = queued.get(piece[sequence])
            actual += 1
            actual_sum += _first_bits(stored[LEDGER][0]["event_digest"])
            if event is None:
                unexpected.append(piece[sequence])
                continue
            expected += 1
            expected_sum += _first_bits(event.digest)
            if places := reader.differences(event, stored):
                altered.append(event.event_id)
                if len(differing) < LISTED_EVENTS:
                    differing[event.event_id] = places[:_NAMED_PLACES]
    return Comparison(
        "DEEP",
        place.source,
        place.incarnation,
        None,
        place.tick_from,
        place.tick_to,
        place.first,
        place.last,
        (expected, expected_sum),
        (actual, actual_sum),
        Difference(unexpected=tuple(sorted(unexpected)), altered=tuple(sorted(altered))),
        notes={"differing": differing, "unreadable": reader.unreadable},
    )


def _stored(connection: MySQLConnectionAbstract, sequences: Sequence[int]) -> dict[int, dict[str, list[Row]]]:
    """Number → the rows of its event by table."""
    found: dict[int, dict[str, list[Row]]] = {sequence: defaultdict(list) for sequence in sequences}
    marks = ", ".join(["%s"] * len(sequences))
    for table in TABLES:
        with connection.cursor(dictionary=True) as cursor:
            cursor.execute(
                f"SELECT * FROM {identifier(table)} WHERE audit_sequence IN ({marks}) "  # noqa: S608
                "ORDER BY audit_sequence, item_no",
                tuple(sequences),
            )
            rows: list[Any] = cursor.fetchall()
        for row in rows:
            found[row["audit_sequence"]][table].append(row)
    return found


def _first_bits(digest: bytes) -> int:
    return int.from_bytes(bytes(digest[:7]))
