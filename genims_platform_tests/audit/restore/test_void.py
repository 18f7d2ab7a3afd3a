"""What cannot be brought back is declared void: its numbers never name another event, and its events come again."""

import shutil

import pytest

from genims_platform.audit.event import event_record, ledger_row
from genims_platform.audit.relay.journal import DatabaseSetBackError, read_journal
from genims_platform.audit.restore.replay import replay, survey
from genims_platform.audit.restore.standing import set_back
from genims_platform.audit.restore.void import Voided, VoidRefusedError, declare_void
from genims_platform_tests.audit.restore.conftest import ACCOUNT, Restorable

PERSONS = ("anna", "ben")


def declare(restorable: Restorable, *approvals: str) -> Voided:
    return declare_void(
        restorable.settings, reason="the disk with the journal broke", approvals=approvals or PERSONS, operator="test"
    )


def named(restorable: Restorable) -> dict[int, tuple[str, int]]:
    """Number → the event that it names."""
    rows = restorable.trail.query("SELECT audit_sequence, source_db, event_id FROM system_audit_log")
    return {number: (source, event) for number, source, event in rows}


def check_everything_is_there_once(restorable: Restorable) -> None:
    delivered = [number for number, _ in restorable.trail.ledger_events("crm")]
    assert sorted(delivered) == sorted(restorable.trail.queued("crm"))


def deliver_and_seal(restorable: Restorable) -> None:
    for number in range(4):
        restorable.change(ACCOUNT, id=f"{number}")
        restorable.deliver()
        restorable.seal()


def test_without_a_journal(restorable: Restorable) -> None:
    deliver_and_seal(restorable)
    published, head = named(restorable), restorable.head()
    shutil.rmtree(restorable.journal)
    restorable.set_back(4)

    with pytest.raises(DatabaseSetBackError, match="covers batch"):
        restorable.deliver()
    assert [finding.code for finding in restorable.findings()] == ["V10"]
    found = survey(restorable.settings)
    assert (found.journalled, found.replayable) == (0, 0)
    sealed = found.standing.published
    assert sealed is not None
    for approvals in (("anna",), ("anna", " Anna "), ("anna", "ben", "carl")):
        with pytest.raises(VoidRefusedError, match="two different persons"):
            declare(restorable, *approvals)
    assert restorable.head() == found.standing.head

    done = declare(restorable)

    assert (done.first_sequence, done.last_sequence) == (found.standing.head.last_sequence + 1, sealed.last_sequence)
    assert done.standing.published is None
    assert restorable.findings() == ()
    assert restorable.deliver().events
    check_everything_is_there_once(restorable)
    checkpoint = restorable.seal()
    assert checkpoint is not None
    assert checkpoint.statement.batch_no > done.batch_no
    void = event_record(restorable.settings, done.first_sequence)
    assert (void.batch["batch_kind"], ledger_row(void)) == ("VOID", None)
    covering = event_record(restorable.settings, done.recorded_as).checkpoint
    assert covering is not None
    assert covering["checkpoint_no"] == checkpoint.statement.checkpoint_no
    # A trail that is shorter than a checkpoint of what was lost, and one that is longer.
    assert restorable.findings() == ()
    while restorable.head().batch_no <= head.batch_no:
        restorable.change(ACCOUNT, id=f"more {restorable.head().batch_no}")
        restorable.deliver()
        restorable.seal()
    assert restorable.findings() == ()
    again = {number: event for number, event in named(restorable).items() if number >= done.first_sequence}
    assert min(again) == done.recorded_as == sealed.last_sequence + 1
    controls = [number for source, number in again.values() if source == "audit"]
    assert min(controls) > max(
        event for number, (source, event) in published.items() if source == "audit" and number <= sealed.last_sequence
    )
    ((payload,),) = restorable.trail.query("SELECT payload FROM system_audit_log WHERE operation_type = 'RESTORE_VOID'")
    assert '"approvals":["anna","ben"]' in payload

    with pytest.raises(VoidRefusedError, match="nothing is lost"):
        declare(restorable)


def test_an_older_journal_takes_over_what_was_declared_void(restorable: Restorable) -> None:
    deliver_and_seal(restorable)
    journal = restorable.journal
    kept = shutil.copytree(journal, journal.parent.with_name("kept"))
    shutil.rmtree(journal)
    restorable.set_back(4)
    declare(restorable)
    shutil.rmtree(journal)
    kept.rename(journal)
    assert set_back(restorable.settings) is None

    restorable.deliver()

    spine = restorable.trail.query("SELECT batch_no, LOWER(HEX(batch_hash)) FROM audit_sequence_manager ORDER BY 1")
    assert [(line["batch_no"], line["batch_hash"]) for line in read_journal(journal)] == spine
    # Restored once more, what happened since comes back, the void with it.
    before = restorable.contents()
    restorable.set_back(4)
    assert replay(restorable.settings).stopped_by is None
    assert restorable.contents() == before


def test_a_queue_that_lost_an_event(restorable: Restorable) -> None:
    deliver_and_seal(restorable)
    ((batch, event),) = restorable.trail.query(
        "SELECT batch_no, event_id FROM system_audit_log WHERE primary_key_value = '2'"
    )
    restorable.set_back(2)
    with restorable.trail.sources["crm"].superuser() as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("DELETE FROM audit.queue WHERE event_id = %s", (event,))
        assert cursor.rowcount == 1

    found = survey(restorable.settings)
    assert found.replayable == batch - 1 - 2
    assert [problem.batch_no for problem in found.problems] == [batch]
    done = replay(restorable.settings)

    assert done.stopped_by is not None
    assert done.stopped_by.batch_no == batch
    assert "holds 0 events" in done.stopped_by.reason
    assert restorable.head().batch_no == batch - 1
    with pytest.raises(DatabaseSetBackError):
        restorable.deliver()
    declare(restorable)
    assert restorable.deliver().events
    check_everything_is_there_once(restorable)
    assert restorable.seal()
    assert restorable.findings() == ()
