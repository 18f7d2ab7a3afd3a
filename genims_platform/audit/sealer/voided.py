"""Checkpoints of batches that were lost and declared void, or rewritten, which two people accepted.

They stay published, and nothing is built on them.
"""

import json
from hashlib import sha256

from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.voids import void_over
from genims_platform.audit.sealer.checkpoint import Checkpoint
from genims_platform.audit.sealer.recompute import spine_row
from genims_platform.audit.sealer.worm import CheckpointPlace

_AT_ONCE = 100
_ACCEPTED = "SELECT findings FROM audit_integrity_checkpoints WHERE record_type = 'REANCHOR'"


def is_void(ledger: Ledger, checkpoint: Checkpoint) -> bool:
    """Whether what a checkpoint covers is not there any more, and that was declared void or accepted after it.

    Raises:
        AuditUnavailableError: the database cannot be reached.
    """
    said = checkpoint.statement
    row = spine_row(ledger, said.batch_no)
    if row is not None and row["batch_hash"] == said.batch_hash:
        return False
    void = void_over(ledger, said.batch_no, said.last_sequence)
    if void is not None and said.issued_at <= void.recorded_at:
        return True
    return row is not None and _is_accepted(ledger, said.checkpoint_no, bytes(row["batch_hash"]))


def newest_that_counts(ledger: Ledger, place: CheckpointPlace, newest: Checkpoint | None) -> Checkpoint | None:
    """The newest checkpoint that is not void; `newest` is the newest of all.

    Raises:
        CheckpointDamagedError: what is there is no checkpoint.
        CheckpointStoreUnavailableError: the place cannot be read now.
        AuditUnavailableError: the database cannot be reached.
    """
    if newest is None or not is_void(ledger, newest):
        return newest
    number = newest.statement.checkpoint_no
    while number > 1:
        start = max(0, number - 1 - _AT_ONCE)
        for checkpoint in reversed(list(place.since(newest.statement.instance, start))):
            if checkpoint.statement.checkpoint_no < number and not is_void(ledger, checkpoint):
                return checkpoint
        number = start + 1
    return None


def _is_accepted(ledger: Ledger, number: int, batch_hash: bytes) -> bool:
    """Whether two people accepted that this checkpoint is contradicted by a batch of this hash."""
    token = f"{number}:{sha256(batch_hash).hexdigest()[:16]}"
    return any(
        found["code"] == "V11" and token in found["evidence"].split()
        for (findings,) in ledger.query(_ACCEPTED)
        for found in json.loads(findings)
    )
