"""Writing parts to the audit database: several sources in one transaction, each in its turn, and what errors mean."""

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from genims_platform.audit.ledger.append import Cursor, Ledger
from genims_platform.audit.ledger.batch import Batch, Head, assemble_batch
from genims_platform.audit.ledger.control import LOCK, LOCK_SECONDS, Appender, Facts
from genims_platform.audit.ledger.errors import (
    AuditUnavailableError,
    BusyError,
    HaltError,
    LedgerError,
    LostRaceError,
    UnstorableError,
)
from genims_platform.audit.ledger.opening import installation_of
from genims_platform.audit.relay.feed import READY_PARTS, Feed, Part
from genims_platform.audit.relay.figures import Figures
from genims_platform.audit.relay.journal import HOW_TO_GO_ON, Journal
from genims_platform.audit.relay.polling import Backoff

_PIPELINED_EVENTS = 500
"""From this many on, the next batches are built while these are written; fewer gain more by being written together."""

_LOST_IN_A_ROW = 3
_BUSY_SECONDS = 0.1
_PING_SECONDS = 5
_CLOCK_ALERT = timedelta(seconds=5)
_CLOCK_LIMIT = timedelta(hours=1)


_Taken = tuple[Feed, Part]


@dataclass(frozen=True)
class _Prepared:
    """Parts as batches that follow `after`."""

    after: Head
    feeds: Sequence[Feed]
    parts: Sequence[Part]
    batches: Sequence[Batch]

    @property
    def head(self) -> Head:
        return self.batches[-1].head


class _TurnedBackError(Exception):
    """A trial went well and must not be committed."""


class _RefusedError(Exception):
    """The audit database refuses this event."""

    def __init__(self, feed: Feed, event_id: int, error: UnstorableError) -> None:
        super().__init__(str(error))
        self.feed = feed
        self.event_id = event_id
        self.error = error


