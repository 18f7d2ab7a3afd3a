"""Reporting assets: one for each reporting table, built from its declaration."""

from collections.abc import Collection, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from genims_platform.mysql.contract import TableContract
from genims_platform.mysql.errors import TransientError
from genims_platform.orchestration.backfill import whole_backfill
from genims_platform.orchestration.keys import reporting_key, source_key
from genims_platform.orchestration.partitions import hours_of, key_of
from genims_platform.orchestration.resources import AS_OF, REPORTING_DATABASE, SOURCES
from genims_platform.reporting.checks import CHECK_NAMES, CheckOutcome
from genims_platform.reporting.inputs import REPORTING
from genims_platform.reporting.periods import DAY, Period, midnight, period_of
from genims_platform.reporting.publish import Refresh, refresh
from genims_platform.reporting.table import ReportingTable
from genims_platform.settings import Settings
from genims_platform.sources.connection import SourceUnavailableError

OWNERS = ["team:reporting"]
RETENTION_MONTHS = "12"

_IF_NOT = "If not, nothing is published and the table keeps its old rows."
_CHECK_DESCRIPTIONS = {
    "rows": f"The keys are exactly those that separate SQL finds in the sources. {_IF_NOT}",
    "keys": f"No NULL where the schema forbids it; the primary key is unique. {_IF_NOT}",
    "values": f"Identities between columns hold. {_IF_NOT} Values outside the ranges of the schema only warn.",
    "reconcile": f"Totals a day equal separate SQL on the sources. {_IF_NOT}",
    "orphans": "Keys match a row of master data. If not, a warning: such rows are published under their raw id.",
    "row_count": "About as many rows as on the same weekday of the last four weeks. If not, a warning.",
}
_BLOCKING = frozenset({"rows", "keys", "values", "reconcile"})

_METADATA_LIMIT = 20
HOUR = timedelta(hours=1)
LAST_HOUR = 23 * HOUR


