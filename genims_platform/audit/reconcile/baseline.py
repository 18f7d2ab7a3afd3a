"""The audited tables of a source as they are, against their last baseline and what was captured since.

A change that no trigger saw is in neither queue nor ledger; it shows only here.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import psycopg2
from mysql.connector.abstracts import MySQLConnectionAbstract
from psycopg2 import extensions

from genims_platform.audit.capture.suspensions import read_windows
from genims_platform.audit.database import audit_database
from genims_platform.audit.reconcile.comparison import Comparison, Status
from genims_platform.audit.reconcile.source import ReconciliationError, newest_incarnation
from genims_platform.settings import Settings
from genims_platform.sources.connection import connect

ATTEMPTS = 10
"""A table that was emptied or rewritten after the snapshot is counted again in a newer one."""

SHORTEST_REACH = timedelta(days=1)
"""The queue is whole for a day at least; a day of what it keeps is left out for transactions that took long."""

_ROW_SUM = "coalesce(('x' || encode(substr(sha256(convert_to({}::text, 'UTF8')), 1, 7), 'hex'))::bit(56)::bigint, 0)"

# Who empties a table waits until all who wrote to it have ended, and they for him: what was captured before counts no
# more. The two parts are the transactions that the first snapshot did not know yet, and those it saw running.
_EFFECTS = f"""
    WITH roots AS (
        SELECT DISTINCT ON (leaf.relname) leaf.relname AS leaf, root.relname AS root
        FROM pg_class leaf JOIN pg_class root ON root.oid = pg_partition_root(leaf.oid)
        WHERE leaf.relispartition AND leaf.relkind = 'r' AND leaf.relnamespace <> 'audit'::regnamespace
        ORDER BY leaf.relname
    ), q AS (
        SELECT * FROM audit.queue
        WHERE xid >= pg_snapshot_xmax(%(after)s::pg_snapshot) AND kind IN ('ROW', 'TRUNCATE')
        UNION ALL
        SELECT * FROM audit.queue
        WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip(%(after)s::pg_snapshot))) AND kind IN ('ROW', 'TRUNCATE')
    ), e AS MATERIALIZED (
        SELECT coalesce(r.root, q.table_name)::text AS name, q.kind, q.op, q.event_id,
            {_ROW_SUM.format("new")} - {_ROW_SUM.format("old")} AS digest
        FROM q LEFT JOIN roots r ON r.leaf = q.table_name WHERE pg_visible_in_snapshot(q.xid, %(upto)s::pg_snapshot)
    ), emptied AS (SELECT name, max(event_id) AS event_id FROM e WHERE kind = 'TRUNCATE' GROUP BY name)
    SELECT e.name, bool_or(t.event_id IS NOT NULL),
        count(*) FILTER (WHERE e.op = 'INSERT') - count(*) FILTER (WHERE e.op = 'DELETE'),
        coalesce(sum(e.digest) FILTER (WHERE e.kind = 'ROW'), 0)
    FROM e LEFT JOIN emptied t USING (name) WHERE t.event_id IS NULL OR e.event_id >= t.event_id GROUP BY e.name
"""  # noqa: S608 (expressions of this module)
_MARKS = """
    SELECT table_name, op, occurred_at, detail FROM audit.queue
    WHERE kind = 'MARK' AND op IN ('BASELINE', 'SUSPENDED', 'RESUMED') AND table_name IS NOT NULL ORDER BY event_id
"""
_TABLES = "SELECT schema_name, table_name FROM audit.policy ORDER BY 1, 2"
_NOW = "SELECT pg_current_snapshot()::text, clock_timestamp(), (SELECT max(tick_id) FROM audit.tick)"
_RECORDED = """
    SELECT table_name, status, expected_count, expected_digest, actual_count, actual_digest, tick_to, detail
    FROM audit_trail_completeness
    WHERE check_type = 'BASELINE' AND checked_source = %s AND checked_incarnation = %s AND table_name IS NOT NULL
    ORDER BY audit_sequence, item_no
