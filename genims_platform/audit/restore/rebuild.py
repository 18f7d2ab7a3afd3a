"""A batch of the journal, built again: the same events, the same rows, the same hash, or a reason why not."""

from collections.abc import Sequence

from genims_platform.audit.encryption.keystore import KeyStore
from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.batch import (
    Batch,
    EncodedEntry,
    Head,
    Span,
    assemble_batch,
    encode_entry,
    span_of,
)
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.ledger.errors import UnstorableError
from genims_platform.audit.ledger.layout import HASH_VERSION
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.relay.mapping import Mapper
from genims_platform.audit.relay.preparation import mapper_of
from genims_platform.audit.restore.lines import Line, differences, entries_of, spine_of
from genims_platform.audit.restore.present_keys import KeyMissingError, PresentKeys
from genims_platform.audit.restore.queue import QueueChangedError, SourceQueue
from genims_platform.mysql.append_only import SPINE
from genims_platform.settings import SOURCE_NAMES, Settings

_BEFORE = (
    f"SELECT COALESCE(SUM(event_count), 0) FROM {SPINE} "  # noqa: S608
    "WHERE source_db = %s AND incarnation = %s AND tick_from = %s AND part_no < %s"
)
_STREAM, _VOID = "STREAM", "VOID"


class NotReplayableError(RuntimeError):
    """A batch does not come out as it was; the message says which and why."""

    def __init__(self, line: Line, reason: str) -> None:
        super().__init__(
            f"batch {line['batch_no']} ({line['batch_kind']} of {line['source_db']}, numbers {line['first_sequence']} "
            f"to {line['last_sequence']}): {reason}"
        )
        self.batch_no: int = line["batch_no"]
        self.source: str = line["source_db"]
        self.reason = reason


