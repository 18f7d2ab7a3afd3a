"""Delivering again what the audit database lost, from journal and queues, under the numbers that it had."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.ledger.append import Ledger, open_ledger
from genims_platform.audit.ledger.batch import Batch, Head
from genims_platform.audit.ledger.errors import AuditUnavailableError, HaltError, LostRaceError, UnstorableError
from genims_platform.audit.relay.failpoints import Failpoint
from genims_platform.audit.relay.journal import Journal, read_journal
from genims_platform.audit.relay.leadership import LEADER, LeaderExistsError, Leadership
from genims_platform.audit.restore.lines import Line
from genims_platform.audit.restore.rebuild import NotReplayableError, Rebuilder
from genims_platform.audit.restore.standing import Standing, diverged, standing
from genims_platform.settings import Settings

_BATCHES_AT_ONCE = 50
_PATIENCE_SECONDS = 30
_PAUSE_SECONDS = 0.5
_PING_SECONDS = 5

Progress = Callable[[int, int], None]
"""Told how many batches are done, of how many."""


def _silent(_done: int, _total: int) -> None: ...


@dataclass(frozen=True)
class Problem:
    """A batch that cannot be delivered again; `passing`: a server is away, so nothing is known yet."""

    batch_no: int
    source: str
    reason: str
    passing: bool = False


@dataclass(frozen=True)
class Survey:
    """What is lost, and what of it can be brought back."""

    standing: Standing
    journalled: int
    """Batches that the journal has of those that the database lacks."""

    replayable: int
    """Batches of them that can be delivered again, up to the first that cannot."""

    replayable_events: int
    problems: Sequence[Problem]
    """Why the first that cannot does not; nothing after it can be written without it."""


@dataclass(frozen=True)
class Replayed:
    """What was delivered again, where the database stands now, and the batch that stopped it, if one did."""

    batches: int
    events: int
    standing: Standing
    stopped_by: Problem | None


def survey(settings: Settings, progress: Progress = _silent) -> Survey:
    """Look what is lost and how much of it can be brought back; changes nothing.

    The next batch is built to see that its hash comes out; of the others only ticks and numbers of events are compared
    with the queues.

    Raises:
        DivergedError: the database went on after it was set back.
        HaltError: it is empty.
        ConnectionError: the audit database, the key store or the place of checkpoints cannot be reached.
    """
    with _work(settings) as (ledger, rebuilder):
        found = standing(settings, ledger)
        if found.published is None:
            return Survey(found, 0, 0, 0, ())
        head: Head | None = found.head
        count = replayable = events = 0
        problems: list[Problem] = []
        for line in _lines(ledger, found):
            first, count = not count, count + 1
            if head is not None:
                try:
                    before, head = head, rebuilder.check(head, line)
                    if first:
                        rebuilder.batch(before, line)
                except (NotReplayableError, ConnectionError) as error:
                    problems.append(_problem(line, error))
                    head = None
                else:
                    replayable += 1
                    events += line["event_count"]
            progress(count, max(count, found.lost_batches))
        return Survey(found, count, replayable, events, problems)


def replay(settings: Settings, progress: Progress = _silent) -> Replayed:
    """Deliver again what the journal has, batch after batch, as long as each comes out with its hash.

    A replay that was ended by whatever means goes on where it was.

    Raises:
        LeaderExistsError: a relay works.
        DivergedError: the database went on after it was set back, or meanwhile.
        HaltError: the database refuses a batch.
        ConnectionError: a source, the audit database or the key store cannot be reached.
    """
    passing = Failpoint(settings.audit_failpoint)
    with alone(settings), _work(settings) as (ledger, rebuilder):
        ledger.check_server()
        found = standing(settings, ledger)
        head, total = found.head, found.lost_batches
        done = events = 0
        stopped: Problem | None = None
        waiting: list[Batch] = []
        for line in _lines(ledger, found):
            try:
                batch = rebuilder.batch(head, line)
            except NotReplayableError as error:
                stopped = _problem(line, error)
                break
            waiting.append(batch)
            head = batch.head
            if (
                len(waiting) >= _BATCHES_AT_ONCE
                or sum(batch.event_count for batch in waiting) >= settings.etl_batch_size
            ):
                events += _append(ledger, waiting, passing)
                done += len(waiting)
                waiting.clear()
                progress(done, total)
        events += _append(ledger, waiting, passing)
        done += len(waiting)
        progress(done, total)
        return Replayed(done, events, standing(settings, ledger), stopped)


@contextmanager
def alone(settings: Settings) -> Generator[None]:
    """Keep relays away for the time of the block.

    Raises:
        LeaderExistsError: one works.
        AuditUnavailableError: the audit database cannot be reached.
    """
    leadership = Leadership(open_ledger(settings, "relay"))
    try:
        if not leadership.try_for(LEADER):
            raise LeaderExistsError(
                f"a relay works on {settings.mysql_audit.address} (connection {leadership.holder(LEADER)} of the "
                "server); stop it first"
            )
        yield
    finally:
        leadership.close()


def note(settings: Settings, ledger: Ledger) -> None:
    """Bring the journal up to the database, where there is one."""
    if settings.audit_journal_dir is not None:
        Journal(settings.audit_journal_dir, ledger, timedelta(days=settings.audit_journal_keep_days)).check()


def next_line(ledger: Ledger, found: Standing) -> Line | None:
    """The first batch of the journal that the database lacks.

    Raises:
        DivergedError: the database went on after it was set back.
        AuditUnavailableError: it cannot be reached.
    """
    return next(_lines(ledger, found), None)


def _lines(ledger: Ledger, found: Standing) -> Generator[Line]:
    """The batches of the journal that the database lacks."""
    if found.folder is None or found.journal is None:
        return
    head = found.head
    used = time.monotonic()
    for line in read_journal(found.folder, head.batch_no - 1):
        if time.monotonic() - used > _PING_SECONDS:
            # The server closes idle connections, and batches are built without it.
            with suppress(AuditUnavailableError):
                ledger.ping()
            used = time.monotonic()
        if line["batch_no"] > head.batch_no:
            yield line
        elif line["batch_hash"] != head.batch_hash.hex():
            raise diverged(ledger, head.batch_no, line["batch_hash"], f"the journal in {found.folder}")


@contextmanager
def _work(settings: Settings) -> Generator[tuple[Ledger, Rebuilder]]:
    with closing(open_ledger(settings, "relay")) as ledger, closing(key_store(settings)) as keys:
        keys.health()
        with closing(Rebuilder(settings, ledger, keys)) as rebuilder:
            yield ledger, rebuilder


def _append(ledger: Ledger, batches: Sequence[Batch], passing: Callable[[str], None]) -> int:
    """Write batches in one transaction; how many events they have."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while batches:
        try:
            # One whose answer was lost is recognised by its uid.
            ledger.append(batches, at=passing)
            break
        except AuditUnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        except LostRaceError as error:
            raise HaltError(f"somebody else writes to {ledger.server.address} meanwhile: {error}") from None
        except UnstorableError as error:
            raise HaltError(
                f"{ledger.server.address} refuses a row that it had: {error}; `genims schema deploy --database audit "
                "--dry-run` shows whether it was restored with another schema"
            ) from None
    return sum(batch.event_count for batch in batches)


def _problem(line: Line, error: NotReplayableError | ConnectionError) -> Problem:
    passing = isinstance(error, ConnectionError)
    return Problem(line["batch_no"], line["source_db"], str(error), passing)
