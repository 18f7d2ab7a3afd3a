"""The sealer on a real database: what it signs, what it refuses to sign, and what it mends after a crash."""

import hashlib
import json
import re
import threading
from pathlib import Path

import pytest

from genims_platform.audit.ledger.control import instance
from genims_platform.audit.sealer.checkpoint import Checkpoint
from genims_platform.audit.sealer.errors import (
    CheckpointDamagedError,
    CheckpointStoreUnavailableError,
    SealRefusedError,
    SigningKeyError,
)
from genims_platform.audit.sealer.sealer import LOCK
from genims_platform.audit.sealer.signing import add_public_key, new_signing_key, read_public_keys, read_signing_key
from genims_platform_tests.audit.sealer.conftest import Trail

COPIES = """
SELECT record_type, checkpoint_no, covers_batch_no, covers_sequence, covers_hash, previous_sha256, body, signature,
  key_id, worm_location, worm_sha256, witness_location
FROM audit_integrity_checkpoints ORDER BY checkpoint_no
"""
REFUSALS = """
SELECT event_severity, resource_name, description, evidence_from FROM security_events WHERE event_type = 'SEAL_REFUSED'
"""


def test_a_checkpoint_says_what_the_trail_holds(trail: Trail) -> None:
    trail.happens(3)
    head = trail.chain.ledger.head()
    assert head is not None

    made = trail.seal()

    assert made is not None
    said = made.statement
    assert (said.checkpoint_no, said.batch_no, said.last_sequence) == (1, head.batch_no, head.last_sequence)
    assert (said.batch_hash, said.recorded_at) == (head.batch_hash, head.recorded_at)
    assert said.instance == instance(trail.chain.ledger)
    assert said.table_rows == {"system_audit_log": 4, "data_change_audit": 3}
    assert said.cursors == {"audit": (1, 1, 0), trail.chain.source: (1, trail.chain.tick, 0)}
    assert said.issued_at >= said.recorded_at
    assert read_signing_key(trail.folder / "signing-key").public.verifies(made.body, made.signature)
    assert trail.kept() == trail.kept("witness") == [made]


def test_the_table_holds_an_exact_copy(trail: Trail) -> None:
    trail.happens()
    first = trail.seal()
    trail.happens()
    second = trail.seal()
    assert first is not None
    assert second is not None
    copies = trail.rows(COPIES)

    for copy, made, before in zip(copies, (first, second), (None, first.sha256), strict=True):
        said = made.statement
        assert [bytes(v) if isinstance(v, bytearray) else v for v in copy] == [
            "CHECKPOINT",
            said.checkpoint_no,
            said.batch_no,
            said.last_sequence,
            said.batch_hash,
            before,
            made.body.decode(),
            made.signature,
            made.key_id,
            trail.place().location(made),
            hashlib.sha256(made.content).digest(),
            trail.place("witness").location(made),
        ]


def test_what_the_sealer_records_is_no_reason_to_seal_again(trail: Trail) -> None:
    assert trail.seal() is not None
    assert trail.seal() is None
    trail.happens()
    second = trail.seal()
    assert second is not None
    assert trail.seal() is None
    assert second.statement.table_rows["audit_integrity_checkpoints"] == 1
    assert len(trail.kept()) == 2


@pytest.mark.parametrize(
    ("tampering", "reason"),
    [
        (
            "UPDATE data_change_audit SET new_value = 'x' WHERE audit_sequence = {n}",
            "its rows are not as they were hashed",
        ),
        (
            "UPDATE system_audit_log SET user_id = 'x' WHERE audit_sequence = {n}",
            "its rows are not as they were hashed",
        ),
        ("DELETE FROM data_change_audit WHERE audit_sequence = {n}", "rows are missing or surplus"),
        ("DELETE FROM system_audit_log WHERE audit_sequence = {n}", "rows are missing or surplus"),
        (
            "UPDATE data_change_audit SET recorded_at = recorded_at + INTERVAL 1 YEAR WHERE audit_sequence = {n}",
            "its rows are not as they were hashed",
        ),
        (
            "UPDATE audit_sequence_manager SET writer_id = 'x' WHERE batch_no = {b}",
            "its spine row is not as it was hashed",
        ),
        ("UPDATE audit_sequence_manager SET hash_version = 2 WHERE batch_no = {b}", "its hashes are of version 2"),
        ("DELETE FROM audit_sequence_manager WHERE batch_no = {b}", "it is not there, batch {c} is"),
    ],
)
def test_what_was_changed_is_never_signed(trail: Trail, tampering: str, reason: str) -> None:
    before = trail.seal()
    assert before is not None
    trail.happens(2)
    head = trail.chain.ledger.head()
    assert head is not None
    trail.happens(2)
    place = {"n": head.last_sequence, "b": head.batch_no, "c": head.batch_no + 1}
    trail.tamper(tampering.format(**place))

    first = head.last_sequence - 1
    sentence = f"batch {head.batch_no}, from audit_sequence {first} on: {reason.format(**place)}"
    for _ in range(2):
        with pytest.raises(SealRefusedError, match=re.escape(sentence)):
            trail.seal()
    assert trail.kept() == [before]
    ((severity, resource, description, evidence),) = trail.rows(REFUSALS)
    assert (severity, resource, evidence) == ("CRITICAL", f"batch {head.batch_no}", first)
    assert str(description).startswith(sentence)


