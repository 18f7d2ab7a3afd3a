"""The sensors on a real instance with real runs, over a real trail."""

from datetime import datetime, timedelta

import dagster as dg
import pytest
from dagster import DagsterEventType as EventType
from dagster import DagsterRunStatus as Status
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from genims_platform.audit.trail import TrailNotSetUpError, delivered
from genims_platform.orchestration.audit.runs import GENERATION_TAG
from genims_platform.orchestration.audit.sensors import NO_PLACE, audit_drain_sensor, audit_stream_sensor
from genims_platform.orchestration.audit.stream_rules import SILENCE
from genims_platform.orchestration.resources import utc_now
from genims_platform.settings import Settings
from genims_platform_tests.orchestration.audit.conftest import Trail

SECOND = timedelta(seconds=1)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@dg.op
def nothing() -> None: ...


@dg.job(name="audit_stream_job")
def stream() -> None:
    nothing()


@dg.job(name="audit_drain_job")
def drain() -> None:
    nothing()


@pytest.fixture
def runs(audit_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """The instance, without runs of earlier tests."""
    for record in audit_instance.get_run_records():
        audit_instance.delete_run(record.dagster_run.run_id)
    return audit_instance


@pytest.fixture
def nothing_waits(trail: Trail) -> None:
    """A source whose queue is known to be delivered: its ticks and queue are emptied behind the trail's back."""
    with trail.source.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE audit.queue")


def started(instance: dg.DagsterInstance, status: Status = Status.STARTED, job: str = "audit_stream_job") -> str:
    """A run of the job that came as far as this status."""
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name=__name__), location_name="here")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "repository"), job)
    run = create_run_for_test(instance, job_name=job, status=Status.NOT_STARTED, remote_job_origin=origin)
    if status is Status.QUEUED:
        happen(instance, run, EventType.RUN_ENQUEUED)
    if status in (Status.STARTED, Status.FAILURE):
        happen(instance, run, EventType.RUN_START)
    if status is Status.FAILURE:
        happen(instance, run, EventType.RUN_FAILURE)
    return run.run_id


def happen(instance: dg.DagsterInstance, run: dg.DagsterRun, kind: EventType) -> None:
    instance.report_dagster_event(dg.DagsterEvent(kind.value, run.job_name, message=kind.value), run.run_id)


class Sensor:
    """A sensor with the cursor that the daemon would keep."""

    def __init__(self, definition: dg.SensorDefinition, instance: dg.DagsterInstance) -> None:
        self.definition, self.instance = definition, instance
        self.cursor: str | None = None

    def tick(self) -> tuple[list[dg.RunRequest], str]:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        data = self.definition.evaluate_tick(context)
        self.cursor = data.cursor
        return list(data.run_requests or ()), data.skip_message or ""


def streaming(trail: Trail, instance: dg.DagsterInstance, clock: Clock | None = None) -> Sensor:
    return Sensor(audit_stream_sensor(trail.settings, stream, clock or Clock()), instance)


@pytest.mark.usefixtures("nothing_waits")
def test_a_run_is_requested_when_none_is_alive_and_each_has_a_key_of_its_own(
    trail: Trail, runs: dg.DagsterInstance
) -> None:
    sensor = streaming(trail, runs)
    (first,), _ = sensor.tick()
    assert (first.run_key, first.tags[GENERATION_TAG]) == ("audit-stream-1", "1")
    (second,), _ = sensor.tick()
    assert second.run_key == "audit-stream-2"
    started(runs)
    assert sensor.tick()[0] == []


def test_a_lost_cursor_does_not_repeat_a_key(trail: Trail, runs: dg.DagsterInstance) -> None:
    create_run_for_test(runs, job_name="audit_stream_job", status=Status.SUCCESS, tags={GENERATION_TAG: "41"})
    (request,), _ = streaming(trail, runs).tick()
    assert request.run_key == "audit-stream-42"


@pytest.mark.usefixtures("nothing_waits")
@pytest.mark.parametrize("status", [Status.QUEUED, Status.NOT_STARTED, Status.STARTED])
def test_one_run_in_any_state_before_its_end_is_enough(trail: Trail, runs: dg.DagsterInstance, status: Status) -> None:
    started(runs, status)
    assert streaming(trail, runs).tick()[0] == []


