"""How the audit trail stands: head, sources, locks, checkpoints, and what the relay last recorded of itself."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from genims_platform.audit.backlog import COUNTED, Backlog, backlogs
from genims_platform.audit.ledger.append import Cursor, Ledger, open_ledger
from genims_platform.audit.ledger.batch import Head
from genims_platform.audit.relay.leadership import LEADER, STANDBY
from genims_platform.audit.relay.quarantined_events import stored_events
from genims_platform.audit.restore.standing import set_back
from genims_platform.audit.trail import delivered, last_ticks
from genims_platform.mysql.append_only import SPINE
from genims_platform.mysql.locks import lock_name_in
from genims_platform.settings import SOURCE_NAMES, Settings

ALERT_EVENTS = 10_000
ALERT_OLDEST_MS = 60_000
ALERT_LATENCY_MS = 1000
ALERT_SILENT_SECONDS = 15
ALERT_CHECKPOINT_SECONDS = 300
RECORDED_MINUTES = 10

_ASK_SECONDS = 10.0
_LAST_BATCH = f"""
    SELECT recorded_at FROM {SPINE} WHERE source_db = %s AND incarnation = %s
    ORDER BY tick_from DESC, part_no DESC LIMIT 1
"""  # noqa: S608
_RATE = f"""
    SELECT source_db, SUM(event_count) FROM {SPINE} WHERE recorded_at > %s - INTERVAL 1 MINUTE GROUP BY source_db
"""  # noqa: S608
_CHECKPOINT = """
    SELECT checkpoint_timestamp, covers_batch_no FROM audit_integrity_checkpoints
    WHERE record_type = 'CHECKPOINT' ORDER BY checkpoint_no DESC LIMIT 1
"""
_RECORDS = """
    SELECT synced_source, sync_status, latency_p50_ms, latency_p99_ms, sync_timestamp, error_message
    FROM audit_etl_sync_log WHERE sync_timestamp > %s - INTERVAL %s MINUTE ORDER BY audit_sequence
"""


@dataclass(frozen=True)
class SourceOverview:
    """One source. Ages in ms; `per_minute` are events delivered in the last minute; None: not known or none."""

    source: str
    incarnation: int
    tick: int
    unfinished: bool
    last_batch_at: datetime | None
    per_minute: int
    waiting: int | None
    oldest_ms: int | None
    status: str | None
    """As the relay last recorded it."""

    latency_p50_ms: int | None
    latency_p99_ms: int | None
    problem: str | None


@dataclass(frozen=True)
class AuditOverview:
    """The audit trail as a whole; instants are UTC."""

    now: datetime
    head: Head
    sources: tuple[SourceOverview, ...]
    not_open: tuple[str, ...]
    leader: int | None
    """Connection of the server that holds the lock of the working relay."""

    standby: int | None
    checkpoint_at: datetime | None
    checkpoint_covers: int | None
    """The newest batch that is signed for."""

    last_record_at: datetime | None
    quarantined: int
    """Events in quarantine that were not reprocessed."""

    set_back: str | None
    """What the database lacks of what was published, a sentence."""

    def alerts(self) -> Iterator[str]:
        """What somebody has to look at, a sentence each."""
        if self.set_back:
            yield self.set_back
        for source in self.sources:
            name = source.source
            if source.status == "HALTED":
                yield f"{name} is halted: {source.problem or 'see the log of the relay'}"
            elif source.problem:
                yield f"{name}: {source.problem}"
            if (source.waiting or 0) > ALERT_EVENTS or (source.oldest_ms or 0) > ALERT_OLDEST_MS:
                yield f"{name}: {_many(source.waiting)} events wait, the oldest for {(source.oldest_ms or 0) // 1000} s"
            if (source.latency_p99_ms or 0) > ALERT_LATENCY_MS:
                yield f"{name}: p99 latency {source.latency_p99_ms} ms in the last recorded window"
        waiting = any(source.waiting for source in self.sources)
        if waiting and self._seconds_since(self.head.recorded_at) > ALERT_SILENT_SECONDS:
            yield f"events wait, but nothing was written for {self._seconds_since(self.head.recorded_at)} s"
        if self.leader is None:
            yield "no relay works; start one with `genims audit relay`"
        behind = self.checkpoint_covers is None or self.checkpoint_covers < self.head.batch_no
        since = self.checkpoint_at
        if behind and (since is None or self._seconds_since(since) > ALERT_CHECKPOINT_SECONDS):
            yield "the newest batches are not signed; start `genims audit seal --loop`"

    def _seconds_since(self, instant: datetime) -> int:
        return round((self.now - instant).total_seconds())


def audit_overview(settings: Settings) -> AuditOverview:
    """Ask the audit database and the sources.

    Raises:
        TrailNotSetUpError: there is no trail yet.
        AuditUnavailableError: the audit database cannot be reached.
    """
    spans = delivered(settings)
    waiting = backlogs(settings, last_ticks(spans), within=_ASK_SECONDS)
    with closing(open_ledger(settings, "relay")) as ledger:
        head, now, cursors = ledger.head(), ledger.now(), ledger.cursors()
        assert head is not None  # noqa: S101 - `delivered` found one
        records = _records(ledger, now)
        rates = {source: int(count) for source, count in ledger.query(_RATE, (now,))}
        checkpoints = ledger.query(_CHECKPOINT)
        signed_at, covered = checkpoints[0] if checkpoints else (None, None)
        quarantined = sum(found.event.reprocessed_as is None for found in stored_events(ledger))
        return AuditOverview(
            now=now,
            head=head,
            sources=tuple(
                _source(ledger, cursors[source], rates.get(source, 0), waiting[source], records.get(source))
                for source in spans
            ),
            not_open=tuple(source for source in SOURCE_NAMES if source not in spans),
            leader=_holder(ledger, LEADER),
            standby=_holder(ledger, STANDBY),
            checkpoint_at=signed_at,
            checkpoint_covers=covered,
            last_record_at=max((record.at for record in records.values()), default=None),
            quarantined=quarantined,
            set_back=set_back(settings),
        )


@dataclass(frozen=True)
class _Record:
    status: str
    p50_ms: int | None
    p99_ms: int | None
    at: datetime
    message: str | None


def _records(ledger: Ledger, now: datetime) -> dict[str, _Record]:
    """The newest record of each source."""
    return {source: _Record(*rest) for source, *rest in ledger.query(_RECORDS, (now, RECORDED_MINUTES))}


def _source(ledger: Ledger, cursor: Cursor, rate: int, backlog: Backlog, record: _Record | None) -> SourceOverview:
    span = cursor.span
    ((last_batch_at,),) = ledger.query(_LAST_BATCH, (span.source, span.incarnation))
    return SourceOverview(
        source=span.source,
        incarnation=span.incarnation,
        tick=span.tick_to if span.is_last_part else span.tick_from,
        unfinished=not span.is_last_part,
        last_batch_at=last_batch_at,
        per_minute=rate,
        waiting=None if backlog.events is None else max(0, backlog.events - cursor.delivered),
        oldest_ms=backlog.oldest_ms,
        status=record.status if record else None,
        latency_p50_ms=record.p50_ms if record else None,
        latency_p99_ms=record.p99_ms if record else None,
        problem=backlog.problem or (record.message if record else None),
    )


def _holder(ledger: Ledger, purpose: str) -> int | None:
    ((holder,),) = ledger.query("SELECT IS_USED_LOCK(%s)", (lock_name_in(ledger.server.database, purpose),))
    return holder


def _many(number: int | None) -> str:
    return f"more than {COUNTED - 1}" if (number or 0) >= COUNTED else str(number or 0)
