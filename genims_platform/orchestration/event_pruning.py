"""Pruning of Dagster's event log, which otherwise grows for ever.

Only what explains how a finished run went is removed (step, log, resource and engine events). Materialisations, checks
and run states stay: they are the record of which hours are published.
"""

import dagster as dg
from psycopg2 import sql

from genims_platform.settings import Settings
from genims_platform.sources.connection import connect

KEEP_DAYS = 14
BATCH_ROWS = 50_000

_PRUNED_PREFIXES = ("STEP_", "RESOURCE_", "HANDLED_OUTPUT", "LOADED_INPUT", "ENGINE_EVENT", "LOGS_CAPTURED", "HOOK_")

# Log lines have no event type.
_DELETE = sql.SQL("""
    DELETE FROM event_logs WHERE id IN (
        SELECT id FROM event_logs
        WHERE timestamp < (now() AT TIME ZONE 'utc') - make_interval(days => %(days)s)
          AND (dagster_event_type IS NULL OR dagster_event_type ~ %(pattern)s)
        LIMIT %(batch)s)
""")


def prune_events(settings: Settings, *, keep_days: int = KEEP_DAYS) -> int:
    """Delete step events older than `keep_days` days in batches; returns how many rows went.

    Raises:
        SourceUnavailableError: Dagster's storage cannot be reached.
    """
    pattern = "^(" + "|".join(_PRUNED_PREFIXES) + ")"
    deleted = 0
    connection = connect(settings.dagster_storage, autocommit=True)
    try:
        with connection.cursor() as cursor:
            while True:
                cursor.execute(_DELETE, {"days": keep_days, "pattern": pattern, "batch": BATCH_ROWS})
                deleted += cursor.rowcount
                if cursor.rowcount < BATCH_ROWS:
                    return deleted
    finally:
        connection.close()


def prune_job(settings: Settings) -> dg.JobDefinition:
    """Job around `prune_events`."""

    @dg.op(name="prune_step_events", out=dg.Out(dg.Nothing))
    def prune(context: dg.OpExecutionContext) -> None:
        context.log.info(f"{prune_events(settings):,} step events older than {KEEP_DAYS} days deleted")

    @dg.job(
        name="prune_events",
        description=f"Deletes step events older than {KEEP_DAYS} days; materialisations and checks stay.",
        executor_def=dg.in_process_executor,
        tags={"genims/kind": "maintenance"},
    )
    def prune_events_job() -> None:
        prune()

    return prune_events_job
