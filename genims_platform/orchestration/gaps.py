"""Finding hours of the window that are missing or failed, as ranges small enough to be run again one by one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from genims_platform.orchestration.partitions import hour_of, key_of

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
    keys = partitions.get_partition_keys(current_time=now.replace(tzinfo=UTC))
    lacking: dict[str, set[dg.AssetKey]] = {}
    for asset in assets:
        statuses = instance.get_status_by_partition(asset, keys, partitions) or {}
        for key in _unpublished(keys, statuses):
            lacking.setdefault(key, set()).add(asset)
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


def _unpublished(keys: Iterable[str], statuses: Mapping[str, AssetPartitionStatus | None]) -> list[str]:
    done = (AssetPartitionStatus.MATERIALIZED, AssetPartitionStatus.IN_PROGRESS)
    return [key for key in keys if statuses.get(key) not in done]
