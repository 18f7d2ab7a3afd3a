"""What became of the hours of partitioned assets, found in Dagster's event log with a few statements for all assets.

Dagster's own way parses thousands of partition keys for each asset and knows nothing of the hours that a run planned,
because a run plans them as one range.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeGuard

import dagster as dg
from dagster._core.definitions.partitions.subset import PartitionsSubset, TimeWindowPartitionsSubset
from dagster._core.storage.partition_status_cache import AssetStatusCacheValue
from dagster._serdes import deserialize_value
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from genims_platform.orchestration.partitions import KEY_FORMAT, hour_of, key_of, naive_utc

HOUR = timedelta(hours=1)

ABANDONED_AFTER = timedelta(hours=6)
"""A run that has written nothing for so long has lost its process and counts as failed."""

OVERLAP = 20_000
"""Events read again before the cursor: a batch takes its ids first, and may commit after a batch with later ones."""

# The innermost subquery groups a range of an index, so nothing is read of the events themselves. Keys sort as hours do.
_PUBLISHED = """
    SELECT number, min(hour), max(hour), max(id)
    FROM (
        SELECT number, hour, id, hour - row_number() OVER (PARTITION BY number ORDER BY hour) * interval '1 hour' AS gap
        FROM (
            SELECT number, (left(partition, 10) || ' ' || right(partition, 5))::timestamp AS hour, id
            FROM unnest(%(keys)s, %(after)s, %(firsts)s, %(lasts)s) WITH ORDINALITY
                AS wanted (asset_key, after, first, last, number)
            CROSS JOIN LATERAL (
                SELECT partition, max(id) AS id FROM event_logs
                WHERE event_logs.asset_key = wanted.asset_key AND dagster_event_type = 'ASSET_MATERIALIZATION'
                  AND partition BETWEEN wanted.first AND wanted.last AND id > wanted.after
                  AND id > %(least)s -- lets the planner choose the index by the number of events to read
                GROUP BY partition
            ) AS published
            WHERE partition ~ '^\\d{4}-\\d\\d-\\d\\d-\\d\\d:00$'
        ) AS hours
    ) AS numbered
    GROUP BY number, gap ORDER BY number, gap
"""
# Hours are planned before a run starts, so the search for them ends where it does.
_ATTEMPTS = """
    SELECT planned.asset_key, planned.id, runs.run_id, planned.event,
           runs.status = 'FAILURE' OR newest.timestamp < (now() AT TIME ZONE 'utc') - %(abandoned)s AS failed
    FROM runs CROSS JOIN LATERAL (
        SELECT id, timestamp FROM event_logs WHERE event_logs.run_id = runs.run_id ORDER BY id DESC LIMIT 1
    ) AS newest LEFT JOIN LATERAL (
        SELECT id FROM event_logs
        WHERE event_logs.run_id = runs.run_id AND dagster_event_type = 'PIPELINE_START' ORDER BY id LIMIT 1
    ) AS started ON true
    JOIN event_logs AS planned ON planned.run_id = runs.run_id
     AND planned.id < coalesce(started.id, 9223372036854775807)
     AND planned.dagster_event_type = 'ASSET_MATERIALIZATION_PLANNED'
    JOIN unnest(%(keys)s, %(after)s) AS wanted (asset_key, after)
      ON planned.asset_key = wanted.asset_key AND planned.id > wanted.after
    WHERE runs.status NOT IN ('SUCCESS', 'CANCELED') AND newest.id > %(least)s
    ORDER BY planned.id
