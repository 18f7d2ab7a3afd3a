"""The relay as a service: sources, writer, locks and journal put together, started, watched and ended."""

import gc
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta

from genims_platform.audit.encryption.errors import KeyStoreUnavailableError
from genims_platform.audit.encryption.keystore import KeyStore, key_store
from genims_platform.audit.ledger.append import Ledger, open_ledger
from genims_platform.audit.ledger.errors import AuditUnavailableError, HaltError
from genims_platform.audit.ledger.layout import load_layouts
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.relay.failpoints import Failpoint
from genims_platform.audit.relay.feed import Feed, Timing
from genims_platform.audit.relay.figures import Figures, RelayResult, Report, SourceState
from genims_platform.audit.relay.holds import may_rotate
from genims_platform.audit.relay.journal import Journal
from genims_platform.audit.relay.leadership import LEADER, STANDBY, LeaderExistsError, Leadership
from genims_platform.audit.relay.preparation import mapper_of
from genims_platform.audit.relay.source_reader import SourceReader
from genims_platform.audit.relay.sync_record import sync_fact
from genims_platform.audit.relay.unclassified_names import UnclassifiedNames
from genims_platform.audit.relay.worker import Workers
from genims_platform.audit.relay.writer import Writer
from genims_platform.audit.restore.standing import check_not_set_back
from genims_platform.settings import SOURCE_NAMES, Settings

__all__ = ["LeaderExistsError", "NotBegunError", "Relay", "RelayResult", "Report"]

REPORT_SECONDS = 1.0
IDLE_RECORD_SECONDS = 300
BUSY_EVENTS = 250
"""A standby starts its workers once the one that leads writes so many a second: the pause in which it takes over makes
a backlog of them, which must not wait for processes to start."""

HANDOVER_SECONDS = 60
"""A run that is over and finds no successor goes on for its time once more, and says so this often."""

_SUCCESSOR_SECONDS = 1.0
_TURN_SECONDS = 0.25
_STANDBY_TURN_SECONDS = 0.05
_HEAD_SECONDS = 0.5
_SILENT_SECONDS = 2.0
_FAILURES_TO_GIVE_UP = 3
_ALERT_SECONDS = 60
_JOIN_SECONDS = 3
_SWITCH_SECONDS = 0.0005

_logger = logging.getLogger(__name__)


@contextmanager
def _for_delivery() -> Generator[None]:
    """The interpreter as this work needs it: few collections, and threads that take turns quickly.

    The objects of a part live until it is written, and hold no cycles: looking at them costs, and finds nothing. The
    writer waits for dozens of answers a transaction, and then each time for its turn while others prepare parts.
    """
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.freeze()
    gc.set_threshold(100_000, *threshold[1:])
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*threshold)
        gc.unfreeze()


class NotBegunError(RuntimeError):
    """There is no audit trail to write to yet; the message says what to do next."""


def _say_nothing(_report: Report) -> None: ...