def test_a_row_slipped_into_an_old_range_is_never_signed(trail: Trail) -> None:
    trail.happens(2)
    trail.tamper(
        "SET @genims_batch = 2, @genims_source = (SELECT source_db FROM audit_sequence_manager WHERE batch_no = 2), "
        "@genims_first = 2, @genims_last = 3, @genims_at = (SELECT recorded_at FROM audit_sequence_manager "
        "WHERE batch_no = 2)",
        "INSERT INTO security_events (audit_sequence, item_no, recorded_at, batch_no, source_db, event_timestamp, "
        "event_type, event_severity, rule_id, description) SELECT 3, 0, recorded_at, 2, source_db, recorded_at, 'X', "
        "'LOW', 'X', 'X' FROM audit_sequence_manager WHERE batch_no = 2",
    )
    with pytest.raises(SealRefusedError, match="batch 2, from audit_sequence 2 on: rows are missing or surplus"):
        trail.seal()


def test_a_chain_written_anew_behind_a_checkpoint_is_named(trail: Trail) -> None:
    trail.happens()
    first = trail.seal()
    assert first is not None
    trail.happens()
    batch = first.statement.batch_no
    trail.tamper(f"UPDATE audit_sequence_manager SET batch_hash = UNHEX(REPEAT('00', 32)) WHERE batch_no = {batch}")
    with pytest.raises(SealRefusedError, match="it is another one since checkpoint 1 was signed"):
        trail.seal()
    assert len(trail.rows(REFUSALS)) == 1


def test_a_trail_that_was_cut_off_is_named_and_gets_no_new_numbers(trail: Trail) -> None:
    trail.happens()
    first = trail.seal()
    assert first is not None
    number = first.statement.last_sequence
    trail.tamper(
        f"DELETE FROM audit_sequence_manager WHERE batch_no >= {first.statement.batch_no}",
        f"DELETE FROM system_audit_log WHERE audit_sequence >= {number}",
        f"DELETE FROM data_change_audit WHERE audit_sequence >= {number}",
        f"DELETE FROM audit_integrity_checkpoints WHERE audit_sequence >= {number}",
    )
    with pytest.raises(SealRefusedError, match="it is gone since checkpoint 1 was signed"):
        trail.seal()
    assert trail.rows(REFUSALS) == []


