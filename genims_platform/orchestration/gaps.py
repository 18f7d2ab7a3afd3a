"""Finding hours of the window that are missing or failed, as ranges small enough to be run again one by one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.definitions.partitions.subset import PartitionsSubset, TimeWindowPartitionsSubset
from dagster._core.loader import LoadingContext
from dagster._core.storage.partition_status_cache import AssetStatusCacheValue
from dagster._utils.aiodataloader import BlockingDataLoader, DataLoader

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
    for asset, status in hour_status(instance, assets, partitions, now).items():
        for hour in status.lacking:
            lacking.setdefault(key_of(hour), set()).add(asset)
    return group_gaps({key: frozenset(found) for key, found in lacking.items()})


def hour_status(
    instance: dg.DagsterInstance,
    assets: Sequence[dg.AssetKey],
    partitions: dg.HourlyPartitionsDefinition,
    now: datetime,
) -> dict[dg.AssetKey, HourStatus]:
    """What became of the hours of the rolling window that are closed at the naive UTC instant `now`."""
    end = now.replace(minute=0, second=0, microsecond=0)
    # Definitions that were loaded last month still begin with last month's window.
    start = max(naive_utc(partitions.start), midnight(window_start(now.date())))
    closed = frozenset(_hours(start, end))
    records = instance.event_log_storage.get_asset_status_cache_values(
        [(asset, partitions) for asset in assets], _Loading(instance)
    )
    return {
        asset: _status(record, partitions, closed, end - HOUR) for asset, record in zip(assets, records, strict=True)
    }


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


class _Loading(LoadingContext):
    """What Dagster's storage asks for where it looks things up one by one."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._loaders: dict[type, tuple[DataLoader[Any, Any], BlockingDataLoader[Any, Any]]] = {}

    @property
    def instance(self) -> dg.DagsterInstance:
        return self._instance

    @property
    def loaders(self) -> dict[type, tuple[DataLoader[Any, Any], BlockingDataLoader[Any, Any]]]:
        return self._loaders


def _status(
    record: AssetStatusCacheValue | None,
    partitions: dg.HourlyPartitionsDefinition,
    closed: frozenset[datetime],
    newest_closed: datetime,
) -> HourStatus:
    if record is None:
        return HourStatus(newest_closed, frozenset(), frozenset(), frozenset(), closed)
    published = _hours_of(record.deserialize_materialized_partition_subsets(partitions)) & closed
    running = _hours_of(record.deserialize_in_progress_partition_subsets(partitions)) & closed
    failed = _hours_of(record.deserialize_failed_partition_subsets(partitions)) & closed - running
    published -= failed
    return HourStatus(newest_closed, published, running, failed, closed - published - running - failed)


def _hours_of(subset: PartitionsSubset) -> frozenset[datetime]:
    windows = subset.included_time_windows if isinstance(subset, TimeWindowPartitionsSubset) else ()
    return frozenset(hour for window in windows for hour in _hours(naive_utc(window.start), naive_utc(window.end)))


def _hours(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += HOUR
