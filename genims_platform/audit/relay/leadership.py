"""Which relay works: a lock of the server that vanishes with its holder's connection. It saves work, safety needs none.

Any number of relays may write; the database lets one of them win each batch and refuses the others.
"""

import threading
from contextlib import suppress

from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.errors import AuditUnavailableError
from genims_platform.mysql.locks import lock_name_in

LEADER, STANDBY = "audit_relay", "audit_standby"

_PING_SECONDS = 2.0
_JOIN_SECONDS = 5


class LeaderExistsError(RuntimeError):
    """Another relay works already; the message says which connection of the server it is."""


class Leadership:
    """The locks of one relay, on a connection of their own that a thread keeps from falling silent."""

    def __init__(self, keeper: Ledger) -> None:
        """`keeper` is used for nothing else; it is closed with this object."""
        self._keeper = keeper
        self._held: set[str] = set()
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="audit-keeper", daemon=True)
        self._thread.start()

    def holds(self, purpose: str) -> bool:
        """Whether a lock is held, as far as known."""
        return purpose in self._held

    def try_for(self, purpose: str) -> bool:
        """Take a lock if it is free.

        Raises:
            AuditUnavailableError: the audit database cannot be reached.
        """
        with self._lock:
            if purpose not in self._held and self._ask("SELECT GET_LOCK(%s, 0)", purpose) == 1:
                self._held.add(purpose)
            return purpose in self._held

    def release(self, purpose: str) -> None:
        """Give a lock back."""
        with self._lock:
            if purpose in self._held:
                self._held.discard(purpose)
                with suppress(AuditUnavailableError):
                    self._ask("SELECT RELEASE_LOCK(%s)", purpose)

    def holder(self, purpose: str) -> int | None:
        """The connection of the server that holds a lock.

        Raises:
            AuditUnavailableError: the audit database cannot be reached.
        """
        with self._lock:
            return self._ask("SELECT IS_USED_LOCK(%s)", purpose)

    def close(self) -> None:
        """Give all locks back."""
        self._stop.set()
        with self._lock:
            self._held.clear()
            self._keeper.close()
        self._thread.join(_JOIN_SECONDS)

    def _keep(self) -> None:
        while not self._stop.wait(_PING_SECONDS):
            with self._lock:
                if self._held and not self._stop.is_set():
                    try:
                        self._keeper.ping()
                    except AuditUnavailableError:
                        self._held.clear()

    def _ask(self, question: str, purpose: str) -> int | None:
        try:
            ((answer,),) = self._keeper.query(question, (lock_name_in(self._keeper.server.database, purpose),))
        except AuditUnavailableError:
            # The locks went with the connection.
            self._held.clear()
            raise
        return answer