class KilledError(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("step", ["before the witness", "after the witness"])
def test_a_crash_after_the_first_place_is_mended(trail: Trail, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trail.happens()
    sealer = trail.sealer()

    def die(*_: object) -> None:
        raise KilledError

    if step == "before the witness":
        monkeypatch.setattr(sealer._witness, "write", die)  # pyright: ignore[reportPrivateUsage]
    else:
        monkeypatch.setattr(sealer, "_record", die)
    with pytest.raises(KilledError):
        sealer.seal_once()
    (made,) = trail.kept()
    assert trail.rows(COPIES) == []

    assert trail.seal() is None

    assert trail.kept("witness") == [made]
    assert [copy[1] for copy in trail.rows(COPIES)] == [1]
    trail.happens()
    second = trail.seal()
    assert second is not None
    assert (second.statement.checkpoint_no, second.statement.prev_sha256) == (2, made.sha256)


def test_a_new_witness_gets_what_there_is(trail: Trail) -> None:
    without = trail.sealer(audit_witness_uri=None)
    made = [without.seal_once()]
    trail.happens()
    made.append(without.seal_once())
    assert trail.seal() is None
    assert trail.kept("witness") == made


def test_a_witness_that_is_away_is_waited_for_without_a_number_given_twice(trail: Trail) -> None:
    (trail.folder / "witness").rmdir()
    with pytest.raises(CheckpointStoreUnavailableError, match="witness: no such folder"):
        trail.seal()
    assert trail.kept() == []
    (trail.folder / "witness").mkdir()
    made = trail.seal()
    assert trail.kept() == trail.kept("witness") == [made]


@pytest.mark.parametrize("place", ["worm", "witness"])
def test_an_emptied_place_is_named(trail: Trail, place: str) -> None:
    trail.seal()
    trail.happens()
    for file in (trail.folder / place).rglob("cp-*"):
        file.unlink()
    if place == "witness":
        assert trail.seal() is not None
        assert len(trail.kept("witness")) == 2
        return
    with pytest.raises(CheckpointDamagedError, match="newest checkpoint of this audit trail is 0, but 1 are recorded"):
        trail.seal()


def test_a_forged_checkpoint_is_named(trail: Trail) -> None:
    made = trail.seal()
    assert made is not None
    (file,) = (trail.folder / "worm").rglob("cp-*")
    file.chmod(0o644)
    file.write_bytes(Checkpoint(made.statement, made.body, bytes(64), made.key_id).content)
    trail.happens()
    with pytest.raises(CheckpointDamagedError, match="has a wrong signature"):
        trail.seal()


def test_another_key_cannot_go_on(trail: Trail) -> None:
    trail.seal()
    trail.happens()
    other = new_signing_key(trail.folder / "other")
    with pytest.raises(
        SigningKeyError, match=f"the signing key is {other.public.key_id}, but checkpoint 1 is followed"
    ):
        trail.sealer(audit_signing_key_file=trail.folder / "other").seal_once()


def test_a_new_key_is_introduced_by_the_old_one(trail: Trail) -> None:
    old = read_signing_key(trail.folder / "signing-key").public
    running = trail.sealer()
    running.seal_once()

    rotation = trail.sealer().rotate()

    new = read_signing_key(trail.folder / "signing-key").public
    assert new != old
    assert read_public_keys(trail.folder / "public-keys") == [old, new]
    assert (rotation.key_id, rotation.next_key_id) == (old.key_id, new.key_id)
    assert old.verifies(rotation.body, rotation.signature)
    assert json.loads(rotation.body)["new_public_key"] == new.text
    assert [copy[0] for copy in trail.rows(COPIES)] == ["CHECKPOINT", "KEY_ROTATION"]
    trail.happens()
    following = running.seal_once()
    assert following is not None
    assert (following.key_id, following.statement.prev_sha256) == (new.key_id, rotation.sha256)
    assert new.verifies(following.body, following.signature)


@pytest.mark.parametrize("step", ["_record", "_adopt"])
def test_a_rotation_that_was_cut_short_is_finished(trail: Trail, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trail.seal()
    sealer = trail.sealer()

    def die(*_: object) -> None:
        raise KilledError

    monkeypatch.setattr(sealer, step, die)
    with pytest.raises(KilledError):
        sealer.rotate()
    trail.happens()

    following = trail.seal()

    assert following is not None
    assert (
        following.key_id == trail.kept()[1].next_key_id == read_signing_key(trail.folder / "signing-key").public.key_id
    )
    assert not (trail.folder / "signing-key.next").exists()
    assert [copy[1] for copy in trail.rows(COPIES)] == [1, 2, 3]


def test_a_key_that_is_not_in_a_file_is_not_rotated(trail: Trail) -> None:
    with pytest.raises(SigningKeyError, match="set both"):
        trail.sealer(audit_public_keys_file=None).rotate()


def test_checkpoints_without_their_public_key_are_not_continued(trail: Trail) -> None:
    trail.sealer().rotate()
    trail.happens()
    new = read_signing_key(trail.folder / "signing-key").public
    alone = trail.folder / "alone"
    add_public_key(alone, new)
    with pytest.raises(SigningKeyError, match="does not have"):
        trail.sealer(audit_public_keys_file=alone).seal_once()


def test_one_sealer_works_at_a_time(trail: Trail) -> None:
    trail.happens()
    with trail.chain.ledger.lock(LOCK, 0) as held:
        assert held
        assert trail.seal() is None
    assert trail.seal() is not None


def test_the_loop_seals_what_happens_and_once_more_at_the_end(trail: Trail) -> None:
    stop, reports = threading.Event(), []
    sealer = trail.sealer()
    arrived = threading.Event()

    def report(event: Checkpoint | Exception) -> None:
        reports.append(event)
        arrived.set()

    thread = threading.Thread(target=sealer.run, args=(stop,), kwargs={"every": 3600, "report": report})
    thread.start()
    assert arrived.wait(60)
    trail.happens()
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert reports == trail.kept()
    assert len(reports) == 2


def test_the_loop_goes_on_after_what_may_pass(trail: Trail) -> None:
    stop, reports = threading.Event(), []
    away = trail.folder / "worm"
    away.rmdir()

    def report(event: Checkpoint | Exception) -> None:
        reports.append(event)
        if len(reports) == 1:
            Path(away).mkdir()
        else:
            stop.set()

    trail.sealer().run(stop, every=0.01, report=report)
    assert [type(event) for event in reports] == [CheckpointStoreUnavailableError, Checkpoint]
