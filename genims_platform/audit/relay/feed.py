"""One source's side of the relay: a thread that finds events, maps them and keeps the next parts ready to write."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence, Set
from concurrent.futures import Future
from dataclasses import dataclass, field

import psycopg2

from genims_platform.audit.ledger.append import Cursor
from genims_platform.audit.ledger.batch import MAX_EVENTS, EncodedEntry, Span
from genims_platform.audit.ledger.errors import HaltError
from genims_platform.audit.relay.bulk_scan import BulkScan
from genims_platform.audit.relay.event_range import EventRange
from genims_platform.audit.relay.mapping import Mapper
from genims_platform.audit.relay.poison import Condemned
from genims_platform.audit.relay.polling import Backoff, Pace
from genims_platform.audit.relay.preparation import Order, Prepared, Preparer
from genims_platform.audit.relay.source_reader import SourceChangedError, SourceReader
from genims_platform.audit.relay.worker import Workers
from genims_platform.audit.routing.router import Unclassified

READY_PARTS = 2
"""Parts that wait to be written: enough that the writer never waits for a source with a backlog."""

IDLE_BATCH_SECONDS = 3600
"""A source without events gets an empty batch this often, so that its cursor stays young."""

BACKLOG_EVENTS = 500
"""From this many on, workers are started: that takes seconds of CPU, which a busy moment must not lose."""

WORKER_EVENTS = 40
"""From this many on, workers prepare them if there are any; with fewer, the way there and back costs too much."""

_ORDERED_PARTS = 4
_STORED_BYTES = 4 << 20
_ROTATION_SECONDS = 3600
_PATIENCE_SECONDS = 1.0


@dataclass(frozen=True)
class Timing:
    """Seconds between what a source is asked, events of a part, days that the queue keeps, and rows of a bulk."""

    shortest_poll: float
    longest_poll: float
    fingerprint: float
    batch_size: int
    keep_days: int
    bulk_rows: int


@dataclass(frozen=True)
class Part:
    """A part of a range, mapped, encoded and ready to be written."""

    span: Span
    entries: Sequence[EncodedEntry]
    event_ids: Sequence[int]
    committed: Sequence[float]
    """When each event was committed in its source, by this machine's clock, in seconds."""

    quarantined: int


@dataclass
class _Position:
    """How far a source is made ready: the tick all before which is, and the range that is being worked on."""

    incarnation: int
    tick: int
    token: bytes
    """Of `tick`."""

    working: EventRange | None = None
    offset: int = 0
    part_no: int = 0
    bulk: BulkScan | None = None
    ordered: "deque[tuple[int, Future[Prepared]]]" = field(default_factory=deque["tuple[int, Future[Prepared]]"])
    """The end of each part that workers prepare now, in their order; the first begins at `offset`."""

    def cancel(self) -> None:
        """Order again from `offset` on."""
        self.bulk = None
        for _, found in self.ordered:
            found.cancel()
        self.ordered.clear()


@dataclass(frozen=True)
class FeedState:
    """What a source is doing, for whoever watches: `halted` needs a person, `problem` mends itself."""

    depth: int
    oldest: float | None
    """When the oldest event that is ready was committed, in seconds."""

    delivered_tick: int | None
    halted: str | None
    problem: str | None
    failures: int
    """Attempts that failed since the last one that did not."""

    reconnects: int
    idle: bool
    """The last look found nothing, and all that was found is committed."""


