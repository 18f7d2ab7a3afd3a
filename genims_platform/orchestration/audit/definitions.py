"""Everything that Dagster is told about the audit trail."""

from collections.abc import Collection

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from genims_platform.audit.ledger.errors import LedgerError
from genims_platform.audit.trail import TrailNotSetUpError, delivered
from genims_platform.orchestration.audit.assets import audit_assets
from genims_platform.orchestration.audit.assurance import assurance_assets
from genims_platform.orchestration.audit.checks import audit_checks
from genims_platform.orchestration.audit.refresh_sensor import refresh_sensor
from genims_platform.orchestration.audit.runs import KIND_TAGS, WHOLE_YEAR_TAG
from genims_platform.orchestration.audit.sensors import audit_drain_sensor, audit_stream_sensor
from genims_platform.orchestration.audit.stream import audit_drain_job, audit_stream_job
from genims_platform.orchestration.check_jobs import check_job
from genims_platform.settings import Settings

WHOLE_YEAR = {WHOLE_YEAR_TAG: "1"}


def audit_definitions(
    settings: Settings, refresh_jobs: Collection[str], reporting_tables: Collection[str]
) -> dg.Definitions:
    """Assets, checks, jobs, schedules and sensors; resources come from the other definitions.

    Args:
        settings: where sources and audit database are.
        refresh_jobs: jobs whose refreshes of reporting tables are entered into the trail.
        reporting_tables: those tables.
    """
    computed = assurance_assets(settings)
    trail_checks, queue_checks = audit_checks(settings)
    stream, drain = audit_stream_job(settings), audit_drain_job(settings)
    assurance = dg.AssetSelection.assets(*computed) - dg.AssetSelection.checks(trail_checks)
    timetable = [
        (
            check_job(
                "check_audit",
                "Rules between the tables of the audit trail over its newest part, latency, and what waits in queues.",
                [trail_checks, queue_checks],
                KIND_TAGS,
            ),
            "7/15 * * * *",
        ),
        (
            check_job(
                "check_audit_year",
                "Rules between the tables of the audit trail over the whole year.",
                [trail_checks],
                KIND_TAGS | WHOLE_YEAR,
            ),
            "40 4 * * *",
        ),
        (
            dg.define_asset_job(
                "assure_audit",
                assurance,
                description="Verifies what is new in the audit trail and reconciles it with its sources.",
                executor_def=dg.in_process_executor,
                tags=KIND_TAGS,
            ),
            "45 * * * *",
        ),
        (
            dg.define_asset_job(
                "assure_audit_year",
                assurance,
                description="Verifies the audit trail of the whole year and reconciles every day still in the queues.",
                executor_def=dg.in_process_executor,
                tags=KIND_TAGS | WHOLE_YEAR,
            ),
            "10 5 * * *",
        ),
    ]
    jobs = [(job, cron) for job, cron in timetable if job is not None]
    return dg.Definitions(
        assets=[*audit_assets(), *computed],
        asset_checks=[trail_checks, queue_checks],
        jobs=[stream, drain, *(job for job, _ in jobs)],
        schedules=[_schedule(settings, job, cron) for job, cron in jobs],
        sensors=[
            audit_stream_sensor(settings, stream),
            audit_drain_sensor(settings, drain, stream),
            refresh_sensor(settings, refresh_jobs, reporting_tables),
        ],
    )


def _schedule(settings: Settings, job: UnresolvedAssetJobDefinition, cron: str) -> dg.ScheduleDefinition:
    """A schedule named after its job that does nothing until the trail is set up."""

    @dg.schedule(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=job.description,
    )
    def tick() -> dg.RunRequest | dg.SkipReason:
        try:
            delivered(settings)
        except TrailNotSetUpError as error:
            return dg.SkipReason(f"The audit trail is not set up: {error}")
        except LedgerError:
            pass  # the run fails and says so
        return dg.RunRequest()

    return tick
