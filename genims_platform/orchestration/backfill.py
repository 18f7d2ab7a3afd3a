"""Backfills from Python: the reporting job over ranges of hours, at most a month in a run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from genims_platform.orchestration.keys import reporting_key
from genims_platform.orchestration.partitions import key_of
from genims_platform.reporting.periods import Hours, midnight
from genims_platform.rolling_window import add_months

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class RangeRun:
    """One finished run over `hours`; `failed` names the tables that were not published."""

    hours: Hours
    run_id: str
    failed: tuple[str, ...]


def months_of(hours: Hours) -> Iterator[Hours]:
    """The hours cut at the first of each month."""
    start = hours.start
    while start < hours.end:
        end = min(midnight(add_months(start.date(), 1)), hours.end)
        yield Hours(start, end)
        start = end


def run_range(
    job: dg.JobDefinition, instance: dg.DagsterInstance, hours: Hours, tables: Sequence[str] | None = None
) -> RangeRun:
    """Run the reporting job in this process for whole hours; a failing table does not stop the others."""
    result = job.execute_in_process(
        instance=instance,
        asset_selection=None if tables is None else [reporting_key(table) for table in tables],
        tags={
            ASSET_PARTITION_RANGE_START_TAG: key_of(hours.start),
            ASSET_PARTITION_RANGE_END_TAG: key_of(hours.end - HOUR),
            "genims/kind": "backfill",
        },
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
        raise_on_error=False,
    )
    failed = tuple(event.step_key for event in result.all_events if event.is_step_failure and event.step_key)
    return RangeRun(hours, result.run_id, failed)
