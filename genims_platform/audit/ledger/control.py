"""Control batches: facts that commands and jobs record, and the first batch of all."""

import hashlib
import json
import os
import random
import secrets
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.batch import MAX_EVENTS, Batch, Head, Span, build_batch
from genims_platform.audit.ledger.entries import Columns, Entry, Value
from genims_platform.audit.ledger.errors import AuditUnavailableError, BusyError, HaltError, LostRaceError
from genims_platform.audit.policy import AuditPolicy, audit_policy
from genims_platform.mysql.append_only import LEDGER

CONTROL = "audit"
"""The source of everything that was not captured."""

LOCK = "audit_append"
LOCK_SECONDS = 2
PATIENCE_SECONDS = 30.0
_BUSY_SECONDS = (0.05, 0.2)
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0
_EVENT_IDS = 1000
_NO_TOKEN = bytes(16)

Plan = Callable[[Head | None, datetime], Sequence[Batch]]


@dataclass(frozen=True)
class Fact:
    """Something that a command or job did or found: one event of the ledger and the rows that explain it.

    Args:
        operation: at most 16 characters, such as VERIFY or CHECKPOINT.
        operator: who or what did it.
        details: tables and rows, without the five columns that all tables share.
        payload: what no table has a column for.
        run_id: the run that recorded it; kept in the payload.
        about: further columns of the ledger row, such as `table_name`.
        kind: CONTROL, or MARK for what begins, ends or interrupts the trail of a source.
        uid: 16 bytes that name a fact which may be recorded only once; it gets a batch of its own under this uid, and
            the database refuses a second one.
    """

    operation: str
    operator: str | None = None
    details: tuple[tuple[str, Columns], ...] = ()
    payload: Mapping[str, object] | None = None
    run_id: str | None = None
    about: Columns = field(default_factory=dict[str, Value])
    kind: str = "CONTROL"
    uid: bytes | None = None


Facts = Sequence[Fact] | Callable[[], Sequence[Fact]]
"""Facts, or what looks into the trail for those that are missing; it is asked again after each lost race."""


@dataclass(frozen=True)
class Genesis:
    """The first batch: whether it was appended now, and the name that it gave to this trail."""

    created: bool
    instance: str


class Appender:
    """Appends control batches; any number of appenders and relays may run at once.

    Args:
        ledger: the audit database as the account of jobs and commands.
        writer_id: names this process in the spine; by default host, process and start.
        routing_version: version of the active policy.
        patience: seconds for which an unreachable or busy database is tried again.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        writer_id: str | None = None,
        routing_version: int | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.ledger = ledger
        self.writer_id = writer_id or f"{socket.gethostname()[:32]}:{os.getpid()}:{int(time.time())}"
        self.routing_version = audit_policy().version if routing_version is None else routing_version
        self.patience = patience

    def record(self, facts: Facts) -> list[int]:
        """Append facts, all or none, and return their numbers in the ledger.

        Facts that are looked for are recorded once: whoever else records them moves the head, so they are looked for
        again.

        Raises:
            UnstorableError: a value does not fit its column.
            AuditUnavailableError: the database was busy or not reachable for too long; whether the facts are there
                is unknown.
            HaltError: the trail has not begun, or the database refuses what it must accept.
        """

        def plan(head: Head | None, now: datetime) -> list[Batch]:
            if head is None:
                raise HaltError(f"{self.ledger.server.address} holds no batch yet; run `genims audit init`")
            return list(self.control_batches(head, now, facts() if callable(facts) else facts))

        return [
            number
            for batch in self.commit(plan)
            for number in range(batch.head.last_sequence - batch.event_count + 1, batch.head.last_sequence + 1)
        ]

    def commit(self, plan: Plan) -> Sequence[Batch]:
        """Append what `plan` makes of the head and the time; it is asked again after each lost race.

        Raises:
            AuditUnavailableError: the database was busy or not reachable for too long; the outcome is unknown.
            HaltError: the database refuses what it must accept.
        """
        deadline = time.monotonic() + self.patience
        wait = _FIRST_WAIT
        unknown: list[Sequence[Batch]] = []
        head = lost_at = None
        while True:
            try:
                for attempt in unknown:
                    if self._arrived(attempt):
                        return attempt
                with self.ledger.lock(LOCK, LOCK_SECONDS):
                    head = self.ledger.head()
                    batches = plan(head, self.ledger.recorded_at(head))
                    if batches:
                        unknown.append(batches)
                        self.ledger.append(batches)
                    return batches
            except LostRaceError as error:
                unknown.pop()
                # A lost race moves the head. An earlier attempt of this one may have won it, so all are asked again.
                if head is not None and head == lost_at:
                    raise HaltError(f"refused twice after the same head: {error}", error.errno) from None
                lost_at = head
            except BusyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(*_BUSY_SECONDS))  # noqa: S311
            except AuditUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(wait)
                wait = min(_LONGEST_WAIT, 2 * wait)

    def batch(
        self,
        head: Head | None,
        now: datetime,
        kind: str,
        span: Span,
        entries: Sequence[Entry] = (),
        uid: bytes | None = None,
    ) -> Batch:
        """A batch of this writer, by default with a uid that nobody else has."""
        return build_batch(
            head,
            kind,
            span,
            entries,
            recorded_at=now,
            writer_id=self.writer_id,
            batch_uid=uid or secrets.token_bytes(16),
            routing_version=self.routing_version,
        )

    def control_batches(
        self, head: Head, now: datetime, facts: Sequence[Fact], after: Span | None = None
    ) -> Iterator[Batch]:
        """Batches of these facts, the first one after `head`; `after` is the one of this source that is not there yet.

        Raises:
            HaltError: the trail has no genesis.
        """
        span = after or self.control_span()
        for some in _together(facts):
            span = following(span)
            entries = [_entry(fact, span.tick_to * _EVENT_IDS + position, now) for position, fact in enumerate(some)]
            batch = self.batch(head, now, "CONTROL", span, entries, some[0].uid)
            yield batch
            head = batch.head

    def control_span(self) -> Span:
        """The newest batch of this source.

        Raises:
            HaltError: the trail has no genesis.
            AuditUnavailableError: the database cannot be reached.
        """
        cursor = self.ledger.cursor(CONTROL)
        if cursor is None:
            raise HaltError(f"{self.ledger.server.address} has batches but no genesis; a person has to look")
        return cursor.span

    def _arrived(self, batches: Sequence[Batch]) -> bool:
        # They share a transaction, so one of them stands for all.
        uid = batches[0].spine["batch_uid"]
        assert isinstance(uid, bytes)  # noqa: S101
        return self.ledger.hash_of(uid) == batches[0].head.batch_hash


def following(span: Span, ticks: int = 1) -> Span:
    """The span of the control batch after this one."""
    return Span(CONTROL, 1, span.tick_to, span.tick_to + ticks, _NO_TOKEN)


def canonical_json(value: object) -> str:
    """The one text of a fact that its digest is taken of: keys in order, no blanks, ASCII, exact numbers as texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_plain)