class Feed(threading.Thread):
    """Finds, maps and offers the events of one source; starts to work with the first `restart`."""

    def __init__(
        self,
        reader: SourceReader,
        mapper: Mapper,
        workers: Workers,
        timing: Timing,
        ready: Callable[[], None],
        unclassified: Callable[[Set[Unclassified]], None],
        may_rotate: Callable[[str], bool],
    ) -> None:
        """Several feeds share `workers`.

        `ready` is called whenever there is a new part, `unclassified` with names that the policy does not know;
        `may_rotate` says whether no legal hold keeps the queue.
        """
        super().__init__(name=f"audit-{reader.source}", daemon=True)
        self.source = reader.source
        self._reader = reader
        self._preparer = Preparer(reader, mapper)
        self._workers = workers
        self._timing = timing
        self._ready = ready
        self._unclassified = unclassified
        self._may_rotate = may_rotate
        self.condemned = Condemned()
        """Events that the audit database refused."""

        self._changed = threading.Condition()
        # Under the condition:
        self._wanted: Cursor | None = None
        self._refused: str | None = None
        self._installation: str | None = None
        self._generation = 0
        self._offered: deque[Part] = deque()
        self._taken = 0
        self._delivered_tick: int | None = None
        self._stopping = False
        self._idle = False
        # Written by this thread only:
        self._position: _Position | None = None
        self._worked = 0
        self._halted: str | None = None
        self._problem: str | None = None
        self._failures = 0
        self._reconnects = -1
        self._pace = Pace(timing.shortest_poll, timing.longest_poll)
        self._fingerprint_at = 0.0
        self._rotation_at = time.monotonic() + _ROTATION_SECONDS
        self._last_part_at = time.monotonic()

    # What the writer calls.

    def restart(self, cursor: Cursor, installation: str | None) -> None:
        """Go on from what the audit database has; parts that were made ready are forgotten.

        `installation` is the one that this incarnation was opened with, if that is known.
        """
        with self._changed:
            self._wanted, self._refused, self._installation = cursor, None, installation
            self._generation += 1
            self._offered.clear()
            self._taken = 0
            self._idle = False
            self._changed.notify_all()

    def refuse(self, why: str) -> None:
        """Do nothing until the next `restart`, because the audit database does not expect this source."""
        with self._changed:
            self._wanted = None
            self._generation += 1
            self._offered.clear()
            self._taken = 0
            self._idle = False
            self._refused = why
            self._changed.notify_all()

    def ready_events(self) -> int:
        """How many events are ready to be written."""
        with self._changed:
            return sum(len(part.entries) for part in self._offered)

    def take(self, most: int | None) -> Part | None:
        """The next part if there is one and it has at most so many events; `written` or `restart` must follow."""
        with self._changed:
            if not self._offered or (most is not None and len(self._offered[0].entries) > most):
                return None
            self._taken += 1
            self._changed.notify_all()
            return self._offered.popleft()

    def written(self, part: Part) -> None:
        """Say that a part is committed."""
        with self._changed:
            self._taken -= 1
            if part.span.is_last_part:
                self._delivered_tick = part.span.tick_to
            self._changed.notify_all()

    def stop(self) -> None:
        """End after what is being done; see `join`."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def state(self) -> FeedState:
        """What it is doing."""
        with self._changed:
            waiting = list(self._offered)
            taken, idle, delivered_tick = self._taken, self._idle, self._delivered_tick
        position = self._position
        unread = len(position.working.keys) - position.offset if position and position.working else 0
        oldest = next((min(part.committed) for part in waiting if part.committed), None)
        return FeedState(
            depth=max(0, unread) + sum(len(part.entries) for part in waiting),
            oldest=oldest,
            delivered_tick=delivered_tick,
            halted=self._refused or self._halted,
            problem=self._problem,
            failures=self._failures,
            reconnects=max(0, self._reconnects),
            idle=idle and not waiting and not taken,
        )

    # The thread.

    def run(self) -> None:
        """Work until told to stop."""
        self._connect_early()
        backoff = Backoff()
        while self._wait_for_cursor():
            try:
                self._work(backoff)
            except (psycopg2.Error, ConnectionError) as error:
                self._problem = _first_line(error)
                self._failures += 1
                if isinstance(error, psycopg2.Error):
                    self._reader.close()
                self._pause(backoff.after_failure())
            except (SourceChangedError, HaltError) as error:
                self._halt(str(error))
            except (
                Exception
            ) as error:  # a bug that shows in one source must not stop the others, nor look like idleness
                self._halt(f"unexpected {type(error).__name__}; {_first_line(error)}")
        self._reader.close()

    def _connect_early(self) -> None:
        """While there is nothing to do: a standby that takes over has no time to connect."""
        try:
            self._reconnects += self._reader.open()
        except (psycopg2.Error, ConnectionError) as error:
            self._problem = _first_line(error)  # tried again when there is something to do

    def _wait_for_cursor(self) -> bool:
        """Whether there is work; waits for the first cursor, and while the source is halted for another one."""
        with self._changed:
            while not self._stopping and self._wanted is None and (self._refused or self._position is None):
                self._changed.wait()
            return not self._stopping

    def _work(self, backoff: Backoff) -> None:
        """Make parts ready until something happens that needs a new start."""
        new = self._reader.open()
        self._reconnects += new
        with self._changed:
            cursor, self._worked = self._wanted, self._generation
        if cursor is not None:
            self._position = self._resumed(cursor)
            self._halted = None
            with self._changed:
                if self._wanted is cursor:
                    self._wanted = None
                if cursor.span.is_last_part:
                    self._delivered_tick = cursor.span.tick_to
        elif new and self._position is not None:
            self._check_tick(self._position.tick, self._position.token)
        if new or cursor is not None:
            self._check_identity()
        while True:
            with self._changed:
                if self._stopping or self._generation != self._worked:
                    return
            position = self._position
            assert position is not None  # noqa: S101
            if position.working is None:
                self._look(position)
            else:
                self._offer_next(position)
            self._problem, self._failures = None, 0
            backoff.succeeded()

    def _resumed(self, cursor: Cursor) -> _Position:
        """Where the audit database says to go on; keys that are known already are not read again."""
        span = cursor.span
        self._check_tick(span.tick_to, span.tick_token)
        old = self._position
        working = old.working if old and old.incarnation == span.incarnation else None
        if span.is_last_part:
            if working is None or working.after != span.tick_to:
                return _Position(span.incarnation, span.tick_to, span.tick_token)
            return _Position(span.incarnation, span.tick_to, span.tick_token, working)
        if working is None or (working.after, working.upto) != (span.tick_from, span.tick_to):
            working = self._reader.range(span.tick_from, span.tick_to)
        if cursor.delivered > len(working.keys):
            raise SourceChangedError(
                f"{self.source}: {cursor.delivered} events between ticks {span.tick_from} and {span.tick_to} are "
                f"delivered, but its queue holds {len(working.keys)}; it was restored or rows were removed"
            )
        token = self._reader.tokens((span.tick_from,))[span.tick_from]
        return _Position(span.incarnation, span.tick_from, token, working, cursor.delivered, span.part_no + 1)

    def _check_tick(self, tick: int, token: bytes) -> None:
        known = self._reader.tokens((tick,))
        if known.get(tick) != token:
            raise SourceChangedError(
                f"{self.source} is not as it was delivered: tick {tick} {'is another one' if known else 'is gone'}, so "
                f"the database was restored or made anew. After finding out why: genims audit source open {self.source}"
            )

    def _look(self, position: _Position) -> None:
        """Look for events after the position; wait if there are none."""
        with self._changed:
            # A tick that is made while parts still wait would not cover what is committed until they are taken.
            if not self._changed.wait_for(lambda: not self._offered or self._overtaken(), _PATIENCE_SECONDS):
                return
            if self._overtaken():
                return
        tick = self._reader.newest_tick()
        found = self._reader.range(position.tick, tick) if tick > position.tick else None
        if found is not None and (found.keys or self._idle_too_long()):
            position.working, position.offset, position.part_no = found, 0, 0
            position.cancel()
            self._pace.after(found=True)
            return
        if self._care():
            return
        with self._changed:
            # A new start that was asked for during the look may go back to before it.
            self._idle = not (self._offered or self._taken or self._overtaken())
        self._ready()
        self._pause(self._pace.after(found=False))

    def _idle_too_long(self) -> bool:
        return time.monotonic() - self._last_part_at > IDLE_BATCH_SECONDS

    def _offer_next(self, position: _Position) -> None:
        """Make the next part of the range ready and wait until there is room for it."""
        working = position.working
        assert working is not None  # noqa: S101
        prepared = self._prepared(position, working)
        self._unclassified(prepared.unclassified)
        end = position.offset + len(prepared.entries)
        is_last = end == len(working.keys)
        part = Part(
            Span(
                self.source,
                position.incarnation,
                working.after,
                working.upto,
                working.token,
                position.part_no,
                is_last_part=is_last,
            ),
            prepared.entries,
            prepared.event_ids,
            [at - self._reader.clock_ahead for at in prepared.committed],
            prepared.quarantined,
        )
        if not self._offer(part):
            return
        self._last_part_at = time.monotonic()
        position.offset, position.part_no = end, position.part_no + 1
        if is_last:
            position.tick, position.token, position.working = working.upto, working.token, None
            self._care()
            # The pause lets events gather; while they wait for room there is no need for another one.
            self._pause(self._pace.after(found=True))

    def _prepared(self, position: _Position, working: EventRange) -> Prepared:
        """The next part; a backlog is prepared by the workers, some parts ahead."""
        waiting = len(working.keys) - position.offset
        if not position.ordered and not self._is_for_workers(waiting):
            return self._preparer.prepare(self._order(position, working, position.offset))
        try:
            while not position.ordered or (self._workers.free and len(position.ordered) < _ORDERED_PARTS):
                start = position.ordered[-1][0] if position.ordered else position.offset
                if start == len(working.keys):
                    break
                order = self._order(position, working, start)
                position.ordered.append((start + len(order.keys), self._workers.submit(order)))
            end, found = position.ordered.popleft()
            prepared = found.result()
        except BaseException:
            position.cancel()
            raise
        if position.offset + len(prepared.entries) < end:
            # Not all of it fits into one batch, so the next one begins elsewhere.
            position.cancel()
        return prepared

    def _is_for_workers(self, events: int) -> bool:
        if events >= BACKLOG_EVENTS:
            self._workers.start()
        return events >= WORKER_EVENTS and self._workers.ready

    def _order(self, position: _Position, working: EventRange, start: int) -> Order:
        keys = working.keys
        most = min(self._timing.batch_size, MAX_EVENTS)
        end = keys.until(start, most, _STORED_BYTES)
        wanted = keys[start:end]
        if position.bulk is None:
            position.bulk = BulkScan(keys, self._timing.bulk_rows, start)
        return Order(
            self.source,
            position.incarnation,
            wanted,
            position.bulk.within(start, end),
            self.condemned.among([key.event_id for key in wanted]),
            self._reader.roots,
            working.upto,
            working.token,
        )

    def _offer(self, part: Part) -> bool:
        """Whether the part was added to those that wait; not if a new start was asked for meanwhile."""
        with self._changed:
            while len(self._offered) >= READY_PARTS and not self._overtaken():
                self._changed.wait()
            if self._overtaken():
                return False
            self._idle = False
            self._offered.append(part)
        self._ready()
        return True

    def _overtaken(self) -> bool:
        return self._stopping or self._generation != self._worked

    def _care(self) -> bool:
        """What is done now and then, after events that were waiting; whether it may have made new ones."""
        now = time.monotonic()
        if due := now >= self._fingerprint_at:
            self._check_identity()
            self._reader.check_clock()
            self._reader.check_catalog()
            self._unclassified(self._reader.unclassified())
            self._fingerprint_at = now + self._timing.fingerprint
        if now >= self._rotation_at and self._delivered_tick is not None:
            self._rotation_at = now + _ROTATION_SECONDS
            if self._may_rotate(self.source):
                self._reader.rotate(self._delivered_tick, self._timing.keep_days)
        return due

    def _check_identity(self) -> None:
        found, known = self._reader.install_uid(), self._installation
        if found is None or known not in (None, found):
            raise SourceChangedError(
                f"{self.source} is another installation of capture ({found}) than the one delivered so far "
                f"({known}). After finding out why: genims audit source open {self.source}"
            )

    def _halt(self, why: str) -> None:
        self._halted = why
        self._position = None
        self._reader.close()
        with self._changed:
            if self._generation == self._worked:
                self._wanted = None
            self._offered.clear()
            self._idle = False
        self._ready()

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(self._overtaken, seconds)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
