"""Assembles the Dagster definitions; production, tests and the command line all call `build_definitions`."""

from collections.abc import Mapping

import dagster as dg

from genims_platform.orchestration.audit.assets import audited_tables
from genims_platform.orchestration.audit.definitions import audit_definitions
from genims_platform.orchestration.check_jobs import check_job
from genims_platform.orchestration.closes import daily_close_job, weekly_close_job
from genims_platform.orchestration.event_pruning import prune_job
from genims_platform.orchestration.freshness_checks import freshness_checks
from genims_platform.orchestration.invariant_checks import invariant_checks
from genims_platform.orchestration.keys import reporting_key
from genims_platform.orchestration.partitions import hourly_partitions
from genims_platform.orchestration.reporting_assets import reporting_asset
from genims_platform.orchestration.resources import platform_resources, utc_now
from genims_platform.orchestration.retention import retention_job
from genims_platform.orchestration.schedules import fixed_schedule, gap_schedule, hourly_schedule
from genims_platform.orchestration.source_assets import source_assets, source_checks
from genims_platform.reporting.registry import reporting_tables
from genims_platform.reporting.table import ReportingTable
from genims_platform.settings import Settings
from genims_platform.settings import settings as process_settings

REPORTING_JOB = "reporting_hourly"


def build_definitions(
    *,
    settings: Settings | None = None,
    resources: Mapping[str, object] | None = None,
    tables: Mapping[str, ReportingTable] | None = None,
    partitions: dg.HourlyPartitionsDefinition | None = None,
) -> dg.Definitions:
    """All assets, checks, jobs and schedules.

    `settings` default to those of the process, `tables` to all reporting tables, `partitions` to the hours of the
    rolling window of today; `resources` replace those made from the settings.
    """
    settings = settings or process_settings()
    tables = reporting_tables() if tables is None else tables
    partitions = partitions or hourly_partitions(utc_now().date())
    assets = [reporting_asset(table, partitions, settings) for table in tables.values()]
    keys = [reporting_key(name) for name in tables]
    audited = audited_tables()
    checks = source_checks(settings, tables.values(), audited)

    freshness = freshness_checks(keys, partitions)
    by_day, by_month = invariant_checks(tables, "day"), invariant_checks(tables, "month")

    refresh = dg.define_asset_job(
        REPORTING_JOB,
        selection=dg.AssetSelection.assets(*keys) - dg.AssetSelection.checks(freshness, *by_month),
        description="Refreshes every reporting table for one hour, or a range of hours, of source events.",
        executor_def=dg.in_process_executor,
        tags={"genims/kind": "refresh"},
    )
    check_sources = check_job("check_sources", "Compares the live source databases with what reports read.", checks)
    check_freshness = check_job(
        "check_freshness", "Whether every hour of the window is published, the newest closed one too.", [freshness]
    )
    check_invariants = check_job(
        "check_invariants",
        "Equations between the reporting tables, over the days of the daily close.",
        [*by_day, *by_month],
    )
    daily_close = daily_close_job(tables, settings)
    weekly_close = weekly_close_job(tables, settings)
    retention = retention_job()
    prune = prune_job(settings)
    timetable = [
        (check_freshness, "15 * * * *"),
        (check_sources, "40 1 * * *"),
        (daily_close, "0 2 * * *"),
        (retention, "40 2 * * *"),
        (prune, "15 3 * * *"),
        (check_invariants, "30 3 * * *"),
        (weekly_close, "0 4 * * 0"),
    ]
    jobs = [refresh, *(job for job, _ in timetable if job)]
    reporting = dg.Definitions(
        assets=[*source_assets(tables.values(), audited), *assets],
        asset_checks=[*checks, freshness, *by_day, *by_month],
        jobs=jobs,
        schedules=[
            hourly_schedule(refresh),
            gap_schedule(refresh, keys, partitions),
            *(fixed_schedule(job, cron) for job, cron in timetable if job),
        ],
        resources={**platform_resources(settings), **(resources or {})},
        executor=dg.multiprocess_executor if settings.genims_executor == "multiprocess" else dg.in_process_executor,
    )
    refreshing = [job.name for job in (refresh, daily_close, weekly_close) if job]
    return dg.Definitions.merge(reporting, audit_definitions(settings, refreshing, list(tables)))
