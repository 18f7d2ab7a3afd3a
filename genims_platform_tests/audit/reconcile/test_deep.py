"""Every stored value against the queue: equal, edited with all hashes recomputed, of another person."""

import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from genims_platform.audit.reconcile.comparison import Comparison
from genims_platform.audit.reconcile.deep import reconcile_deep
from genims_platform.audit.reconcile.source import reconcile_days, reconcile_sequence
from genims_platform.cli import app
from genims_platform.commands import audit_reconcile
from genims_platform_tests.audit.reconcile.site import ACCOUNT, Site

pytestmark = pytest.mark.usefixtures("_just_delivered")

CHANGES = "data_change_audit"
LONG = "x" * 200_000


def deep(site: Site, source: str = "crm", sample: int = 1000) -> Comparison:
    found = reconcile_deep(site.settings, source, sample=sample)
    assert found
    return found


def test_what_was_delivered_says_what_was_captured(site: Site) -> None:
    site.write(
        "crm",
        "UPDATE accounts SET credit_limit = 'NaN', account_name = 'Müller \"& Söhne\" 🙂', industry = NULL",
        f"UPDATE contacts SET notes = '{LONG}', phone = NULL, last_name = ''",
        f"UPDATE accounts SET description = '{LONG}'" if has(site, "accounts", "description") else "SELECT 1",
        "SELECT audit.set_context('anna', 'sales', 's1', '10.1.2.3', 'portal', 'R1', 'AP-1', is_local => false);"
        "SELECT audit.log_activity('READ', 'crm.contacts', 'CONT-000001', 1, '{\"why\": [1, 2.50]}');"
        "SELECT audit.log_login('FAILED', 'anna', 'service.portal', false, 'password', ip => '10.1.2.3');"
        "SELECT audit.log_config('portal', 'colour', 'red', 'blue', 'AP-2');"
        "SELECT audit.log_security('ODD_THING', 'LOW', 'something', '{\"n\": 1}');"
        "UPDATE accounts SET credit_limit = 1e30::numeric / 1e20",
        "DELETE FROM contacts",
    )
    salary = "UPDATE employees SET annual_salary = 1300000.50, employee_id = 'EMP-000002'"
    site.write("hcm", salary, "DELETE FROM employees")
    for source in ("crm", "hcm"):
        found = deep(site, source)
        assert (found.status, found.notes) == ("OK", {"differing": {}, "unreadable": 0})
        assert found.actual[0] == len(site.trail.ledger_events(source))
        whole = reconcile_deep(site.settings, source, day=datetime.now(UTC).date())
        assert whole
        assert (whole.status, whole.actual[0] > 0) == ("OK", True)
    assert deep(site, sample=3).actual[0] == 3


def has(site: Site, table: str, column: str) -> bool:
    query = f"SELECT 1 FROM information_schema.columns WHERE table_name = '{table}' AND column_name = '{column}'"
    return bool(site.trail.sources["crm"].rows(query))


EDITS = (
    (
        CHANGES,
        "new_value = '9.99'",
        "column_name = 'credit_limit' AND new_value = '250.00'",
        "new_value of credit_limit",
    ),
    (CHANGES, "new_value = old_value", "column_name = 'phone' AND new_value IS NOT NULL", "new_value of phone"),
    (
        "customer_data_changes",
        "old_values = '{}'",
        f"primary_key_value = '{ACCOUNT}'",
        "customer_data_changes.old_values",
    ),
    ("financial_data_changes", "new_amount = 9.99", "new_amount = 250", "new_amount of credit_limit"),
    ("system_audit_log", "user_id = 'bert'", "user_id IS NULL AND table_name = 'accounts'", "system_audit_log.user_id"),
    ("login_audit", "failure_reason = 'x'", "failure_reason = 'password'", "login_audit.failure_reason"),
)


@pytest.mark.parametrize(("table", "edit", "condition", "place"), EDITS, ids=[edit[3] for edit in EDITS])
def test_an_edited_value_is_found_though_all_hashes_agree(
    site: Site, table: str, edit: str, condition: str, place: str
) -> None:
    touched = (table, "audit_sequence_manager")
    with site.attacked(*touched) as attacker:
        ((batch,),) = attacker.rows(f"SELECT MIN(batch_no) FROM {table} WHERE {condition} AND source_db = 'crm'")
        attacker.run(f"UPDATE {table} SET {edit} WHERE {condition} AND source_db = 'crm'")
        attacker.rechain(batch)
        attacker.fence(touched)
        try:
            assert site.verified().findings == ()
            assert {found.status for found in reconcile_days(site.settings, "crm")} == {"OK"}
            found = deep(site)
            assert (found.status, found.gap_found) == ("MISMATCH", True)
            assert found.notes
            assert any(place in what for places in dict(found.notes["differing"]).values() for what in places)  # pyright: ignore
            assert "9.99" not in json.dumps(found.row(), default=str)
        finally:
            attacker.restore(touched, rebuild=False)
    assert deep(site).status == "OK"


def test_the_command(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_reconcile, "current_settings", lambda: site.settings)
    runner = CliRunner()
    done = runner.invoke(app, ["audit", "reconcile", "--source", "crm", "--deep", "--sample", "5", "--json"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["comparisons"]
    assert (row["check_type"], row["status"], row["actual_count"]) == ("DEEP", "OK", 5)
    assert site.trail.query("SELECT status FROM audit_trail_completeness WHERE check_type = 'DEEP'") == [("OK",)]
    for options in (["--deep", "--baseline"], ["--sample", "5"], ["--deep", "--day", "2026-01-01", "--sample", "5"]):
        assert runner.invoke(app, ["audit", "reconcile", *options]).exit_code == 2
    assert reconcile_sequence(site.settings)
