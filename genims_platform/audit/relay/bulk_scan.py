"""The bulk operations of a range, found while its events are read, so that a backlog needs no list of them."""

from collections import deque
from collections.abc import Mapping

from genims_platform.audit.relay.event_range import Keys
from genims_platform.audit.routing.bulk import BulkGroup, groups_of


class BulkScan:
    """Walks through the keys of a range once, a transaction at a time."""

    def __init__(self, keys: Keys, threshold: int, start: int) -> None:
        """Begin at a position; `threshold` is how many rows of a table, operation and transaction are a bulk."""
        self._keys = keys
        self._threshold = threshold
        self._walked = keys.start_of_transaction(start)
        self._found: deque[tuple[int, int, BulkGroup]] = deque()

    def within(self, start: int, end: int) -> Mapping[int, BulkGroup]:
        """The groups that end between two positions, by the number of their last event; `start` never goes back."""
        while self._walked < end:
            behind = self._keys.end_of_transaction(self._walked)
            groups = groups_of((self._keys[i] for i in range(self._walked, behind)), self._threshold)
            self._found.extend(sorted((self._walked + last, number, group) for number, (last, group) in groups.items()))
            self._walked = behind
        while self._found and self._found[0][0] < start:
            self._found.popleft()
        found: dict[int, BulkGroup] = {}
        for position, number, group in self._found:
            if position >= end:
                break
            found[number] = group
        return found
