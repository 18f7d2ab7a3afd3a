"""Finding hours of the window that are missing or failed, as ranges small enough to be run again one by one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg
from dagster._core.definitions.partitions.subset import PartitionsSubset, TimeWindowPartitionsSubset
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from genims_platform.orchestration.partitions import hour_of, key_of, naive_utc

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Gap:
    """Consecutive hours of one UTC day, first and last partition key inclusive, that some assets lack."""

    first: str
    last: str
    assets: frozenset[dg.AssetKey]


def find_gaps(
    instance: dg.DagsterInstance,
    assets: Sequence[dg.AssetKey],
    partitions: dg.HourlyPartitionsDefinition,
    now: datetime,
) -> list[Gap]:
    """Gaps of all assets up to the naive UTC instant `now`, newest first; hours of unfinished runs are no gap."""
    closed = set(_hours(naive_utc(partitions.start), now.replace(minute=0, second=0, microsecond=0)))
    lacking: dict[str, set[dg.AssetKey]] = {}
    for asset in assets:
        for hour in closed - _published_or_running(instance, asset, partitions):
            lacking.setdefault(key_of(hour), set()).add(asset)
    return group_gaps({key: frozenset(found) for key, found in lacking.items()})


def group_gaps(lacking: Mapping[str, frozenset[dg.AssetKey]]) -> list[Gap]:
    """Partition key → assets that lack it, as gaps within a day, newest first."""
    gaps: list[Gap] = []
    for key in sorted(lacking):
        hour = hour_of(key)
        if gaps and key_of(hour - HOUR) == gaps[-1].last and hour.hour != 0 and gaps[-1].assets == lacking[key]:
            gaps[-1] = Gap(gaps[-1].first, key, gaps[-1].assets)
        else:
            gaps.append(Gap(key, key, lacking[key]))
    return gaps[::-1]


def _published_or_running(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: dg.HourlyPartitionsDefinition
) -> set[datetime]:
    # Asking for the status of each key parses thousands of keys; the cache behind it holds a few spans of time.
    cached = get_and_update_asset_status_cache_value(instance, asset, partitions)
    if cached is None:
        return set()
    published = _hours_of(cached.deserialize_materialized_partition_subsets(partitions))
    failed = _hours_of(cached.deserialize_failed_partition_subsets(partitions))
    running = _hours_of(cached.deserialize_in_progress_partition_subsets(partitions))
    return published - failed | running


def _hours_of(subset: PartitionsSubset) -> set[datetime]:
    windows = subset.included_time_windows if isinstance(subset, TimeWindowPartitionsSubset) else ()
    return {hour for window in windows for hour in _hours(naive_utc(window.start), naive_utc(window.end))}


def _hours(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += HOUR
