"""What the audit database lost comes back as it was, or not at all."""

import shutil
from contextlib import closing

import pytest

from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.ledger.control import Appender, Fact
from genims_platform.audit.ledger.errors import HaltError
from genims_platform.audit.relay.journal import DatabaseSetBackError, read_journal
from genims_platform.audit.restore.replay import replay, survey
from genims_platform.audit.restore.standing import DivergedError, set_back
from genims_platform.audit.restore.void import VoidRefusedError, declare_void
from genims_platform_tests.audit.restore.conftest import ACCOUNT, ACCOUNTS, CONTACT, Restorable

PERSONS = ("anna", "ben")


def parts_of_a_range(restorable: Restorable) -> list[int]:
    """Batches of a range that has several parts."""
    rows = restorable.trail.query(
        "SELECT batch_no FROM audit_sequence_manager s WHERE batch_kind = 'STREAM' AND EXISTS (SELECT 1 FROM "
        "audit_sequence_manager p WHERE p.source_db = s.source_db AND p.tick_from = s.tick_from AND p.part_no = 1) "
        "ORDER BY batch_no"
    )
    return [number for (number,) in rows]


def deliver_much(restorable: Restorable) -> None:
    """Events of all kinds: with keys of persons, a bulk in several parts, in quarantine for two reasons, and facts."""
    crm = restorable.trail.sources["crm"]
    restorable.change(ACCOUNT, id="A1")
    restorable.change(CONTACT, id="C1")
    restorable.change("UPDATE contacts SET phone = '+44 2'")
    restorable.change(ACCOUNTS, id="bulk", rows=50)
    with crm.session() as connection, connection, connection.cursor() as cursor:
        # Longer than the column, and what identifies is never cut.
        cursor.execute("SELECT audit.set_context(repeat('u', 200))")
        cursor.execute(ACCOUNT, {"id": "too long"})
    restorable.deliver()
    with closing(restorable.trail.ledger()) as ledger:
        Appender(ledger).record([Fact("VERIFY", "somebody", payload={"of": "control"})])
    restorable.seal()
    table = f"`{restorable.settings.mysql_audit_db}`.data_change_audit"
    with restorable.trail.database.administration() as connection, connection.cursor() as cursor:
        cursor.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT no_poison "
            "CHECK (primary_key_value IS NULL OR primary_key_value <> 'POISON')"
        )
        for number in range(3):
            restorable.change(ACCOUNT, id=f"before {number}")
        restorable.change(ACCOUNT, id="POISON")
        restorable.change(ACCOUNT, id="after")
        restorable.deliver()
        # What refused it is gone, so nothing but the journal knows of its quarantine.
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT no_poison")


def test_everything_comes_back_as_it_was(restorable: Restorable) -> None:
    deliver_much(restorable)
    before, head = restorable.contents(), restorable.head()
    assert {row[0] for row in restorable.trail.query("SELECT status FROM system_audit_log")} == {"OK", "QUARANTINED"}
    assert before["bulk_operation_audit"]
    parts = parts_of_a_range(restorable)
    assert len(parts) > 2
    restorable.change(ACCOUNT, id="waits")
    restorable.set_back(parts[0])

    with pytest.raises(DatabaseSetBackError, match="genims audit restore"):
        restorable.deliver()
    assert "genims audit restore" in (set_back(restorable.settings) or "")
    found = survey(restorable.settings)
    assert (found.standing.lost_batches, found.replayable) == (head.batch_no - parts[0],) * 2
    assert found.standing.lost_numbers == head.last_sequence - found.standing.head.last_sequence
    assert not found.problems
    with pytest.raises(VoidRefusedError, match="--replay"):
        declare_void(restorable.settings, reason="haste", approvals=PERSONS, operator="test")

    done = replay(restorable.settings)

    assert (done.batches, done.stopped_by) == (head.batch_no - parts[0], None)
    assert restorable.contents() == before
    assert set_back(restorable.settings) is None
    assert restorable.findings() == ()
    assert restorable.deliver().events == 1
    assert restorable.seal()
    restorable.trail.check_complete()
    assert restorable.findings() == ()
    assert replay(restorable.settings).batches == 0


def test_a_batch_that_does_not_come_out_as_it_was_stops_the_replay(restorable: Restorable) -> None:
    for number in range(3):
        restorable.change(ACCOUNT, id=f"{number}")
        restorable.deliver()
    head = restorable.head()
    restorable.set_back(2)

    # With this limit every row is a bulk operation.
    done = replay(restorable.settings.model_copy(update={"audit_bulk_rows": 1}))

    assert done.batches < head.batch_no - 2
    assert done.stopped_by is not None
    assert "comes out differently: it has the rows bulk_operation_audit=" in done.stopped_by.reason
    done = replay(restorable.settings)
    assert (done.stopped_by, restorable.head()) == (None, head)


def test_a_person_whose_key_was_destroyed_stops_the_replay(restorable: Restorable) -> None:
    restorable.change(ACCOUNT, id="A1")
    restorable.deliver()
    restorable.change(CONTACT, id="C1")
    restorable.deliver()
    restorable.set_back(2)
    with closing(key_store(restorable.settings)) as keys:
        keys.destroy("contact:C1", "request 1", PERSONS)
        known = keys.health()

        done = replay(restorable.settings)

        assert done.stopped_by is not None
        assert "the key of a person of type contact was destroyed since" in done.stopped_by.reason
        assert keys.health() == known
    assert restorable.trail.ledger_events("crm")


def test_a_database_that_went_on_is_left_alone(restorable: Restorable) -> None:
    restorable.change(ACCOUNT, id="1")
    restorable.deliver()
    restorable.set_back(2)
    with closing(restorable.trail.ledger()) as ledger:
        Appender(ledger).record([Fact("VERIFY", "a job that nobody stopped")])
    before = restorable.contents()

    for attempt in (survey, replay):
        with pytest.raises(DivergedError, match="another batch 3 than the journal"):
            attempt(restorable.settings)
    with pytest.raises(HaltError, match="another batch 3"):
        declare_void(restorable.settings, reason="haste", approvals=PERSONS, operator="test")
    assert restorable.contents() == before
    assert set_back(restorable.settings)


def test_what_the_journal_lacks_is_not_delivered(restorable: Restorable) -> None:
    restorable.change(ACCOUNT, id="1")
    restorable.deliver()
    journal = restorable.journal
    older = shutil.copytree(journal, journal.with_name("older"))
    known = [line["batch_no"] for line in read_journal(older)][-1]
    restorable.change(ACCOUNT, id="2")
    restorable.deliver()
    restorable.seal()
    shutil.rmtree(journal)
    older.rename(journal)
    restorable.set_back(2)

    done = replay(restorable.settings)

    assert restorable.head().batch_no == known
    assert done.standing.published is not None
    assert done.standing.published == done.standing.checkpoint