def reporting_asset(
    table: ReportingTable, partitions: dg.HourlyPartitionsDefinition, settings: Settings
) -> dg.AssetsDefinition:
    """The asset of one reporting table: refreshes the days that the run's hours touch."""
    key = reporting_key(table.name)

    @dg.multi_asset(
        name=table.name,
        specs=[_spec(table, partitions)],
        check_specs=[
            dg.AssetCheckSpec(name, asset=key, description=_CHECK_DESCRIPTIONS[name], blocking=name in _BLOCKING)
            for name in CHECK_NAMES
        ],
        backfill_policy=dg.BackfillPolicy.single_run(),
        required_resource_keys={SOURCES, REPORTING_DATABASE, AS_OF},
    )
    def materialize(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        try:
            outcome = refresh(
                table,
                hours_of(context.partition_time_window),
                sources=context.resources.sources,
                target=context.resources.reporting_database,
                as_of=context.resources.as_of,
                lock_timeout=settings.data_sync_timeout,
                whole=whole_backfill(context.run.tags),
                progress=lambda done, total: context.log.debug(f"{done} of {total} slices"),
            )
        except (TransientError, SourceUnavailableError) as error:
            if not is_transient(error):
                raise
            context.log.warning(f"{error}; trying again in {settings.data_sync_retry_delay:g} s")
            raise dg.RetryRequested(
                max_retries=settings.data_sync_retry_count, seconds_to_wait=settings.data_sync_retry_delay
            ) from error
        results = [check_result(table, check) for check in outcome.checks]
        if outcome.failures:
            yield from results
            raise dg.Failure(
                f"{table.name} keeps its old rows: {'; '.join(outcome.failures[:3])}",
                metadata=refresh_metadata(table, outcome),
                allow_retries=False,
            )
        context.log.info(
            f"{sum(outcome.row_counts.values()):,} rows of {_count(outcome.periods, table.period)}, "
            f"{outcome.stopwatch.total:.1f} s"
        )
        _describe_partitions(context, table, outcome)
        yield dg.MaterializeResult(asset_key=key, check_results=results)

    return materialize


def refresh_metadata(table: ReportingTable, outcome: Refresh, *, preview: bool = True) -> dict[str, dg.MetadataValue]:
    """What one refresh did, for people: rows, periods, seconds by stage, source rows and a small preview."""
    periods = outcome.periods
    return {
        "dagster/row_count": dg.MetadataValue.int(_rows_of_last_period(outcome)),
        "rows_published": dg.MetadataValue.int(sum(outcome.row_counts.values())),
        "periods": dg.MetadataValue.text(
            f"{periods[0]} to {periods[-1]} ({_count(periods, table.period)})" if periods else "none"
        ),
        "periods_rewritten": dg.MetadataValue.int(len(outcome.changed)),
        "as_of": dg.MetadataValue.text(f"{outcome.as_of.isoformat(' ', 'seconds')} UTC"),
        "seconds": dg.MetadataValue.float(round(outcome.stopwatch.total, 3)),
        **{
            f"seconds_{stage}": dg.MetadataValue.float(round(seconds, 3))
            for stage, seconds in outcome.stopwatch.seconds.items()
        },
        "source_rows_read": dg.MetadataValue.int(sum(outcome.rows_read.values())),
        "sources": dg.MetadataValue.md(_source_rows(table, outcome)),
        **({"preview": dg.MetadataValue.md(_markdown(outcome.preview))} if preview else {}),
    }


def check_result(table: ReportingTable, check: CheckOutcome) -> dg.AssetCheckResult:
    """A check's outcome in Dagster's terms."""
    return dg.AssetCheckResult(
        asset_key=reporting_key(table.name),
        check_name=check.name,
        passed=check.passed,
        severity=dg.AssetCheckSeverity.ERROR if check.severity == "error" else dg.AssetCheckSeverity.WARN,
        description="; ".join(check.findings[:_METADATA_LIMIT]) or None,
        metadata=dict(check.facts),
    )


def is_transient(error: Exception) -> bool:
    """Whether another attempt may succeed: locks, lost connections, restarting servers; never a wrong password."""
    if isinstance(error, SourceUnavailableError):
        return error.reason in ("refused", "unreachable")
    return isinstance(error, TransientError)


def column_schema(contract: TableContract) -> dg.TableSchema:
    """The reporting schema's columns as Dagster shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.sql_type,
                description=f"{column.description} [{column.unit}]" if column.unit else column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
                tags={"primary_key": ""} if column.name in contract.primary_key else None,
            )
            for column in contract.columns
        ]
    )


def _spec(table: ReportingTable, partitions: dg.HourlyPartitionsDefinition) -> dg.AssetSpec:
    key = reporting_key(table.name)
    return dg.AssetSpec(
        key=key,
        deps=[
            *(source_key(source) for source in table.source_tables),
            *(reporting_key(kept) for kept in table.kept_tables),
        ],
        group_name=table.group,
        description=f"{table.description}\n\nServes: {table.contract.comment}",
        kinds={"polars", "mysql"},
        owners=OWNERS,
        tags={"retention_months": RETENTION_MONTHS, "freshness": "hourly"},
        partitions_def=partitions,
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=3), warn_window=timedelta(hours=2)),
        metadata={
            "dagster/table_name": ".".join(key.path),
            "dagster/column_schema": column_schema(table.contract),
            "primary_key": ", ".join(table.contract.primary_key),
            "period": table.period,
            "recomputed_periods_before": table.recompute,
            "late_fact_horizon_days": table.horizon_days,
        },
    )


def _describe_partitions(context: dg.AssetExecutionContext, table: ReportingTable, outcome: Refresh) -> None:
    # Metadata of a result is repeated for every hour of a range. So the last hour of each day gets the rows of its day
    # or month, which is what the plot shows, and the last of all, which the asset's page shows, the whole description.
    key = reporting_key(table.name)
    hours = hours_of(context.partition_time_window)
    last = hours.end - HOUR
    day = hours.start.date()
    while (last_of_day := midnight(day) + LAST_HOUR) < last:
        count = outcome.row_counts.get(period_of(day, table.period), 0)
        context.add_asset_metadata({"dagster/row_count": count}, asset_key=key, partition_key=key_of(last_of_day))
        day += DAY
    context.add_asset_metadata(refresh_metadata(table, outcome), asset_key=key, partition_key=key_of(last))


def _count(periods: Collection[date], period: Period) -> str:
    return f"{len(periods)} {period}{'' if len(periods) == 1 else 's'}"


def _rows_of_last_period(outcome: Refresh) -> int:
    return outcome.row_counts[max(outcome.row_counts)] if outcome.row_counts else 0


def _source_rows(table: ReportingTable, outcome: Refresh) -> str:
    sources = (read.table for read in table.reads.values() if read.database != REPORTING)
    counts: Mapping[str, int] = {source: outcome.rows_read.get(source, 0) for source in sources}
    return "\n".join(["| source | rows read |", "| --- | ---: |", *(f"| {s} | {n:,} |" for s, n in counts.items())])


def _markdown(frame: pl.DataFrame) -> str:
    # A line for each column of the table, because tens of columns side by side do not fit a page.
    names = [f"row {number}" for number in range(1, frame.height + 1)]
    values = frame.select(pl.all().cast(pl.String).fill_null("NULL"))
    transposed = values.transpose(include_header=True, header_name="column", column_names=names)
    with pl.Config(
        tbl_formatting="ASCII_MARKDOWN",
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_cols=-1,
        tbl_rows=-1,
        tbl_width_chars=10_000,
        fmt_str_lengths=40,
    ):
        return str(transposed)
