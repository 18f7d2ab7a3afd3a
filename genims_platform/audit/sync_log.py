"""The table `audit_etl_sync_log`: what it says of the relay's delivery, and the refreshes of reporting tables in it."""

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.ledger.control import Appender, Fact
from genims_platform.audit.ledger.entries import Columns
from genims_platform.mysql.connection import Database
from genims_platform.settings import SOURCE_NAMES, Settings

TABLE = "audit_etl_sync_log"

IDLE = "*"
"""Stands for all sources in the record of a window without events."""

# Refreshes of reporting tables stand in it too, under the names of those tables.
_HEALTH = """
    SELECT CAST(COUNT(*) AS SIGNED), MAX(latency_p99_ms), MAX(queue_depth),
        GROUP_CONCAT(DISTINCT IF(sync_status = 'HALTED', synced_source, NULL) ORDER BY synced_source)
    FROM audit_etl_sync_log WHERE synced_source IN ({sources}) AND sync_timestamp >= %s
"""


@dataclass(frozen=True)
class DeliveryHealth:
    """What relays recorded: how many records, the worst 99th percentile (ms) and depth in them, halted sources."""

    records: int
    latency_p99_ms: int | None
    queue_depth: int | None
    halted: tuple[str, ...]


def delivery_health(database: Database, since: datetime) -> DeliveryHealth:
    """What relays recorded since the naive UTC instant."""
    statement = _HEALTH.format(sources=", ".join(["%s"] * (1 + len(SOURCE_NAMES))))
    records, latency, depth, halted = database.read(statement, (IDLE, *SOURCE_NAMES, since)).row(0)
    return DeliveryHealth(records, latency, depth, tuple(halted.split(",")) if halted else ())


@dataclass(frozen=True)
class TableRefresh:
    """One refresh of a reporting table by a run; instants are naive UTC, the window is [start, end).

    `error` says why the table keeps its old rows, None if it was published.
    """

    table: str
    finished_at: datetime
    window_start: datetime
    window_end: datetime
    rows_read: int
    rows_published: int
    seconds: float
    error: str | None = None


_ENTERED = """
    SELECT 1 FROM audit_etl_sync_log WHERE synced_source = %s AND sync_timestamp = %s AND run_id = %s LIMIT 1
"""
_PATIENCE_SECONDS = 5.0
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_LONGEST_ERROR = 200


def record_refreshes(settings: Settings, job: str, run_id: str, refreshes: Sequence[TableRefresh]) -> int:
    """Enter the refreshes of one run as one event, unless they are there already; returns how many were entered.

    Raises:
        AuditUnavailableError: the audit database cannot be reached; call again later.
        HaltError: the trail has not begun.
        UnstorableError: a value does not fit its column.
    """
    if not refreshes:
        return 0
    with closing(open_ledger(settings, "writer")) as ledger:
        first = refreshes[0]
        if ledger.query(_ENTERED, (first.table, first.finished_at, run_id)):
            return 0
        fact = Fact(
            "SYNC",
            operator=f"dagster:{job}",
            details=tuple((TABLE, _row(job, run_id, refresh)) for refresh in refreshes),
            payload={"job": job, "seconds": {refresh.table: str(refresh.seconds) for refresh in refreshes}},
            run_id=run_id,
        )
        Appender(ledger, patience=_PATIENCE_SECONDS).record([fact])
    return len(refreshes)


def _row(job: str, run_id: str, refresh: TableRefresh) -> Columns:
    return {
        "sync_timestamp": refresh.finished_at,
        "window_start": refresh.window_start,
        "window_end": refresh.window_end,
        "synced_source": refresh.table,
        "writer_id": f"dagster:{job}",
        "run_id": run_id,
        "batches": 0,
        "events_delivered": refresh.rows_read,
        "rows_written": refresh.rows_published,
        "quarantined": 0,
        "lost_races": 0,
        "reconnects": 0,
        "sync_status": "OK" if refresh.error is None else "FAILED",
        "error_message": None if refresh.error is None else _without_values(refresh.error),
    }


def _without_values(error: str) -> str:
    """The first line of an error without what stands in quotes, which may be a value of somebody's row."""
    return _QUOTED.sub("'…'", error.strip().partition("\n")[0])[:_LONGEST_ERROR]
