"""The events of a batch, read again from the queue of their source, with what the relay knew of them."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager

import psycopg2

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.ledger.batch import Span
from genims_platform.audit.relay.event_range import EventRange
from genims_platform.audit.relay.source_reader import SourceChangedError, SourceReader
from genims_platform.audit.routing.bulk import BulkGroup, bulk_groups
from genims_platform.settings import PostgresServer


class QueueChangedError(RuntimeError):
    """The queue does not hold the events of a batch any more; the message says what is missing."""


class SourceQueue:
    """The queue of one source; the range that was read last is kept, because its parts follow each other.

    Args:
        source: its name.
        server: its database as the account of the relay.
        bulk_rows: how many rows of a table and transaction are a bulk.
    """

    def __init__(self, source: str, server: PostgresServer, bulk_rows: int) -> None:
        self._reader = SourceReader(source, server, lambda _: None)
        self._address = server.address
        self._bulk_rows = bulk_rows
        self._range: EventRange | None = None
        self._groups: Mapping[int, BulkGroup] = {}

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()

    def check(self, span: Span, offset: int, count: int) -> None:
        """Make sure that the part has its events.

        Args:
            span: the part.
            offset: events of the parts before it.
            count: its own.

        Raises:
            QueueChangedError: it has not.
            ConnectionError: the source cannot be reached.
        """
        with self._asked():
            held = len(self._ranged(span).keys)
        end = offset + count
        if end > held or (span.is_last_part and end != held):
            raise QueueChangedError(
                f"between ticks {span.tick_from} and {span.tick_to} the queue of {self._address} holds {held} events; "
                f"{end}{'' if span.is_last_part else ' or more'} were delivered"
            )

    def part(
        self, span: Span, offset: int, count: int, needs_sample: Callable[[Event, BulkGroup], bool]
    ) -> tuple[Sequence[Event], Mapping[int, BulkGroup]]:
        """The events of a part in their order, and by their last event the groups that end in it.

        Args:
            span: as for `check`, which this does first.
            offset: as above.
            count: as above.
            needs_sample: whether a group is recorded, for which its first rows are read.

        Raises:
            QueueChangedError: as `check`.
            ConnectionError: as `check`.
        """
        self.check(span, offset, count)
        with self._asked():
            keys = self._ranged(span).keys[offset : offset + count]
            events = self._reader.events(keys) if keys else []
            ending = {event.event_id: event for event in events if event.event_id in self._groups}
            return events, {
                number: self._sampled(event, self._groups[number], needs_sample) for number, event in ending.items()
            }

    def _sampled(self, event: Event, group: BulkGroup, needs_sample: Callable[[Event, BulkGroup], bool]) -> BulkGroup:
        sampled = bool(group.first) and needs_sample(event, group)
        return group.sampled(self._reader.events(group.first)) if sampled else group

    def _ranged(self, span: Span) -> EventRange:
        known = self._range
        if known is None or (known.after, known.upto, known.token) != (span.tick_from, span.tick_to, span.tick_token):
            self._range = None
            found = self._reader.range(span.tick_from, span.tick_to)
            if found.token != span.tick_token:
                raise SourceChangedError(f"tick {span.tick_to} of {self._address} is another one: it was restored")
            self._range, self._groups = found, bulk_groups(found.keys, self._bulk_rows)
            return found
        return known

    @contextmanager
    def _asked(self) -> Generator[None]:
        try:
            self._reader.open()
            yield
        except SourceChangedError as error:
            raise QueueChangedError(str(error)) from None
        except psycopg2.Error as error:
            self._reader.close()
            text = str(error).strip().partition("\n")[0]
            if error.pgcode is not None and error.pgcode[:2] in ("3F", "42"):
                raise QueueChangedError(f"{self._address}: {text}; capture is gone or was made anew") from None
            raise ConnectionError(f"{self._address}: {text}") from None
