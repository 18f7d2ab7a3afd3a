"""Recording events after all: from an event as it was captured to the control event that carries its details."""

from collections.abc import Sequence
from datetime import datetime

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.encryption.cipher import SubjectCipher
from genims_platform.audit.encryption.keystore import KeyStore
from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.control import Appender, Fact
from genims_platform.audit.ledger.errors import HaltError, UnstorableError
from genims_platform.audit.policy import AuditPolicy
from genims_platform.audit.reprocessed import EventName, reprocessed, reprocessed_fact
from genims_platform.audit.routing.errors import CipherError, UnstorableEventError
from genims_platform.audit.routing.quarantine import without_values
from genims_platform.audit.routing.router import OWNER_ROLES, Router
from genims_platform.audit.routing.values import utc
from genims_platform.settings import Settings


class NotRecordableError(Exception):
    """An event cannot be recorded yet; the message says why and quotes no value."""


class Reprocessing:
    """Records events after all, each at most once, whoever else tries and wherever it is cut off.

    Args:
        settings: name the owners of the sources.
        keys: of persons.
        policy: routes the events.
        ledger: of the account of commands.
        operator: who has them recorded.
    """

    def __init__(
        self, settings: Settings, keys: KeyStore, policy: AuditPolicy, ledger: Ledger, operator: str | None
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._policy = policy
        self._ledger = ledger
        self._operator = operator
        self._appender = Appender(ledger)

    def fact(self, name: EventName, event: Event, sequence: int | None) -> Fact:
        """What would be recorded; `sequence` is the number that the event has in the ledger, if any.

        Raises:
            NotRecordableError: the event cannot be stored as it is.
            ConnectionError: keys cannot be reached, or encrypting failed.
        """
        try:
            router = self._router(name.source)
            if subjects := router.subjects(name.source, event):
                self._refuse_erased(subjects, event)
                router.cipher = SubjectCipher(self._keys.get_or_create(subjects))
            entry = router.route(name.source, name.incarnation, event)
        except UnstorableEventError as error:
            raise NotRecordableError(without_values(str(error))) from None
        except CipherError as error:
            raise ConnectionError(f"{error}; nothing is known to be wrong with the event") from None
        return reprocessed_fact(name, entry, sequence=sequence, operator=self._operator)

    def try_on(self, fact: Fact) -> None:
        """Build the batch that would be appended.

        Raises:
            NotRecordableError: a value does not fit.
        """
        head = self._ledger.head()
        if head is None:
            raise HaltError(f"{self._ledger.server.address} holds no batch yet; run `genims audit init`")
        try:
            list(self._appender.control_batches(head, self._ledger.recorded_at(head), [fact]))
        except UnstorableError as error:
            raise NotRecordableError(without_values(str(error))) from None

    def record(self, name: EventName, fact: Fact) -> int:
        """Append it unless it is there already; the number of the event that carries the details.

        Raises:
            NotRecordableError: a value does not fit.
            AuditUnavailableError: the database was not reachable for too long.
            HaltError: the database refuses what it must accept.
        """

        def missing() -> Sequence[Fact]:
            return () if reprocessed(self._ledger, [name]) else [fact]

        try:
            self._appender.record(missing)
        except UnstorableError as error:
            raise NotRecordableError(without_values(str(error))) from None
        except HaltError:
            # Somebody else was faster, and the database accepts an event of this name only once.
            if not reprocessed(self._ledger, [name]):
                raise
        return reprocessed(self._ledger, [name])[name]

    def _router(self, source: str) -> Router:
        own = self._settings
        owners = {own.source_primary(source).user, own.audit_install(source).user}
        return Router(self._policy, SubjectCipher({}), own.audit_bulk_rows, owner_roles=OWNER_ROLES.union(owners))

    def _refuse_erased(self, subjects: set[str], event: Event) -> None:
        """The values of a person who was erased since must not come back under a new key."""
        for subject in subjects:
            gone = [
                utc(datetime.fromisoformat(key.destroyed_at)) for key in self._keys.list(subject) if key.destroyed_at
            ]
            if gone and max(gone) >= utc(event.occurred_at):
                raise NotRecordableError("it holds values of a person whose key was destroyed since")
