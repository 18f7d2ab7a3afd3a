"""Finding hours of the window that are missing or failed, as ranges small enough to be run again one by one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg
from dagster._core.definitions.partitions.subset import PartitionsSubset, TimeWindowPartitionsSubset
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from genims_platform.orchestration.partitions import hour_of, key_of, naive_utc
from genims_platform.reporting.periods import midnight
from genims_platform.rolling_window import window_start

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Gap:
    """Consecutive hours of one UTC day, first and last partition key inclusive, that some assets lack."""

    first: str
    last: str
    assets: frozenset[dg.AssetKey]


@dataclass(frozen=True)
class HourStatus:
    """The closed hours of the window of one asset, by what became of them; hours are named by their naive UTC start.

    An hour that failed after it was published once counts as failed, one of an unfinished run as running.
    """

    newest_closed: datetime
    published: frozenset[datetime]
    running: frozenset[datetime]
    failed: frozenset[datetime]
    missing: frozenset[datetime]

    @property
    def lacking(self) -> frozenset[datetime]:
        """Hours that have to be run again."""
        return self.failed | self.missing


def find_gaps(
    instance: dg.DagsterInstance,
    assets: Sequence[dg.AssetKey],
    partitions: dg.HourlyPartitionsDefinition,
    now: datetime,
) -> list[Gap]:
    """Gaps of all assets up to the naive UTC instant `now`, newest first; hours of unfinished runs are no gap."""
    lacking: dict[str, set[dg.AssetKey]] = {}
    for asset in assets:
        for hour in hour_status(instance, asset, partitions, now).lacking:
            lacking.setdefault(key_of(hour), set()).add(asset)
    return group_gaps({key: frozenset(found) for key, found in lacking.items()})


def hour_status(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: dg.HourlyPartitionsDefinition, now: datetime
) -> HourStatus:
    """What became of the hours of the rolling window that are closed at the naive UTC instant `now`."""
    end = now.replace(minute=0, second=0, microsecond=0)
    # Definitions that were loaded last month still begin with last month's window.
    start = max(naive_utc(partitions.start), midnight(window_start(now.date())))
    closed = frozenset(_hours(start, end))
    # Asking for the status of each key parses thousands of keys; the cache behind it holds a few spans of time.
    cached = get_and_update_asset_status_cache_value(instance, asset, partitions)
    if cached is None:
        return HourStatus(end - HOUR, frozenset(), frozenset(), frozenset(), closed)
    published = _hours_of(cached.deserialize_materialized_partition_subsets(partitions)) & closed
    running = _hours_of(cached.deserialize_in_progress_partition_subsets(partitions)) & closed
    failed = _hours_of(cached.deserialize_failed_partition_subsets(partitions)) & closed - running
    published -= failed
    return HourStatus(end - HOUR, published, running, failed, closed - published - running - failed)


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


def _hours_of(subset: PartitionsSubset) -> frozenset[datetime]:
    windows = subset.included_time_windows if isinstance(subset, TimeWindowPartitionsSubset) else ()
    return frozenset(hour for window in windows for hour in _hours(naive_utc(window.start), naive_utc(window.end)))


def _hours(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += HOUR
