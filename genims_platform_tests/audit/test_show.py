"""`genims audit show`: one event as it is stored."""

import json
import secrets

from genims_platform.mysql.connection import Database
from genims_platform.settings import Settings
from genims_platform_tests.audit.ledger.chain import Chain, stored
from genims_platform_tests.audit.reading import chain, crm, happens, ledger, ledger_settings, owner, run

__all__ = ["chain", "crm", "ledger", "ledger_settings", "owner"]  # fixtures


def readable(value: object) -> str:
    return value.hex() if isinstance(value, bytes | bytearray) else str(value)


def test_an_event_is_shown_with_all_of_its_rows(crm: Chain, owner: Database, ledger_settings: Settings) -> None:
    key = f"ACC-{secrets.token_hex(4)}"
    limit = {"column_name": "credit_limit", "value_state": "PLAIN", "old_value": "100.10", "new_value": "b" * 400}
    name = {"column_name": "name", "value_state": "ENC", "old_value": "v1.k.x", "new_value": "v1.k.y", "key_id": "k.1"}
    batch = happens(crm, "UPDATE", limit, name, key=key)
    number = batch.head.last_sequence
    rows = stored(owner, batch)

    found = json.loads(run(ledger_settings, "show", str(number), "--json").stdout)

    assert found["batch"]["batch_hash"] == batch.head.batch_hash.hex()
    assert found["batch"]["batch_no"] == batch.head.batch_no
    as_text = json.loads(json.dumps(rows, default=readable))
    assert {
        table: [{column: value for column, value in row.items() if value is not None} for row in shown]
        for table, shown in found["rows"].items()
    } == as_text
    lines = run(ledger_settings, "show", str(number)).stdout.splitlines()
    assert lines[0] == f"#{number}  UPDATE of crm.accounts {key}"
    assert [line for line in lines[3:] if not line.startswith(" ")] == [
        "system_audit_log",
        "data_change_audit, row 1",
        "data_change_audit, row 2",
    ]
    assert f"    new_value: {'b' * 300}… (400 characters)" in lines
    assert "    user_id: u.miller" in lines


def test_a_number_that_no_event_has(crm: Chain, ledger_settings: Settings) -> None:
    newest = happens(crm, "UPDATE", key="ACC-1").head.last_sequence

    for number in (0, newest + 1):
        answer = run(ledger_settings, "show", str(number))
        assert answer.exit_code == 1
        assert answer.stderr == f"the audit trail has no event {number}; its numbers are 1 to {newest}\n"
