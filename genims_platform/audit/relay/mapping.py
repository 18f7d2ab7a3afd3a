"""From events to rows that are ready to get their place, with the keys of the persons they are about.

What fails to map is kept too, in quarantine.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.encryption.cipher import SubjectCipher
from genims_platform.audit.encryption.keystore import KeyStore
from genims_platform.audit.ledger.batch import EncodedEntry, encode_entry
from genims_platform.audit.ledger.entries import Entry
from genims_platform.audit.ledger.errors import HaltError, UnstorableError
from genims_platform.audit.policy import AuditPolicy
from genims_platform.audit.relay.earlier import Earlier
from genims_platform.audit.relay.poison import Poison
from genims_platform.audit.routing.bulk import BulkGroup
from genims_platform.audit.routing.change import Change
from genims_platform.audit.routing.errors import CipherError, UnstorableEventError
from genims_platform.audit.routing.quarantine import bare_quarantined, quarantine_subject, quarantined
from genims_platform.audit.routing.router import OWNER_ROLES, Router, Unclassified

_NO_KEYS = SubjectCipher({})
_NO_POISON: Mapping[int, Poison] = {}


class MappingUnavailableError(ConnectionError):
    """Events cannot be mapped for now; they are tried again, never put in quarantine."""


@dataclass(frozen=True)
class Mapped:
    """What events become, in their order, how many of them are in quarantine, and names the policy does not know."""

    entries: Sequence[EncodedEntry]
    quarantined: int
    unclassified: frozenset[Unclassified]


class Mapper:
    """Maps the events of one source; used by one thread.

    `earlier` knows what was delivered before the source was opened anew; `owners` are further database roles whose
    members have power over audited tables.
    """

    def __init__(
        self,
        source: str,
        policy: AuditPolicy,
        keys: KeyStore,
        earlier: Earlier,
        bulk_rows: int,
        owners: Iterable[str] = (),
    ) -> None:
        self._source = source
        self._keys = keys
        self._earlier = earlier
        self._router = Router(policy, _NO_KEYS, bulk_rows, owner_roles=OWNER_ROLES.union(owners))

    def records_bulk(self, event: Event, group: BulkGroup) -> bool:
        """Whether this group is recorded at its last event, for which it then needs a sample."""
        return self._router.records_bulk(event, group)

    def map(
        self,
        incarnation: int,
        events: Sequence[Event],
        bulk: Mapping[int, BulkGroup],
        poison: Mapping[int, Poison] = _NO_POISON,
    ) -> Mapped:
        """What these events become; those of `poison` go to quarantine.

        Raises:
            ConnectionError: the key store or the audit database cannot be reached, or encrypting failed.
            HaltError: an event cannot be stored even in quarantine.
        """
        known = self._earlier.delivered(incarnation, events)
        subjects: set[str] = set()
        changes: dict[int, Change] = {}
        for event in events:
            if event.event_id in poison or event.event_id in known:
                continue
            if (read := self._router.read(self._source, incarnation, event)) is not None:
                changes[event.event_id], persons = read
                subjects |= persons
        if subjects:
            self._router.cipher = SubjectCipher(self._keys.get_or_create(subjects))
        entries: list[EncodedEntry] = []
        count = 0
        for event in events:
            why = poison.get(event.event_id)
            if why is None:
                try:
                    entries.append(self._routed(incarnation, event, bulk, changes, replayed=event.event_id in known))
                    continue
                except CipherError as error:
                    raise MappingUnavailableError(str(error)) from error
                except (UnstorableEventError, UnstorableError) as error:
                    why = Poison(str(error))
            entries.append(self._quarantined(incarnation, event, why))
            count += 1
        self._router.cipher = _NO_KEYS
        unclassified = frozenset(self._router.unclassified)
        self._router.unclassified.clear()
        return Mapped(entries, count, unclassified)

    def _routed(
        self,
        incarnation: int,
        event: Event,
        bulk: Mapping[int, BulkGroup],
        changes: Mapping[int, Change],
        *,
        replayed: bool,
    ) -> EncodedEntry:
        number = event.event_id
        if replayed:
            entry = self._router.replayed(self._source, event)
        else:
            entry = self._router.route(self._source, incarnation, event, bulk.get(number), changes.get(number))
        return encode_entry(self._source, incarnation, entry)

    def _quarantined(self, incarnation: int, event: Event, why: Poison) -> EncodedEntry:
        if not why.bare:
            try:
                return encode_entry(self._source, incarnation, self._sealed(incarnation, event, why))
            except UnstorableError as error:
                why = why.worse(str(error), None)
        try:
            bare = bare_quarantined(self._source, event, why.message, why.errno)
            return encode_entry(self._source, incarnation, bare)
        except UnstorableError as error:
            raise HaltError(
                f"event {event.event_id} of {self._source} is refused even in quarantine: {error}", error.errno
            ) from error

    def _sealed(self, incarnation: int, event: Event, why: Poison) -> Entry:
        cipher = SubjectCipher(self._keys.get_or_create([quarantine_subject(self._source)]))
        try:
            return quarantined(self._source, incarnation, event, cipher, why.message, why.errno)
        except CipherError as error:
            raise MappingUnavailableError(str(error)) from error
