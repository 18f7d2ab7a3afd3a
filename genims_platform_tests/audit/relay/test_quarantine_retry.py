"""Events in quarantine are stored after all, once, when what kept them from it is mended."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.control import Fact
from genims_platform.audit.ledger.entries import Entry
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.quarantine_retry import Retried, retry_events
from genims_platform.audit.relay.overview import audit_overview
from genims_platform.audit.relay.quarantined_events import QuarantinedEvent, quarantined_events
from genims_platform.audit.reprocessed import EventName, reprocessed_fact
from genims_platform.audit.sealer.sealer import Sealer
from genims_platform.audit.verify.verifier import Scope, verify
from genims_platform.cli import app
from genims_platform.settings import Settings
from genims_platform_tests.audit.relay.test_quarantine import ACCOUNT, statuses
from genims_platform_tests.audit.relay.trail import Trail
from genims_platform_tests.audit.verify.test_whole_platform import insert, with_checkpoints


def administer(trail: Trail, clause: str) -> None:
    with trail.database.administration() as connection, connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE `{trail.settings.mysql_audit_db}`.{clause}")


def refuse(trail: Trail, table: str = "data_change_audit") -> None:
    """Have the audit database refuse the key POISON."""
    condition = "CHECK (primary_key_value IS NULL OR primary_key_value <> 'POISON')"
    administer(trail, f"{table} ADD CONSTRAINT no_poison_{table} {condition}")


def accept(trail: Trail, table: str = "data_change_audit") -> None:
    administer(trail, f"{table} DROP CONSTRAINT no_poison_{table}")


def poisoned(trail: Trail) -> QuarantinedEvent:
    """An account whose event is in quarantine, and two before and after it that are not."""
    refuse(trail)
    for key in ("A", "POISON", "B"):
        trail.sources["crm"].execute(ACCOUNT, {"id": key})
    assert trail.deliver().quarantined == 1
    assert statuses(trail, ("A", "POISON", "B")) == [("A", "OK"), ("POISON", "QUARANTINED"), ("B", "OK")]
    (event,) = quarantined_events(trail.settings)
    return event


def tried(settings: Settings, *sequences: int, dry_run: bool = False) -> list[Retried]:
    with closing(key_store(settings)) as keys:
        return list(retry_events(settings, keys, sequences or None, operator="ann", dry_run=dry_run))


def killed_before_it_knows(settings: Settings, sequence: int) -> None:
    """Retry in a process that dies between the append and the answer."""
    append = Ledger.append

    def cut_off(self: Ledger, *arguments: Any, **options: Any) -> None:
        append(self, *arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    Ledger.append = cut_off
    tried(settings, sequence)


def recorded(trail: Trail) -> list[Any]:
    return trail.query("SELECT audit_sequence FROM system_audit_log WHERE operation_type = 'REPROCESSED'")


def genims(trail: Trail, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    for command in ("audit_quarantine", "audit_trace"):
        monkeypatch.setattr(f"genims_platform.commands.{command}.current_settings", lambda: trail.settings)
    return CliRunner().invoke(app, ["audit", *arguments], catch_exceptions=False)


def test_what_fits_by_now_is_stored_once_and_verifies(
    trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = poisoned(trail)
    (still,) = tried(trail.settings)
    assert (still.outcome, recorded(trail)) == ("stays", [])
    assert (still.reason or "").startswith("data_change_audit: ")

    accept(trail)
    (possible,) = tried(trail.settings, event.sequence, dry_run=True)
    assert (possible.outcome, recorded(trail)) == ("possible", [])
    # Cut off between append and answer; whoever tries again finds it done.
    process = multiprocessing.get_context("spawn").Process(
        target=killed_before_it_knows, args=(trail.settings, event.sequence)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    ((number,),) = recorded(trail)
    (again,) = tried(trail.settings, event.sequence)
    assert (again.outcome, again.number) == ("already", number)
    assert recorded(trail) == [(number,)]

    assert statuses(trail, ("POISON",)) == [("POISON", "QUARANTINED"), ("POISON", "OK")]
    ((payload,),) = trail.query("SELECT payload FROM system_audit_log WHERE audit_sequence = %s", (number,))
    original = json.loads(payload)["original"]
    assert original["sequence"] == event.sequence
    assert (original["source"], original["event_id"]) == ("crm", event.event_id)
    for table in ("data_change_audit", "customer_data_changes"):
        rows = trail.query(f"SELECT COUNT(*) FROM {table} WHERE audit_sequence = %s", (number,))
        assert rows == [(1,)], table
    assert audit_overview(trail.settings).quarantined == 0

    settings = with_checkpoints(trail.settings, tmp_path)
    with closing(Sealer(settings)) as sealer:
        assert sealer.seal_once()
    assert verify(settings, Scope("full")).findings == ()

    listed = genims(trail, monkeypatch, "quarantine", "list")
    assert f"; reprocessed as {number}\n1 events in quarantine, 1 of them reprocessed\n" in listed.stdout
    explained = genims(trail, monkeypatch, "quarantine", "explain", str(event.sequence), "--json")
    assert json.loads(explained.stdout)["reprocessed_as"] == number
    traced = genims(trail, monkeypatch, "trace", "crm.accounts", "POISON")
    first, later, whole = traced.stdout.splitlines()
    assert f"QUARANTINED, reprocessed as #{number}" in first
    assert f"#{number}  REPROCESSED by ann" in later
    assert f"for #{event.sequence}, INSERT by unknown user" in later
    assert '"account_id":"POISON"' in whole


def test_the_queue_is_read_where_only_the_digest_was_kept(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(trail)
    refuse(trail, "system_audit_log")
    insert(trail.sources["crm"], "contacts", {"contact_id": "POISON", "last_name": "Miller"})
    assert trail.deliver().quarantined == 1
    (event,) = quarantined_events(trail.settings)
    assert not event.has_copy
    accept(trail)
    accept(trail, "system_audit_log")

    done = genims(trail, monkeypatch, "quarantine", "retry", "--all", "--json")

    assert done.exit_code == 0
    (found,) = json.loads(done.stdout)["events"]
    assert found["outcome"] == "reprocessed"
    ((value,),) = trail.query(
        "SELECT new_value FROM data_change_audit WHERE audit_sequence = %s AND item_no = 0", (found["number"],)
    )
    assert "Miller" not in value
    assert "$enc" in value


def test_what_cannot_be_mapped_stays_and_says_why(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    with trail.sources["crm"].session() as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT audit.set_context(repeat('u', 200))")
        cursor.execute(ACCOUNT, {"id": "LONG"})
    assert trail.deliver().quarantined == 1
    (event,) = quarantined_events(trail.settings)

    done = genims(trail, monkeypatch, "quarantine", "retry", str(event.sequence))

    assert done.exit_code == 1
    assert done.stdout == (
        f"{event.sequence}  stays in quarantine: user_id has 200 characters, 128 fit\n1 stays in quarantine\n"
    )
    assert recorded(trail) == []
    unknown = genims(trail, monkeypatch, "quarantine", "retry", "1")
    assert (unknown.exit_code, "event 1 is not in quarantine" in unknown.stderr) == (2, True)
    assert genims(trail, monkeypatch, "quarantine", "retry").exit_code == 2


def test_values_of_an_erased_person_do_not_come_back(trail: Trail) -> None:
    refuse(trail)
    insert(trail.sources["crm"], "contacts", {"contact_id": "POISON", "last_name": "Miller"})
    assert trail.deliver().quarantined == 1
    accept(trail)
    subject = audit_policy().subject_reference("crm.contacts", {"contact_id": "POISON"})
    assert subject == "contact:POISON"
    with closing(key_store(trail.settings)) as keys:
        keys.get_or_create([subject])
        assert keys.destroy(subject, "GDPR-1", ("ann", "bob")) == 1

    (found,) = tried(trail.settings)

    assert (found.outcome, found.reason) == ("stays", "it holds values of a person whose key was destroyed since")
    assert recorded(trail) == []


def of_another(**change: Any) -> Callable[[Fact], Fact]:
    """The same fact, with something else said of its original."""

    def changed(fact: Fact) -> Fact:
        payload: Any = fact.payload
        return replace(fact, payload={**payload, "original": {**payload["original"], **change}})

    return changed


def without_change(fact: Fact) -> Fact:
    """The same fact without the rows of the change itself."""
    return replace(fact, details=tuple(detail for detail in fact.details if detail[0] != "data_change_audit"))


def in_clear(fact: Fact) -> Fact:
    """The same fact with a personal value that is not encrypted."""
    details = tuple((table, {**row, "new_value": '{"last_name":"Miller"}'}) for table, row in fact.details[:1])
    return replace(fact, details=(*details, *fact.details[1:]))


@pytest.mark.parametrize(
    ("change", "code", "expected"),
    [
        (of_another(sequence=1), "V21", "records an event after all, but number 1 is not in quarantine"),
        (of_another(digest="00" * 32), "V21", "is about something else"),
        (of_another(event_id=4711), "V20", "not under the uid that can be given only once"),
        (of_another(source="hcm"), "V21", "is another event"),
        (of_another(sequence=None), "V21", "the ledger has that event as number"),
        (without_change, "V21", "is a change without a row in data_change_audit"),
        (in_clear, "V22", "last_name in clear, which is personal"),
    ],
)
def test_the_verifier_finds_a_wrong_record(
    trail: Trail,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Fact], Fact],
    code: str,
    expected: str,
) -> None:
    refuse(trail)
    insert(trail.sources["crm"], "contacts", {"contact_id": "POISON", "last_name": "Miller"})
    assert trail.deliver().quarantined == 1
    accept(trail)

    def made(event: EventName, entry: Entry, *, sequence: int | None, operator: str | None) -> Fact:
        return change(reprocessed_fact(event, entry, sequence=sequence, operator=operator))

    monkeypatch.setattr("genims_platform.audit.reprocessing.reprocessed_fact", made)
    tried(trail.settings)
    settings = with_checkpoints(trail.settings, tmp_path)
    with closing(Sealer(settings)) as sealer:
        sealer.seal_once()

    findings = verify(settings, Scope("full")).findings

    assert any(found.code == code and expected in found.sentence for found in findings), findings
