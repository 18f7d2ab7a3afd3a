"""Signed checkpoints as the verifier finds them in its own location, against the spine and their copies in MySQL."""

import json
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from genims_platform.audit.verify.findings import Code, Finding

SIGNED_PREFIX = b"genims-audit-checkpoint-v1\n"
_NAME = re.compile(r"cp-(?P<number>\d{12})-b(?P<batch>\d+)\.json")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CheckpointStoreError(ConnectionError):
    """The place of the checkpoints or the file of public keys cannot be read; says which and why."""


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint object. Times are microseconds since 1970 in UTC."""

    number: int
    location: str
    content: bytes
    body: bytes
    signature: bytes
    fields: Mapping[str, Any]

    @property
    def batch_no(self) -> int:
        """The batch it covers, and with it all before."""
        return int(self.fields["batch_no"])

    @property
    def last_sequence(self) -> int:
        """The last number it covers."""
        return int(self.fields["last_sequence"])

    @property
    def batch_hash(self) -> bytes:
        """The hash of that batch."""
        return bytes.fromhex(self.fields["batch_hash"])

    @property
    def issued_at(self) -> int:
        """When it was signed."""
        return instant(str(self.fields["issued_at"]))


class CheckpointFolder:
    """Checkpoints kept as files: `checkpoints/<instance>/<year>/<month>/<day>/cp-<number>-b<batch>.json`.

    Args:
        uri: `file:///folder`.

    Raises:
        CheckpointStoreError: another kind of location.
    """

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            raise CheckpointStoreError(f"AUDIT_WORM_URI={uri!r}: the verifier reads checkpoints from file:///folder")
        self._root = Path(unquote(parts.path)) / "checkpoints"

    def instances(self) -> list[str]:
        """The audit databases that have checkpoints here."""
        self._check()
        return sorted(path.name for path in self._root.iterdir() if path.is_dir()) if self._root.exists() else []

    def numbers(self, instance: str, after: int = 0) -> dict[int, list[Path]]:
        """Number → files of the checkpoints above `after`, in order; more than one file for a number is a forgery."""
        self._check()
        found: dict[int, list[Path]] = {}
        for path in (self._root / instance).rglob("cp-*.json"):
            if (name := _NAME.fullmatch(path.name)) and int(name["number"]) > after:
                found.setdefault(int(name["number"]), []).append(path)
        return dict(sorted(found.items()))

    def _check(self) -> None:
        if not self._root.parent.is_dir():
            raise CheckpointStoreError(f"{self._root.parent} is no folder that can be read; check AUDIT_WORM_URI")


def read_checkpoint(path: Path) -> Checkpoint | str:
    """The checkpoint in a file, or what is wrong with it in words."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"{path.name} cannot be read: {error.strerror}"
    body, _, rest = content.partition(b"\n")
    try:
        fields = json.loads(body)
        signature = b64decode(rest.strip(), validate=True)
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
        found = Checkpoint(int(fields["checkpoint_no"]), str(path), content, body, signature, fields)
        _ = (found.batch_no, found.last_sequence, found.batch_hash, found.issued_at)
    except (ValueError, KeyError, TypeError, AttributeError, Base64Error):
        return f"{path.name} is no checkpoint"
    name = _NAME.fullmatch(path.name)
    if body != canonical or rest.count(b"\n") != 1:
        return f"{path.name} is not written in the published form"
    if name is None or (int(name["number"]), int(name["batch"])) != (found.number, found.batch_no):
        return f"{path.name} holds checkpoint {found.number} of batch {found.batch_no}"
    return found


