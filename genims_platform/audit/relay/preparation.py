"""Preparing a part of a range: reading its events, mapping them, encoding what will be stored.

It takes nearly all of the relay's time, needs nothing but its order, and depends on nothing that other parts become; so
it can be done in this process or in another one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genims_platform.audit.capture.queue import Event, EventKey
from genims_platform.audit.encryption.keystore import KeyStore
from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.ledger.batch import EncodedEntry
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.relay.earlier import Earlier
from genims_platform.audit.relay.mapping import Mapper
from genims_platform.audit.relay.poison import Poison
from genims_platform.audit.relay.source_reader import SourceChangedError, SourceReader
from genims_platform.audit.routing.bulk import BulkGroup
from genims_platform.audit.routing.router import Unclassified
from genims_platform.settings import Settings

_PAYLOAD_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Order:
    """Which events of a source to prepare, and what is known about them."""

    source: str
    incarnation: int
    keys: Sequence[EventKey]
    bulk: Mapping[int, BulkGroup]
    poison: Mapping[int, Poison]
    roots: Mapping[str, str]
    """Partition → partitioned table."""

    tick: int
    """The tick that the range ends with."""

    token: bytes
    """Tells that tick from one of the same number in another history of the database."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The first events of an order, ready to be written: all that fit into one batch."""

    entries: Sequence[EncodedEntry]
    event_ids: Sequence[int]
    committed: Sequence[float]
    """When each event was committed in its source, by the source's clock, in seconds."""

    quarantined: int
    unclassified: frozenset[Unclassified]


class Preparer:
    """Prepares parts of one source, over a connection of its own or that of the feed."""

    def __init__(self, reader: SourceReader, mapper: Mapper) -> None:
        self._reader = reader
        self._mapper = mapper

    def prepare(self, order: Order) -> Prepared:
        """What these events become.

        Raises:
            SourceChangedError: the queue no longer holds one of them, or it is another one than was ordered from.
            psycopg2.Error: the source cannot be read.
            ConnectionError: the key store or the audit database cannot be reached, or encrypting failed.
        """
        if self._reader.open() and self._reader.tokens((order.tick,)).get(order.tick) != order.token:
            raise SourceChangedError(f"{order.source} was restored or made anew while its events were read")
        events = self._reader.events(order.keys, order.roots) if order.keys else []
        events = events[: _fitting([_payload(event) for event in events])]
        mapped = self._mapper.map(order.incarnation, events, self._groups(events, order), order.poison)
        return Prepared(
            mapped.entries,
            [event.event_id for event in events],
            self._reader.committed(events) if events else [],
            mapped.quarantined,
            mapped.unclassified,
        )

    def close(self) -> None:
        """Close the connection to the source; the next order opens it again."""
        self._reader.close()

    def _groups(self, events: Sequence[Event], order: Order) -> Mapping[int, BulkGroup]:
        """The groups that end with one of these events; those that are recorded with a sample of their rows."""
        found: dict[int, BulkGroup] = {}
        for event in events:
            group = order.bulk.get(event.event_id)
            if group is None:
                continue
            if group.first and self._mapper.records_bulk(event, group):
                group = group.sampled(self._reader.events(group.first, order.roots))
            found[event.event_id] = group
        return found


def mapper_of(settings: Settings, source: str, keys: KeyStore) -> Mapper:
    """What maps the events of a source of these settings."""
    return Mapper(
        source,
        audit_policy(),
        keys,
        Earlier(source, lambda: open_ledger(settings, "relay")),
        settings.audit_bulk_rows,
        owners={settings.source_primary(source).user, settings.audit_install(source).user},
    )


def _payload(event: Event) -> int:
    """Characters of an event's images and detail."""
    return sum(len(text) for text in (event.old, event.new, event.detail, event.ctx) if text)


def _fitting(sizes: Sequence[int]) -> int:
    """How many of the first events fit into one batch; one always does."""
    room = _PAYLOAD_BYTES
    for position, size in enumerate(sizes):
        room -= size
        if room < 0 and position:
            return position
    return len(sizes)
