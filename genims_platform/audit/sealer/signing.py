"""The key that signs checkpoints, and the file of public keys that whoever verifies them is given."""

import base64
import binascii
import hashlib
import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from genims_platform.audit.sealer.errors import SigningKeyError
from genims_platform.settings import Settings

SEED_BYTES = 32
_SIGNED_PREFIX = b"genims-audit-checkpoint-v1\n"


class SigningKey:
    """An Ed25519 key pair; shows no private part in its repr."""

    def __init__(self, seed: bytes) -> None:
        """`seed` are the 32 bytes that the pair is made from."""
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = PublicKey(self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def __repr__(self) -> str:
        return f"SigningKey({self.public.key_id})"

    def sign(self, body: bytes) -> bytes:
        """The signature of a checkpoint's body."""
        return self._private.sign(_SIGNED_PREFIX + body)


@dataclass(frozen=True)
class PublicKey:
    """What checkpoints are verified with."""

    raw: bytes

    @property
    def key_id(self) -> str:
        """Its name: the first 16 hex digits of its SHA-256."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    @property
    def text(self) -> str:
        """Base64, as it stands in the file of public keys."""
        return base64.b64encode(self.raw).decode("ascii")

    def verifies(self, body: bytes, signature: bytes) -> bool:
        """Whether the holder of this key signed this body."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, _SIGNED_PREFIX + body)
        except InvalidSignature:
            return False
        return True


def signing_key(settings: Settings) -> SigningKey:
    """The key of `AUDIT_SIGNING_KEY` or `AUDIT_SIGNING_KEY_FILE`.

    Raises:
        SigningKeyError: neither is set, or what it names is no key, or others than its owner may read the file.
    """
    if settings.audit_signing_key is not None:
        return SigningKey(_decoded("AUDIT_SIGNING_KEY", settings.audit_signing_key.get_secret_value()))
    if settings.audit_signing_key_file is not None:
        return read_signing_key(settings.audit_signing_key_file)
    raise SigningKeyError(
        "AUDIT_SIGNING_KEY_FILE is not set, nor AUDIT_SIGNING_KEY; checkpoints cannot be signed. Name a file, then: "
        "genims audit keys new"
    )


def read_signing_key(path: Path) -> SigningKey:
    """The key in a file.

    Raises:
        SigningKeyError: the file cannot be read, holds no key, or others than its owner may read it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text("ascii", errors="replace")
    except OSError as error:
        hint = "; `genims audit keys new` makes it" if isinstance(error, FileNotFoundError) else ""
        raise SigningKeyError(f"AUDIT_SIGNING_KEY_FILE={str(path)!r}: {error.strerror}{hint}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SigningKeyError(f"AUDIT_SIGNING_KEY_FILE={str(path)!r}: others may read it; mend with: chmod 400 {path}")
    return SigningKey(_decoded(f"AUDIT_SIGNING_KEY_FILE={str(path)!r}", text))


def new_signing_key(path: Path) -> SigningKey:
    """Make a key and write it to a new file that only its owner may read; on disk when this returns.

    Raises:
        SigningKeyError: the file exists, for a lost key cannot be made again, or cannot be written.
    """
    seed = secrets.token_bytes(SEED_BYTES)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    except FileExistsError:
        raise SigningKeyError(
            f"{path} exists and is not overwritten: checkpoints signed with a lost key cannot be continued. A new key "
            "is introduced by the old one with: genims audit keys rotate"
        ) from None
    except OSError as error:
        raise SigningKeyError(f"{path} cannot be made: {error.strerror}") from None
    with os.fdopen(file, "wb") as stream:
        stream.write(base64.b64encode(seed) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(path.parent)
    return SigningKey(seed)


def add_public_key(path: Path, key: PublicKey) -> bool:
    """Append a public key to the file of them, which is made if it does not exist; says False if it is there already.

    Raises:
        SigningKeyError: the file cannot be read or written, or holds what is no key.
    """
    if path.exists() and key in read_public_keys(path):
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="ascii") as stream:
            stream.write(f"{key.key_id} {key.text}  # {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise SigningKeyError(f"AUDIT_PUBLIC_KEYS_FILE={str(path)!r}: {error.strerror}") from None
    sync_folder(path.parent)
    return True


def read_public_keys(path: Path) -> Sequence[PublicKey]:
    """The keys of a file with one in base64 on each line, its name before it and comments behind `#`; oldest first.

    Raises:
        SigningKeyError: the file cannot be read, or a line holds no key, or not the one that it names.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        hint = "; `genims audit keys new` makes it" if isinstance(error, FileNotFoundError) else ""
        raise SigningKeyError(f"AUDIT_PUBLIC_KEYS_FILE={str(path)!r}: {error.strerror}{hint}") from None
    keys: list[PublicKey] = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        key = None
        with suppress(binascii.Error, ValueError):
            key = PublicKey(base64.b64decode(words[-1], validate=True))
        if key is None or len(key.raw) != SEED_BYTES or words[:-1] not in ([], [key.key_id]):
            raise SigningKeyError(
                f"AUDIT_PUBLIC_KEYS_FILE={str(path)!r}: line {number} is no public key; expected is its name, a space "
                f"and {SEED_BYTES} bytes in base64"
            )
        keys.append(key)
    return keys


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _decoded(name: str, text: str) -> bytes:
    seed = None
    with suppress(binascii.Error, ValueError):
        seed = base64.b64decode(text.strip(), validate=True)
    if seed is None or len(seed) != SEED_BYTES:
        raise SigningKeyError(f"{name}: holds no key; expected are {SEED_BYTES} bytes in base64")
    return seed
