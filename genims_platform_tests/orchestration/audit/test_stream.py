"""Runs that deliver, on a real instance: what they record, and what is left when they are killed or cancelled."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus as Status

from genims_platform.local.process import wait_until
from genims_platform.orchestration.audit.keys import audit_key
from genims_platform.orchestration.audit.sensors import audit_stream_sensor
from genims_platform.orchestration.audit.stream import DRAIN_JOB, STREAM_JOB, audit_drain_job, audit_stream_job
from genims_platform.orchestration.audit.stream_rules import SILENCE
from genims_platform.orchestration.resources import utc_now
from genims_platform.settings import PROJECT_ROOT
from genims_platform_tests.orchestration.audit.conftest import Trail, variables

PATIENCE_SECONDS = 90
TOUCHED = {"system_audit_log", "audit_sequence_manager", "data_change_audit", "customer_data_changes"}


def until(condition: Callable[[], bool]) -> None:
    """Wait for the condition, which a machine under load may need a while for."""
    wait_until(condition, PATIENCE_SECONDS, "waited in vain")


@contextmanager
def run_process(trail: Trail, job: str, log: Path, **changes: str) -> Generator[subprocess.Popen[bytes]]:
    """A process that executes the job as a run of the instance; killed at the end if it still lives."""
    command = [f"{sys.prefix}/bin/dagster", "job", "execute", "-m", "genims_platform.definitions", "-j", job]
    environment = {**os.environ, **variables(trail.settings), **changes}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def newest_run(instance: dg.DagsterInstance, job: str) -> dg.DagsterRun:
    return instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)[0].dagster_run


def test_a_streaming_run_delivers_and_records_each_touched_table_once(
    trail: Trail, audit_instance: dg.DagsterInstance
) -> None:
    short = trail.settings.model_copy(update={"audit_stream_run_seconds": 4})
    for name in ("first", "second"):
        trail.change(name)
    result = audit_stream_job(short).execute_in_process(instance=audit_instance)
    assert result.success
    assert trail.arrived() == trail.captured() == 2
    recorded = [e for e in result.all_events if e.is_step_materialization]
    assert set(Counter(event.asset_key for event in recorded).values()) == {1}
    keys = {event.asset_key for event in recorded}
    assert keys >= {audit_key(table) for table in TOUCHED}
    assert audit_key("legal_hold_tracking") not in keys
    (ledger,) = [e for e in recorded if e.asset_key == audit_key("system_audit_log")]
    metadata = {name: value.value for name, value in ledger.step_materialization_data.materialization.metadata.items()}
    numbers = trail.database.read(
        "SELECT MIN(audit_sequence), MAX(audit_sequence), COUNT(*) FROM system_audit_log WHERE source_db = 'crm'"
    ).row(0)
    # A row about delivery itself may stand between those of the source.
    assert (metadata["first_sequence"], metadata["last_sequence"], metadata["rows"]) == numbers
    assert metadata["run_id"] == result.run_id
    assert isinstance(metadata["latency_p99_ms"], int)


def test_a_killed_run_loses_nothing_and_the_sensor_requests_another(
    trail: Trail, audit_instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    before = trail.arrived()
    ahead = timedelta(0)
    sensor = audit_stream_sensor(trail.settings, audit_stream_job(trail.settings), lambda: utc_now() + ahead)
    with run_process(trail, STREAM_JOB, tmp_path / "killed.log") as process:
        trail.change("before")
        until(lambda: trail.arrived() == before + 1)
        until(lambda: newest_run(audit_instance, STREAM_JOB).status is Status.STARTED)
        for number in range(50):
            trail.change(f"while it is killed {number}")
            if number == 25:
                process.send_signal(signal.SIGKILL)
        process.wait()
    killed = newest_run(audit_instance, STREAM_JOB)
    assert killed.status is Status.STARTED  # nobody has noticed
    trail.change("after")

    cursor = None
    requests: list[dg.RunRequest] = []
    for tick in range(3):
        ahead = timedelta(minutes=2) + tick * (SILENCE + timedelta(seconds=1))
        data = sensor.evaluate_tick(dg.build_sensor_context(instance=audit_instance, cursor=cursor))
        cursor = data.cursor
        requests += data.run_requests or []
    assert len(requests) == 1

    with run_process(trail, STREAM_JOB, tmp_path / "next.log") as process:
        until(lambda: trail.arrived() == trail.captured())
        # Cancelling is this signal, sent by the launcher to the process of the run.
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_SECONDS)
    assert trail.arrived() == before + 52
    trail.assert_contiguous()


def test_a_cancelled_run_ends_and_its_log_says_what_it_wrote(
    trail: Trail, audit_instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    before = trail.arrived()
    with run_process(trail, STREAM_JOB, tmp_path / "run.log") as process:
        trail.change("one")
        until(lambda: trail.arrived() == before + 1)
        run = newest_run(audit_instance, STREAM_JOB)
        audit_instance.report_run_canceling(run)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
        seconds = time.monotonic() - asked
    ended = audit_instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is Status.CANCELED, (tmp_path / "run.log").read_text()[-3000:]
    assert seconds < PATIENCE_SECONDS / 2
    told = audit_instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    assert audit_key("system_audit_log") in {entry.get_dagster_event().asset_key for entry in told}


def test_what_happened_while_nothing_ran_is_drained(trail: Trail, audit_instance: dg.DagsterInstance) -> None:
    for number in range(20):
        trail.change(f"nobody looks {number}")
    result = audit_drain_job(trail.settings).execute_in_process(instance=audit_instance)
    assert result.success
    assert trail.arrived() == trail.captured()
    trail.assert_contiguous()


def test_a_drain_beside_a_streaming_run_leaves_the_work_to_it(
    trail: Trail, audit_instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    before = trail.arrived()
    with run_process(trail, STREAM_JOB, tmp_path / "run.log"):
        trail.change("one")
        until(lambda: trail.arrived() == before + 1)
        assert audit_drain_job(trail.settings).execute_in_process(instance=audit_instance).success
    assert newest_run(audit_instance, DRAIN_JOB).status is Status.SUCCESS


@pytest.mark.parametrize("name", [STREAM_JOB, DRAIN_JOB])
def test_neither_run_is_started_again_by_anybody_but_its_sensor(name: str, trail: Trail) -> None:
    job = {STREAM_JOB: audit_stream_job, DRAIN_JOB: audit_drain_job}[name](trail.settings)
    assert job.tags["dagster/max_retries"] == "0"
    assert "genims/kind" not in job.tags
