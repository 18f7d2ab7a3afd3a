"""Reading the queue of a source: ticks, and the events between two of them.

Events are told apart by what two stored snapshots see, never by their numbers: numbers are committed out of order, so a
cursor on them loses events. The events of a range and their order never change, so any reader may repeat a range.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2 import extensions

# Transactions that the first snapshot did not know yet, and those that it saw running and the second saw finished;
# `size` is the space that the images take in the queue. The order keeps a transaction whole and the versions of a row
# in the order they were written: whoever changes a row second gets an event number only after the first has committed.
KEYS = """
    WITH l AS (SELECT snap FROM audit.tick WHERE tick_id = %(after)s),
    c AS (SELECT snap FROM audit.tick WHERE tick_id = %(upto)s),
    e AS (
        SELECT q.slot, q.event_id, q.xid, q.table_name, q.op,
            coalesce(pg_column_size(q.old), 0) + coalesce(pg_column_size(q.new), 0) AS size
        FROM audit.queue q, l, c
        WHERE q.xid >= pg_snapshot_xmax(l.snap) AND q.xid < pg_snapshot_xmax(c.snap)
            AND pg_visible_in_snapshot(q.xid, c.snap)
        UNION ALL
        SELECT q.slot, q.event_id, q.xid, q.table_name, q.op,
            coalesce(pg_column_size(q.old), 0) + coalesce(pg_column_size(q.new), 0) AS size
        FROM audit.queue q, l, c
        WHERE q.xid < pg_snapshot_xmax(l.snap) AND q.xid = ANY (ARRAY(
            SELECT x FROM l, pg_snapshot_xip(l.snap) x EXCEPT SELECT x FROM c, pg_snapshot_xip(c.snap) x))
    )
    SELECT slot, event_id, xid::text, table_name, op, size, max(event_id) OVER (PARTITION BY xid) AS m
    FROM e ORDER BY m, event_id
"""

# The fields of an event as JSON, in the order of its digest. What is digested is the text of the JSON array of them;
# joining texts gives the same bytes as building the array of images that are JSON themselves, at a third of the cost.
_DIGESTED = (
    "event_id",
    "to_json(xid)",
    "(extract(epoch FROM occurred_at) * 1000000)::bigint",
    *(f"to_json({name})" for name in ("kind", "op", "schema_name", "table_name", "class", "pk")),
    "old",
    "new",
    "to_json(ctx)",
    "detail",
    *(f"to_json({name})" for name in ("db_user", "set_role", "client_addr", "app_name")),
    "pid",
    "to_json(nonce)",
)
_DIGEST = ", ".join(f"coalesce({field}::text, 'null')" for field in _DIGESTED)

# One look-up by the whole key for each event. OFFSET 0 keeps the planner from any other way: what it knows of a slot
# may be from before the day that filled it, and a plan that suits an empty slot reads all of it for each part.
EVENTS = f"""
    SELECT slot, event_id, xid, occurred_at, kind, op, schema_name, table_name, class, pk, old, new, ctx, detail,
        db_user, set_role, client_addr, app_name, pid,
        sha256(convert_to('[' || concat_ws(', ', {_DIGEST}) || ']', 'UTF8'))
    FROM (
        SELECT slot, q.event_id, xid::text, occurred_at, kind, op, schema_name, table_name, class, pk, old::text,
            new::text, ctx, detail::text, db_user, set_role, host(client_addr) AS client_addr, app_name, pid, nonce
        FROM unnest(%(ids)s::bigint[]) wanted (event_id) CROSS JOIN LATERAL (
            SELECT * FROM audit.queue
            WHERE slot = %(slot)s::smallint AND event_id = wanted.event_id OFFSET 0
        ) q OFFSET 0
    ) e
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class EventKey:
    """Where an event stands, and what is needed to count bulk operations; `xid` is its top-level transaction."""

    slot: int
    event_id: int
    xid: int
    table_name: str | None
    op: str


@dataclass(frozen=True, slots=True)
class Event:
    """One event; images and detail are JSON texts with numbers as PostgreSQL prints them, `occurred_at` is UTC."""

    slot: int
    event_id: int
    xid: int
    occurred_at: datetime
    kind: str
    op: str
    schema_name: str | None
    table_name: str | None
    table_class: str | None
    pk: str | None
    old: str | None
    new: str | None
    ctx: str | None
    detail: str | None
    db_user: str
    set_role: str | None
    client_addr: str | None
    app_name: str | None
    pid: int | None
    digest: bytes
    """SHA-256 over all of it and a salt that never leaves PostgreSQL."""


def make_tick(connection: extensions.connection) -> tuple[int, bool]:
    """The newest tick and whether it was made now; `connection` is in autocommit and READ COMMITTED."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tick_id, made FROM audit.make_tick()")
        (found,) = cursor.fetchall()
        return found


def event_keys(connection: extensions.connection, after: int, upto: int) -> list[EventKey]:
    """The events that tick `upto` sees and tick `after` does not, in the order to deliver them."""
    with connection.cursor() as cursor:
        cursor.execute(KEYS, {"after": after, "upto": upto})
        return [EventKey(slot, number, int(xid), table, op) for slot, number, xid, table, op, *_ in cursor.fetchall()]


def read_events(connection: extensions.connection, keys: Sequence[EventKey]) -> list[Event]:
    """These events in full, in the order of `keys`.

    Raises:
        LookupError: the queue no longer holds one of them.
    """
    rows: list[tuple[Any, ...]] = []
    with connection.cursor() as cursor:
        for slot, ids in by_slot(keys).items():
            cursor.execute(EVENTS, {"slot": slot, "ids": ids})
            rows += cursor.fetchall()
    return in_order(rows, keys)


def by_slot(keys: Iterable[EventKey]) -> dict[int, list[int]]:
    """Slot → the numbers of its events, as `EVENTS` wants them; nearly always there is only one slot."""
    found: dict[int, list[int]] = {}
    for key in keys:
        found.setdefault(key.slot, []).append(key.event_id)
    return found


def in_order(rows: Iterable[tuple[Any, ...]], keys: Sequence[EventKey]) -> list[Event]:
    """Rows of `EVENTS` as events in the order of `keys`.

    Raises:
        LookupError: an event is missing.
    """
    found = {(row[0], row[1]): event_of(row) for row in rows}
    try:
        return [found[key.slot, key.event_id] for key in keys]
    except KeyError as error:
        raise LookupError(f"the queue holds no event (slot, number) = {error}") from None


def event_of(row: tuple[Any, ...]) -> Event:
    """A row of `EVENTS` as an event."""
    slot, number, xid, *rest, digest = row
    return Event(slot, number, int(xid), *rest, bytes(digest))  # pyright: ignore[reportCallIssue]