class Writer:
    """Writes what the feeds have ready; used by one thread.

    Args:
        ledger: the connection that writes.
        feeds: the sources.
        journal: where committed batches are noted, if anywhere.
        passing: told each step that a test may stop at.
        batch_size: events of one transaction.
        routing_version: version of the policy.
        writer_id: names this relay.
    """

    def __init__(
        self,
        ledger: Ledger,
        feeds: Mapping[str, Feed],
        journal: Journal | None,
        passing: Callable[[str], None],
        *,
        batch_size: int,
        routing_version: int,
        writer_id: str,
    ) -> None:
        self._ledger = ledger
        self._feeds = feeds
        self._journal = journal
        self._passing = passing
        self._batch_size = batch_size
        self._routing_version = routing_version
        self._writer_id = writer_id
        self._turns = deque(feeds.values())
        self._ready = threading.Event()
        self._builder = ThreadPoolExecutor(1, "audit-builder")
        self._next: Future[_Prepared] | None = None
        self._loaded = False
        self._backoff = Backoff()
        self._pause_until = 0.0
        self._lost_in_a_row = 0
        self._lost_at: Head | None = None
        self._one_at_a_time = 0
        self._journal_due = False
        self._unknown: _Prepared | None = None
        self._installations: dict[tuple[str, int], str | None] = {}
        self._used = time.monotonic()
        self.head: Head | None = None
        self.lost_races = 0
        self.reconnects = 0
        self.failing_since: float | None = None
        """When, by the monotonic clock, the audit database stopped to accept batches; None while it does."""

        self.problem: str | None = None
        self.warning: str | None = None
        self.batches = 0
        self.events = 0
        self.quarantined = 0
        self.windows: list[Figures] = []
        """Where commits are counted."""

    def wake(self) -> None:
        """Say that a part is ready."""
        self._ready.set()

    @property
    def pending(self) -> bool:
        """Whether batches are built that are not written yet."""
        return self._next is not None

    def reload(self) -> None:
        """Read head and cursors from the audit database and have all sources go on from there.

        Raises:
            AuditUnavailableError: it cannot be reached.
            HaltError: it was set back to an earlier point.
        """
        self._discard()
        head = self._ledger.head()
        if head is None:
            raise HaltError(f"{self._ledger.server.address} holds no batch any more")
        if self._journal_due and self._journal is not None:
            self._journal.check()
            self._journal_due = False
        if self.head is not None and head.batch_no < self.head.batch_no:
            raise HaltError(
                f"{self._ledger.server.address} was set back from batch {self.head.batch_no} to {head.batch_no}. "
                f"{HOW_TO_GO_ON}"
            )
        self.head = head
        if self._unknown is not None:
            # The connection was lost while it was committed.
            unknown, self._unknown = self._unknown, None
            uid = unknown.batches[0].spine["batch_uid"]
            assert isinstance(uid, bytes)  # noqa: S101
            if self._ledger.hash_of(uid) is not None:
                self._committed(unknown, time.time())
        cursors = self._ledger.cursors()
        for source, feed in self._feeds.items():
            cursor = cursors.get(source)
            if cursor is None:
                feed.refuse(f"no incarnation of {source} is open; run `genims audit source open {source}`")
            else:
                feed.restart(cursor, self._installation(cursor))
        self._loaded = True

    def step(self, wait: float, *, pipelined: bool = True) -> bool:
        """Write what is ready, in one transaction; waits up to `wait` seconds for something. Whether it wrote.

        With `pipelined`, what is ready next is built meanwhile.

        Raises:
            HaltError: a person has to look.
        """
        try:
            pause = self._pause_until - time.monotonic()
            if pause > 0:
                time.sleep(min(pause, wait))
                return False
            if not self._loaded:
                self.reload()
            prepared = self._prepared(wait)
            if prepared is None:
                if time.monotonic() - self._used > _PING_SECONDS:
                    self._ledger.ping()
                    self._used = time.monotonic()
                return False
            self._write(prepared, pipelined=pipelined)
            self._used = time.monotonic()
        except LostRaceError as error:
            self._lost_race(error)
        except BusyError as error:
            self._failed(error, _BUSY_SECONDS)
        except AuditUnavailableError as error:
            self._journal_due = True
            self.reconnects += 1
            self._failed(error, self._backoff.after_failure())
        except _RefusedError as found:
            self._condemn(found.feed, found.event_id, found.error)
        else:
            return True
        return False

    def close(self) -> None:
        """Forget what is prepared and close the connection."""
        self._discard()
        self._builder.shutdown(wait=True, cancel_futures=True)
        self._ledger.close()

    def forget(self) -> None:
        """Read head and cursors again before the next batch."""
        self._discard()

    def record(self, facts: Facts) -> bool:
        """Append a control batch with these facts, after what is built already; whether that went well.

        Raises:
            HaltError: a person has to look.
        """
        if self._next is not None:
            self.step(0, pipelined=False)
        if not self._loaded:
            return False
        appender = Appender(self._ledger, writer_id=self._writer_id, routing_version=self._routing_version, patience=0)
        try:
            appender.record(facts)
            self.head = self._ledger.head()
            self._note(())
        except BusyError:
            self._discard()
            return False
        except AuditUnavailableError as error:
            self._failed(error, self._backoff.after_failure())
            return False
        return True

    # Choosing and building.

    def _prepared(self, wait: float) -> _Prepared | None:
        if self._next is not None:
            following, self._next = self._next, None
            return following.result()
        self._ready.clear()
        chosen = self._choose()
        if not chosen and self._ready.wait(wait):
            chosen = self._choose()
        if not chosen:
            return None
        assert self.head is not None  # noqa: S101
        return self._build(self.head, chosen, self._now())

    def _choose(self) -> list[_Taken]:
        """The parts of the next transaction; each source gets its turn."""
        room = self._batch_size
        chosen: list[_Taken] = []
        for _ in range(READY_PARTS):
            for feed in tuple(self._turns):
                if chosen and self._one_at_a_time:
                    return chosen
                part = feed.take(room if chosen else None)
                if part is not None:
                    chosen.append((feed, part))
                    room -= len(part.entries)
        for feed in {feed.source: feed for feed, _ in chosen}.values():
            # Who is served waits until the others were.
            self._turns.remove(feed)
            self._turns.append(feed)
        return chosen

    def _build(self, head: Head, taken: Sequence[_Taken], now: datetime) -> _Prepared:
        batches: list[Batch] = []
        after = head
        for _, part in taken:
            try:
                batch = self._batch(head, part, now)
            except UnstorableError as error:
                raise HaltError(f"a batch of {part.span.source} cannot be built: {error}", error.errno) from error
            batches.append(batch)
            head = batch.head
        return _Prepared(after, [feed for feed, _ in taken], [part for _, part in taken], batches)

    def _batch(self, head: Head, part: Part, now: datetime, only: Sequence[int] | None = None) -> Batch:
        entries = part.entries if only is None else [part.entries[position] for position in only]
        return assemble_batch(
            head,
            "STREAM",
            part.span,
            entries,
            recorded_at=max(now, head.recorded_at),
            writer_id=self._writer_id,
            batch_uid=uuid.uuid4().bytes,
            routing_version=self._routing_version,
        )

    def _now(self) -> datetime:
        now = self._ledger.now()
        apart = abs(now - datetime.now(UTC).replace(tzinfo=None))
        if apart > _CLOCK_LIMIT:
            raise HaltError(
                f"the clocks of {self._ledger.server.address} ({now}) and of this machine are {apart} apart; the year "
                "of a batch decides where it is stored, so nothing is written until they agree"
            )
        self.warning = (
            f"the clocks of {self._ledger.server.address} and of this machine are {apart.total_seconds():.1f} s apart"
            if apart > _CLOCK_ALERT
            else None
        )
        return now

    def _installation(self, cursor: Cursor) -> str | None:
        key = cursor.span.source, cursor.span.incarnation
        if key not in self._installations:
            self._installations[key] = installation_of(self._ledger, cursor.span.source)
        return self._installations[key]

    # Writing.

    def _write(self, prepared: _Prepared, *, pipelined: bool) -> None:
        waiting = sum(feed.ready_events() for feed in self._feeds.values())
        pipelined = pipelined and not self._one_at_a_time and waiting >= _PIPELINED_EVENTS
        if pipelined and (chosen := self._choose()):
            self._next = self._builder.submit(self._build, prepared.head, chosen, self._now())
        try:
            with self._fairness():
                self._ledger.append(prepared.batches, at=self._passing)
        except UnstorableError as error:
            self._find_offender(prepared, error)
        except AuditUnavailableError as error:
            if not isinstance(error, BusyError):
                self._unknown = prepared
            raise
        self.head = prepared.head
        self._committed(prepared, time.time())
        self._passing("before_journal")
        self._note(prepared.batches)
        self._backoff.succeeded()
        self._lost_in_a_row, self._lost_at, self.failing_since, self.problem = 0, None, None, None
        self._one_at_a_time = max(0, self._one_at_a_time - 1)

    def _committed(self, prepared: _Prepared, arrived: float) -> None:
        for feed, part in zip(prepared.feeds, prepared.parts, strict=True):
            feed.written(part)
            feed.condemned.pardon(part.event_ids)
            self.quarantined += part.quarantined
            self.events += len(part.entries)
        self.batches += len(prepared.batches)
        for window in self.windows:
            window.committed(prepared.parts, prepared.batches, arrived)

    def _fairness(self) -> AbstractContextManager[bool]:
        """After races lost in a row, stand in line with the writers of control batches."""
        if self._lost_in_a_row < _LOST_IN_A_ROW:
            return nullcontext(True)
        return self._ledger.lock(LOCK, LOCK_SECONDS)

    def _note(self, batches: Sequence[Batch]) -> None:
        """Bring the journal up to the head; `batches` are those that this relay wrote last."""
        if self._journal is None or self.head is None:
            return
        try:
            if batches:
                self._journal.append([batch.spine for batch in batches])
            else:
                self._journal.catch_up(self.head)
        except (OSError, LedgerError) as error:
            # What is missing is copied from the database by the next note.
            self.warning = f"the journal could not be written: {error}"

    # Errors.

    def _discard(self) -> None:
        following, self._next = self._next, None
        if following is not None and not following.cancel():
            following.exception()
        self._loaded = False

    def _failed(self, error: Exception, pause: float) -> None:
        self._discard()
        self.problem = str(error)
        if self.failing_since is None:
            self.failing_since = time.monotonic()
        self._pause_until = time.monotonic() + pause

    def _lost_race(self, error: LostRaceError) -> None:
        self.lost_races += 1
        self._lost_in_a_row += 1
        expected = self.head
        try:
            self.reload()
        except AuditUnavailableError as failure:
            self._failed(failure, self._backoff.after_failure())
            return
        if self.head == expected and self._lost_at == expected:
            raise HaltError(f"refused twice though nobody else wrote: {error}", error.errno)
        self._lost_at = expected if self.head == expected else None

    def _find_offender(self, prepared: _Prepared, error: UnstorableError) -> NoReturn:
        """Look for an event that the database refuses, by trials that are rolled back."""
        if len(prepared.parts) > 1:
            # Alone it shows which source has it.
            self._one_at_a_time = len(self._feeds) + 1
            raise BusyError(str(error), error.errno)
        feed, part = prepared.feeds[0], prepared.parts[0]

        def refusal(positions: range) -> UnstorableError | None:
            batch = self._batch(prepared.after, part, prepared.head.recorded_at, positions)
            try:
                self._ledger.append([batch], at=_turn_back)
            except _TurnedBackError:
                return None
            except UnstorableError as refused:
                return refused
            return None

        positions = range(len(part.entries))
        while len(positions) > 1:
            half = positions[: len(positions) // 2]
            refused = refusal(half)
            positions = positions[len(positions) // 2 :] if refused is None else half
        refused = refusal(positions) if positions else None
        if refused is None:
            raise HaltError(f"a batch of {part.span.source} is refused, but none of its events alone: {error}")
        raise _RefusedError(feed, part.event_ids[positions[0]], refused)

    def _condemn(self, feed: Feed, event_id: int, error: UnstorableError) -> None:
        if not feed.condemned.condemn(event_id, str(error), error.errno):
            raise HaltError(f"event {event_id} of {feed.source} is refused even in quarantine: {error}", error.errno)
        self._discard()


def _turn_back(step: str) -> None:
    if step == "before_commit":
        raise _TurnedBackError
