"""The sealer: computes what was stored again, signs it, keeps the checkpoint outside MySQL, then records it there."""

import hashlib
import logging
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from genims_platform.audit.ledger.append import Ledger, open_ledger
from genims_platform.audit.ledger.batch import Head
from genims_platform.audit.ledger.control import CONTROL, Appender, Fact, instance
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.ledger.errors import AuditUnavailableError
from genims_platform.audit.sealer.checkpoint import Checkpoint, Statement
from genims_platform.audit.sealer.errors import (
    CheckpointDamagedError,
    CheckpointExistsError,
    SealRefusedError,
    SigningKeyError,
)
from genims_platform.audit.sealer.recompute import Sealed, recompute, spine_row
from genims_platform.audit.sealer.signing import (
    PublicKey,
    add_public_key,
    new_signing_key,
    read_public_keys,
    read_signing_key,
    signing_key,
    sync_folder,
)
from genims_platform.audit.sealer.voided import is_void, newest_that_counts
from genims_platform.audit.sealer.worm import CheckpointPlace, checkpoint_place
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.settings import Settings, SettingsError

LOCK = "audit_seal"
TABLE = "audit_integrity_checkpoints"
OPERATION = "CHECKPOINT"

_NEWEST_COPY = f"SELECT MAX(checkpoint_no) FROM {TABLE}"  # noqa: S608
# What the sealer itself recorded is no reason for the next checkpoint, or there would never be a last one.
_MOVED = (
    f"SELECT 1 FROM {SPINE} s WHERE s.batch_no > %s AND s.batch_no <= %s "  # noqa: S608
    "AND NOT (s.source_db = %s AND s.event_count = 1 AND EXISTS ("
    f"SELECT 1 FROM {LEDGER} l WHERE l.audit_sequence = s.first_sequence AND l.operation_type = %s)) LIMIT 1"
)
_REFUSALS = (
    "SELECT 1 FROM security_events WHERE rule_id = 'SEAL' AND event_type = 'SEAL_REFUSED' AND resource_name = %s "
    "AND description = %s LIMIT 1"
)
_DESCRIPTION = 1000

_logger = logging.getLogger(__name__)


