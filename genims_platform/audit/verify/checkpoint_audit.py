"""All checkpoints of the scope against the spine as it is walked, and against what MySQL says about them."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.verify.checkpoints import (
    Checkpoint,
    CheckpointFolder,
    SignatureChain,
    copy_differences,
    instant,
    pinned_keys,
    read_checkpoint,
)
from genims_platform.audit.verify.encoding import Layout
from genims_platform.audit.verify.findings import Finding
from genims_platform.audit.verify.spine import SpineRow
from genims_platform.audit.verify.voids import RecordedVoid, recorded_voids
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.settings import Settings

CLOCK_MICROSECONDS = 5_000_000
LATE_INTERVALS = 5
"""A trail that grew must have a checkpoint after so many intervals of the sealer."""

_TABLE = "audit_integrity_checkpoints"
_OF_THE_SEALER = ("CHECKPOINT", "KEY_ROTATION")


def open_checkpoints(settings: Settings) -> "CheckpointAudit":
    """The checkpoints of the verifier's own location, with the keys of its own file.

    Raises:
        CheckpointStoreError: the location or the file cannot be read.
    """
    if settings.audit_worm_uri is None:
        return CheckpointAudit(None, None, settings.audit_checkpoint_seconds)
    keys = pinned_keys(settings.audit_public_keys_file) if settings.audit_public_keys_file else None
    return CheckpointAudit(CheckpointFolder(settings.audit_worm_uri), keys, settings.audit_checkpoint_seconds)


class CheckpointAudit:
    """Told of the batches in order; says what the checkpoints prove wrong.

    Args:
        folder: where checkpoints are; None: nowhere, nothing about them can be said.
        keys: trusted from the start; None: signatures cannot be checked.
        interval: seconds between two checkpoints of the sealer.
    """

    def __init__(
        self, folder: CheckpointFolder | None, keys: Mapping[str, Ed25519PublicKey] | None, interval: int
    ) -> None:
        self._folder, self._keys, self._interval = folder, keys, interval
        # Listed before the trail is read: what is sealed meanwhile would look like batches that were cut off.
        self._files = {name: folder.numbers(name) for name in folder.instances()} if folder else {}
        self._instance: str | None = None
        self._known: dict[int, Checkpoint] = {}
        self._pending: list[Checkpoint] = []
        self._covered = 0
        self._rewritten: Finding | None = None
        self._contradicted: list[str] = []
        self._late = False
        self._offset: Counter[str] | None = None
        self._walked_from_start = True
        self._void: frozenset[int] = frozenset()

    @property
    def not_testable(self) -> Sequence[str]:
        """What cannot be said about checkpoints, and why."""
        if self._folder is None:
            return ("V10 to V14 and the end of V23: AUDIT_WORM_URI is not set, so there are no checkpoints to compare",)
        return () if self._keys is not None else ("V13 signatures: AUDIT_PUBLIC_KEYS_FILE is not set",)

    def without_spine(self) -> Iterator[Finding]:
        """Checkpoints of a trail of which nothing is left."""
        for instance in self._files:
            sentence = f"the trail is empty, but there are checkpoints of {instance}"
            yield Finding("V10", None, 1, SPINE, sentence)

    def begin(
        self, connection: MySQLConnectionAbstract, layouts: Mapping[str, Layout], first: int, head: SpineRow
    ) -> Iterator[Finding]:
        """Read the checkpoints that cover batch `first` or later ones, check them, and compare them with MySQL."""
        if self._folder is None:
            return
        self._instance = _genesis_instance(connection) or (next(iter(self._files)) if len(self._files) == 1 else None)
        if self._instance is None:
            sentence = "the genesis does not say whose checkpoints to look for"
            yield Finding("V12", 0, 1, LEDGER, sentence)
            return
        self._walked_from_start = first == 0
        yield from self._read(first, recorded_voids(connection))
        yield from self._copies(connection, layouts[_TABLE], first)
        counting = (checkpoint for checkpoint in self._known.values() if checkpoint.number not in self._void)
        newest = max(counting, key=lambda checkpoint: checkpoint.number, default=None)
        if newest and newest.batch_no > head.batch_no:
            sentence = f"the trail ends with batch {head.batch_no}; checkpoint {newest.number} covers {newest.batch_no}"
            yield Finding("V10", head.batch_no + 1, head.last_sequence + 1, SPINE, sentence)

    def _read(self, first: int, voids: Sequence[RecordedVoid]) -> Iterator[Finding]:
        files = self._files.get(self._instance or "", {})
        chain: SignatureChain | None = None
        before: Checkpoint | None = None
        for number, paths in files.items():
            if len(paths) > 1:
                sentence = f"there are {len(paths)} checkpoints {number}"
                yield Finding("V12", None, before.last_sequence + 1 if before else 1, None, sentence)
            if int(paths[0].stem.rpartition("-b")[2]) < first and number + 1 in files:
                continue  # covered by an earlier verification
            found = read_checkpoint(paths[0])
            if isinstance(found, str):
                yield Finding("V12", None, before.last_sequence + 1 if before else 1, None, found)
                continue
            if chain is None:
                chain = SignatureChain(self._keys, 1 if first == 0 else found.number)
            is_void = any(void.covers(found) for void in voids)
            yield from chain.follow(found, is_void=is_void)
            before = found
            self._known[number] = found
            if is_void:
                self._void |= {number}
        self._pending = sorted(
            (found for found in self._known.values() if found.batch_no >= first and found.number not in self._void),
            key=lambda found: found.batch_no,
        )

    def _copies(self, connection: MySQLConnectionAbstract, layout: Layout, first: int) -> Iterator[Finding]:
        copies: dict[int, tuple[int, Mapping[str, bytes | None]]] = {}
        with connection.cursor(raw=True) as cursor:
            cursor.execute(
                f"SELECT {layout.select} FROM {_TABLE} "  # noqa: S608 (names of the server's own catalogue)
                "WHERE record_type IN (%s, %s) AND covers_batch_no >= %s ORDER BY checkpoint_no",
                (*_OF_THE_SEALER, first),
            )
            for found in cursor.fetchall():
                row: Mapping[str, bytes | None] = dict(zip(layout.columns, found, strict=True))  # pyright: ignore
                number = int(row["checkpoint_no"] or b"-1")
                sequence = int(row["audit_sequence"] or b"0")
                if number in copies:
                    yield Finding("V12", None, sequence, _TABLE, f"{_TABLE} has checkpoint {number} twice")
                copies[number] = sequence, row
        if copies:
            self._read_newer(max(copies))
        for number, (sequence, row) in copies.items():
            original = self._known.get(number)
            if original is None:
                sentence = f"checkpoint {number}, which {_TABLE} names, is not where checkpoints are kept"
                yield Finding("V12", None, sequence, _TABLE, sentence)
            elif differing := copy_differences(original, row):
                sentence = f"{_TABLE} differs from checkpoint {number} in {', '.join(differing)}"
                yield Finding("V12", original.batch_no, sequence, _TABLE, sentence)
        for number, original in self._known.items():
            # The newest may have been written just before the sealer was stopped; its next run copies it.
            if number not in copies and original.batch_no >= first and number < max(copies, default=0):
                sentence = f"checkpoint {number} has no copy in {_TABLE}"
                yield Finding("V12", original.batch_no, original.last_sequence + 1, _TABLE, sentence)

    def _read_newer(self, number: int) -> None:
        """Take in checkpoints that were written after the others were listed, which MySQL already knows of."""
        assert self._folder is not None  # noqa: S101
        assert self._instance is not None  # noqa: S101
        newest = max(self._known, default=0)
        if number > newest:
            for later, paths in self._folder.numbers(self._instance, after=newest).items():
                if later <= number and isinstance(found := read_checkpoint(paths[0]), Checkpoint):
                    self._known[later] = found

    def pass_batch(self, batch: SpineRow, leaves: Counter[str]) -> Iterator[Finding]:
        """Compare the next batch with the checkpoints that cover it; `leaves` are the rows by table up to it."""
        if self._pending:
            covering = self._pending[0]
            if not self._late and batch.recorded_at > covering.issued_at + CLOCK_MICROSECONDS:
                self._late = True
                sentence = f"batch {batch.batch_no} is recorded later than checkpoint {covering.number} that covers it"
                yield Finding("V23", batch.batch_no, batch.first_sequence, SPINE, sentence)
        while self._pending and self._pending[0].batch_no <= batch.batch_no:
            checkpoint = self._pending.pop(0)
            self._late = False
            if checkpoint.batch_no == batch.batch_no:
                yield from self._compare(batch, checkpoint, leaves)

    def _compare(self, batch: SpineRow, checkpoint: Checkpoint, leaves: Counter[str]) -> Iterator[Finding]:
        said = Counter({str(table): int(number) for table, number in dict(checkpoint.fields["table_rows"]).items()})
        hashes = (batch.batch_hash, batch.last_sequence) == (checkpoint.batch_hash, checkpoint.last_sequence)
        if self._offset is None and (self._walked_from_start or hashes):
            self._offset = Counter()
            if not self._walked_from_start:
                # Of what lies before the walk the first checkpoint that agrees tells.
                self._offset.update(said)
                self._offset.subtract(leaves)
        expected = Counter(leaves)
        expected.update(self._offset or ())
        same_rows = {t: n for t, n in said.items() if n} == {t: n for t, n in expected.items() if n}
        if hashes and same_rows:
            yield from self._end_of_rewriting()
            self._covered = checkpoint.last_sequence
            return
        counted = json.dumps(sorted(expected.items())).encode() if hashes else b""
        self._contradicted.append(f"{checkpoint.number}:{sha256(batch.batch_hash + counted).hexdigest()[:16]}")
        if self._rewritten is None:
            what = "is another batch than" if not hashes else "counts other rows than"
            sentence = (
                f"batch {batch.batch_no} {what} checkpoint {checkpoint.number} says: the trail was rewritten "
                f"between the numbers {self._covered + 1} and {checkpoint.last_sequence}"
            )
            self._rewritten = Finding("V11", batch.batch_no, self._covered + 1, SPINE, sentence)

    def _end_of_rewriting(self) -> Iterator[Finding]:
        """One finding for all checkpoints in a row that the chain contradicts."""
        if self._rewritten is not None:
            yield replace(self._rewritten, evidence=" ".join(self._contradicted))
        self._rewritten, self._contradicted = None, []

    def conclude(
        self, connection: MySQLConnectionAbstract, layouts: Mapping[str, Layout], head: SpineRow
    ) -> Iterator[Finding]:
        """Whether the trail grew without a checkpoint for too long, after the end of the walk."""
        yield from self._end_of_rewriting()
        if self._folder is None or LEDGER not in layouts:
            return
        newest = max(self._known.values(), key=lambda found: found.number, default=None)
        covered = newest.last_sequence if newest else 0
        if covered >= head.last_sequence:
            return
        with connection.cursor(raw=True) as cursor:
            # The record of a checkpoint is itself not covered yet, and does not ask for another one.
            cursor.execute(
                f"SELECT MIN(audit_sequence), MIN(recorded_at), UTC_TIMESTAMP(6) FROM {LEDGER} "  # noqa: S608
                "WHERE audit_sequence > %s AND NOT (event_kind = 'CONTROL' AND operation_type IN (%s, %s))",
                (covered, *_OF_THE_SEALER),
            )
            ((sequence, since, now),) = cursor.fetchall()  # pyright: ignore
        if since is None:
            return
        waited = timedelta(microseconds=instant(_text(now)) - instant(_text(since)))
        if waited > timedelta(seconds=self._interval * LATE_INTERVALS):
            until = datetime.fromisoformat(_text(since)).replace(tzinfo=UTC)
            sentence = f"no checkpoint covers what was recorded since {until:%Y-%m-%d %H:%M:%S} UTC"
            yield Finding("V14", None, int(_text(sequence)), None, sentence)


def _genesis_instance(connection: MySQLConnectionAbstract) -> str | None:
    """The name that the trail gave itself; None if its first event is gone or says none."""
    with connection.cursor(raw=True) as cursor:
        cursor.execute(
            f"SELECT payload FROM {LEDGER} WHERE audit_sequence = 1 AND operation_type = 'GENESIS'"  # noqa: S608
        )
        rows = cursor.fetchall()
    try:
        found = json.loads(_text(rows[0][0]))["instance"]  # pyright: ignore
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    # It becomes part of a path.
    return found if isinstance(found, str) and found and "/" not in found and found[0] != "." else None


def _text(value: object) -> str:
    return bytes(value).decode()  # pyright: ignore
