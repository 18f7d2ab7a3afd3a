"""The key-encryption key: what the key store holds is of no use without it."""

import base64
import binascii
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from genims_platform.audit.encryption.cipher import KEY_BYTES
from genims_platform.audit.encryption.errors import KeySettingsError, WrongKekError
from genims_platform.settings import Settings

_NONCE = 12
_CHECKED = b"genims audit key store"


class KeyEncryptionKey:
    """Wraps data keys with AES-256-GCM, each bound to its name; shows no material in its repr."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key-encryption key has {KEY_BYTES} bytes, not {len(key)}")
        self._sealing = AESGCM(key)

    def wrap(self, key: bytes, name: str) -> bytes:
        """The stored form of a key; only `unwrap` with the same name gives it back."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._sealing.encrypt(nonce, key, name.encode())

    def unwrap(self, wrapped: bytes, name: str) -> bytes | None:
        """The key behind its stored form; None if another key-encryption key or name wrapped it, or it was changed."""
        if len(wrapped) < _NONCE:
            return None
        try:
            return self._sealing.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], name.encode())
        except InvalidTag:
            return None

    def mark(self) -> bytes:
        """What a new key store keeps to recognise this key."""
        return self.wrap(_CHECKED, "")

    def check(self, mark: bytes, location: str) -> None:
        """Refuse a key store that another key-encryption key was used for.

        Raises:
            WrongKekError: the mark is not of this key.
        """
        if self.unwrap(mark, "") != _CHECKED:
            raise WrongKekError(
                f"AUDIT_KEK=(hidden): not the key that {location} was made with; set that one. Nothing was changed"
            )


def key_encryption_key(settings: Settings) -> KeyEncryptionKey:
    """The key-encryption key of `AUDIT_KEK`.

    Raises:
        KeySettingsError: it is not set, or not 32 bytes in base64.
    """
    if settings.audit_kek is None:
        raise KeySettingsError(
            "AUDIT_KEK is not set; personal values cannot be encrypted without it. "
            "`openssl rand -base64 32` prints a new one"
        )
    return KeyEncryptionKey(secret_bytes("AUDIT_KEK", settings.audit_kek.get_secret_value()))


def secret_bytes(name: str, text: str) -> bytes:
    """The 32 bytes that a variable or file holds in base64.

    Raises:
        KeySettingsError: it holds something else; the message does not show what.
    """
    try:
        value = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        value = None
    if value is None or len(value) != KEY_BYTES:
        found = "no base64" if value is None else f"{len(value)} bytes"
        raise KeySettingsError(f"{name}=(hidden): {KEY_BYTES} bytes in base64 are expected, this is {found}")
    return value
