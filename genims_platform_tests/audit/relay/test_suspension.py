"""A window without capture is in the trail: as an event, a security event, and wherever completeness is compared."""

import json
from collections.abc import Generator

import pytest

from genims_platform.audit.capture.suspend import Leave, resume, suspend
from genims_platform.audit.integrity import record_comparisons
from genims_platform.audit.reconcile.baseline import reconcile_baseline
from genims_platform.audit.reconcile.comparison import Comparison
from genims_platform.audit.reconcile.source import reconcile_days, reconcile_hour
from genims_platform.local.process import wait_until
from genims_platform_tests.audit.relay.test_quarantine import ACCOUNT
from genims_platform_tests.audit.relay.trail import PATIENCE, Trail

LEAVE = Leave("ann", "initial load", "CHG-1042")


@pytest.fixture
def allowed(trail: Trail) -> Generator[Trail]:
    """A trail of a source whose installer may suspend capture."""
    with trail.sources["crm"].maintained():
        yield trail


def statuses(found: list[Comparison]) -> dict[str | None, str]:
    return {comparison.table: comparison.status for comparison in found}


def test_a_suspended_window_is_never_ok(allowed: Trail) -> None:
    crm, settings = allowed.sources["crm"], allowed.settings
    crm.execute(ACCOUNT, {"id": "A1"})
    suspend(settings, "crm", ["accounts"], LEAVE)
    crm.execute(ACCOUNT, {"id": "UNSEEN"})
    crm.execute("UPDATE contacts SET last_name = 'X'")
    allowed.deliver()

    marks = allowed.query(
        "SELECT operation_type, user_id, table_name, payload FROM system_audit_log "
        "WHERE operation_type IN ('SUSPENDED', 'RESUMED') ORDER BY audit_sequence"
    )
    ((operation, user, table, payload),) = marks
    assert (operation, user, table) == ("SUSPENDED", "ann", "accounts")
    said = json.loads(payload)
    assert (said["approval"], said["reason"], said["rows"]) == ("CHG-1042", "initial load", 1)
    assert allowed.query(
        "SELECT event_type, event_severity, user_id, resource_name FROM security_events "
        "WHERE event_type LIKE 'CAPTURE%' OR event_type = 'AUDIT_TAMPER'"
    ) == [("CAPTURE_SUSPENDED", "HIGH", "ann", "accounts")]
    assert allowed.query("SELECT COUNT(*) FROM system_audit_log WHERE primary_key_value = 'UNSEEN'") == [(0,)]

    # The newest seconds are compared later.
    wait_until(lambda: statuses(reconcile_hour(settings, "crm")).get(None) == "SUSPENDED", PATIENCE, "not SUSPENDED")
    days = reconcile_days(settings, "crm")
    assert statuses(days)[None] == statuses(days)["accounts"] == "SUSPENDED"
    assert not any(comparison.gap_found for comparison in days)
    record_comparisons(settings, [found.row() for found in days], {}, operator="ann", run_id="r1")
    recorded = allowed.query(
        "SELECT status, gap_found, detail FROM audit_trail_completeness "
        "WHERE checked_source = 'crm' AND (table_name IS NULL OR table_name = 'accounts')"
    )
    assert {(status, gap) for status, gap, _ in recorded} == {("SUSPENDED", 0)}
    assert all(json.loads(detail)["suspended"]["accounts"]["approval"] == "CHG-1042" for *_, detail in recorded)

    (back,) = resume(settings, "crm", ["accounts"], LEAVE).tables
    assert (back.rows, back.same_rows) == (2, False)
    crm.execute(ACCOUNT, {"id": "A2"})
    allowed.deliver()
    assert allowed.query("SELECT COUNT(*) FROM system_audit_log WHERE primary_key_value = 'A2'") == [(1,)]
    steps = [found.status for found in reconcile_baseline(settings, "crm") if found.table == "accounts"]
    assert steps == ["OK", "SUSPENDED", "OK"]
    ((payload,),) = allowed.query("SELECT payload FROM system_audit_log WHERE operation_type = 'RESUMED'")
    said = json.loads(payload)
    assert (said["rows"], said["suspended"]["rows"]) == (2, 1)
    allowed.check_complete()


def test_a_suspended_table_without_events_is_compared_too(allowed: Trail) -> None:
    settings = allowed.settings
    suspend(settings, "crm", ["accounts"], LEAVE)
    allowed.deliver()
    first = allowed.query("SELECT MAX(tick_to) FROM audit_sequence_manager WHERE source_db = 'crm'")
    allowed.sources["crm"].execute(
        "INSERT INTO audit.queue (kind, op, detail) VALUES ('ACTIVITY', 'OTHER', '{\"status\": \"SUCCESS\"}')"
    )
    allowed.deliver()
    assert allowed.query("SELECT MAX(tick_to) FROM audit_sequence_manager WHERE source_db = 'crm'") > first

    def compared() -> dict[str | None, str]:
        return statuses(reconcile_days(settings, "crm"))

    wait_until(lambda: compared().get("accounts") == "SUSPENDED", PATIENCE, "the suspended table is not compared")
    assert compared()[None] == "SUSPENDED"
