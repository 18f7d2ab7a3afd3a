"""What earlier incarnations of a source delivered: a source that was restored has part of it in its queue again."""

from collections.abc import Callable, Collection, Sequence
from contextlib import closing

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.ledger.append import Ledger
from genims_platform.mysql.append_only import LEDGER


class Earlier:
    """Events of one source that are in the ledger from before the source was opened anew.

    Used by the thread of that source, over connections of its own.
    """

    def __init__(self, source: str, connect: Callable[[], Ledger]) -> None:
        """`connect` gives a ledger, which is closed after use."""
        self._source = source
        self._connect = connect
        self._newest: dict[int, int] = {}

    def delivered(self, incarnation: int, events: Sequence[Event]) -> Collection[int]:
        """Numbers of those of the events that an incarnation before this one delivered, with the same content.

        Raises:
            AuditUnavailableError: the audit database cannot be reached.
        """
        if incarnation == 1 or not events:
            return ()
        if incarnation in self._newest and min(event.event_id for event in events) > self._newest[incarnation]:
            return ()
        with closing(self._connect()) as ledger:
            before = f"FROM {LEDGER} WHERE source_db = %s AND incarnation < %s"
            if incarnation not in self._newest:
                ((newest,),) = ledger.query(f"SELECT MAX(event_id) {before}", (self._source, incarnation))
                self._newest[incarnation] = newest or 0
            numbers = [event.event_id for event in events if event.event_id <= self._newest[incarnation]]
            if not numbers:
                return ()
            known = ledger.query(
                f"SELECT event_id, event_digest {before} AND event_id IN ({', '.join(['%s'] * len(numbers))})",
                (self._source, incarnation, *numbers),
            )
        # A number is given out again after a restore, for another event.
        contents = {(number, bytes(digest)) for number, digest in known}
        return {event.event_id for event in events if (event.event_id, event.digest) in contents}
