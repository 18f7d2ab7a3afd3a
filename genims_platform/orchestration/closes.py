"""The closes: recompute the closed days and months that late facts can still change, publish those that did change."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta

import dagster as dg

from genims_platform.orchestration.keys import reporting_key
from genims_platform.orchestration.partitions import key_of
from genims_platform.orchestration.reporting_assets import check_result, refresh_metadata
from genims_platform.orchestration.resources import AS_OF, REPORTING_DATABASE, SOURCES
from genims_platform.reporting.checks import CheckOutcome
from genims_platform.reporting.periods import DAY, LATE_DAYS, Hours, midnight, moved
from genims_platform.reporting.publish import Refresh, refresh
from genims_platform.reporting.table import ReportingTable
from genims_platform.settings import Settings

HOUR = timedelta(hours=1)

WINDOW_START, WINDOW_END = "window_start", "window_end"
"""Names under which the record of a close says which hours it repeated: [start, end)."""


ClosingHours = Callable[[ReportingTable, datetime], Hours]


def daily_close_job(tables: Mapping[str, ReportingTable], settings: Settings) -> dg.JobDefinition:
    """A job that repeats up to LATE_DAYS closed days of every table that late facts can change."""
    late = [table for table in tables.values() if table.horizon_days]
    description = f"Recomputes up to {LATE_DAYS} closed days of every table for late rows; publishes what changed."
    return _close_job("daily_close", description, late, closing_hours, settings)


def weekly_close_job(tables: Mapping[str, ReportingTable], settings: Settings) -> dg.JobDefinition | None:
    """A job that repeats the days before those of the daily close, for tables that later facts can still change."""
    later = [table for table in tables.values() if table.horizon_days > LATE_DAYS]
    description = f"Recomputes days more than {LATE_DAYS} days old that late rows can still change; publishes changes."
    return _close_job("weekly_close", description, later, earlier_hours, settings) if later else None


def closing_hours(table: ReportingTable, as_of: datetime) -> Hours:
    """The hours of the daily close: closed days before `as_of` in which facts of this table may still arrive."""
    today = midnight(as_of.date())
    return Hours(today - DAY * min(table.horizon_days, LATE_DAYS), today)


def earlier_hours(table: ReportingTable, as_of: datetime) -> Hours:
    """The hours of the weekly close: those before the daily one, back to the table's horizon."""
    today = midnight(as_of.date())
    return Hours(today - DAY * table.horizon_days, today - DAY * LATE_DAYS)


def _close_job(
    name: str, description: str, tables: Sequence[ReportingTable], hours: ClosingHours, settings: Settings
) -> dg.JobDefinition:
    """One independent step a table; each records a materialisation for the periods it changed, and no other."""
    steps = [_close_step(name, table, hours, settings) for table in tables]

    @dg.job(name=name, description=description, executor_def=dg.in_process_executor, tags={"genims/kind": "close"})
    def close() -> None:
        for step in steps:
            step()

    return close


def _close_step(job: str, table: ReportingTable, hours: ClosingHours, settings: Settings) -> dg.OpDefinition:
    @dg.op(
        name=f"{job}_{table.name}",
        required_resource_keys={SOURCES, REPORTING_DATABASE, AS_OF},
        out=dg.Out(dg.Nothing),
    )
    def close(context: dg.OpExecutionContext) -> None:
        closed = hours(table, context.resources.as_of)
        outcome = refresh(
            table,
            closed,
            sources=context.resources.sources,
            target=context.resources.reporting_database,
            as_of=context.resources.as_of,
            lock_timeout=settings.data_sync_timeout,
            only_changed=True,
        )
        for period in outcome.changed:
            context.log_event(_materialization(table, outcome, period))
        context.log_event(_observation(table, outcome, closed))
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


def _materialization(table: ReportingTable, outcome: Refresh, period: date) -> dg.AssetMaterialization:
    # The last closed hour of a period stands for it; its other hours keep what they recorded.
    end = midnight(moved(period, 1, table.period))
    last_hour = min(end, outcome.as_of.replace(minute=0, second=0, microsecond=0)) - HOUR
    return dg.AssetMaterialization(
        reporting_key(table.name),
        partition=key_of(last_hour),
        metadata={
            "dagster/row_count": outcome.row_counts[period],
            "cause": "rows changed since they were last published",
        },
    )


def _observation(table: ReportingTable, outcome: Refresh, hours: Hours) -> dg.AssetObservation:
    """What was read and published, also where nothing had changed."""
    window = {WINDOW_START: hours.start.isoformat(), WINDOW_END: hours.end.isoformat()}
    return dg.AssetObservation(
        reporting_key(table.name), metadata={**refresh_metadata(table, outcome, preview=False), **window}
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