class Rebuilder:
    """Builds batches of the journal, in their order.

    Args:
        settings: where the sources are.
        ledger: the audit database, which is only read.
        keys: of persons; none is made.
    """

    def __init__(self, settings: Settings, ledger: Ledger, keys: KeyStore) -> None:
        self._settings = settings
        self._ledger = ledger
        self._keys = PresentKeys(keys)
        self._queues: dict[str, SourceQueue] = {}
        self._mappers: dict[str, Mapper] = {}
        self._offsets: dict[tuple[str, int, int, int], int] = {}

    def close(self) -> None:
        """Close the connections to the sources."""
        for queue in self._queues.values():
            queue.close()

    def check(self, head: Head, line: Line) -> Head:
        """Look whether a batch could be built, without building it; the head that it would be.

        Args:
            head: the batch before it.
            line: of the journal.

        Raises:
            NotReplayableError: it could not.
            ConnectionError: its source cannot be reached.
        """
        spine = self._checked(head, line)
        if line["batch_kind"] == _STREAM:
            span = span_of(spine)
            try:
                self._queue(span.source).check(span, self._offset(span, line["event_count"]), line["event_count"])
            except QueueChangedError as error:
                raise NotReplayableError(line, str(error)) from None
        return _head_of(line, spine)

    def batch(self, head: Head, line: Line) -> Batch:
        """The batch as it was.

        Args:
            head: the batch before it.
            line: of the journal.

        Raises:
            NotReplayableError: it does not come out as it was.
            ConnectionError: its source, the audit database or the key store cannot be reached.
        """
        spine = self._checked(head, line)
        span = span_of(spine)
        try:
            if line["batch_kind"] == _STREAM:
                batch = self._stream(head, line, spine, span)
            else:
                entries = entries_of(line).values()
                encoded = [encode_entry(span.source, span.incarnation, entry) for entry in entries]
                batch = _assembled(head, spine, span, encoded)
        except (QueueChangedError, KeyMissingError, UnstorableError) as error:
            raise NotReplayableError(line, str(error)) from None
        differing = set(differences(spine, batch.spine))
        if not differing:
            return batch
        if "table_counts" in differing:
            what = f"it has the rows {batch.spine['table_counts']}, it had {spine['table_counts']}"
        elif "merkle_root" in differing:
            what = "its rows have other values"
        else:
            what = f"its {', '.join(sorted(differing))} differ"
        raise NotReplayableError(
            line,
            f"it comes out differently: {what}. It was mapped by another version of the program or with other "
            "settings (AUDIT_BULK_ROWS), its queue was changed, or the key of a person was made anew",
        )

    def _checked(self, head: Head, line: Line) -> Columns:
        if line["batch_no"] != head.batch_no + 1:
            raise NotReplayableError(line, f"the journal has no batch {head.batch_no + 1} before it")
        if line["prev_hash"] != head.batch_hash.hex():
            raise NotReplayableError(line, f"it does not follow batch {head.batch_no} as it is")
        if line["hash_version"] != HASH_VERSION:
            raise NotReplayableError(line, f"its hashes are of version {line['hash_version']}")
        if line["batch_kind"] == _STREAM:
            if line["source_db"] not in SOURCE_NAMES:
                raise NotReplayableError(line, f"{line['source_db']} is no source of this program")
            if line["routing_version"] != audit_policy().version:
                raise NotReplayableError(
                    line,
                    f"it was mapped by version {line['routing_version']} of the policy, this program has version "
                    f"{audit_policy().version}; replay with the version of the program that wrote it",
                )
        elif line["batch_kind"] != _VOID and len(entries_of(line)) != line["event_count"]:
            raise NotReplayableError(line, "the journal lacks its rows")
        return spine_of(line)

    def _stream(self, head: Head, line: Line, spine: Columns, span: Span) -> Batch:
        mapper = self._mapper(span.source)
        count: int = line["event_count"]
        events, groups = self._queue(span.source).part(span, self._offset(span, count), count, mapper.records_bulk)
        # Why the database refused an event is in no queue, so those in quarantine have their rows in the journal.
        kept = {number - line["first_sequence"]: entry for number, entry in entries_of(line).items()}
        others = [event for position, event in enumerate(events) if position not in kept]
        mapped = iter(mapper.map(span.incarnation, others, groups, {}).entries)
        encoded = [
            encode_entry(span.source, span.incarnation, kept[position]) if position in kept else next(mapped)
            for position in range(len(events))
        ]
        return _assembled(head, spine, span, encoded)

    def _offset(self, span: Span, count: int) -> int:
        """Events of the range that the parts before this one hold."""
        place = (span.source, span.incarnation, span.tick_from)
        offset = self._offsets.pop((*place, span.part_no), None)
        if offset is None:
            ((before,),) = self._ledger.query(_BEFORE, (*place, span.part_no)) if span.part_no else ((0,),)
            offset = int(before)
        if not span.is_last_part:
            self._offsets[*place, span.part_no + 1] = offset + count
        return offset

    def _queue(self, source: str) -> SourceQueue:
        if source not in self._queues:
            own = self._settings
            self._queues[source] = SourceQueue(source, own.audit_relay(source), own.audit_bulk_rows)
        return self._queues[source]

    def _mapper(self, source: str) -> Mapper:
        if source not in self._mappers:
            self._mappers[source] = mapper_of(self._settings, source, self._keys)
        return self._mappers[source]


def _assembled(head: Head, spine: Columns, span: Span, entries: Sequence[EncodedEntry]) -> Batch:
    said = {name: spine[name] for name in ("recorded_at", "writer_id", "batch_uid", "routing_version")}
    count = spine["event_count"] if spine["batch_kind"] == _VOID else None
    return assemble_batch(head, str(spine["batch_kind"]), span, entries, event_count=count, **said)  # pyright: ignore[reportArgumentType]


def _head_of(line: Line, spine: Columns) -> Head:
    digest, at = spine["batch_hash"], spine["recorded_at"]
    return Head(line["batch_no"], line["last_sequence"], digest, at)  # pyright: ignore[reportArgumentType]
