"""The store of persons' keys, each wrapped by the key-encryption key; never in the audit database itself."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import psycopg2
from psycopg2.extensions import parse_dsn

from genims_platform.audit.encryption.cipher import DataKey
from genims_platform.audit.encryption.errors import KeySettingsError
from genims_platform.audit.encryption.kek import KeyEncryptionKey, key_encryption_key
from genims_platform.audit.encryption.postgres_store import PostgresKeyStore, create_postgres_store
from genims_platform.audit.encryption.sqlite_store import SQLiteKeyStore, create_sqlite_store
from genims_platform.audit.encryption.stored_keys import KeyFacts, KeyStoreHealth
from genims_platform.settings import SOURCE_NAMES, Settings

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class KeyStore(Protocol):
    """Where the keys of persons are kept; see `StoredKeys` for the errors of every method."""

    @property
    def location(self) -> str:
        """Where the store is, safe to print."""
        ...

    def get_or_create(self, refs: Iterable[str]) -> Mapping[str, DataKey]:
        """The living key of each person (`type:id`); one that is made now is durable before this returns."""
        ...

    def get(self, key_id: str) -> DataKey:
        """The key of this id; `KeyGoneError` if it was destroyed."""
        ...

    def destroy(self, subject_ref: str, request_id: str, approvals: Collection[str]) -> int:
        """Erase the material of a person's key for good; how many keys were destroyed now."""
        ...

    def list(self, subject_ref: str) -> Sequence[KeyFacts]:
        """All keys that a person ever had, oldest first."""
        ...

    def health(self) -> KeyStoreHealth:
        """Reach the store and count its keys."""
        ...

    def close(self) -> None:
        """Close the connection; the next call opens one again."""
        ...


def key_store(settings: Settings) -> KeyStore:
    """The key store of `AUDIT_KEYSTORE_URI` under `AUDIT_KEK`; not reached yet.

    Raises:
        KeySettingsError: a variable is missing or names something that cannot keep keys.
    """
    return open_key_store(_uri(settings), key_encryption_key(settings))


def ensure_key_store(settings: Settings) -> tuple[KeyStore, bool]:
    """The key store of the settings, and whether it was made now; one that exists is not touched.

    Raises:
        KeySettingsError: a variable is missing or names something that cannot keep keys.
        KeyStoreUnavailableError: it cannot be made or reached.
        WrongKekError: it was made with another key-encryption key.
    """
    uri, kek = _uri(settings), key_encryption_key(settings)
    made = create_sqlite_store(_path(uri), kek) if uri.startswith(_SQLITE) else create_postgres_store(uri, kek)
    store = open_key_store(uri, kek)
    store.health()
    return store, made


def open_key_store(uri: str, kek: KeyEncryptionKey) -> KeyStore:
    """The key store at `sqlite:///relative`, `sqlite:////absolute` or `postgresql://…`; reached by its first use.

    Raises:
        KeySettingsError: no such address.
    """
    if uri.startswith(_SQLITE):
        return SQLiteKeyStore(_path(uri), kek)
    if uri.startswith(_POSTGRES):
        return PostgresKeyStore(uri, kek)
    raise KeySettingsError(
        f"AUDIT_KEYSTORE_URI=(hidden): {uri.partition(':')[0]!r} is no kind of key store; expected is "
        "sqlite:///file or postgresql://user:password@host/genims_audit_keys"
    )


def _path(uri: str) -> Path:
    path = uri.removeprefix(_SQLITE)
    if not path or path.endswith("/"):
        raise KeySettingsError("AUDIT_KEYSTORE_URI=(hidden): the address names no file")
    return Path(path)


def _uri(settings: Settings) -> str:
    if settings.audit_keystore_uri is None:
        raise KeySettingsError(
            "AUDIT_KEYSTORE_URI is not set; personal values cannot be encrypted without a store of keys, such as "
            "sqlite:////var/lib/genims/audit-keys.db"
        )
    uri = settings.audit_keystore_uri.get_secret_value()
    if uri.startswith(_POSTGRES):
        _check_postgres(uri, settings)
    return uri


def _check_postgres(uri: str, settings: Settings) -> None:
    try:
        parts = parse_dsn(uri)
    except psycopg2.ProgrammingError:
        raise KeySettingsError(
            "AUDIT_KEYSTORE_URI=(hidden): no address that PostgreSQL understands; characters such as @ / : % in a "
            "password are written as %40 %2F %3A %25"
        ) from None
    database = parts.get("dbname", "")
    taken = {settings.source_database(name): f"the source {name}" for name in SOURCE_NAMES}
    taken |= {settings.dagster_pg_db: "Dagster's storage", "": "no database", "postgres": "the server's own"}
    if database in taken:
        raise KeySettingsError(
            f"AUDIT_KEYSTORE_URI=(hidden): {database!r} is {taken[database]}; keys need a database of their own"
        )
    host = parts.get("host", "")
    if host and not host.startswith("/") and host not in _LOOPBACK and parts.get("sslmode") != "verify-full":
        raise KeySettingsError(
            f"AUDIT_KEYSTORE_URI=(hidden): keys travel to {host} only over verified TLS: add ?sslmode=verify-full"
        )
