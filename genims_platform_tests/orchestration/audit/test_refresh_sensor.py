"""Refreshes of reporting tables in the audit trail, entered after their runs."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from genims_platform.build import REPORTING_JOB, build_definitions
from genims_platform.mysql.connection import Database
from genims_platform.orchestration.audit.refresh_sensor import refresh_sensor
from genims_platform.orchestration.resources import utc_now
from genims_platform.reporting.periods import DAY, midnight
from genims_platform.reporting.registry import reporting_tables
from genims_platform.settings import Settings
from genims_platform_tests.commands.conftest import renamed
from genims_platform_tests.factory_group import TODAY, UNTIL
from genims_platform_tests.orchestration.audit.conftest import Trail

NAMES = ("production_summary_daily", "quality_summary_daily")
TABLES = {name: reporting_tables()[name] for name in NAMES}
PARTITIONS = dg.HourlyPartitionsDefinition(start_date=midnight(TODAY - 36 * DAY).replace(tzinfo=UTC), timezone="UTC")
JOBS = (REPORTING_JOB, "daily_close", "weekly_close")


class Recorder:
    """The sensor with the cursor that the daemon would keep."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.sensor = refresh_sensor(settings, JOBS, NAMES)
        self.instance = instance
        self.cursor: str | None = None

    def tick(self) -> str:
        data = self.sensor.evaluate_tick(dg.build_sensor_context(instance=self.instance, cursor=self.cursor))
        self.cursor = data.cursor
        return data.skip_message or ""


@pytest.mark.usefixtures("factory", "reporting")
def test_each_refresh_is_entered_once_with_what_it_read_and_published(
    trail: Trail, audit_instance: dg.DagsterInstance, factory: Settings
) -> None:
    as_of = dg.ResourceDefinition(lambda _: UNTIL)
    definitions = build_definitions(
        settings=trail.settings, tables=TABLES, partitions=PARTITIONS, resources={"as_of": as_of}
    )
    recorder = Recorder(trail.settings, audit_instance)
    assert recorder.tick() == "Runs that end from now on count"
    job = definitions.resolve_job_def(REPORTING_JOB)
    good = job.execute_in_process(instance=audit_instance, partition_key="2026-03-10-12:00")
    with renamed(factory, "mes.defects", "quantity_affected"):
        bad = job.execute_in_process(instance=audit_instance, partition_key="2026-03-10-13:00", raise_on_error=False)
    close = definitions.resolve_job_def("daily_close").execute_in_process(instance=audit_instance)
    assert (good.success, bad.success, close.success) == (True, False, True)

    assert recorder.tick() == "6 refreshes entered"
    assert recorder.tick() == "0 refreshes entered"
    recorder.cursor = json.dumps({"after": (utc_now() - timedelta(hours=1)).isoformat(), "done": {}})
    assert recorder.tick() == "0 refreshes entered"

    rows = entered(trail.database)
    assert len(rows) == 6
    hourly = rows[good.run_id, NAMES[0]]
    (event,) = [e for e in good.get_asset_materialization_events() if e.asset_key and e.asset_key.path[-1] == NAMES[0]]
    said = event.materialization.metadata
    assert hourly == (
        datetime(2026, 3, 10, 12),
        datetime(2026, 3, 10, 13),
        said["source_rows_read"].value,
        said["rows_published"].value,
        "OK",
        None,
    )
    *_, published, status, error = rows[bad.run_id, NAMES[1]]
    assert (published, status) == (0, "FAILED")
    assert "quantity_affected" in str(error)
    closed = rows[close.run_id, NAMES[1]]
    assert closed[1] == midnight(TODAY)
    assert closed[2] != 0
    events = trail.database.read("SELECT payload FROM system_audit_log WHERE operation_type = 'SYNC'").to_series()
    assert [set(json.loads(payload)["seconds"]) for payload in events] == [set(NAMES)] * 3
    trail.assert_contiguous()


def entered(database: Database) -> dict[tuple[str, str], tuple[object, ...]]:
    rows = database.read(
        "SELECT run_id, synced_source, window_start, window_end, events_delivered, rows_written, sync_status, "
        "error_message FROM audit_etl_sync_log"
    ).rows()
    return {(run, table): tuple(rest) for run, table, *rest in rows}


def test_what_the_audit_database_does_not_take_now_is_entered_later(
    trail: Trail, audit_instance: dg.DagsterInstance
) -> None:
    @dg.op(name=NAMES[0])
    def table() -> None: ...

    @dg.job(name=REPORTING_JOB)
    def refresh() -> None:
        table()

    down = trail.settings.model_copy(update={"mysql_audit_port": 1})
    recorder = Recorder(down, audit_instance)
    recorder.tick()
    run = refresh.execute_in_process(instance=audit_instance)
    assert "0 refreshes entered; the others later" in recorder.tick()
    recorder.sensor = refresh_sensor(trail.settings, JOBS, NAMES)
    assert recorder.tick() == "1 refreshes entered"
    assert (run.run_id, NAMES[0]) in entered(trail.database)
