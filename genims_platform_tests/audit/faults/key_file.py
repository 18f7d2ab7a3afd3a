"""Data keys read from the key store's file, without its code: AES-256-GCM, bound to the key's id and its person."""

import sqlite3
from contextlib import closing

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def data_keys(store: str, key_encryption_key: bytes) -> dict[str, bytes]:
    """Every living data key by its id."""
    opened = AESGCM(key_encryption_key)
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT key_id, subject_ref, wrapped FROM data_key WHERE wrapped IS NOT NULL")
        return {
            key_id: opened.decrypt(wrapped[:12], wrapped[12:], f"{key_id} {person}".encode())
            for key_id, person, wrapped in rows
        }
