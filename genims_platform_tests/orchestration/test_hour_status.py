"""Hours that are published, failed or running, as runs on a real instance record them."""

from contextlib import closing
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from genims_platform.build import REPORTING_JOB, build_definitions
from genims_platform.orchestration.backfill import run_range
from genims_platform.orchestration.gaps import Gap, HourStatus, find_gaps, hour_status
from genims_platform.orchestration.keys import reporting_key
from genims_platform.orchestration.partitions import KEY_FORMAT, key_of
from genims_platform.orchestration.table_status import recorded_status
from genims_platform.reporting.checks import CHECK_NAMES
from genims_platform.reporting.periods import DAY, Hours, midnight
from genims_platform.reporting.registry import reporting_tables
from genims_platform.settings import Settings
from genims_platform.sources.connection import connect
from genims_platform_tests.commands.conftest import renamed
from genims_platform_tests.factory_group import TODAY, UNTIL

HOUR = timedelta(hours=1)
NAME, OTHER = "quality_summary_daily", "production_summary_daily"
KEY, OTHER_KEY = reporting_key(NAME), reporting_key(OTHER)
PARTITIONS = dg.HourlyPartitionsDefinition(
    start_date=midnight(TODAY - 3 * DAY).replace(tzinfo=UTC), timezone="UTC", fmt=KEY_FORMAT
)
WHOLE = Hours(midnight(TODAY - 3 * DAY), UNTIL.replace(minute=0))
MIDDLE = Hours(midnight(TODAY - 2 * DAY), midnight(TODAY - DAY))


@pytest.fixture
def job(factory: Settings) -> dg.JobDefinition:
    as_of = dg.ResourceDefinition(lambda _: UNTIL)
    tables = {name: reporting_tables()[name] for name in (NAME, OTHER)}
    definitions = build_definitions(settings=factory, tables=tables, partitions=PARTITIONS, resources={"as_of": as_of})
    return definitions.resolve_job_def(REPORTING_JOB)


@pytest.fixture(autouse=True)
def everything_published(job: dg.JobDefinition, instance: dg.DagsterInstance, reporting: object) -> None:
    assert reporting
    run_range(job, instance, WHOLE)
    assert status(instance) == published(WHOLE)


def published(hours: Hours) -> HourStatus:
    return HourStatus(hours.end - HOUR, of(hours), frozenset(), frozenset(), frozenset())


def of(hours: Hours) -> frozenset[datetime]:
    return frozenset(hours.start + n * HOUR for n in range((hours.end - hours.start) // HOUR))


def status(instance: dg.DagsterInstance, key: dg.AssetKey = KEY) -> HourStatus:
    """The status, the same from what was kept and from the events alone."""
    from_kept = hour_status(instance, [key], PARTITIONS, UNTIL)
    instance.wipe_asset_cached_status([KEY, OTHER_KEY])
    from_events = hour_status(instance, [key], PARTITIONS, UNTIL)
    assert from_kept == from_events == hour_status(instance, [key], PARTITIONS, UNTIL)
    return from_events[key]


def of_dagster(instance: dg.DagsterInstance, hours: Hours) -> set[AssetPartitionStatus | None]:
    """What Dagster's own reckoning says of these hours."""
    instance.wipe_asset_cached_status([KEY, OTHER_KEY])
    keys = [key_of(hour) for hour in of(hours)]
    found = instance.get_status_by_partition(KEY, keys, PARTITIONS)
    assert found is not None
    return set(found.values())


def test_hours_of_a_failed_run_are_gaps_until_another_run_publishes_them(
    job: dg.JobDefinition, instance: dg.DagsterInstance, factory: Settings
) -> None:
    with renamed(factory, "mes.defects", "quantity_affected"):
        assert run_range(job, instance, MIDDLE).failed == (NAME,)
    assert status(instance).failed == of(MIDDLE)
    assert status(instance).published == of(WHOLE) - of(MIDDLE)
    assert status(instance, OTHER_KEY) == published(WHOLE)
    assert of_dagster(instance, MIDDLE) == {AssetPartitionStatus.FAILED}
    gap = Gap(key_of(MIDDLE.start), key_of(MIDDLE.end - HOUR), frozenset({KEY}))
    assert find_gaps(instance, [KEY, OTHER_KEY], PARTITIONS, UNTIL) == [gap]

    run_range(job, instance, Hours(MIDDLE.start, MIDDLE.start + 5 * HOUR), [NAME])
    assert status(instance).failed == of(Hours(MIDDLE.start + 5 * HOUR, MIDDLE.end))
    run_range(job, instance, MIDDLE)
    assert status(instance) == published(WHOLE)
    assert of_dagster(instance, MIDDLE) == {AssetPartitionStatus.MATERIALIZED}


def test_hours_of_an_unfinished_run_are_running_and_no_gap_unless_its_process_is_gone(
    job: dg.JobDefinition, instance: dg.DagsterInstance, factory: Settings
) -> None:
    range_tags = {
        ASSET_PARTITION_RANGE_START_TAG: key_of(MIDDLE.start),
        ASSET_PARTITION_RANGE_END_TAG: key_of(MIDDLE.end - HOUR),
    }
    run = instance.create_run_for_job(job, tags=range_tags)
    assert status(instance).running == of(MIDDLE)
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", job.name), run.run_id)
    assert status(instance).running == of(MIDDLE)
    assert status(instance).lacking == frozenset()
    checks = recorded_status(instance, [NAME], PARTITIONS, UNTIL)[NAME].checks
    assert (checks.passed + len(checks.warned), checks.failed) == (len(CHECK_NAMES), [])
    assert of_dagster(instance, MIDDLE) == {AssetPartitionStatus.IN_PROGRESS}
    assert find_gaps(instance, [KEY, OTHER_KEY], PARTITIONS, UNTIL) == []

    with closing(connect(factory.dagster_storage, autocommit=True)) as connection:
        silent = "UPDATE event_logs SET timestamp = timestamp - interval '7 hours' WHERE run_id = %s"
        connection.cursor().execute(silent, (run.run_id,))
    assert status(instance).failed == of(MIDDLE)
    instance.report_run_canceled(run)
    assert status(instance) == published(WHOLE)


def test_a_wiped_asset_has_no_published_hour(job: dg.JobDefinition, instance: dg.DagsterInstance) -> None:
    instance.wipe_assets([KEY])
    assert status(instance).missing == of(WHOLE)
    run_range(job, instance, MIDDLE)
    assert status(instance).published == of(MIDDLE)
    assert status(instance, OTHER_KEY) == published(WHOLE)
