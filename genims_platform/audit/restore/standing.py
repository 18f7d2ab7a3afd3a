"""Where the audit database stands against what was published about it: its journal and its newest checkpoint."""

import logging
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from genims_platform.audit.ledger.append import Ledger, open_ledger
from genims_platform.audit.ledger.batch import Head
from genims_platform.audit.ledger.control import instance
from genims_platform.audit.ledger.errors import HaltError
from genims_platform.audit.ledger.voids import void_over
from genims_platform.audit.relay.journal import HOW_TO_GO_ON, DatabaseSetBackError, journal_folder, last_line
from genims_platform.audit.sealer.checkpoint import Checkpoint
from genims_platform.audit.sealer.errors import CheckpointDamagedError, CheckpointStoreUnavailableError
from genims_platform.audit.sealer.voided import is_void
from genims_platform.audit.sealer.worm import checkpoint_place
from genims_platform.mysql.append_only import SPINE
from genims_platform.settings import Settings

_logger = logging.getLogger(__name__)


class DivergedError(HaltError):
    """The database went on after it was set back: numbers that were given out before name other events now."""


@dataclass(frozen=True)
class Point:
    """A batch that was published."""

    batch_no: int
    last_sequence: int
    batch_hash: str
    at: datetime
    """When it was recorded, or for a checkpoint issued; UTC."""


@dataclass(frozen=True)
class Standing:
    """The heads of the database, of the journal and of the checkpoints; None where there is none that counts.

    What was declared void does not count.
    """

    head: Head
    folder: Path | None
    """Of the journal."""

    journal: Point | None
    checkpoint: Point | None

    @property
    def published(self) -> Point | None:
        """The newest batch that is known to have been there, if the database does not have it."""
        known = [point for point in (self.journal, self.checkpoint) if point and point.batch_no > self.head.batch_no]
        return max(known, key=lambda point: (point.batch_no, point.last_sequence), default=None)

    @property
    def lost_batches(self) -> int:
        """How many batches the database lacks."""
        return self.published.batch_no - self.head.batch_no if self.published else 0

    @property
    def lost_numbers(self) -> int:
        """How many numbers of events it lacks."""
        known = (point.last_sequence for point in (self.journal, self.checkpoint) if point)
        return max(0, *known, self.head.last_sequence) - self.head.last_sequence


def standing(settings: Settings, ledger: Ledger) -> Standing:
    """Compare the database with its journal and its newest checkpoint.

    Raises:
        DivergedError: it holds another batch than one of them says.
        HaltError: it holds no batch at all.
        CheckpointStoreUnavailableError: the place of checkpoints cannot be read.
        AuditUnavailableError: the database cannot be reached.
    """
    if ledger.head() is None:
        raise HaltError(
            f"{ledger.server.address} holds no batch; restore the newest backup that you have, then come back"
        )
    folder = journal_folder(settings.audit_journal_dir, ledger) if settings.audit_journal_dir else None
    newest = None if folder is None else last_line(folder)
    checkpoint = newest_checkpoint(settings, ledger)
    # After them, because the database may grow meanwhile.
    head = ledger.head()
    assert head is not None  # noqa: S101 - it never shrinks while somebody looks
    return Standing(
        head,
        folder,
        None if newest is None else _valid(ledger, head, _of_line(newest), f"the journal in {folder}"),
        None if checkpoint is None else _valid(ledger, head, _point(checkpoint), "the newest checkpoint"),
    )


def newest_checkpoint(settings: Settings, ledger: Ledger) -> Checkpoint | None:
    """The newest checkpoint of this database, if checkpoints are kept.

    Raises:
        CheckpointDamagedError: what is there is no checkpoint.
        CheckpointStoreUnavailableError: the place cannot be read.
    """
    if settings.audit_worm_uri is None:
        return None
    return checkpoint_place("AUDIT_WORM_URI", settings.audit_worm_uri).newest(instance(ledger))


def check_not_set_back(settings: Settings, ledger: Ledger) -> None:
    """Make sure that the database has what the newest checkpoint says, where checkpoints can be read.

    Raises:
        DatabaseSetBackError: it has not.
        AuditUnavailableError: it cannot be reached.
    """
    try:
        checkpoint = newest_checkpoint(settings, ledger)
    except (CheckpointStoreUnavailableError, CheckpointDamagedError) as error:
        # The journal is compared as well, and delivery shall not depend on another place.
        _logger.warning("not compared with the newest checkpoint: %s", error)
        return
    head = ledger.head()
    if checkpoint is None or head is None:
        return
    point = _point(checkpoint)
    if _hash_of(ledger, point.batch_no) == point.batch_hash or is_void(ledger, checkpoint):
        return
    raise DatabaseSetBackError(
        f"{ledger.server.address} was set back to an earlier point: its head is batch {head.batch_no}, sequence "
        f"{head.last_sequence}; checkpoint {checkpoint.statement.checkpoint_no} covers batch {point.batch_no}, "
        f"sequence {point.last_sequence}, hash {point.batch_hash}. {HOW_TO_GO_ON}"
    )


def set_back(settings: Settings) -> str | None:
    """A sentence if the database is not as far as it was, for whoever watches over it; None if all is well.

    Raises:
        AuditUnavailableError: it cannot be reached.
    """
    with closing(open_ledger(settings, "relay")) as ledger:
        try:
            found = standing(settings, ledger)
        except HaltError as error:
            return str(error)
        except (CheckpointStoreUnavailableError, CheckpointDamagedError) as error:
            return f"not compared with the newest checkpoint: {error}"
    if found.published is None:
        return None
    return (
        f"{settings.mysql_audit.address} was set back: it ends with batch {found.head.batch_no}, known are batches up "
        f"to {found.published.batch_no}; see `genims audit restore`"
    )


def _valid(ledger: Ledger, head: Head, point: Point, who: str) -> Point | None:
    """The point unless it is declared void."""
    stored = _hash_of(ledger, point.batch_no)
    if stored == point.batch_hash:
        return point
    if void_over(ledger, point.batch_no, point.last_sequence) is not None:
        return None
    if stored is not None or point.batch_no <= head.batch_no:
        raise diverged(ledger, point.batch_no, point.batch_hash, who)
    return point


def diverged(ledger: Ledger, batch_no: int, batch_hash: str, who: str) -> DivergedError:
    """The error for a batch of the database that is another one than `who` says."""
    return DivergedError(
        f"{ledger.server.address} holds another batch {batch_no} than {who} says ({batch_hash}): somebody wrote after "
        "it was set back. Stop everything that writes (relays, sealers, scheduled jobs), restore the same backup "
        "again and run `genims audit restore --replay` before they start. If it is the journal that belongs to "
        "another database, move its folder away"
    )


def _hash_of(ledger: Ledger, batch_no: int) -> str | None:
    rows = ledger.query(f"SELECT batch_hash FROM {SPINE} WHERE batch_no = %s", (batch_no,))  # noqa: S608
    return bytes(rows[0][0]).hex() if rows else None


def _of_line(line: Mapping[str, Any]) -> Point:
    return Point(
        line["batch_no"], line["last_sequence"], line["batch_hash"], datetime.fromisoformat(line["recorded_at"])
    )


def _point(checkpoint: Checkpoint) -> Point:
    said = checkpoint.statement
    return Point(said.batch_no, said.last_sequence, said.batch_hash.hex(), said.issued_at)
