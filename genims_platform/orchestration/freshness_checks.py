"""Freshness: whether the newest closed hour of every reporting table is published and no hour is lacking."""

from collections.abc import Iterator, Sequence

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_START_TAG, PARTITION_NAME_TAG

from genims_platform.orchestration.gaps import HourStatus, hour_status
from genims_platform.orchestration.partitions import key_of
from genims_platform.orchestration.resources import AS_OF

FRESHNESS_CHECK = "freshness"
_HOURS_NAMED = 3


def freshness_checks(
    assets: Sequence[dg.AssetKey], partitions: dg.HourlyPartitionsDefinition
) -> dg.AssetChecksDefinition:
    """One step that judges every table by Dagster's record of its hours; run apart from the refreshes it watches."""

    @dg.multi_asset_check(
        name="freshness",
        specs=[
            dg.AssetCheckSpec(
                FRESHNESS_CHECK,
                asset=asset,
                description="The newest closed hour is published; no hour of the window is missing or failed. "
                "Run by `check_freshness`.",
            )
            for asset in assets
        ],
        # Dagster selects a table's checks with the table, so a run for some tables must be able to take some of these.
        can_subset=True,
        required_resource_keys={AS_OF},
    )
    def judge(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        # The record of a refresh under way is not complete.
        refreshing = {PARTITION_NAME_TAG, ASSET_PARTITION_RANGE_START_TAG} & context.run.tags.keys()
        selected = {key.asset_key for key in context.selected_asset_check_keys}
        wanted = [asset for asset in assets if asset in selected and not refreshing]
        for asset, status in hour_status(context.instance, wanted, partitions, context.resources.as_of).items():
            yield dg.AssetCheckResult(
                asset_key=asset,
                check_name=FRESHNESS_CHECK,
                passed=not shortcomings(status),
                severity=dg.AssetCheckSeverity.ERROR,
                description="; ".join(shortcomings(status)) or None,
                metadata={
                    "published_hours": len(status.published),
                    "missing_hours": len(status.missing),
                    "failed_hours": len(status.failed),
                    "newest_published_hour": key_of(max(status.published)) if status.published else "none",
                },
            )

    return judge


def shortcomings(status: HourStatus) -> list[str]:
    """What is wrong with the hours of a table, in sentences; empty if nothing is."""
    found: list[str] = []
    if status.newest_closed not in status.published | status.running:
        found.append(f"the newest closed hour, {key_of(status.newest_closed)}, is not published")
    for what, hours in (("missing", status.missing), ("failed", status.failed)):
        if hours:
            newest = ", ".join(key_of(hour) for hour in sorted(hours, reverse=True)[:_HOURS_NAMED])
            found.append(f"{len(hours)} hours of the window are {what}, the newest of them {newest}")
    return found
