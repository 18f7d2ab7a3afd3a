"""The cipher of personal values: AES-256-GCM, deterministic for one side of one column of one event.

The stored text is `v1.<key id>.<base64url of nonce, ciphertext and tag>`. The nonce is derived from where the value
stands, so delivering an event again gives the same bytes; a place holds one text only, and no nonce serves two.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, cast, get_args

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Side = Literal["o", "n"]
"""The value before the change, or the one after it."""

ValueKind = Literal["s", "n", "b", "j"]
"""What the text was: string, number, boolean, or JSON object or array."""

KEY_BYTES = 32
VERSION = "v1"
_PADDING = 32
_NONCE = 12
_TAG = 16


class DecryptionError(ValueError):
    """A stored value cannot be read: no ciphertext, the wrong key, another place, or changed since it was written."""


@dataclass(frozen=True)
class DataKey:
    """The key of one person's values; its material appears in no repr."""

    key_id: str
    dek: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.dek) != KEY_BYTES:
            raise ValueError(f"data key {self.key_id}: {KEY_BYTES} bytes are needed, {len(self.dek)} were given")

    def __reduce__(self) -> tuple[type["DataKey"], tuple[str, bytes]]:
        return DataKey, (self.key_id, self.dek)  # what is derived from it stays in its process

    @cached_property
    def sealing(self) -> AESGCM:
        """Encrypts and decrypts under the key derived for that."""
        return AESGCM(self._derive(b"genims audit enc v1"))

    @cached_property
    def nonces(self) -> bytes:
        """The key that nonces are derived under."""
        return self._derive(b"genims audit nonce v1")

    def _derive(self, purpose: bytes) -> bytes:
        return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=purpose).derive(self.dek)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: one side of one column of one event of one source."""

    source: str
    incarnation: int
    event_id: int
    column: str
    side: Side

    def encode(self) -> bytes:
        """The bytes that stand for this place in nonces and authenticated data."""
        return b"".join(
            (
                _prefixed(self.source),
                self.incarnation.to_bytes(4),
                self.event_id.to_bytes(8),
                _prefixed(self.column),
                self.side.encode("ascii"),
            )
        )


class SubjectCipher:
    """Encrypts under the keys it was given; knows no store. It can be sent to another process."""

    def __init__(self, keys: Mapping[str, DataKey]) -> None:
        """`keys` are the keys of the persons (`type:id`) whose values will be encrypted."""
        self._keys = dict(keys)

    def encrypt(
        self,
        subject_ref: str,
        source: str,
        incarnation: int,
        event_id: int,
        column: str,
        side: Side,
        kind: ValueKind,
        text: str,
    ) -> str:
        """The stored form of a person's value.

        Raises:
            KeyError: no key of this person was given.
        """
        return encrypt(
            self._keys[subject_ref], subject_ref, Place(source, incarnation, event_id, column, side), kind, text
        )

    def key_id(self, subject_ref: str) -> str:
        """The id of the key that this person's values are encrypted under."""
        return self._keys[subject_ref].key_id


def encrypt(key: DataKey, subject_ref: str, place: Place, kind: ValueKind, text: str) -> str:
    """The stored form of `text`, bound to its place, its person and its key."""
    context = place.encode()
    nonce = hmac.digest(key.nonces, context, "sha256")[:_NONCE]
    sealed = key.sealing.encrypt(nonce, _pad((kind + text).encode()), _bound_to(context, subject_ref, key))
    return f"{VERSION}.{key.key_id}.{base64.urlsafe_b64encode(nonce + sealed).rstrip(b'=').decode('ascii')}"


def decrypt(key: DataKey, subject_ref: str, place: Place, stored: str) -> tuple[ValueKind, str]:
    """What was encrypted: the kind of value and its text.

    Raises:
        DecryptionError: `stored` is no ciphertext, is not of this key, person or place, or was changed.
    """
    key_id, sealed = _parse(stored)
    if key_id != key.key_id:
        raise DecryptionError(f"encrypted under key {key_id}, not under {key.key_id}")
    context = place.encode()
    try:
        padded = key.sealing.decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound_to(context, subject_ref, key))
    except InvalidTag:
        raise DecryptionError(
            f"not encrypted under key {key_id} for {place.source}, incarnation {place.incarnation}, event "
            f"{place.event_id}, column {place.column}, side {place.side}; or changed since"
        ) from None
    plain = _unpad(padded).decode()
    kind = plain[:1]
    if kind not in get_args(ValueKind):
        raise DecryptionError(f"encrypted under key {key_id} by another program: no kind of value in front")
    return cast("ValueKind", kind), plain[1:]


def stored_key_id(stored: str) -> str:
    """The id of the key that a stored value was encrypted under.

    Raises:
        DecryptionError: `stored` is no ciphertext.
    """
    return _parse(stored)[0]


def _parse(stored: str) -> tuple[str, bytes]:
    # Key ids hold a dot of their own.
    version, _, rest = stored.partition(".")
    key_id, _, encoded = rest.rpartition(".")
    try:
        # Decoding skips characters that are not of its alphabet, so only a text that comes out again was one.
        sealed = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        same = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii") == encoded
    except (binascii.Error, ValueError):
        sealed, same = b"", False
    if version != VERSION or not key_id or not same or len(sealed) < _NONCE + _PADDING + _TAG:
        raise DecryptionError(f"no ciphertext: {VERSION}.<key id>.<base64url> is expected")
    return key_id, sealed


def _bound_to(context: bytes, subject_ref: str, key: DataKey) -> bytes:
    return context + _prefixed(subject_ref) + _prefixed(key.key_id)


def _prefixed(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(4) + encoded


def _pad(plain: bytes) -> bytes:
    """Lengths tell about values (a salary of six digits), so they are rounded up."""
    return plain + b"\x80" + bytes(-(len(plain) + 1) % _PADDING)


def _unpad(padded: bytes) -> bytes:
    return padded.rstrip(b"\x00")[:-1]
