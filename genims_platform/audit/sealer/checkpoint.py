"""A checkpoint: a signed statement about the newest batch of the audit trail, and the bytes it is kept as. Pure."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from genims_platform.audit.sealer.errors import CheckpointDamagedError
from genims_platform.audit.sealer.signing import PublicKey, SigningKey

VERSION = 1
ORIGIN = "genims-audit"


@dataclass(frozen=True)
class Statement:
    """What a checkpoint says; instants are naive UTC.

    `cursors` maps a source to incarnation, tick and part of its newest batch; `table_rows` a table to how many of its
    rows the batches up to `batch_no` hold.
    """

    instance: str
    checkpoint_no: int
    batch_no: int
    last_sequence: int
    batch_hash: bytes
    recorded_at: datetime
    issued_at: datetime
    cursors: Mapping[str, tuple[int, int, int]]
    table_rows: Mapping[str, int]
    prev_sha256: bytes | None
    new_key: PublicKey | None = None
    """Set: from the next checkpoint on, this key signs."""

    def body(self, key_id: str) -> bytes:
        """The bytes that are signed: canonical JSON in ASCII."""
        fields: dict[str, Any] = {
            "v": VERSION,
            "origin": ORIGIN,
            "instance": self.instance,
            "checkpoint_no": self.checkpoint_no,
            "batch_no": self.batch_no,
            "last_sequence": self.last_sequence,
            "batch_hash": self.batch_hash.hex(),
            "recorded_at": _text(self.recorded_at),
            "issued_at": _text(self.issued_at),
            "cursors": {source: list(cursor) for source, cursor in self.cursors.items()},
            "table_rows": dict(self.table_rows),
            "prev_sha256": self.prev_sha256.hex() if self.prev_sha256 else "",
            "key_id": key_id,
        }
        if self.new_key is not None:
            fields |= {"new_key_id": self.new_key.key_id, "new_public_key": self.new_key.text}
        return canonical(fields)


@dataclass(frozen=True)
class Checkpoint:
    """A signed statement."""

    statement: Statement
    body: bytes
    signature: bytes
    key_id: str

    @classmethod
    def sign(cls, statement: Statement, key: SigningKey) -> Self:
        """The checkpoint that states this."""
        body = statement.body(key.public.key_id)
        return cls(statement, body, key.sign(body), key.public.key_id)

    @classmethod
    def parse(cls, content: bytes, location: str) -> Self:
        """The checkpoint that is kept as `content`; its signature is not checked.

        Raises:
            CheckpointDamagedError: it is none, or not in the one form that it may have.
        """
        try:
            body, signature, rest = content.split(b"\n")
            fields = json.loads(body)
            found = cls(_statement(fields), body, base64.b64decode(signature, validate=True), str(fields["key_id"]))
        except (ValueError, LookupError, TypeError, AttributeError, binascii.Error):
            raise CheckpointDamagedError(f"{location} is no checkpoint; find out who wrote it") from None
        if rest or found.content != content or found.statement.body(found.key_id) != body:
            raise CheckpointDamagedError(f"{location} is not written as a checkpoint is; find out who wrote it")
        return found

    @property
    def content(self) -> bytes:
        """The bytes of the object that is kept."""
        return self.body + b"\n" + base64.b64encode(self.signature) + b"\n"

    @property
    def next_key_id(self) -> str:
        """The name of the key that signs the next checkpoint."""
        return self.statement.new_key.key_id if self.statement.new_key else self.key_id

    @property
    def sha256(self) -> bytes:
        """What the next checkpoint names it by."""
        return hashlib.sha256(self.body).digest()

    @property
    def name(self) -> str:
        """Its path below the place of checkpoints."""
        said = self.statement
        return (
            f"checkpoints/{said.instance}/{said.issued_at:%Y/%m/%d}/cp-{said.checkpoint_no:012d}-b{said.batch_no}.json"
        )


def canonical(fields: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys and no spaces, in ASCII."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def _statement(fields: Mapping[str, Any]) -> Statement:
    new_key = fields.get("new_public_key")
    return Statement(
        instance=fields["instance"],
        checkpoint_no=int(fields["checkpoint_no"]),
        batch_no=int(fields["batch_no"]),
        last_sequence=int(fields["last_sequence"]),
        batch_hash=bytes.fromhex(fields["batch_hash"]),
        recorded_at=_instant(fields["recorded_at"]),
        issued_at=_instant(fields["issued_at"]),
        cursors={source: (cursor[0], cursor[1], cursor[2]) for source, cursor in fields["cursors"].items()},
        table_rows=fields["table_rows"],
        prev_sha256=bytes.fromhex(fields["prev_sha256"]) or None,
        new_key=None if new_key is None else PublicKey(base64.b64decode(new_key, validate=True)),
    )


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="microseconds") + "Z"


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