"""

Span = tuple[datetime, datetime]
"""First and last of consecutive hours, naive UTC."""


@dataclass(frozen=True)
class Attempt:
    """A run that failed or has not ended, and the hours (naive UTC) of one asset that it and no later one published."""

    planned_id: int
    run_id: str
    failed: bool
    hours: frozenset[datetime]


@dataclass(frozen=True)
class HourRecord:
    """What events after a cursor say of one asset: spans that were published, and attempts, the oldest first."""

    published: tuple[Span, ...]
    attempts: tuple[Attempt, ...]
    newest_id: int

    def status(
        self, partitions: dg.TimeWindowPartitionsDefinition, known: AssetStatusCacheValue | None
    ) -> AssetStatusCacheValue | None:
        """What Dagster keeps of the asset: what is `known` up to the cursor with this record; None if nothing is."""
        if known is None:
            if not self.newest_id:
                return None
            known = AssetStatusCacheValue(self.newest_id)
        again = {hour for span in self.published for hour in _hours(span)}
        failed_before = _spans_of(known.deserialize_failed_partition_subsets(partitions))
        state = {hour: True for span in failed_before for hour in _hours(span) if hour not in again}
        state |= {hour: attempt.failed for attempt in self.attempts for hour in attempt.hours}
        running = [attempt.planned_id for attempt in self.attempts if attempt.hours and not attempt.failed]
        published = [*_spans_of(known.deserialize_materialized_partition_subsets(partitions)), *self.published]
        return AssetStatusCacheValue(
            latest_storage_id=max(self.newest_id, known.latest_storage_id),
            partitions_def_id=partitions.get_serializable_unique_identifier(),
            serialized_materialized_partition_subset=_subset(partitions, published),
            serialized_failed_partition_subset=_subset(partitions, [(h, h) for h, failed in state.items() if failed]),
            serialized_in_progress_partition_subset=_subset(
                partitions, [(hour, hour) for hour, failed in state.items() if not failed]
            ),
            earliest_in_progress_materialization_event_id=min(running, default=None),
        )


def cursor_after(known: AssetStatusCacheValue | None) -> int:
    """The event id after which events can change what is known."""
    if known is None:
        return 0
    newest = known.latest_storage_id
    return max(min(newest, known.earliest_in_progress_materialization_event_id or newest) - OVERLAP, 0)


def is_hourly(partitions: dg.PartitionsDefinition | None) -> TypeGuard[dg.TimeWindowPartitionsDefinition]:
    """Whether hours of this definition can be found here: every hour of UTC, named as our partitions are."""
    return (
        isinstance(partitions, dg.TimeWindowPartitionsDefinition)
        and partitions.cron_schedule == "0 * * * *"
        and partitions.timezone == "UTC"
        and partitions.fmt == KEY_FORMAT
        and not partitions.exclusions
    )


def hour_records(cursor: Cursor, after: Mapping[dg.AssetKey, int]) -> dict[dg.AssetKey, HourRecord]:
    """The records of these assets, of events with an id greater than the one given with the asset."""
    published = _published(cursor, [(key, identity, "0", "9") for key, identity in after.items()])
    attempts = attempts_of(cursor, after)
    return {
        key: HourRecord(
            tuple(span for span, _ in spans),
            tuple(attempts[key]),
            max([*(newest for _, newest in spans), *(attempt.planned_id for attempt in attempts[key])], default=0),
        )
        for key, spans in zip(after, published, strict=True)
    }


def attempts_of(cursor: Cursor, after: Mapping[dg.AssetKey, int]) -> dict[dg.AssetKey, list[Attempt]]:
    """Attempts on these assets with the hours that they lack, the oldest first; `after` as in `hour_records`."""
    keys = {key.to_string(): key for key in after}
    found: dict[dg.AssetKey, list[Attempt]] = {key: [] for key in after}
    wanted = {"keys": list(keys), "after": list(after.values()), "least": min(after.values(), default=0)}
    cursor.execute(_ATTEMPTS, {**wanted, "abandoned": ABANDONED_AFTER})
    planned = [
        (keys[text], Attempt(identity, run_id, failed, hours))
        for text, identity, run_id, event, failed in cursor.fetchall()
        if (hours := frozenset(_planned_hours(event)))
    ]
    spans = [(key, a.planned_id, key_of(min(a.hours)), key_of(max(a.hours))) for key, a in planned]
    for (key, attempt), published in zip(planned, _published(cursor, spans), strict=True):
        since = {hour for span, _ in published for hour in _hours(span)}
        found[key].append(replace(attempt, hours=attempt.hours - since))
    return found


def _published(cursor: Cursor, wanted: Sequence[tuple[dg.AssetKey, int, str, str]]) -> list[list[tuple[Span, int]]]:
    """For each (asset, id, first key, last key): the spans published by later events, with the newest id of each."""
    found: list[list[tuple[Span, int]]] = [[] for _ in wanted]
    if wanted:
        keys, after, firsts, lasts = map(list, zip(*wanted, strict=True))
        texts = [key.to_string() for key in keys]
        cursor.execute(
            _PUBLISHED, {"keys": texts, "after": after, "firsts": firsts, "lasts": lasts, "least": min(after)}
        )
        for number, first, last, identity in cursor.fetchall():
            found[number - 1].append(((first, last), identity))
    return found


def _planned_hours(event: str) -> Iterator[datetime]:
    planned = deserialize_value(event, dg.EventLogEntry).get_dagster_event().asset_materialization_planned_data
    if planned.partition is not None:
        yield hour_of(planned.partition)
    elif planned.partitions_subset is not None:
        for span in _spans_of(planned.partitions_subset):
            yield from _hours(span)


def _hours(span: Span) -> Iterator[datetime]:
    hour, last = span
    while hour <= last:
        yield hour
        hour += HOUR


def _spans_of(subset: PartitionsSubset) -> list[Span]:
    windows = subset.included_time_windows if isinstance(subset, TimeWindowPartitionsSubset) else ()
    return [(naive_utc(window.start), naive_utc(window.end) - HOUR) for window in windows]


def _subset(partitions: dg.TimeWindowPartitionsDefinition, spans: Iterable[Span]) -> str:
    """These of the definition's hours, serialised."""
    newest = partitions.get_last_partition_window()
    start = naive_utc(partitions.start)
    end = naive_utc(newest.end) if newest else start
    joined: list[Span] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + HOUR:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    clipped = [(max(first, start), min(last + HOUR, end)) for first, last in joined]
    windows = [
        dg.TimeWindow(first.replace(tzinfo=UTC), last.replace(tzinfo=UTC)) for first, last in clipped if first < last
    ]
    hours = sum((window.end - window.start) // HOUR for window in windows)
    return TimeWindowPartitionsSubset(partitions, hours, windows).serialize()