def pinned_keys(path: Path) -> dict[str, Ed25519PublicKey]:
    """The public keys that the verifier trusts from the start: fingerprint → key; a key in base64 a line, `#` comments.

    Raises:
        CheckpointStoreError: the file cannot be read, or a line holds no key.
    """
    keys: dict[str, Ed25519PublicKey] = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise CheckpointStoreError(f"AUDIT_PUBLIC_KEYS_FILE={str(path)!r}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            raw = b64decode(words[-1], validate=True)
            keys[fingerprint(raw)] = Ed25519PublicKey.from_public_bytes(raw)
        except (ValueError, Base64Error):
            raise CheckpointStoreError(f"{path}, line {number}: expected a public key, 32 bytes in base64") from None
    return keys


def fingerprint(public_key: bytes) -> str:
    """The name of a public key: the first 16 hex digits of its SHA-256."""
    return sha256(public_key).hexdigest()[:16]


def instant(text: str) -> int:
    """Microseconds since 1970 of an instant in ISO format; without a zone it is UTC."""
    found = datetime.fromisoformat(text)
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return (found - _EPOCH) // timedelta(microseconds=1)


class SignatureChain:
    """Checks signatures and order of checkpoints, one after the other, and learns keys from signed rotations.

    Args:
        keys: those trusted from the start; None: signatures cannot be checked.
        first: number of the checkpoint to begin with; those before it were checked earlier.
    """

    def __init__(self, keys: Mapping[str, Ed25519PublicKey] | None, first: int = 1) -> None:
        self._keys = None if keys is None else dict(keys)
        self._first = first
        self._before: Checkpoint | None = None
        self._least = 0

    def follow(self, checkpoint: Checkpoint, *, is_void: bool = False) -> Iterator[Finding]:
        """What is wrong with the next checkpoint; `is_void`: what it covers was lost, so the next may cover less."""

        def broken(code: Code, what: str) -> Finding:
            sentence = f"checkpoint {checkpoint.number}, up to number {checkpoint.last_sequence}, {what}"
            first = self._before.last_sequence + 1 if self._before else 1
            return Finding(code, checkpoint.batch_no, first, None, sentence, sha256(checkpoint.content).hexdigest())

        before = self._before
        expected = before.number + 1 if before else self._first
        if checkpoint.number != expected:
            yield broken("V12", f"follows checkpoint {expected - 1}: those between are missing")
        elif before and checkpoint.fields.get("prev_sha256") != sha256(before.body).hexdigest():
            yield broken("V12", f"does not name checkpoint {before.number} as it is stored")
        if before and checkpoint.batch_no < self._least:
            yield broken("V12", f"covers less than checkpoint {before.number} before it")
        if self._keys is None:
            pass
        elif (key := self._keys.get(str(checkpoint.fields.get("key_id")))) is None:
            yield broken("V13", f"is signed with the unknown key {checkpoint.fields.get('key_id')}")
        else:
            try:
                key.verify(checkpoint.signature, SIGNED_PREFIX + checkpoint.body)
            except InvalidSignature:
                yield broken("V13", "has a wrong signature")
            else:
                self._keys |= _introduced_key(checkpoint)
        self._before = checkpoint
        if not is_void:
            self._least = checkpoint.batch_no


def _introduced_key(checkpoint: Checkpoint) -> dict[str, Ed25519PublicKey]:
    new = checkpoint.fields.get("new_public_key")
    if not isinstance(new, str):
        return {}
    raw = b64decode(new)
    return {fingerprint(raw): Ed25519PublicKey.from_public_bytes(raw)}


def copy_differences(checkpoint: Checkpoint, copy: Mapping[str, bytes | None]) -> Sequence[str]:
    """Columns in which the row of `audit_integrity_checkpoints` differs from its original."""
    expected: Mapping[str, bytes] = {
        "covers_batch_no": str(checkpoint.batch_no).encode(),
        "covers_sequence": str(checkpoint.last_sequence).encode(),
        "covers_hash": checkpoint.batch_hash,
        "body": checkpoint.body,
        "signature": checkpoint.signature,
        "worm_sha256": sha256(checkpoint.content).digest(),
    }
    return [column for column, value in expected.items() if copy[column] != value]
