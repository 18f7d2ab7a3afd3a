"""From events to what will be stored, with the keys of the persons they are about; what fails to map is kept too."""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.encryption.cipher import SubjectCipher
from genims_platform.audit.encryption.keystore import KeyStore
from genims_platform.audit.ledger.entries import Entry
from genims_platform.audit.policy import AuditPolicy
from genims_platform.audit.relay.earlier import Earlier
from genims_platform.audit.routing.bulk import BulkGroup
from genims_platform.audit.routing.errors import CipherError, UnstorableEventError
from genims_platform.audit.routing.quarantine import bare_quarantined, quarantine_subject, quarantined
from genims_platform.audit.routing.router import OWNER_ROLES, Router, Unclassified

_NO_KEYS = SubjectCipher({})
_logger = logging.getLogger(__name__)


class MappingUnavailableError(ConnectionError):
    """Events cannot be mapped for now; they are tried again, never put in quarantine."""


@dataclass(frozen=True)
class Mapped:
    """What events become, in their order, and how many of them are in quarantine."""

    entries: Sequence[Entry]
    quarantined: int


@dataclass(frozen=True)
class _Poison:
    """Why an event is in quarantine; `bare` when even its encrypted copy was refused."""

    message: str
    errno: int | None = None
    bare: bool = False


class Mapper:
    """Maps the events of one source. One thread maps; another may condemn and pardon meanwhile.

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
        self._reported: set[Unclassified] = set()
        self._poison: dict[int, _Poison] = {}
        self._lock = threading.Lock()

    def condemn(self, event_id: int, message: str, errno: int | None) -> bool:
        """Keep an event in quarantine from its next mapping on; False if it is there as bare as it can be."""
        with self._lock:
            known = self._poison.get(event_id)
            if known is not None and known.bare:
                return False
            self._poison[event_id] = _Poison(message, errno, bare=known is not None)
            return True

    def pardon(self, event_ids: Sequence[int]) -> None:
        """Forget what is stored."""
        with self._lock:
            if self._poison:
                for event_id in event_ids:
                    self._poison.pop(event_id, None)

    def records_bulk(self, event: Event, group: BulkGroup) -> bool:
        """Whether this group is recorded at its last event, for which it then needs a sample."""
        return self._router.records_bulk(event, group)

    def map(self, incarnation: int, events: Sequence[Event], bulk: Mapping[int, BulkGroup]) -> Mapped:
        """What these events become.

        Raises:
            ConnectionError: the key store or the audit database cannot be reached, or encrypting failed.
        """
        known = self._earlier.delivered(incarnation, events)
        subjects: set[str] = set()
        for event in events:
            if event.event_id not in self._poison and event.event_id not in known:
                subjects |= self._router.subjects(self._source, event)
        if subjects:
            self._router.cipher = SubjectCipher(self._keys.get_or_create(subjects))
        entries: list[Entry] = []
        count = 0
        for event in events:
            if event.event_id not in self._poison:
                try:
                    if event.event_id in known:
                        entries.append(self._router.replayed(self._source, event))
                    else:
                        entries.append(self._router.route(self._source, incarnation, event, bulk.get(event.event_id)))
                    continue
                except CipherError as error:
                    raise MappingUnavailableError(str(error)) from error
                except UnstorableEventError as error:
                    self.condemn(event.event_id, str(error), None)
            entries.append(self._quarantined(incarnation, event))
            count += 1
        self._router.cipher = _NO_KEYS
        self._report_unclassified()
        return Mapped(entries, count)

    def _report_unclassified(self) -> None:
        for found in sorted(self._router.unclassified - self._reported, key=str):
            name = f"{found.source}.{found.table}"
            if found.column is None:
                _logger.warning("UNCLASSIFIED_TABLE: %s is in no list of the audit policy", name)
            else:
                _logger.warning("UNCLASSIFIED_COLUMN: %s.%s is in no list of the audit policy", name, found.column)
            self._reported.add(found)

    def _quarantined(self, incarnation: int, event: Event) -> Entry:
        poison = self._poison[event.event_id]
        if poison.bare:
            return bare_quarantined(self._source, event, poison.message, poison.errno)
        cipher = SubjectCipher(self._keys.get_or_create([quarantine_subject(self._source)]))
        try:
            return quarantined(self._source, incarnation, event, cipher, poison.message, poison.errno)
        except CipherError as error:
            raise MappingUnavailableError(str(error)) from error