def ensure_genesis(
    appender: Appender, *, public_keys: Sequence[str] = (), policy: AuditPolicy | None = None
) -> Genesis:
    """Append the first batch of all, which names this trail, its policy and the keys that sign its checkpoints.

    Args:
        appender: the audit database.
        public_keys: Ed25519 keys in base64, if any are set up yet.
        policy: the active policy; by default that of this version.

    Raises:
        AuditUnavailableError: the database was not reachable for too long.
        HaltError: the database holds batches that do not begin with a genesis.
    """
    rules = audit_policy() if policy is None else policy
    payload = {
        "instance": str(uuid.uuid4()),
        "policy_sha256": rules.digest,
        "policy_version": rules.version,
        "public_keys": list(public_keys),
    }

    def plan(head: Head | None, now: datetime) -> Sequence[Batch]:
        if head is not None:
            return ()
        fact = Fact("GENESIS", payload=payload, kind="MARK")
        span = Span(CONTROL, 1, 0, 1, _NO_TOKEN)
        return [appender.batch(None, now, "GENESIS", span, [_entry(fact, _EVENT_IDS, now)])]

    created = bool(appender.commit(plan))
    return Genesis(created, instance(appender.ledger))


def instance(ledger: Ledger) -> str:
    """The name of this trail.

    Raises:
        HaltError: it has not begun, or not with a genesis.
        AuditUnavailableError: the database is not reachable.
    """
    rows = ledger.query(
        f"SELECT payload FROM {LEDGER} WHERE audit_sequence = 1 AND operation_type = 'GENESIS'"  # noqa: S608
    )
    if not rows:
        raise HaltError(f"{ledger.server.address} does not begin with a genesis; run `genims audit init`")
    return str(json.loads(rows[0][0])["instance"])


def _together(facts: Sequence[Fact]) -> Iterator[Sequence[Fact]]:
    """The facts of each batch, in their order."""
    some: list[Fact] = []
    for fact in facts:
        if some and (fact.uid is not None or some[0].uid is not None or len(some) == MAX_EVENTS):
            yield some
            some = []
        some.append(fact)
    if some:
        yield some


def _entry(fact: Fact, event_id: int, now: datetime) -> Entry:
    payload = dict(fact.payload or {})
    if fact.run_id is not None:
        payload["run_id"] = fact.run_id
    whole = {
        "kind": fact.kind,
        "operation": fact.operation,
        "operator": fact.operator,
        "details": fact.details,
        "payload": fact.payload,
        "run_id": fact.run_id,
        "about": fact.about,
    }
    ledger: dict[str, Value] = {
        **fact.about,
        "event_id": event_id,
        "audit_timestamp": now,
        "event_kind": fact.kind,
        "operation_type": fact.operation,
        "user_id": fact.operator,
        "application_name": "genims",
        "status": "OK",
        "event_digest": hashlib.sha256(canonical_json(whole).encode()).digest(),
        "payload": canonical_json(payload) if payload else None,
    }
    return Entry(ledger, fact.details)


def _plain(value: object) -> str:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (Decimal, uuid.UUID)):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no canonical text")
