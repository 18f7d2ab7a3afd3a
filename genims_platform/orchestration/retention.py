"""The retention job: periods that have left the rolling window go, monthly partitions ahead come."""

import dagster as dg

from genims_platform.mysql.retention import apply_retention
from genims_platform.orchestration.resources import AS_OF, REPORTING_DATABASE


def retention_job() -> dg.JobDefinition:
    """Job around `apply_retention`; fails, after all tables are done, if one of them could not be."""

    @dg.op(name="roll_partitions", required_resource_keys={REPORTING_DATABASE, AS_OF}, out=dg.Out(dg.Nothing))
    def apply(context: dg.OpExecutionContext) -> None:
        result = apply_retention(context.resources.reporting_database, today=context.resources.as_of.date())
        context.log.info(
            f"window from {result.window_start}: {result.rows_dropped:,} older rows and {result.partitions_dropped} "
            f"partitions dropped, {result.partitions_created} partitions created"
        )
        if result.problems:
            raise dg.Failure("; ".join(result.problems), allow_retries=False)

    @dg.job(
        name="apply_retention",
        description="Drops reporting periods older than the 12-month window and creates monthly partitions ahead.",
        executor_def=dg.in_process_executor,
        tags={"genims/kind": "maintenance"},
    )
    def retention() -> None:
        apply()

    return retention
