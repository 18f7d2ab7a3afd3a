"""The events between two ticks of a source: where each of them is, in as few bytes as possible."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from genims_platform.audit.capture.queue import EventKey

KeyRow = tuple[int, int, int, str | None, str, int]
"""Slot, event number, transaction, table, operation, bytes that the images take in the queue."""


class Keys(Sequence[EventKey]):
    """Keys in columns, about 26 bytes each, so that a backlog of a million events takes little memory."""

    def __init__(self, rows: Iterable[KeyRow]) -> None:
        self._slots = array("h")
        self._numbers = array("q")
        self._transactions = array("Q")
        self._kinds = array("i")
        self._sizes = array("i")
        self._known: dict[tuple[str | None, str], int] = {}
        for slot, number, transaction, table, op, size in rows:
            self._slots.append(slot)
            self._numbers.append(number)
            self._transactions.append(transaction)
            self._kinds.append(self._known.setdefault((table, op), len(self._known)))
            self._sizes.append(min(size, 2**31 - 1))
        self._names = tuple(self._known)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> EventKey: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[EventKey]: ...
    def __getitem__(self, index: int | slice) -> EventKey | Sequence[EventKey]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        table, op = self._names[self._kinds[index]]
        return EventKey(self._slots[index], self._numbers[index], self._transactions[index], table, op)

    def __iter__(self) -> Iterator[EventKey]:
        return (self[i] for i in range(len(self)))

    def start_of_transaction(self, position: int) -> int:
        """Where the transaction of the event at a position begins; the end of the keys for none."""
        while 0 < position < len(self) and self._transactions[position - 1] == self._transactions[position]:
            position -= 1
        return position

    def end_of_transaction(self, position: int) -> int:
        """Behind the last event of the transaction of the event at a position."""
        transactions = self._transactions
        transaction, last = transactions[position], len(transactions)
        end = position + 1
        while end < last and transactions[end] == transaction:
            end += 1
        return end

    def until(self, start: int, most: int, stored_bytes: int) -> int:
        """The end of the slice from `start` on that has at most so many keys and bytes, but at least one key."""
        end = start
        room = stored_bytes
        for size in self._sizes[start : start + most]:
            if size > room and end > start:
                break
            room -= size
            end += 1
        return end


@dataclass(frozen=True, slots=True)
class EventRange:
    """The events that tick `upto` sees and tick `after` does not, in the order to deliver them."""

    after: int
    upto: int
    token: bytes
    """Of tick `upto`: tells it from one of the same number in another history of the database."""

    keys: Keys
