"""Schedules, all in UTC: hourly refresh, gap filler, daily close, source checks, pruning."""

from collections.abc import Iterator, Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from genims_platform.orchestration.gaps import find_gaps
from genims_platform.orchestration.partitions import naive_utc

GAPS_PER_TICK = 12
RUNNING = dg.DefaultScheduleStatus.RUNNING


def hourly_schedule(job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """At HH:00 the hour that has just closed."""
    return dg.build_schedule_from_partitioned_job(  # pyright: ignore[reportReturnType]
        job,
        name="reporting_hourly_schedule",
        description="Refreshes every reporting table for the hour that has just closed.",
        minute_of_hour=0,
        default_status=RUNNING,
    )


def gap_schedule(
    job: UnresolvedAssetJobDefinition, assets: Sequence[dg.AssetKey], partitions: dg.HourlyPartitionsDefinition
) -> dg.ScheduleDefinition:
    """At HH:20 runs for hours of the window that are missing or failed, newest first, at most a day in a run.

    Dagster itself catches up at most five missed ticks.
    """

    @dg.schedule(
        name="fill_gaps",
        job=job,
        cron_schedule="20 * * * *",
        execution_timezone="UTC",
        default_status=RUNNING,
        description="Requests runs for hours of the window that are missing or failed.",
    )
    def fill_gaps(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        now = naive_utc(context.scheduled_execution_time)
        gaps = find_gaps(context.instance, assets, partitions, now)
        if not gaps:
            yield dg.SkipReason("Every hour of the window is published")
        for gap in gaps[:GAPS_PER_TICK]:
            yield dg.RunRequest(
                run_key=f"{gap.first}...{gap.last} {now:%Y-%m-%d %H:%M}",
                asset_selection=sorted(gap.assets),
                tags={
                    ASSET_PARTITION_RANGE_START_TAG: gap.first,
                    ASSET_PARTITION_RANGE_END_TAG: gap.last,
                    "genims/kind": "gap",
                },
            )

    return fill_gaps


def fixed_schedule(job: dg.JobDefinition | UnresolvedAssetJobDefinition, cron: str) -> dg.ScheduleDefinition:
    """A schedule named and described after its job."""
    return dg.ScheduleDefinition(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=RUNNING,
        description=job.description,
    )
