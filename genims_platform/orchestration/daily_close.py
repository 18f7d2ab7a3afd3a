"""The daily close: recomputes the days that late facts can still change, and publishes those that did change."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import dagster as dg

from genims_platform.orchestration.keys import reporting_key
from genims_platform.orchestration.partitions import key_of
from genims_platform.orchestration.reporting_assets import check_result, refresh_metadata
from genims_platform.orchestration.resources import AS_OF, REPORTING_DATABASE, SOURCES
from genims_platform.reporting.checks import CheckOutcome
from genims_platform.reporting.periods import DAY, LATE_DAYS, Hours, midnight
from genims_platform.reporting.publish import Refresh, refresh
from genims_platform.reporting.table import ReportingTable
from genims_platform.settings import Settings

HOUR = timedelta(hours=1)


def daily_close_job(tables: Mapping[str, ReportingTable], settings: Settings) -> dg.JobDefinition:
    """A job with one independent step a table; each records a materialisation for the days it changed, and no other."""
    steps = [_close_step(table, settings) for table in tables.values()]

    @dg.job(
        name="daily_close",
        description=f"Recomputes up to {LATE_DAYS} closed days of every table for late rows; publishes what changed.",
        executor_def=dg.in_process_executor,
        tags={"genims/kind": "close"},
    )
    def daily_close() -> None:
        for step in steps:
            step()

    return daily_close


def closing_hours(table: ReportingTable, as_of: datetime) -> Hours:
    """The hours of the closed days before `as_of` in which facts of this table may still arrive."""
    today = midnight(as_of.date())
    return Hours(today - DAY * min(table.horizon, LATE_DAYS), today)


def _close_step(table: ReportingTable, settings: Settings) -> dg.OpDefinition:
    @dg.op(
        name=f"close_{table.name}",
        required_resource_keys={SOURCES, REPORTING_DATABASE, AS_OF},
        out=dg.Out(dg.Nothing),
    )
    def close(context: dg.OpExecutionContext) -> None:
        outcome = refresh(
            table,
            closing_hours(table, context.resources.as_of),
            sources=context.resources.sources,
            target=context.resources.reporting_database,
            as_of=context.resources.as_of,
            lock_timeout=settings.data_sync_timeout,
            only_changed=True,
        )
        for day in outcome.changed:
            context.log_event(_materialization(table, outcome, day))
        # Dagster shows checks older than the last materialisation as not evaluated.
        for check in outcome.checks:
            context.log_event(_evaluation(table, check))  # pyright: ignore[reportArgumentType]
        if outcome.failures:
            raise dg.Failure(
                f"{table.name} keeps its old rows: {'; '.join(outcome.failures[:3])}",
                metadata=refresh_metadata(table, outcome),
                allow_retries=False,
            )
        context.log.info(f"{len(outcome.changed)} of {len(outcome.periods)} {table.period}s changed")

    return close


def _materialization(table: ReportingTable, outcome: Refresh, day: date) -> dg.AssetMaterialization:
    # The day's last closed hour stands for it; its other hours keep what they recorded.
    last_hour = min(midnight(day) + DAY, outcome.as_of.replace(minute=0, second=0, microsecond=0)) - HOUR
    return dg.AssetMaterialization(
        reporting_key(table.name),
        partition=key_of(last_hour),
        metadata={"dagster/row_count": outcome.row_counts[day], "cause": "rows changed since they were last published"},
    )


def _evaluation(table: ReportingTable, outcome: CheckOutcome) -> dg.AssetCheckEvaluation:
    # Only steps of assets make evaluations from results.
    result = check_result(table, outcome)
    return dg.AssetCheckEvaluation(
        reporting_key(table.name),
        outcome.name,
        result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
    )
