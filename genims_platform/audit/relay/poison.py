"""Events that cannot be stored as they should be, until they are stored in quarantine."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Poison:
    """Why an event is in quarantine; `bare` when even its encrypted copy was refused."""

    message: str
    errno: int | None = None
    bare: bool = False

    def worse(self, message: str, errno: int | None) -> "Poison":
        """The same after it was refused in quarantine too."""
        return Poison(message, errno, bare=True)


class Condemned:
    """The events of one source that the audit database refused; any thread may ask."""

    def __init__(self) -> None:
        self._known: dict[int, Poison] = {}
        self._lock = threading.Lock()

    def condemn(self, event_id: int, message: str, errno: int | None) -> bool:
        """Keep an event in quarantine from its next mapping on; False if it is there as bare as it can be."""
        with self._lock:
            known = self._known.get(event_id)
            if known is not None and known.bare:
                return False
            self._known[event_id] = Poison(message, errno) if known is None else known.worse(message, errno)
            return True

    def pardon(self, event_ids: Sequence[int]) -> None:
        """Forget what is stored."""
        with self._lock:
            if self._known:
                for event_id in event_ids:
                    self._known.pop(event_id, None)

    def among(self, event_ids: Sequence[int]) -> Mapping[int, Poison]:
        """Those of these events that are condemned."""
        with self._lock:
            return {number: self._known[number] for number in event_ids if number in self._known} if self._known else {}