class Relay:
    """Delivers the events of sources to the audit database.

    Args:
        settings: where sources and audit database are.
        sources: the sources to deliver; all by default.
        standby: wait while another relay works, and take over when it ends. Such a run also ends only when another
            one waits to take over from it.
        exclusive: False works beside other relays. Nothing is lost or repeated by that; only time is.
        report: called about once a second, by the thread that runs.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        sources: Sequence[str] = SOURCE_NAMES,
        standby: bool = False,
        exclusive: bool = True,
        report: Callable[[Report], None] = _say_nothing,
    ) -> None:
        self._settings = settings
        self._sources = tuple(sources)
        self._standby = standby
        self._exclusive = exclusive
        self._report = report
        self._passing = Failpoint(settings.audit_failpoint)
        self.writer_id = f"{socket.gethostname()[:32]}:{os.getpid()}:{int(time.time())}"

    def run(self, stop: threading.Event, *, seconds: float | None = None, once: bool = False) -> RelayResult:
        """Deliver until `stop` is set, the time is over or, with `once`, nothing is left to deliver.

        The time of a standby begins when it takes over. Infrastructure that fails is tried again for as long as the
        run lasts.

        Raises:
            NotBegunError: the audit database has no batch yet.
            LeaderExistsError: another relay works, and this one is no standby.
            HaltError: the audit database is not as it must be; a person has to look.
            AuditUnavailableError: the audit database cannot be reached at the start.
            KeySettingsError: the keys of persons are not set up.
        """
        return _Run(self._settings, self._sources, self._passing, self._report, self.writer_id).run(
            stop, seconds=seconds, once=once, standby=self._standby, exclusive=self._exclusive
        )


class _Run:
    """One run of a relay."""

    def __init__(
        self,
        settings: Settings,
        sources: Sequence[str],
        passing: Callable[[str], None],
        report: Callable[[Report], None],
        writer_id: str,
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._passing = passing
        self._tell = report
        self._writer_id = writer_id
        self._leadership: Leadership | None = None
        self._since_report = Figures()
        self._since_record = Figures()
        self._statuses: dict[str, str] = {}
        self._total = 0
        self._recorded_until: datetime | None = None
        self._idle_record_at = 0.0
        self._races_recorded = self._reconnects_recorded = 0
        self._alerted = False
        self._unclassified = UnclassifiedNames()
        self._given_up: dict[str, str] = {}

    def run(
        self, stop: threading.Event, *, seconds: float | None, once: bool, standby: bool, exclusive: bool
    ) -> RelayResult:
        with ExitStack() as stack:
            stack.enter_context(_for_delivery())
            ledger = stack.enter_context(closing(open_ledger(self._settings, "relay")))
            ledger.check_server()
            self._check_begun(ledger)
            journal = self._journal(ledger)
            if journal is not None:
                journal.check()
            check_not_set_back(self._settings, ledger)
            load_layouts()
            if exclusive:
                self._leadership = Leadership(open_ledger(self._settings, "relay"))
                stack.callback(self._leadership.close)
            self._lead_or_refuse(standby=standby)
            keys = stack.enter_context(closing(key_store(self._settings)))
            self._ask(keys)
            self._workers = stack.enter_context(closing(Workers(self._settings, self._settings.audit_workers)))
            self._feeds = self._make_feeds(keys, self._workers)
            self._writer = Writer(
                ledger,
                self._feeds,
                journal,
                self._passing,
                batch_size=self._settings.etl_batch_size,
                routing_version=audit_policy().version,
                writer_id=self._writer_id,
            )
            self._writer.windows = [self._since_report, self._since_record]
            stack.callback(self._end_feeds)
            stack.callback(self._writer.close)
            for feed in self._feeds.values():
                feed.start()
            self._recorded_until = ledger.now()
            return self._deliver(stop, ledger, seconds=seconds, once=once, handover=standby and exclusive)

    # Starting.

    def _ask(self, keys: KeyStore) -> None:
        try:
            keys.health()
        except KeyStoreUnavailableError as error:
            # What needs keys waits for them, everything else does not.
            _logger.warning("%s", error)

    def _check_begun(self, ledger: Ledger) -> None:
        if ledger.head() is None:
            raise NotBegunError(f"{ledger.server.address} holds no batch yet; run `genims audit init`")

    def _journal(self, ledger: Ledger) -> Journal | None:
        folder = self._settings.audit_journal_dir
        if folder is None:
            return None
        return Journal(folder, ledger, timedelta(days=self._settings.audit_journal_keep_days))

    def _make_feeds(self, keys: KeyStore, workers: Workers) -> dict[str, Feed]:
        own = self._settings
        timing = Timing(
            own.audit_poll_min_ms / 1000,
            own.audit_poll_max_ms / 1000,
            own.audit_fingerprint_seconds,
            own.etl_batch_size,
            own.audit_queue_keep_days,
            own.audit_bulk_rows,
        )
        return {
            source: Feed(
                SourceReader(source, own.audit_relay(source), self._passing),
                mapper_of(own, source, keys),
                workers,
                timing,
                self._wake,
                self._unclassified.notice,
                lambda name: may_rotate(own, name),
            )
            for source in self._sources
        }

    def _wake(self) -> None:
        self._writer.wake()

    def _end_feeds(self) -> None:
        for feed in self._feeds.values():
            feed.stop()
        deadline = time.monotonic() + _JOIN_SECONDS
        for feed in self._feeds.values():
            feed.join(max(0.0, deadline - time.monotonic()))

    def _lead_or_refuse(self, *, standby: bool) -> None:
        leadership = self._leadership
        if leadership is None or standby or leadership.try_for(LEADER):
            return
        raise LeaderExistsError(
            f"another relay works on {self._settings.mysql_audit.address} already (connection "
            f"{leadership.holder(LEADER)} of the server); `--standby` waits and takes over when it ends"
        )

    # Working.

    def _deliver(
        self, stop: threading.Event, ledger: Ledger, *, seconds: float | None, once: bool, handover: bool
    ) -> RelayResult:
        began = time.monotonic()
        # The one that leads ends because another waits: that one's waiting must not end by itself.
        end = None if seconds is None or handover else began + seconds
        drained = leads = False
        next_warning = alone_until = began
        next_report = began + REPORT_SECONDS
        next_record = began + self._settings.etl_audit_interval
        races = 0
        while not stop.is_set():
            if not leads:
                leads = self._lead(stop, ledger, None if handover else end)
                if not leads:
                    break
                races = self._writer.lost_races
                if end is None and seconds is not None:
                    end = time.monotonic() + seconds
                    alone_until = end + seconds
            self._writer.step(min(_TURN_SECONDS, max(0.0, next_report - time.monotonic())))
            self._watch()
            self._unclassified.record(ledger, self._writer.record)
            now = time.monotonic()
            if now >= next_report:
                self._say(working=True)
                next_report = now + REPORT_SECONDS
            if now >= next_record:
                self._record(ledger)
                next_record = now + self._settings.etl_audit_interval
            if once and (drained := self._drained()):
                break
            if end is not None and now >= end:
                if not handover or self._successor_waits() or now >= alone_until:
                    break
                end = now + _SUCCESSOR_SECONDS
                if now >= next_warning:
                    next_warning = now + HANDOVER_SECONDS
                    _logger.warning("the time of this relay is over, but no other one waits to take over")
            leads = self._still_leads(lost=self._writer.lost_races > races)
        self._finish(ledger)
        if self._leadership is not None:
            # Its successor works while this one tidies up.
            self._leadership.release(LEADER)
        return self._result(drained=drained)

    def _lead(self, stop: threading.Event, ledger: Ledger, end: float | None) -> bool:
        """Wait until this relay is to work; False if it is to end before that."""
        leadership = self._leadership
        if leadership is None:
            return True
        head = None
        moved = looked = next_report = 0.0
        fresh = False
        while not stop.is_set() and (end is None or time.monotonic() < end):
            now = time.monotonic()
            try:
                if leadership.try_for(LEADER):
                    leadership.release(STANDBY)
                    # What is known may be old.
                    self._writer.forget()
                    return True
                leadership.try_for(STANDBY)
                if now - looked >= _HEAD_SECONDS:
                    found = ledger.head()
                    if head and found and found.last_sequence - head.last_sequence > BUSY_EVENTS * (now - looked):
                        self._workers.start(gently=True)
                    looked = now
                    if found != head:
                        head, moved, fresh = found, now, False
                    elif now - moved > _SILENT_SECONDS:
                        if not fresh:
                            self._writer.reload()
                            fresh = True
                        elif self._neglected():
                            _logger.warning(
                                "events wait and the relay that leads writes nothing; working without its lock"
                            )
                            return True
            except AuditUnavailableError as error:
                _logger.warning("%s", error)
                stop.wait(_HEAD_SECONDS)
            if now >= next_report:
                self._say(working=False)
                next_report = now + REPORT_SECONDS
            stop.wait(_STANDBY_TURN_SECONDS)
        return False

    def _neglected(self) -> bool:
        now = time.time()
        oldest = (feed.state().oldest for feed in self._feeds.values())
        return any(at is not None and now - at > _SILENT_SECONDS for at in oldest)

    def _still_leads(self, *, lost: bool) -> bool:
        """Whether to go on working; a relay whose lock is gone, or that works without it, makes room for others."""
        leadership = self._leadership
        if leadership is None or leadership.holds(LEADER):
            return True
        if lost:
            return False
        try:
            return leadership.try_for(LEADER) or leadership.holder(LEADER) is not None
        except AuditUnavailableError:
            return True

    def _successor_waits(self) -> bool:
        try:
            return self._leadership is not None and self._leadership.holder(STANDBY) is not None
        except AuditUnavailableError:
            return False

    def _drained(self) -> bool:
        """Whether nothing is left to deliver but what cannot be had; that is remembered, for it may come back."""
        states = {source: feed.state() for source, feed in self._feeds.items()}
        failing = {source: state for source, state in states.items() if state.failures >= _FAILURES_TO_GIVE_UP}
        if self._writer.pending or not all(
            state.idle or state.halted or source in failing for source, state in states.items()
        ):
            return False
        self._given_up = {source: state.problem or "unknown" for source, state in failing.items()}
        return True

    def _finish(self, ledger: Ledger) -> None:
        try:
            if self._writer.head is not None and (self._leadership is None or self._leadership.holds(LEADER)):
                self._unclassified.record(ledger, self._writer.record)
                self._record(ledger)
        except (AuditUnavailableError, HaltError) as error:
            _logger.warning("the end of this run was not recorded: %s", error)
        self._say(working=False)

    # Telling.

    def _watch(self) -> None:
        """Say once that the audit database does not accept anything, and once that it does again."""
        since = self._writer.failing_since
        if since is not None and not self._alerted and time.monotonic() - since > _ALERT_SECONDS:
            self._alerted = True
            _logger.error("no event was delivered for %s s: %s", _ALERT_SECONDS, self._writer.problem)
        elif since is None and self._alerted:
            self._alerted = False
            _logger.warning("events are delivered again")

    def _states(self) -> dict[str, SourceState]:
        now = time.time()
        found: dict[str, SourceState] = {}
        for source, feed in self._feeds.items():
            state = feed.state()
            age = None if state.oldest is None else max(0, round((now - state.oldest) * 1000))
            found[source] = SourceState(state.depth, age, state.delivered_tick, state.halted, state.problem)
        return found

    def _say(self, *, working: bool) -> None:
        figures, self._since_report = self._since_report, Figures()
        self._writer.windows = [self._since_report, self._since_record]
        self._total += figures.events
        states = self._states()
        ages = [state.oldest_ms for state in states.values() if state.oldest_ms is not None]
        self._tell(
            Report(
                at=datetime.now(UTC),
                events=figures.events,
                rate=figures.events / max(1e-6, time.monotonic() - figures.started),
                total_events=self._total,
                rows=dict(figures.rows),
                first_sequence=figures.first_sequence,
                last_sequence=figures.last_sequence,
                latency=figures.latency.summary(),
                depth=sum(state.depth for state in states.values()),
                oldest_ms=max(ages, default=None),
                head=self._writer.head,
                lost_races=self._writer.lost_races,
                working=working,
                problem=self._writer.problem or self._writer.warning,
                sources=states,
            )
        )

    def _record(self, ledger: Ledger) -> None:
        """Record the window that ends now in the audit trail itself."""
        try:
            ended = ledger.now()
        except AuditUnavailableError:
            return  # the window goes on until it can be recorded
        now = time.monotonic()
        fact, statuses = sync_fact(
            self._since_record,
            self._states(),
            self._recorded_until or ended,
            ended,
            writer_id=self._writer_id,
            lost_races=self._writer.lost_races - self._races_recorded,
            reconnects=self._writer.reconnects - self._reconnects_recorded,
            before=self._statuses,
            even_if_idle=now >= self._idle_record_at,
        )
        if fact is not None:
            if not self._writer.record([fact]):
                return
            self._idle_record_at = now + IDLE_RECORD_SECONDS
        self._statuses = statuses
        self._recorded_until = ended
        self._races_recorded, self._reconnects_recorded = self._writer.lost_races, self._writer.reconnects
        self._since_record = Figures()
        self._writer.windows = [self._since_report, self._since_record]

    def _result(self, *, drained: bool) -> RelayResult:
        states = {source: feed.state() for source, feed in self._feeds.items()}
        return RelayResult(
            events=self._writer.events,
            batches=self._writer.batches,
            quarantined=self._writer.quarantined,
            lost_races=self._writer.lost_races,
            head=self._writer.head,
            drained=drained and not self._given_up,
            halted={source: state.halted for source, state in states.items() if state.halted},
            unreachable=self._given_up | {source: state.problem for source, state in states.items() if state.problem},
        )
