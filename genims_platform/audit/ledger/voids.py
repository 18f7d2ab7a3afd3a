"""Numbers declared void: given out once, lost when the database was set back, and never to name another event."""

from dataclasses import dataclass
from datetime import datetime

from genims_platform.audit.ledger.append import Ledger
from genims_platform.mysql.append_only import SPINE

_COLUMNS = f"SELECT batch_no, batch_kind, recorded_at FROM {SPINE}"  # noqa: S608
# Batches without events share their first number with the batch after them, which is the one that holds it.
_HOLDS = f"{_COLUMNS} WHERE first_sequence <= %s ORDER BY first_sequence DESC, batch_no DESC LIMIT 1"
_BEGINS = f"{_COLUMNS} WHERE first_sequence = %s AND batch_kind = 'VOID' ORDER BY batch_no LIMIT 1"


@dataclass(frozen=True)
class Void:
    """The batch that stands for what was lost; the batches from its number on were others once."""

    batch_no: int
    recorded_at: datetime


def void_over(ledger: Ledger, batch_no: int, last_sequence: int) -> Void | None:
    """The void that stands in the place of a batch which is not there any more; None if nobody declared it void.

    Raises:
        AuditUnavailableError: the database cannot be reached.
    """
    # What was lost may have been batches without events only, whose numbers end before the void begins.
    rows = [*ledger.query(_HOLDS, (last_sequence,)), *ledger.query(_BEGINS, (last_sequence + 1,))]
    found = (Void(number, at) for number, kind, at in rows if kind == "VOID" and number <= batch_no)
    return next(found, None)
