"""`genims audit trace`: the history of a row as a person reads it."""

import json
import secrets

from genims_platform.audit.trace import trace
from genims_platform.settings import Settings
from genims_platform_tests.audit.ledger.chain import Chain
from genims_platform_tests.audit.reading import chain, crm, happens, ledger, ledger_settings, owner, run

__all__ = ["chain", "crm", "ledger", "ledger_settings", "owner"]  # fixtures


def test_a_row_has_a_history(crm: Chain, ledger_settings: Settings) -> None:
    key = f"ACC-{secrets.token_hex(4)}"
    plain = {"column_name": "credit_limit", "value_state": "PLAIN", "old_value": "100.10", "new_value": None}
    secret = {"column_name": "password_hash", "value_state": "SECRET", "old_value": None, "new_value": None}
    cipher = {
        "column_name": "name",
        "value_state": "ENC",
        "old_value": "v1.k.x",
        "new_value": "v1.k.y",
        "key_id": "k.1",
    }
    halves = {"column_name": "notes", "value_state": "PLAIN", "old_value": "short", "new_value": "a", "chunk_count": 2}
    rest = {**halves, "old_value": None, "new_value": "b" * 400, "chunk_no": 2}
    image = {"column_name": "*", "value_state": "IMAGE", "old_value": None, "new_value": '{"a":1}'}
    happens(crm, "INSERT", image, key=key)
    happens(crm, "UPDATE", plain, secret, cipher, halves, rest, key=key)
    happens(crm, "UPDATE", key=key, status="QUARANTINED", user_id=None, user_role=None)
    happens(crm, "UPDATE", plain, key=f"{key}-other")

    inserted, updated, quarantined = trace(ledger_settings, "crm", "accounts", key, 20)

    assert [change.new for change in inserted.changes] == ['{"a":1}']
    assert (updated.user_id, updated.reason, updated.approval) == ("u.miller", "R", "AP-1")
    assert [change.column for change in updated.changes] == ["credit_limit", "password_hash", "name", "notes"]
    assert updated.changes[3].new == "a" + "b" * 400
    assert (quarantined.status, quarantined.changes) == ("QUARANTINED", ())
    assert trace(ledger_settings, "crm", "accounts", key, 1) == [quarantined]

    shown = run(ledger_settings, "trace", "crm.accounts", key)
    assert shown.exit_code == 0
    lines = [line.partition("  ")[2] or line for line in shown.stdout.splitlines()]
    who = "u.miller (controller), as crm_app, with portal, reason R, approval AP-1"
    assert lines == [
        f"#{inserted.audit_sequence}  INSERT by {who}",
        '  whole row: nothing → {"a":1}',
        f"#{updated.audit_sequence}  UPDATE by {who}",
        "  credit_limit: 100.10 → nothing",
        "  password_hash: changed; its values are never kept",
        "  name: changed; encrypted under key k.1",
        f"  notes: short → a{'b' * 299}… (401 characters)",
        f"#{quarantined.audit_sequence}  UPDATE by unknown user, as crm_app, with portal, QUARANTINED",
    ]
    listed = json.loads(run(ledger_settings, "trace", "crm.accounts", key, "--json").stdout)["events"]
    assert [event["audit_sequence"] for event in listed] == [
        event.audit_sequence for event in (inserted, updated, quarantined)
    ]


def test_a_row_without_history_and_a_wrong_name_are_told_apart(crm: Chain, ledger_settings: Settings) -> None:
    assert crm.source == "crm"
    unknown = run(ledger_settings, "trace", "crm.accounts", "ACC-none")
    assert (unknown.exit_code, unknown.stderr) == (1, "the audit trail knows nothing of crm.accounts ACC-none\n")
    wrong = run(ledger_settings, "trace", "accounts", "ACC-1")
    assert wrong.exit_code == 2
    assert "expected is SOURCE.TABLE" in wrong.stderr
