"""Breaks that two people accept: known from then on, unless more is changed in the same place."""

import json

import pytest
from typer.testing import CliRunner, Result

from genims_platform.audit.database import audit_database
from genims_platform.audit.verify.verifier import Scope, verify
from genims_platform.cli import app
from genims_platform.commands import audit_verify
from genims_platform_tests.audit.verify.attacker import Attacker
from genims_platform_tests.audit.verify.trail import Trail

RUNNER = CliRunner()
TABLES = ("login_audit", "data_change_audit", "system_audit_log", "audit_sequence_manager")
APPROVED = ("--reason", "INC-1", "--approval", "anna", "--approval", "bert")


@pytest.fixture(autouse=True)
def _settings(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_verify, "current_settings", lambda: trail.settings)


def run(*options: str) -> Result:
    return RUNNER.invoke(app, ["audit", "verify", "--scope", "full", *options])


def codes(trail: Trail, scope: str = "full") -> tuple[list[str], list[str]]:
    """Found, and known."""
    done = verify(trail.settings, Scope.parse(scope), processes=1)
    return [found.code for found in done.findings], [known.finding.code for known in done.known]


def changed(attacker: Attacker, *statements: str, rechain: int | None = None) -> None:
    attacker.unfence(TABLES)
    attacker.run(*statements)
    if rechain is not None:
        attacker.rechain(rechain)
    attacker.fence(TABLES)


def test_what_is_refused(trail: Trail) -> None:
    assert run("--accept", "V5", "--reason", "x", "--approval", "anna").exit_code == 3
    assert run("--accept", "V5", "--reason", "x", "--approval", "anna", "--approval", " Anna").exit_code == 3
    assert run("--accept", "V5").exit_code == 2
    assert run("--accept", "V99", *APPROVED).exit_code == 2
    assert run("--accept", "V15", *APPROVED).exit_code == 2
    assert run("--reason", "x").exit_code == 2
    nothing = run("--accept", "V5", *APPROVED)
    assert nothing.exit_code == 2
    assert "has no finding V5 to accept; nothing was recorded" in nothing.output
    database = audit_database(trail.settings)
    rows = database.read("SELECT 1 FROM audit_integrity_checkpoints WHERE record_type = 'REANCHOR'")
    database.close()
    assert rows.is_empty()


def test_an_accepted_break_is_known_and_one_more_edit_is_not(trail: Trail) -> None:
    attacker = Attacker(trail)
    try:
        changed(attacker, "UPDATE login_audit SET user_id = 'x'")
        assert codes(trail) == (["V5"], [])
        accepted = run("--accept", "V5", *APPROVED, "--json")
        assert accepted.exit_code == 0, accepted.output
        said = json.loads(accepted.stdout)
        assert (said["status"], said["findings"], said["first_bad_sequence"]) == ("OK", [], None)
        ((record, covers),) = attacker.rows(
            "SELECT audit_sequence, covers_batch_no FROM audit_integrity_checkpoints WHERE record_type = 'REANCHOR'"
        )
        assert (said["accepted_as"], covers) == (record, 15)
        ((payload,),) = attacker.rows("SELECT payload FROM system_audit_log WHERE audit_sequence = %s", record)
        assert json.loads(payload) == {
            "accepted": {"V5": [1, 11, 11]},
            "approvals": ["anna", "bert"],
            "reason": "INC-1",
            "run_id": json.loads(payload)["run_id"],
        }
        for scope in ("full", "year=2026"):
            assert codes(trail, scope) == ([], ["V5"])
        again = run()
        assert again.exit_code == 0, again.output
        assert "known V5" in again.output
        assert f"accepted as number {record} by anna, bert: INC-1" in again.output
        # The same code in the same batch, and in another one.
        changed(attacker, "UPDATE login_audit SET user_id = 'y'")
        assert codes(trail) == (["V5"], [])
        changed(attacker, "UPDATE login_audit SET user_id = 'x'", "UPDATE data_change_audit SET new_value = '1'")
        found, known = codes(trail)
        # Among those rows are images, which are no JSON objects any more.
        assert (set(found), known) == ({"V5", "V22"}, ["V5"])
    finally:
        attacker.restore(TABLES[:2], rebuild=False)
        attacker.close()
    assert codes(trail) == ([], [])


def test_a_rewritten_chain_is_known_only_as_it_was_rewritten(trail: Trail) -> None:
    attacker = Attacker(trail)
    try:
        ((batch,),) = attacker.rows("SELECT batch_no FROM system_audit_log WHERE audit_sequence = 21")
        changed(attacker, "DELETE FROM system_audit_log WHERE audit_sequence = 21", rechain=batch)
        found, _ = codes(trail)
        assert set(found) == {"V11", "V20"}
        assert run("--accept", "V20", *APPROVED).exit_code == 1
        assert codes(trail) == (["V11"], ["V20"])
        assert run("--accept", "V11", *APPROVED).exit_code == 0
        assert codes(trail) == ([], ["V11", "V20"])
        changed(attacker, "UPDATE data_change_audit SET new_value = '1' WHERE audit_sequence = 14", rechain=11)
        found, known = codes(trail)
        assert "V11" in found
        assert "V11" not in known
    finally:
        attacker.close()
