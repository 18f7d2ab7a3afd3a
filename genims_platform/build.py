"""Assembles the Dagster definitions; production, tests and the command line all call `build_definitions`."""

from collections.abc import Mapping

import dagster as dg

from genims_platform.orchestration.daily_close import daily_close_job
from genims_platform.orchestration.event_pruning import prune_job
from genims_platform.orchestration.keys import reporting_key
from genims_platform.orchestration.partitions import hourly_partitions
from genims_platform.orchestration.reporting_assets import reporting_asset
from genims_platform.orchestration.resources import platform_resources, utc_now
from genims_platform.orchestration.schedules import fixed_schedule, gap_schedule, hourly_schedule
from genims_platform.orchestration.source_assets import source_assets, source_checks
from genims_platform.reporting.registry import columns_read, reporting_tables
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
    columns = columns_read(tables.values())
    checks = source_checks(settings, columns)

    refresh = dg.define_asset_job(
        REPORTING_JOB,
        selection=dg.AssetSelection.assets(*keys),
        description="Refreshes every reporting table for one hour, or a range of hours, of source events.",
        executor_def=dg.in_process_executor,
        tags={"genims/kind": "refresh"},
    )
    check_sources = dg.define_asset_job(
        "check_sources",
        selection=dg.AssetSelection.checks(*checks),
        description="Compares the live source databases with what the reports read.",
        executor_def=dg.in_process_executor,
        tags={"genims/kind": "maintenance"},
    )
    close = daily_close_job(tables, settings)
    prune = prune_job(settings)
    return dg.Definitions(
        assets=[*source_assets(columns), *assets],
        asset_checks=checks,
        jobs=[refresh, close, check_sources, prune],
        schedules=[
            hourly_schedule(refresh),
            gap_schedule(refresh, keys, partitions),
            fixed_schedule(close, "0 2 * * *"),
            fixed_schedule(check_sources, "40 1 * * *"),
            fixed_schedule(prune, "15 3 * * *"),
        ],
        resources={**platform_resources(settings), **(resources or {})},
        executor=dg.multiprocess_executor if settings.genims_executor == "multiprocess" else dg.in_process_executor,
    )
