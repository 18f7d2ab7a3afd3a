"""Trying events in quarantine again: what maps and fits by now is recorded after all, at most once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Literal

import psycopg2

from genims_platform.audit.capture.queue import Event, EventKey
from genims_platform.audit.encryption.cipher import DecryptionError
from genims_platform.audit.encryption.errors import KeyGoneError
from genims_platform.audit.encryption.keystore import KeyStore
from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.relay.quarantined_events import QuarantinedEvent, StoredEvent, stored_events
from genims_platform.audit.relay.source_reader import SourceChangedError, SourceReader
from genims_platform.audit.reprocessing import NotRecordableError, Reprocessing
from genims_platform.settings import Settings
from genims_platform.sources.connection import connect

Outcome = Literal["reprocessed", "already", "possible", "stays"]

_IN_THE_QUEUE = "SELECT slot, event_id, xid::text, table_name, op FROM audit.queue WHERE event_id = %s"


@dataclass(frozen=True)
class Retried:
    """What became of one event; `rows` counts its detail rows by table."""

    event: QuarantinedEvent
    outcome: Outcome
    number: int | None = None
    """Of the event that carries its details."""

    rows: Mapping[str, int] = field(default_factory=dict[str, int])
    reason: str | None = None
    """Why it stays in quarantine."""


def retry_events(
    settings: Settings, keys: KeyStore, sequences: Sequence[int] | None, *, operator: str | None, dry_run: bool = False
) -> Iterator[Retried]:
    """Try the events in quarantine with these numbers, or all, each in a transaction of its own.

    An event that was reprocessed is not reprocessed again, whoever tries at the same time and wherever it is cut off.

    Args:
        settings: of the audit database, the key store and the sources.
        keys: has the keys of the quarantine and of persons.
        sequences: numbers of events in quarantine.
        operator: who tries.
        dry_run: look whether they could be recorded, record nothing.

    Raises:
        LookupError: no event in quarantine has one of the numbers.
        ConnectionError: audit database, key store or a source that is needed cannot be reached.
        HaltError: a person has to look.
    """
    with closing(open_ledger(settings, "writer")) as ledger:
        retry = _Retry(settings, keys, Reprocessing(settings, keys, audit_policy(), ledger, operator))
        for found in stored_events(ledger, sequences):
            yield retry.done(found, dry_run=dry_run)


class _Retry:
    def __init__(self, settings: Settings, keys: KeyStore, reprocessing: Reprocessing) -> None:
        self._settings = settings
        self._keys = keys
        self._reprocessing = reprocessing

    def done(self, found: StoredEvent, *, dry_run: bool) -> Retried:
        event = found.event
        if event.reprocessed_as is not None:
            return Retried(event, "already", event.reprocessed_as)
        number = None
        try:
            fact = self._reprocessing.fact(event.name, self._original(found), event.sequence)
            if dry_run:
                self._reprocessing.try_on(fact)
            else:
                number = self._reprocessing.record(event.name, fact)
        except NotRecordableError as error:
            return Retried(event, "stays", reason=str(error))
        rows = dict(Counter(table for table, _ in fact.details))
        return Retried(event, "possible" if dry_run else "reprocessed", number, rows)

    def _original(self, found: StoredEvent) -> Event:
        """The event from its encrypted copy, or from the queue of its source."""
        try:
            original = found.original(self._keys)
        except (KeyGoneError, DecryptionError) as error:
            original, why = None, f"its copy cannot be decrypted ({error})"
        else:
            why = "only its digest was kept"
        original = original or self._queued(found.event)
        if original is None:
            raise NotRecordableError(f"{why}, and the queue of {found.event.source} no longer has it")
        if original.digest != found.digest:
            raise NotRecordableError(f"{why}, and the queue of {found.event.source} has another event under its number")
        return original

    def _queued(self, event: QuarantinedEvent) -> Event | None:
        server = self._settings.audit_relay(event.source)
        try:
            with closing(connect(server, autocommit=True)) as connection, connection.cursor() as cursor:
                cursor.execute(_IN_THE_QUEUE, (event.event_id,))
                keys = [EventKey(slot, number, int(xid), *rest) for slot, number, xid, *rest in cursor.fetchall()]
            if not keys:
                return None
            with closing(SourceReader(event.source, server, _pass_by)) as reader:
                reader.open()
                return reader.events(keys[:1])[0]
        except psycopg2.OperationalError as error:
            raise ConnectionError(f"{server.address}: {str(error).strip()}") from None
        except (psycopg2.Error, SourceChangedError):
            return None  # capture was removed, and its queue with it


def _pass_by(_step: str) -> None: ...
