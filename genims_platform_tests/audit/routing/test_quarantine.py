"""An event that cannot be stored keeps its place and all it holds, readable with its key only."""

import base64
import json

import pytest

from genims_platform.audit.routing.errors import CipherError
from genims_platform.audit.routing.quarantine import bare_quarantined, quarantine_subject, quarantined, without_values
from genims_platform_tests.audit.routing.captured import assert_fits, everything, keys_of, opened, row_event

SUBJECT = quarantine_subject("hcm")
EVENT = row_event("hcm.employees", None, {"employee_id": "E" * 300, "annual_salary": 987654}, app_name="a" * 200)


def test_an_event_in_quarantine() -> None:
    entry = quarantined("hcm", 1, EVENT, keys_of([SUBJECT]), "Data too long for column 'primary_key_value'", 1406)

    assert_fits(entry)
    assert "987654" not in everything(entry)
    assert entry.ledger["status"] == "QUARANTINED"
    assert entry.ledger["table_name"] == "employees"
    assert entry.ledger["primary_key_value"] is None
    assert entry.ledger["event_digest"] == EVENT.digest
    payload = json.loads(str(entry.ledger["payload"]))
    assert payload["error"] == {"message": "Data too long for column 'primary_key_value'", "number": 1406}
    raw = json.loads(base64.b64decode(opened("hcm", EVENT, payload["event"], "*", "n", [SUBJECT])))
    assert raw["new"] == EVENT.new
    assert raw["event_id"] == 99
    assert raw["digest"] == EVENT.digest.hex()
    ((table, finding),) = entry.details
    assert table == "security_events"
    assert finding["event_type"] == "POISON_EVENT"
    assert finding["resource_name"] == "hcm:99"


def test_what_is_left_when_even_that_is_refused() -> None:
    entry = bare_quarantined("hcm", EVENT, "refused")

    assert_fits(entry)
    assert "payload" not in entry.ledger
    assert entry.ledger["event_digest"] == EVENT.digest
    assert [table for table, _ in entry.details] == ["security_events"]


def test_a_missing_key_is_no_reason_to_store_less() -> None:
    with pytest.raises(CipherError):
        quarantined("hcm", 1, EVENT, keys_of([]), "refused")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Data too long for column 'first_name' at row 1", "Data too long for column 'first_name' at row 1"),
        ("Check constraint 'ck_amount' is violated.", "Check constraint 'ck_amount' is violated."),
        ("Duplicate entry 'Ada-1' for key 't.ux_uid'", "Duplicate entry '***' for key 't.ux_uid'"),
        (
            "Incorrect value: 'Ada's \"L\"' for column 'name' at row 1",
            "Incorrect value: '***' for column 'name' at row 1",
        ),
        ("Incorrect value: 'Ada' for column `t`.`name` at row 1", "Incorrect value: '***'"),
        ("Incorrect value: 'a column 'Ada' was here", "Incorrect value: '***'"),
        ("not closed: 'Ada", "not closed: '***'"),
        ("nothing quoted", "nothing quoted"),
    ],
)
def test_messages_show_names_but_no_values(message: str, shown: str) -> None:
    assert without_values(message) == shown
