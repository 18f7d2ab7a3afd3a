"""`genims audit verify`: output, exit codes, and what it leaves in the trail."""

import json

import pytest
from typer.testing import CliRunner

from genims_platform.audit.database import audit_database
from genims_platform.cli import app
from genims_platform.commands import audit_verify
from genims_platform_tests.audit.verify.attacker import Attacker
from genims_platform_tests.audit.verify.trail import Trail

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _settings(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_verify, "current_settings", lambda: trail.settings)


def test_a_result_is_recorded_and_verified_with_the_next_one(trail: Trail) -> None:
    first = RUNNER.invoke(app, ["audit", "verify", "--scope", "full", "--json"])
    assert first.exit_code == 0, first.output
    done = json.loads(first.stdout)
    assert (done["status"], done["findings"], done["covers_sequence"]) == ("OK", [], 22)
    assert done["recorded_as"] == 23
    database = audit_database(trail.settings)
    recorded = database.read("SELECT * FROM audit_integrity_checkpoints WHERE record_type = 'VERIFY_RESULT'").to_dicts()
    database.close()
    assert [(row["verify_scope"], row["verify_status"], row["covers_batch_no"]) for row in recorded] == [
        ("FULL", "OK", 15)
    ]
    second = RUNNER.invoke(app, ["audit", "verify", "--no-record", "--json"])
    assert second.exit_code == 0, second.output
    done = json.loads(second.stdout)
    assert (done["scope"], done["batches"], done["rows"], done["recorded_as"]) == ("NEW", 1, 2, None)


def test_a_finding_opens_a_case_once(trail: Trail) -> None:
    attacker = Attacker(trail)
    try:
        attacker.unfence(("login_audit",))
        attacker.run("UPDATE login_audit SET user_id = 'x'")
        attacker.fence(("login_audit",))
        for _ in range(2):
            found = RUNNER.invoke(app, ["audit", "verify", "--scope", "full"])
            assert found.exit_code == 1, found.output
            assert "V5 stored row edited: from number 11:" in found.output
        cases = attacker.rows("SELECT dedup_key, severity, status, evidence_from FROM compliance_violations")
        assert cases == [("VERIFY:V5", "CRITICAL", "OPEN", 11)]
    finally:
        attacker.close()


def test_options_that_cannot_be_meant() -> None:
    refused = RUNNER.invoke(app, ["audit", "verify", "--scope", "year=26"])
    assert refused.exit_code == 2
    assert "possible are new, year=2026, sample and full" in refused.output


def test_what_cannot_be_reached(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = trail.settings.model_copy(update={"mysql_audit_port": 1})
    monkeypatch.setattr(audit_verify, "current_settings", lambda: nowhere)
    assert RUNNER.invoke(app, ["audit", "verify"]).exit_code == 4
    unmounted = trail.settings.model_copy(update={"audit_worm_uri": "file:///nowhere/at/all"})
    monkeypatch.setattr(audit_verify, "current_settings", lambda: unmounted)
    assert RUNNER.invoke(app, ["audit", "verify"]).exit_code == 4
