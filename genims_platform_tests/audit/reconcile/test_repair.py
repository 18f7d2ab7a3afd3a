"""An event that an administrator removed so that all hashes agree: found, recorded after all, and accepted."""

import json
from contextlib import closing

import pytest
from typer.testing import CliRunner, Result

from genims_platform.audit.reconcile.source import reconcile_days
from genims_platform.audit.sealer.sealer import Sealer
from genims_platform.cli import app
from genims_platform.commands import audit_reconcile, audit_verify
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform_tests.audit.reconcile.site import Site

pytestmark = pytest.mark.usefixtures("_just_delivered")

DETAILS = ("data_change_audit", "customer_data_changes")
APPROVED = ("--reason", "INC-1", "--approval", "anna", "--approval", "bert")


def test_a_removed_event(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in (audit_reconcile, audit_verify):
        monkeypatch.setattr(command, "current_settings", lambda: site.settings)

    def run(*options: str) -> Result:
        return CliRunner().invoke(app, ["audit", *options, "--json"])

    def compared(*options: str) -> tuple[int, dict[str, str]]:
        done = run("reconcile", "--source", "crm", *options)
        rows = json.loads(done.stdout)["comparisons"]
        return done.exit_code, {f"{row['check_type']} {row['table_name']}": row["status"] for row in rows}

    with closing(Sealer(site.settings)) as sealer:
        assert sealer.seal_once()
    assert site.verified().findings == ()
    touched = (LEDGER, SPINE, *DETAILS)
    with site.attacked(*touched) as attacker:
        ((number, event, batch),) = attacker.rows(
            f"SELECT l.audit_sequence, l.event_id, l.batch_no FROM {LEDGER} l JOIN {DETAILS[0]} d "
            "ON d.audit_sequence = l.audit_sequence AND d.column_name = 'phone' WHERE l.source_db = 'crm'"
        )
        for table in (LEDGER, *DETAILS):
            attacker.run(f"DELETE FROM {table} WHERE audit_sequence = {number}")
        attacker.rechain(batch)
    # Found by whoever compares with the source, and by the verifier.
    code, found = compared("--daily")
    assert (code, found["DAILY None"], found["DAILY contacts"]) == (1, "GAP", "MISMATCH")
    assert {one.code for one in site.verified().findings} == {"V11", "V20"}

    repaired = run("reconcile", "--source", "crm", "--repair")
    assert repaired.exit_code == 1  # the number stays missing
    (one,) = json.loads(repaired.stdout)["repaired"]
    assert (one["event"][2] if isinstance(one["event"], list) else one["event"]["event_id"]) == event
    code, found = compared("--daily")
    assert (found["DAILY None"], found["DAILY contacts"], found["SEQUENCE None"]) == ("OK", "OK", "GAP")
    rows = site.trail.query(
        f"SELECT column_name, value_state FROM {DETAILS[0]} WHERE audit_sequence = %s", (one["number"],)
    )
    assert rows == [("phone", "ENC")]
    ((payload,),) = site.trail.query(f"SELECT payload FROM {LEDGER} WHERE audit_sequence = %s", (one["number"],))
    assert json.loads(payload)["original"]["event_id"] == event
    again = json.loads(run("reconcile", "--source", "crm", "--repair").stdout)
    assert again["repaired"] == []
    (whole,) = [one for one in reconcile_days(site.settings, "crm") if one.table is None]
    assert (whole.status, whole.repaired) == ("OK", (event,))

    # Nothing else came of it, and two people may say that they know.
    assert {one.code for one in site.verified().findings} == {"V11", "V20"}
    accepted = run("verify", "--scope", "full", "--accept", "V20", "--accept", "V11", *APPROVED)
    assert accepted.exit_code == 0, accepted.output
    verified = site.verified()
    assert (verified.findings, verified.status) == ((), "OK")
    assert {known.finding.code for known in verified.known} == {"V11", "V20"}
    assert run("verify", "--scope", "full").exit_code == 0
    # Checkpoints go on from what was accepted.
    with closing(Sealer(site.settings)) as sealer:
        assert sealer.seal_once()
    # The relay's journal tells of the chain as it was, so a person puts it aside.
    journal = site.settings.audit_journal_dir
    assert journal
    journal.rename(journal.with_name("aside"))
    site.write("crm", "UPDATE contacts SET phone = '4'")
    with closing(Sealer(site.settings)) as sealer:
        assert sealer.seal_once()
    assert site.verified().findings == ()
    assert compared("--daily")[1]["SEQUENCE None"] == "OK"
