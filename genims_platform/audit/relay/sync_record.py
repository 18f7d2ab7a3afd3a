"""What the relay records about its own delivery: one row a source and interval in `audit_etl_sync_log`."""

from collections.abc import Mapping
from datetime import datetime

from genims_platform.audit.ledger.control import Fact
from genims_platform.audit.ledger.entries import Columns, Value
from genims_platform.audit.relay.figures import Figures, SourceFigures, SourceState
from genims_platform.audit.sync_log import IDLE

TABLE = "audit_etl_sync_log"
LAGGING_EVENTS = 1000
LAGGING_MS = 5000

_MESSAGE_CHARACTERS = 1000


def sync_status(state: SourceState, figures: SourceFigures) -> str:
    """OK, IDLE, LAGGING or HALTED."""
    if state.halted:
        return "HALTED"
    if state.problem or state.depth > LAGGING_EVENTS or (state.oldest_ms or 0) > LAGGING_MS:
        return "LAGGING"
    return "OK" if figures.events else "IDLE"


def sync_fact(
    figures: Figures,
    states: Mapping[str, SourceState],
    started: datetime,
    ended: datetime,
    *,
    writer_id: str,
    lost_races: int,
    reconnects: int,
    before: Mapping[str, str],
    even_if_idle: bool,
) -> tuple[Fact | None, dict[str, str]]:
    """The record of one window, None if there is nothing to say; and the status of each source.

    Args:
        figures: what was committed in the window.
        states: every source as it is now.
        started: begin of the window, UTC.
        ended: its end.
        writer_id: names the relay.
        lost_races: in the window; they belong to no source, so they stand in the first row.
        reconnects: to either side, in the window; as above.
        before: status of each source at the end of the last window.
        even_if_idle: whether a window without events is recorded too.
    """
    statuses: dict[str, str] = {}
    rows: list[Columns] = []
    for source, state in states.items():
        own = figures.sources.get(source, SourceFigures())
        status = statuses[source] = sync_status(state, own)
        # A source that comes and goes between OK and IDLE changed nothing that anybody has to know.
        same = {status, before.get(source, "IDLE")} <= {"OK", "IDLE"}
        if own.batches or not same:
            rows.append(_row(source, own, state, status))
    if not rows and not even_if_idle:
        return None, statuses
    if not rows:
        depth = sum(state.depth for state in states.values())
        rows.append(_row(IDLE, SourceFigures(), SourceState(depth, None, None, None, None), "IDLE"))
    common: dict[str, Value] = {
        "sync_timestamp": ended,
        "window_start": started,
        "window_end": ended,
        "writer_id": writer_id,
    }
    complete = [{**row, **common} for row in rows]
    complete[0] |= {"lost_races": lost_races, "reconnects": reconnects}
    return Fact("SYNC", "genims-audit-relay", tuple((TABLE, row) for row in complete)), statuses


def _row(source: str, own: SourceFigures, state: SourceState, status: str) -> dict[str, Value]:
    latency = own.latency.summary()
    message = state.halted or state.problem
    return {
        "synced_source": source,
        "batches": own.batches,
        "events_delivered": own.events,
        "rows_written": own.rows,
        "quarantined": own.quarantined,
        "lost_races": 0,
        "reconnects": 0,
        "queue_depth": state.depth,
        "oldest_undelivered_ms": state.oldest_ms,
        "latency_p50_ms": latency.p50_ms,
        "latency_p99_ms": latency.p99_ms,
        "latency_max_ms": latency.max_ms,
        "last_tick": state.last_tick,
        "sync_status": status,
        "error_message": message[:_MESSAGE_CHARACTERS] if message else None,
    }
