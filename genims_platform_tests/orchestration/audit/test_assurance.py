"""Checks, verification and reconciliation as Dagster runs them, over a real trail."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from genims_platform.audit.reconcile import source
from genims_platform.build import build_definitions
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.orchestration.audit.assurance import CHAIN, RECONCILED
from genims_platform.orchestration.audit.checks import BACKLOG, CONSISTENT, LATENCY, SEQUENCE
from genims_platform.orchestration.audit.keys import audit_key, queue_key
from genims_platform.orchestration.audit.stream import DRAIN_JOB
from genims_platform.orchestration.audit.tables import CHECKPOINTS, COMPLETENESS, ETL_SYNC_LOG, audit_tables
from genims_platform.orchestration.partitions import hourly_partitions
from genims_platform.orchestration.resources import utc_now
from genims_platform.settings import SOURCE_NAMES
from genims_platform_tests.orchestration.audit.conftest import SOURCE, Trail

Results = dict[tuple[dg.AssetKey, str], dg.AssetCheckEvaluation]


@pytest.fixture(scope="module")
def definitions(trail: Trail) -> dg.Definitions:
    return build_definitions(settings=trail.settings, partitions=hourly_partitions(utc_now().date()))


def run(definitions: dg.Definitions, instance: dg.DagsterInstance, job: str) -> Results:
    done = definitions.resolve_job_def(job).execute_in_process(instance=instance)
    return {(found.asset_key, found.check_name): found for found in done.get_asset_check_evaluations()}


def test_an_intact_trail_passes_every_check_and_is_verified_and_reconciled(
    trail: Trail, definitions: dg.Definitions, audit_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What was delivered just now is compared too.
    monkeypatch.setattr(source, "SETTLED_SECONDS", 0)
    trail.change("waits")
    waiting = run(definitions, audit_instance, "check_audit")
    assert waiting[queue_key(SOURCE), BACKLOG].metadata["events"].value not in (None, 0)
    assert not waiting[queue_key("mes"), BACKLOG].passed  # never opened
    assert not waiting[audit_key(ETL_SYNC_LOG), LATENCY].passed  # no relay has recorded anything

    assert run(definitions, audit_instance, DRAIN_JOB) == {}
    for job in ("check_audit", "check_audit_year"):
        found = run(definitions, audit_instance, job)
        broken = {key: result.description for key, result in found.items() if not result.passed}
        unopened = {(queue_key(name), BACKLOG) for name in SOURCE_NAMES if name != SOURCE}
        assert broken.keys() <= unopened | {(audit_key(ETL_SYNC_LOG), LATENCY)}, broken
        assert {key for key, name in found if name == CONSISTENT} == {audit_key(table) for table in audit_tables()}
        assert (audit_key(LEDGER), SEQUENCE) in found

    for job in ("assure_audit", "assure_audit_year"):
        found = run(definitions, audit_instance, job)
        assert found.keys() == {(audit_key(CHECKPOINTS), CHAIN), (audit_key(COMPLETENESS), RECONCILED)}
        assert found[audit_key(COMPLETENESS), RECONCILED].passed
    recorded = trail.database.read(
        "SELECT verify_scope, verified_rows FROM audit_integrity_checkpoints WHERE record_type = 'VERIFY_RESULT' "
        "ORDER BY audit_sequence"
    )
    assert recorded["verify_scope"].to_list() == ["NEW", f"YEAR:{datetime.now(UTC).year}"]
    assert recorded["verified_rows"].min() > 0  # pyright: ignore
    sources = trail.database.read("SELECT DISTINCT checked_source FROM audit_trail_completeness WHERE status = 'OK'")
    assert set(sources.to_series()) == {SOURCE, "*"}


def test_a_row_that_vanished_is_named_by_the_checks_and_by_the_verifier(
    trail: Trail, definitions: dg.Definitions, audit_instance: dg.DagsterInstance
) -> None:
    trail.change("vanishes")
    run(definitions, audit_instance, DRAIN_JOB)
    with trail.database.connection() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {LEDGER}_no_del")
        cursor.execute(f"DELETE FROM {LEDGER} WHERE source_db = %s ORDER BY audit_sequence DESC LIMIT 1", (SOURCE,))
        connection.commit()
    found = run(definitions, audit_instance, "check_audit")
    assert not found[audit_key(LEDGER), SEQUENCE].passed
    assert not found[audit_key("data_change_audit"), CONSISTENT].passed
    assert found[audit_key(SPINE), CONSISTENT].passed
    found = run(definitions, audit_instance, "assure_audit")
    assert "V6" in (found[audit_key(CHECKPOINTS), CHAIN].description or "")
    assert "missing" in (found[audit_key(COMPLETENESS), RECONCILED].description or "")


def test_without_a_trail_schedules_say_what_to_do_and_runs_fail_with_it(
    trail: Trail, audit_instance: dg.DagsterInstance
) -> None:
    elsewhere = trail.settings.model_copy(update={"mysql_audit_db": f"{trail.settings.mysql_audit_db}_none"})
    definitions = build_definitions(settings=elsewhere, partitions=hourly_partitions(utc_now().date()))
    repository = definitions.get_repository_def()
    context = dg.build_schedule_context(
        instance=audit_instance,
        repository_def=repository,
        scheduled_execution_time=datetime.now(UTC) + timedelta(minutes=1),
    )
    for name in ("check_audit", "assure_audit"):
        tick = repository.get_schedule_def(f"{name}_schedule").evaluate_tick(context)
        assert "genims schema deploy --database audit" in (tick.skip_message or "")
        assert not tick.run_requests
        job = definitions.resolve_job_def(name)
        done = job.execute_in_process(instance=audit_instance, raise_on_error=False)
        assert not done.success
