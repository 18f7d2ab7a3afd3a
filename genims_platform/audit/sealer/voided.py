"""Checkpoints of batches that were lost and declared void: they stay published, and nothing is built on them."""

from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.voids import void_over
from genims_platform.audit.sealer.checkpoint import Checkpoint
from genims_platform.audit.sealer.recompute import spine_row
from genims_platform.audit.sealer.worm import CheckpointPlace

_AT_ONCE = 100


def is_void(ledger: Ledger, checkpoint: Checkpoint) -> bool:
    """Whether what a checkpoint covers is not there any more and was declared void after it was issued.

    Raises:
        AuditUnavailableError: the database cannot be reached.
    """
    said = checkpoint.statement
    row = spine_row(ledger, said.batch_no)
    if row is not None and row["batch_hash"] == said.batch_hash:
        return False
    void = void_over(ledger, said.batch_no, said.last_sequence)
    return void is not None and said.issued_at <= void.recorded_at


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