@pytest.mark.usefixtures("nothing_waits")
def test_a_run_near_its_end_gets_one_successor(trail: Trail, runs: dg.DagsterInstance) -> None:
    clock = Clock()
    sensor = streaming(trail, runs, clock)
    started(runs)
    clock.ahead = timedelta(seconds=trail.settings.audit_stream_run_seconds - trail.settings.audit_handover_lead - 5)
    assert sensor.tick()[0] == []
    clock.ahead += 6 * SECOND
    assert len(sensor.tick()[0]) == 1
    started(runs, Status.QUEUED)
    assert sensor.tick()[0] == []


def test_a_silent_run_gets_a_successor_and_is_ended_when_that_works(trail: Trail, runs: dg.DagsterInstance) -> None:
    clock = Clock()
    sensor = streaming(trail, runs, clock)
    zombie = started(runs)
    trail.change("waits")
    clock.ahead = timedelta(minutes=1)
    assert sensor.tick()[0] == []
    clock.ahead += SILENCE + SECOND
    (request,), _ = sensor.tick()
    assert request.run_key == "audit-stream-1"
    started(runs, Status.QUEUED)
    assert sensor.tick()[0] == []
    assert status_of(runs, zombie) is Status.STARTED
    started(runs)
    assert sensor.tick()[0] == []
    assert status_of(runs, zombie) is Status.CANCELING


def status_of(instance: dg.DagsterInstance, run_id: str) -> Status:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_runs_that_fail_at_once_are_not_started_again_and_again(trail: Trail, runs: dg.DagsterInstance) -> None:
    sensor = streaming(trail, runs)
    started(runs, Status.FAILURE)
    assert len(sensor.tick()[0]) == 1
    for _ in range(3):
        started(runs, Status.FAILURE)
    requests, reason = sensor.tick()
    assert requests == []
    assert "fail at once" in reason


def test_without_a_trail_it_says_what_to_do(trail: Trail, runs: dg.DagsterInstance) -> None:
    elsewhere = trail.settings.model_copy(update={"mysql_audit_db": f"{trail.settings.mysql_audit_db}_none"})
    sensor = Sensor(audit_stream_sensor(elsewhere, stream), runs)
    requests, reason = sensor.tick()
    assert requests == []
    assert "genims schema deploy --database audit" in reason
    no_password = Settings.model_validate({**trail.settings.model_dump(), "mysql_audit_relay_password": ""})
    with pytest.raises(TrailNotSetUpError, match="MYSQL_AUDIT_RELAY_PASSWORD is not set"):
        delivered(no_password)


def test_a_database_that_does_not_answer_still_gets_a_run(trail: Trail, runs: dg.DagsterInstance) -> None:
    down = trail.settings.model_copy(update={"mysql_audit_port": 1})
    (request,), _ = Sensor(audit_stream_sensor(down, stream), runs).tick()
    assert request.run_key == "audit-stream-1"


def test_queues_are_drained_where_streaming_is_off_and_one_run_at_a_time(
    trail: Trail, runs: dg.DagsterInstance
) -> None:
    off = trail.settings.model_copy(update={"audit_stream": False})
    assert "AUDIT_STREAM=0" in Sensor(audit_stream_sensor(off, stream), runs).tick()[1]
    sensor = Sensor(audit_drain_sensor(off, drain, stream), runs)
    trail.change("waits")
    (request,), _ = sensor.tick()
    assert request.run_key == "audit-drain-1"
    started(runs, job="audit_drain_job")
    assert sensor.tick() == ([], "a drain is under way")


@pytest.mark.usefixtures("nothing_waits")
def test_an_empty_queue_is_not_drained(trail: Trail, runs: dg.DagsterInstance) -> None:
    off = trail.settings.model_copy(update={"audit_stream": False})
    assert Sensor(audit_drain_sensor(off, drain, stream), runs).tick() == ([], "no events wait")


def test_queues_are_drained_when_no_streaming_run_gets_a_place(trail: Trail, runs: dg.DagsterInstance) -> None:
    clock = Clock()
    sensor = Sensor(audit_drain_sensor(trail.settings, drain, stream, clock), runs)
    trail.change("waits")
    started(runs, Status.QUEUED)
    assert sensor.tick()[0] == []
    clock.ahead = NO_PLACE - SECOND
    assert sensor.tick()[0] == []
    clock.ahead = NO_PLACE + SECOND
    assert len(sensor.tick()[0]) == 1
    started(runs)
    assert sensor.tick() == ([], "a streaming run is at work")