"""

State = tuple[int, int]
"""Rows, and the sum of their digests."""


@dataclass(frozen=True)
class _Point:
    """A state of a table that is known: when, what the database saw, and with which columns it was digested."""

    snapshot: str
    at: datetime
    state: State
    image: str | None
    tick: int | None = None


@dataclass(frozen=True)
class _Effect:
    emptied: bool
    number: int
    digest: int

    def on(self, state: State) -> State:
        """What the captured changes make of a state."""
        before = (0, 0) if self.emptied else state
        return before[0] + self.number, before[1] + self.digest


_ENDLESS = datetime.max.replace(tzinfo=UTC)
_REWRITTEN = "it was emptied or rewritten again and again while it was read"
_NOTHING = _Effect(emptied=False, number=0, digest=0)


def reconcile_baseline(settings: Settings, source: str) -> list[Comparison]:
    """Each audited table of a source: its rows now against the last baseline and what was captured since.

    Right while applications write: rows and captured changes are read in one snapshot. The result is itself the next
    baseline, so comparisons have to follow each other before the queue forgets what was between them.

    Raises:
        ReconciliationError: capture in the source is older than this version.
        SourceUnavailableError: the source cannot be reached.
        DatabaseUnavailableError: the audit database cannot be reached.
    """
    database = audit_database(settings, "writer")
    try:
        with database.connection() as connection:
            incarnation = newest_incarnation(connection, source)
            if incarnation is None:
                return []
            recorded = _recorded(connection, source, incarnation)
        reach = max(SHORTEST_REACH, timedelta(days=settings.audit_queue_keep_days - 1))
        found: dict[str, list[Comparison]] = {}
        with closing(connect(settings.audit_relay(source))) as queue:
            queue.set_session(isolation_level=extensions.ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)
            wanted: set[str] | None = None
            for _ in range(ATTEMPTS):
                found |= _compare(queue, source, incarnation, recorded, reach, wanted)
                wanted = {table for table, (one, *_) in found.items() if (one.notes or {}).get("reason") == _REWRITTEN}
                if not wanted:
                    break
        return [comparison for table in sorted(found) for comparison in found[table]]
    except (psycopg2.errors.UndefinedFunction, psycopg2.errors.InsufficientPrivilege):
        raise ReconciliationError(
            f"{source}: capture has no audit.count_rows; run `genims audit install --source {source}`"
        ) from None
    finally:
        database.close()


def _compare(
    queue: extensions.connection,
    source: str,
    incarnation: int,
    recorded: Mapping[str, _Point],
    reach: timedelta,
    wanted: set[str] | None,
) -> dict[str, list[Comparison]]:
    """The tables (all, or those `wanted`) as one snapshot sees them."""
    with queue, queue.cursor() as cursor:
        # Before the snapshot: who empties a slot of the queue does not ask who still reads it.
        cursor.execute("LOCK TABLE audit.queue IN ACCESS SHARE MODE")
        cursor.execute(_NOW)
        ((snapshot, at, tick),) = cursor.fetchall()
        cursor.execute(_TABLES)
        tables = [place for place in cursor.fetchall() if wanted is None or place[1] in wanted]
        marks = _marks(cursor)

        @cache
        def effects(after: str, upto: str) -> Mapping[str, _Effect]:
            cursor.execute(_EFFECTS, {"after": after, "upto": upto})
            return {
                name: _Effect(emptied, int(number), int(digest)) for name, emptied, number, digest in cursor.fetchall()
            }

        done: dict[str, list[Comparison]] = {}
        for schema, table in tables:
            cursor.execute("SELECT number, digest, image, as_seen FROM audit.count_rows(%s, %s)", (schema, table))
            ((number, digest, image, as_seen),) = cursor.fetchall()
            now = _Point(snapshot, at, (int(number), int(digest)), image, tick)
            if not as_seen:
                done[table] = [_unseen(source, incarnation, table, now)]
                continue
            known = marks.get(table, _Marks())
            history = [*known.since(recorded.get(table), at - reach), now]
            done[table] = [
                Comparison(
                    "BASELINE",
                    source,
                    incarnation,
                    table,
                    before.tick if before else None,
                    after.tick,
                    None,
                    None,
                    expected,
                    after.state,
                    notes={"at": after.at.isoformat(), "image": after.image, "snapshot": after.snapshot, **note},
                    verdict=verdict,
                )
                for before, after, expected, verdict, note in _follow(table, history, known, effects)
            ]
        return done


def _unseen(source: str, incarnation: int, table: str, now: _Point) -> Comparison:
    notes = {"reason": _REWRITTEN}
    return Comparison("BASELINE", source, incarnation, table, None, now.tick, None, None, None, now.state, notes=notes)


@dataclass
class _Marks:
    """What the queue says of a table beside its changes."""

    baselines: list[_Point] = field(default_factory=list[_Point])
    suspended: list[tuple[datetime, datetime]] = field(default_factory=list[tuple[datetime, datetime]])

    def since(self, recorded: _Point | None, oldest: datetime) -> list[_Point]:
        """The last comparison and the baselines after it, as far back as the queue is whole."""
        start = [recorded] if recorded else []
        later = [point for point in self.baselines if recorded is None or point.at > recorded.at]
        return [point for point in (*start, *later) if point.at >= oldest]

    def interrupted(self, before: _Point, after: _Point) -> bool:
        """Whether capture was suspended between two points, with leave."""
        return any(start < after.at and end > before.at for start, end in self.suspended)


def _marks(cursor: extensions.cursor) -> dict[str, _Marks]:
    cursor.execute(_MARKS)
    found: dict[str, _Marks] = {}
    for table, op, at, detail in cursor.fetchall():
        marks = found.setdefault(table, _Marks())
        if op == "SUSPENDED":
            marks.suspended.append((at, _ENDLESS))
        elif op == "RESUMED" and marks.suspended:
            marks.suspended[-1] = marks.suspended[-1][0], at
        elif op == "BASELINE":
            state = int(detail["rows"]), int(detail["digest"])
            marks.baselines.append(_Point(detail["snapshot"], at, state, detail.get("image")))
    for table, windows in read_windows(cursor).items():  # which outlast the queue
        marks = found.setdefault(table, _Marks())
        marks.suspended += ((window.since, window.until or _ENDLESS) for window in windows)
    return found


_Step = tuple[_Point | None, _Point, State | None, Status | None, Mapping[str, object]]


def _follow(
    table: str, history: Sequence[_Point], marks: _Marks, effects: Callable[[str, str], Mapping[str, _Effect]]
) -> Iterator[_Step]:
    """From each known state to the next one: what the captured changes lead to, and what that says."""
    if len(history) == 1:
        yield None, history[0], None, None, {"reason": "no earlier state that the queue still leads on from"}
    for before, after in pairwise(history):
        effect = effects(before.snapshot, after.snapshot).get(table, _NOTHING)
        expected = effect.on(before.state)
        same_columns = before.image is None or after.image is None or before.image == after.image
        if marks.interrupted(before, after):
            yield before, after, expected, "SUSPENDED", {"reason": "capture was suspended"}
        elif not same_columns and expected[0] == after.state[0]:
            yield before, after, None, None, {"reason": "its columns are others than before"}
        else:
            yield before, after, expected, None, {}


def _recorded(connection: MySQLConnectionAbstract, source: str, incarnation: int) -> dict[str, _Point]:
    """The newest comparison of each table; it goes on from what was expected, so a difference does not close itself."""
    with connection.cursor() as cursor:
        cursor.execute(_RECORDED, (source, incarnation))
        rows: list[Any] = cursor.fetchall()
    found: dict[str, _Point] = {}
    for table, status, expected, expected_digest, actual, actual_digest, tick, detail in rows:
        said = json.loads(detail)
        if "snapshot" not in said:
            continue
        mismatch = status == "MISMATCH"
        state = (expected, expected_digest) if mismatch else (actual, actual_digest)
        at = datetime.fromisoformat(said["at"])
        found[table] = _Point(said["snapshot"], at, (int(state[0]), int(state[1])), said["image"], tick)
    return found