class Sealer:
    """Makes checkpoints of one audit database; several sealers may run, one of them works at a time.

    Raises:
        SettingsError: the signing key or a place of checkpoints is missing or cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key = signing_key(settings)
        if settings.audit_worm_uri is None:
            raise SettingsError("AUDIT_WORM_URI is not set; it names the place of checkpoints, such as file:///folder")
        self._worm = checkpoint_place("AUDIT_WORM_URI", settings.audit_worm_uri)
        self._witness: CheckpointPlace | None = None
        if settings.audit_witness_uri is not None:
            self._witness = checkpoint_place("AUDIT_WITNESS_URI", settings.audit_witness_uri)
        self._ledger = open_ledger(settings, "writer")
        self._appender = Appender(self._ledger)
        replica = settings.mysql_audit_replica_as("writer")
        self._replica = None if replica is None else Ledger(replica)

    def close(self) -> None:
        """Close the connections to the audit database and its replica."""
        self._ledger.close()
        if self._replica is not None:
            self._replica.close()

    def seal_once(self) -> Checkpoint | None:
        """Sign the newest batch, if anything happened since the last checkpoint; mends what a crash left undone.

        With a replica it is the newest batch that the replica has too: otherwise what is signed could be gone once the
        replica takes over.

        Returns:
            The new checkpoint; None if nothing happened, or another sealer is at work.

        Raises:
            SealRefusedError: the database does not hold what was written; recorded as a security event once.
            CheckpointDamagedError: the places of checkpoints or their copies do not go together.
            SigningKeyError: another key has to sign the next checkpoint.
            CheckpointStoreUnavailableError: a place cannot be reached now.
            AuditUnavailableError: the audit database or its replica cannot be reached now.
            HaltError: the trail has not begun, or the database refuses what it must accept.
        """
        try:
            with self._ledger.lock(LOCK, 0) as held:
                return self._seal(None) if held else None
        finally:
            self.close()  # the server ends idle connections

    def rotate(self) -> Checkpoint:
        """Hand over to a new signing key, with a checkpoint that the old one signs; the old key is deleted.

        Raises:
            SettingsError: the key is not in a file, or the file of public keys is not named.
            AuditUnavailableError: another sealer is at work; and as `seal_once`.
        """
        file, public_keys = self._settings.audit_signing_key_file, self._settings.audit_public_keys_file
        if file is None or public_keys is None or self._settings.audit_signing_key is not None:
            raise SigningKeyError(
                "a key is rotated in AUDIT_SIGNING_KEY_FILE and AUDIT_PUBLIC_KEYS_FILE: set both, and not "
                "AUDIT_SIGNING_KEY"
            )
        with self._ledger.lock(LOCK, 30) as held:
            if not held:
                raise CheckpointExistsError("another sealer has been at work for 30 s; try again")
            self._seal(None)
            successor = _successor(file)
            key = read_signing_key(successor) if successor.exists() else new_signing_key(successor)
            add_public_key(public_keys, key.public)
            made = self._seal(key.public)
            if made is None:
                raise AuditUnavailableError("the replica of the audit database holds no batch yet; try again")
            self._adopt(file)
            return made

    def run(
        self,
        stop: threading.Event,
        *,
        every: float,
        report: Callable[[Checkpoint | Exception], None],
    ) -> None:
        """Seal every so many seconds and once more at the end, until `stop` is set.

        What may pass (a server or a disk that is away) and what has to be said again and again (a refusal) goes to
        `report`; everything else ends the loop.
        """
        while True:
            last = stop.is_set()
            try:
                made = self.seal_once()
                if made is not None:
                    report(made)
            except (ConnectionError, SealRefusedError) as error:
                report(error)
            if last:
                return
            stop.wait(every)

    def _seal(self, new_key: PublicKey | None) -> Checkpoint | None:
        self._key = signing_key(self._settings)  # it may have been rotated meanwhile
        trail = instance(self._ledger)
        newest = self._worm.newest(trail)
        self._check_key(newest)
        self._catch_up(trail, newest)
        base = newest_that_counts(self._ledger, self._worm, newest)
        sealed = self._known(base)
        head = self._signable(base)
        if head is None or (new_key is None and not self._moved(base, head)):
            return None
        try:
            recompute(self._ledger, sealed, head.batch_no)
            self._check_head(sealed, head)
        except SealRefusedError as error:
            self._record_refusal(error)
            raise
        made = Checkpoint.sign(self._statement(trail, newest, sealed, head, new_key), self._key)
        try:
            self._worm.write(made)
        except CheckpointExistsError:
            if new_key is not None:
                raise
            return None  # another sealer was faster; its checkpoint is copied at the next run
        if self._witness is not None:
            self._witness.write(made)
        self._record(made)
        return made

    def _statement(
        self, trail: str, newest: Checkpoint | None, sealed: Sealed, head: Head, new_key: PublicKey | None
    ) -> Statement:
        issued_at = self._ledger.recorded_at(head)
        if newest is not None:
            issued_at = max(issued_at, newest.statement.issued_at)
        return Statement(
            instance=trail,
            checkpoint_no=newest.statement.checkpoint_no + 1 if newest else 1,
            batch_no=head.batch_no,
            last_sequence=head.last_sequence,
            batch_hash=head.batch_hash,
            recorded_at=head.recorded_at,
            issued_at=issued_at,
            cursors=sealed.cursors,
            table_rows=sealed.table_rows,
            prev_sha256=newest.sha256 if newest else None,
            new_key=new_key,
        )

    def _check_key(self, newest: Checkpoint | None) -> None:
        if newest is None:
            return
        if newest.next_key_id != self._key.public.key_id:
            file = self._settings.audit_signing_key_file
            if file is None or not self._adopt(file) or newest.next_key_id != self._key.public.key_id:
                raise SigningKeyError(
                    f"the signing key is {self._key.public.key_id}, but checkpoint {newest.statement.checkpoint_no} is "
                    f"followed by one of key {newest.next_key_id}; set that key. A new key is introduced by the old "
                    "one with: genims audit keys rotate"
                )
        known = {key.key_id: key for key in self._public_keys()}
        signer = known.get(newest.key_id)
        if signer is None:
            raise SigningKeyError(
                f"checkpoint {newest.statement.checkpoint_no} is signed with key {newest.key_id}, which "
                f"AUDIT_PUBLIC_KEYS_FILE={str(self._settings.audit_public_keys_file)!r} does not have"
            )
        if not signer.verifies(newest.body, newest.signature):
            raise CheckpointDamagedError(
                f"{self._worm.location(newest)} has a wrong signature; find out who changed it"
            )

    def _public_keys(self) -> list[PublicKey]:
        file = self._settings.audit_public_keys_file
        return [self._key.public, *(read_public_keys(file) if file is not None and file.exists() else ())]

    def _adopt(self, file: Path) -> bool:
        """Put the new key of a rotation in the place of the old one; says whether there was one."""
        successor = _successor(file)
        if not successor.exists():
            return False
        self._key = read_signing_key(successor)
        successor.replace(file)
        sync_folder(file.parent)
        return True

    def _catch_up(self, trail: str, newest: Checkpoint | None) -> None:
        """Copy to the witness and to the table what only the first place has: a crash came in between."""
        number = newest.statement.checkpoint_no if newest else 0
        ((recorded,),) = self._ledger.query(_NEWEST_COPY)
        if (recorded or 0) > number:
            raise CheckpointDamagedError(
                f"AUDIT_WORM_URI={self._settings.audit_worm_uri!r}: its newest checkpoint of this audit trail is "
                f"{number}, but {recorded} are recorded; put the place of checkpoints back, or find out who emptied it"
            )
        if self._witness is not None:
            witnessed = self._witness.newest(trail)
            for checkpoint in self._worm.since(trail, witnessed.statement.checkpoint_no if witnessed else 0):
                self._witness.write(checkpoint)
            if witnessed is not None and witnessed.statement.checkpoint_no > number:
                raise CheckpointDamagedError(
                    f"AUDIT_WITNESS_URI has checkpoint {witnessed.statement.checkpoint_no}, AUDIT_WORM_URI only "
                    f"{number}; put the place of checkpoints back, or find out who emptied it"
                )
        for checkpoint in self._worm.since(trail, recorded or 0):
            if not is_void(self._ledger, checkpoint):
                self._covered(checkpoint)
            self._record(checkpoint)

    def _covered(self, checkpoint: Checkpoint) -> dict[str, object]:
        """The spine row that a checkpoint covers."""
        said = checkpoint.statement
        row = spine_row(self._ledger, said.batch_no)
        if row is None or (row["batch_hash"], row["last_sequence"]) != (said.batch_hash, said.last_sequence):
            refusal = SealRefusedError(
                said.batch_no,
                said.last_sequence,
                f"{'it is gone' if row is None else 'it is another one'} since checkpoint {said.checkpoint_no} was "
                "signed: the database was set back (see `genims audit restore`) or rewritten",
            )
            if row is not None:
                self._record_refusal(refusal)
            raise refusal
        return row

    def _known(self, newest: Checkpoint | None) -> Sealed:
        """What is sealed already."""
        if newest is None:
            return Sealed()
        said = newest.statement
        return Sealed(self._covered(newest), dict(said.cursors), Counter(said.table_rows))

    def _signable(self, newest: Checkpoint | None) -> Head | None:
        """The newest batch that the replica has too, if there is one; never one before `newest`."""
        head = self._ledger.head()
        if head is None or self._replica is None:
            return head
        there = self._replica.head()
        if newest is not None and (there is None or there.batch_no < newest.statement.batch_no):
            said = newest.statement
            there = Head(said.batch_no, said.last_sequence, said.batch_hash, said.recorded_at)
        behind = head.batch_no - there.batch_no if there else head.batch_no + 1
        if behind <= 0:
            return head
        _logger.warning("the replica lacks %s batches, which are signed when it has them", behind)
        return there

    def _moved(self, newest: Checkpoint | None, head: Head) -> bool:
        covered = newest.statement.batch_no if newest else -1
        return bool(self._ledger.query(_MOVED, (covered, head.batch_no, CONTROL, OPERATION)))

    def _check_head(self, sealed: Sealed, head: Head) -> None:
        spine = sealed.spine or {}
        if spine.get("batch_hash") != head.batch_hash:
            why = "it changed while it was computed" if self._replica is None else "the replica holds another one"
            raise SealRefusedError(head.batch_no, head.last_sequence, why)

    def _record(self, checkpoint: Checkpoint) -> None:
        said = checkpoint.statement
        row: Columns = {
            "checkpoint_timestamp": said.issued_at,
            "record_type": "KEY_ROTATION" if said.new_key else "CHECKPOINT",
            "checkpoint_no": said.checkpoint_no,
            "covers_batch_no": said.batch_no,
            "covers_sequence": said.last_sequence,
            "covers_hash": said.batch_hash,
            "previous_sha256": said.prev_sha256,
            "body": checkpoint.body.decode("ascii"),
            "signature": checkpoint.signature,
            "key_id": checkpoint.key_id,
            "worm_location": self._worm.location(checkpoint),
            "worm_sha256": hashlib.sha256(checkpoint.content).digest(),
            "witness_location": self._witness.location(checkpoint) if self._witness else None,
            "tool_version": version("genims-platform"),
        }
        self._appender.record([Fact(OPERATION, "sealer", ((TABLE, row),))])

    def _record_refusal(self, error: SealRefusedError) -> None:
        """A security event, once for each finding; the refusal itself does not depend on whether that succeeds."""
        description = str(error)[:_DESCRIPTION]
        if self._ledger.query(_REFUSALS, (f"batch {error.batch_no}", description)):
            return
        event: Columns = {
            "event_timestamp": self._ledger.now(),
            "event_type": "SEAL_REFUSED",
            "event_severity": "CRITICAL",
            "rule_id": "SEAL",
            "resource_type": "batch",
            "resource_name": f"batch {error.batch_no}",
            "description": description,
            "evidence_from": error.first_sequence,
        }
        with suppress(ConnectionError):
            self._appender.record([Fact("VIOLATION", "sealer", (("security_events", event),))])


def _successor(file: Path) -> Path:
    return file.with_name(f"{file.name}.next")
