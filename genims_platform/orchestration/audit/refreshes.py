"""What finished runs did to the reporting tables, found in Dagster's event log after the fact."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import dagster as dg
from dagster import DagsterEventType as EventType
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from genims_platform.audit.sync_log import TableRefresh
from genims_platform.orchestration.backfill import failure_reason
from genims_platform.orchestration.closes import HOUR, WINDOW_END, WINDOW_START
from genims_platform.orchestration.keys import reporting_key
from genims_platform.orchestration.partitions import hour_of

_STEP_EVENTS = {EventType.STEP_START, EventType.STEP_SUCCESS, EventType.STEP_FAILURE}
_SLACK_SECONDS = 1e-3
"""Events of one step may carry the same instant; bounds of a query are exclusive."""


def table_refreshes(instance: dg.DagsterInstance, record: dg.RunRecord, tables: set[str]) -> list[TableRefresh]:
    """One for each of these tables that a finished run began to refresh, in the order it began them."""
    run = record.dagster_run
    ended = record.end_time or record.update_timestamp.timestamp()
    window = _window(run.tags) or (_utc(record.start_time or ended), _utc(ended))
    steps: dict[str, dict[EventType, dg.EventLogEntry]] = {}
    for entry in instance.all_logs(run.run_id, of_type=_STEP_EVENTS):
        event = entry.get_dagster_event()
        if event.step_key is not None:
            # A step that is tried again ends with its last attempt.
            steps.setdefault(event.step_key, {})[event.event_type] = entry
    prefix = f"{run.job_name}_"
    return [
        _refresh(instance, run.run_id, table, events, window, ended)
        for step, events in steps.items()
        if (table := step if step in tables else step.removeprefix(prefix)) in tables
    ]


def _refresh(
    instance: dg.DagsterInstance,
    run_id: str,
    table: str,
    events: Mapping[EventType, dg.EventLogEntry],
    window: tuple[datetime, datetime],
    run_ended: float,
) -> TableRefresh:
    failed = events.get(EventType.STEP_FAILURE)
    finish = events.get(EventType.STEP_SUCCESS, failed)
    finished = finish.timestamp if finish else run_ended
    started = events[EventType.STEP_START].timestamp if EventType.STEP_START in events else finished
    facts = _facts(failed) if failed else dict[str, object]()
    error = failure_reason(failed.get_dagster_event()) if failed else None
    if finish is None:
        error = "the run ended before the table was refreshed"
    elif not failed:
        for metadata in _recorded(instance, run_id, table, started, finished):
            facts = metadata
            break
    if WINDOW_START in facts:
        window = datetime.fromisoformat(str(facts[WINDOW_START])), datetime.fromisoformat(str(facts[WINDOW_END]))
    return TableRefresh(
        table=table,
        finished_at=_utc(finished),
        window_start=window[0],
        window_end=window[1],
        rows_read=_number(facts, "source_rows_read"),
        rows_published=_number(facts, "rows_published"),
        seconds=round(finished - started, 3),
        error=error,
    )


def _recorded(
    instance: dg.DagsterInstance, run_id: str, table: str, started: float, finished: float
) -> Iterator[dict[str, object]]:
    """What the run said of its refresh: a close as an observation, others with the materialisation of the last hour."""
    bounds = dg.AssetRecordsFilter(
        reporting_key(table),
        after_timestamp=started - _SLACK_SECONDS,
        before_timestamp=finished + _SLACK_SECONDS,
    )
    for fetch in (instance.fetch_observations, instance.fetch_materializations):
        for found in fetch(bounds, limit=1).records:
            said = found.asset_observation or found.asset_materialization
            if said is not None and found.event_log_entry.run_id == run_id:
                yield {name: value.value for name, value in said.metadata.items()}


def _facts(failure: dg.EventLogEntry) -> dict[str, object]:
    said = failure.get_dagster_event().step_failure_data.user_failure_data
    return {name: value.value for name, value in said.metadata.items()} if said else {}


def _window(tags: Mapping[str, str]) -> tuple[datetime, datetime] | None:
    """The hours [start, end) of a run with these tags."""
    first = tags.get(ASSET_PARTITION_RANGE_START_TAG) or tags.get(PARTITION_NAME_TAG)
    last = tags.get(ASSET_PARTITION_RANGE_END_TAG) or first
    return None if first is None or last is None else (hour_of(first), hour_of(last) + HOUR)


def _number(facts: Mapping[str, object], name: str) -> int:
    value = facts.get(name, 0)
    return int(value) if isinstance(value, int | float) else 0


def _utc(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC).replace(tzinfo=None)
