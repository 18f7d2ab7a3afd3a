"""Sensors that keep events flowing: one streaming run is always alive, and short runs drain the queues without one."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterRunStatus as Status

from genims_platform.audit.backlog import backlogs
from genims_platform.audit.ledger.errors import LedgerError
from genims_platform.audit.trail import TrailNotSetUpError, delivered, last_ticks
from genims_platform.orchestration.audit.runs import DRAIN_NUMBER_TAG, GENERATION_TAG
from genims_platform.orchestration.audit.stream_rules import SHORT_LIFE, LiveRun, Watch, decide, rest_until
from genims_platform.orchestration.resources import utc_now
from genims_platform.settings import Settings

STREAM_SECONDS = 5
"""The daemon looks at sensors no more often."""

DRAIN_SECONDS = 15
NO_PLACE = timedelta(seconds=60)
"""How long no streaming run may have a place before the queues are drained in another way."""

LOOK_SECONDS = 0.7
"""How long a tick waits for the sources."""

RUNS_REMEMBERED = 10

_LIVE = (Status.QUEUED, Status.NOT_STARTED, Status.STARTING, Status.STARTED, Status.CANCELING)
_AT_WORK = (Status.STARTING, Status.STARTED)

Clock = Callable[[], datetime]


def audit_stream_sensor(settings: Settings, job: dg.JobDefinition, clock: Clock = utc_now) -> dg.SensorDefinition:
    """Keeps a streaming run alive, starts its successor before it ends, and replaces one that delivers nothing."""
    length = timedelta(seconds=settings.audit_stream_run_seconds)
    lead = timedelta(seconds=settings.audit_handover_lead)

    @dg.sensor(
        name="audit_stream_sensor",
        job=job,
        minimum_interval_seconds=STREAM_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Keeps one streaming run of the audit relay alive, a second one while they hand over. Does nothing until "
            "the audit trail is set up."
        ),
    )
    def keep_streaming(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if not settings.audit_stream:
            return _skip("AUDIT_STREAM=0: the queues are drained by short runs instead", context.cursor)
        now, live = clock(), _live_runs(context.instance, job.name)
        watch = Watch.from_cursor(context.cursor)
        try:
            position, waiting = _look(settings, watch.position)
        except TrailNotSetUpError as error:
            if not live:
                return _skip(f"The audit trail is not set up: {error}", context.cursor)
        except LedgerError as error:
            # A relay waits for its database, so it is started all the same; silence cannot be told now.
            context.log.warning(f"the audit database does not answer: {error}")
            watch = watch.observe(watch.position, waiting=False, now=now)
        else:
            watch = watch.observe(position, waiting, now)
        decision = decide(
            live,
            watch,
            now,
            length=length,
            lead=lead,
            hot_standby=settings.audit_hot_standby,
            not_before=None if live else _rest_until(context.instance, job.name),
        )
        for run_id in decision.cancel:
            _cancel(context, run_id)
        if not decision.request:
            return _skip(decision.reason, decision.watch.to_cursor())
        generation = max(decision.watch.generation, _newest_number(context.instance, job.name, GENERATION_TAG) + 1)
        context.log.info(f"generation {generation}: {decision.reason}")
        return dg.SensorResult(
            run_requests=[dg.RunRequest(f"audit-stream-{generation}", tags={GENERATION_TAG: str(generation)})],
            cursor=decision.watch.at(generation).to_cursor(),
        )

    return keep_streaming


def audit_drain_sensor(
    settings: Settings, job: dg.JobDefinition, stream: dg.JobDefinition, clock: Clock = utc_now
) -> dg.SensorDefinition:
    """Drains the queues in short runs where there is no streaming run."""

    @dg.sensor(
        name="audit_drain_sensor",
        job=job,
        minimum_interval_seconds=DRAIN_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Drains the audit queues in short runs, one at a time, if AUDIT_STREAM=0 or no streaming run has got a "
            f"place for {NO_PLACE.seconds} s."
        ),
    )
    def drain(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if _live_runs(context.instance, job.name):
            return _skip("a drain is under way", context.cursor)
        if settings.audit_stream and _runs(context.instance, stream.name, _AT_WORK):
            return _skip("a streaming run is at work", "")
        now = clock()
        since = _instant(context.cursor) or now
        if settings.audit_stream and now - since < NO_PLACE:
            return _skip("no streaming run has a place for now", since.isoformat())
        try:
            reason = None if _look(settings, "")[1] else "no events wait"
        except TrailNotSetUpError as error:
            reason = f"The audit trail is not set up: {error}"
        except LedgerError as error:
            reason = f"the audit database does not answer: {error}"
        if reason:
            return _skip(reason, since.isoformat())
        number = _newest_number(context.instance, job.name, DRAIN_NUMBER_TAG) + 1
        request = dg.RunRequest(f"audit-drain-{number}", tags={DRAIN_NUMBER_TAG: str(number)})
        return dg.SensorResult(run_requests=[request], cursor=since.isoformat())

    return drain


def _look(settings: Settings, last_position: str) -> tuple[str, bool]:
    """How far the sources are delivered, and, if that is where they were, whether events wait in one of them."""
    spans = delivered(settings)
    position = json.dumps({source: [s.incarnation, s.tick_to, s.part_no] for source, s in sorted(spans.items())})
    if last_position not in ("", position):
        return position, False
    found = backlogs(settings, last_ticks(spans), counted=1, within=LOOK_SECONDS)
    return position, any(backlog.events for backlog in found.values())


def _live_runs(instance: dg.DagsterInstance, job: str) -> list[LiveRun]:
    """Runs that have not ended, oldest first."""
    return [
        LiveRun(
            record.dagster_run.run_id,
            _utc(record.start_time),
            canceling=record.dagster_run.status is Status.CANCELING,
        )
        for record in reversed(_runs(instance, job, _LIVE))
    ]


def _rest_until(instance: dg.DagsterInstance, job: str) -> datetime | None:
    """When the next run may follow those that failed one after the other, each within a short time."""
    failures = 0
    records = instance.get_run_records(dg.RunsFilter(job_name=job), limit=RUNS_REMEMBERED)
    for record in records:
        lived = timedelta(seconds=(record.end_time or 0.0) - (record.start_time or record.end_time or 0.0))
        if record.dagster_run.status is not Status.FAILURE or lived > SHORT_LIFE:
            break
        failures += 1
    ended = _utc(records[0].end_time) if failures else None
    return rest_until(failures, ended) if ended else None


def _runs(instance: dg.DagsterInstance, job: str, statuses: Sequence[Status]) -> Sequence[dg.RunRecord]:
    return instance.get_run_records(dg.RunsFilter(job_name=job, statuses=list(statuses)), limit=RUNS_REMEMBERED)


def _newest_number(instance: dg.DagsterInstance, job: str, tag: str) -> int:
    """The number in the tag of the newest run of the job: a cursor that was reset must not repeat run keys."""
    for record in instance.get_run_records(dg.RunsFilter(job_name=job), limit=RUNS_REMEMBERED):
        if (number := record.dagster_run.tags.get(tag, "")).isdigit():
            return int(number)
    return 0


def _cancel(context: dg.SensorEvaluationContext, run_id: str) -> None:
    context.log.warning(f"ending run {run_id}: it claims to live and delivers nothing")
    try:
        context.instance.run_coordinator.cancel_run(run_id)
    except Exception as error:  # whatever the launcher raises, the next tick goes on
        context.log.warning(f"run {run_id} could not be told to end: {error}")


def _skip(reason: str, cursor: str | None) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason, cursor=cursor)


def _utc(timestamp: float | None) -> datetime | None:
    return None if timestamp is None else datetime.fromtimestamp(timestamp, UTC).replace(tzinfo=None)


def _instant(cursor: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(cursor) if cursor else None
    except ValueError:
        return None
