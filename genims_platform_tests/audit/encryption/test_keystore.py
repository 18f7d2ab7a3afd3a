"""Key stores of both kinds: what they keep, under which key, from whom, and what is left of a destroyed key."""

import base64
import multiprocessing
import secrets
import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from genims_platform.audit.encryption.cipher import DataKey
from genims_platform.audit.encryption.errors import (
    DestructionRefusedError,
    KeyGoneError,
    KeySettingsError,
    KeyStoreCorruptError,
    KeyStoreMissingError,
    KeyStoreUnavailableError,
    WrongKekError,
)
from genims_platform.audit.encryption.kek import KeyEncryptionKey, key_encryption_key
from genims_platform.audit.encryption.keystore import KeyStore, ensure_key_store, key_store, open_key_store
from genims_platform.local.postgres import connect_postgres
from genims_platform.local.servers import LocalServers
from genims_platform.settings import Settings, load_settings
from genims_platform_tests.databases import drop_database

ANNA, BEN, CARA = "employee:EMP-000001", "staff:EMP-000001", "contact:CONT-000003"
KEK = base64.b64encode(bytes(range(32))).decode()
TWO = ("anna", "ben")


@pytest.fixture(params=["sqlite", "postgresql"])
def settings_of_keys(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Settings]:
    """Settings of a key store that does not exist yet."""
    if request.param == "sqlite":
        yield with_store(f"sqlite:///{tmp_path}/keys/audit-keys.db")
        return
    servers: LocalServers = request.getfixturevalue("servers")
    name = f"genims_t{secrets.token_hex(4)}_keys"
    with closing(connect_postgres(servers.postgres_port, servers.postgres_password)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        yield with_store(f"postgresql://genims:{servers.postgres_password}@127.0.0.1:{servers.postgres_port}/{name}")
        drop_database(connection, name)


@pytest.fixture
def store(settings_of_keys: Settings) -> Generator[KeyStore]:
    """A key store, made and empty."""
    store, made = ensure_key_store(settings_of_keys)
    assert made
    yield store
    store.close()


def with_store(uri: str, kek: str = KEK) -> Settings:
    return load_settings({"audit_keystore_uri": uri, "audit_kek": kek})


def uri_of(settings: Settings) -> str:
    assert settings.audit_keystore_uri is not None
    return settings.audit_keystore_uri.get_secret_value()


def material(settings: Settings, statement: str) -> list[tuple[object, ...]]:
    """What a person with access to the store but without the key-encryption key does to it or sees in it."""
    uri = uri_of(settings)
    if uri.startswith("sqlite"):
        with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection, connection:
            return connection.execute(statement).fetchall()
    with closing(psycopg2.connect(uri)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def test_a_person_has_one_key_in_every_process_and_after_every_start(
    store: KeyStore, settings_of_keys: Settings
) -> None:
    keys = store.get_or_create([ANNA, BEN, ANNA])

    assert set(keys) == {ANNA, BEN}
    assert keys[ANNA] != keys[BEN]
    assert store.get_or_create([BEN, CARA])[BEN] == keys[BEN]
    again = key_store(settings_of_keys)
    assert again.get_or_create([ANNA]) == {ANNA: keys[ANNA]}
    assert again.get(keys[BEN].key_id) == keys[BEN]
    assert again.health().living == 3
    assert again.get_or_create([]) == {}
    again.close()


def test_a_key_id_says_which_generation_it_is(store: KeyStore) -> None:
    random, _, generation = store.get_or_create([ANNA])[ANNA].key_id.rpartition(".")
    assert (len(random), int(random, 16) >= 0, generation) == (16, True, "1")


def test_more_keys_than_one_statement_takes(store: KeyStore) -> None:
    refs = [f"contact:CONT-{number:06}" for number in range(1, 1201)]
    keys = store.get_or_create(refs)
    assert len({key.dek for key in keys.values()}) == 1200
    assert store.get_or_create(reversed(refs)) == keys


def test_the_store_holds_no_key_in_clear(store: KeyStore, settings_of_keys: Settings) -> None:
    key = store.get_or_create([ANNA])[ANNA]
    (row,) = material(settings_of_keys, "SELECT subject_ref, key_id, wrapped FROM data_key")
    assert row[:2] == (ANNA, key.key_id)
    assert key.dek not in bytes(row[2])  # pyright: ignore[reportArgumentType]


def test_processes_that_ask_at_once_get_the_same_keys(store: KeyStore, settings_of_keys: Settings) -> None:
    refs = [f"lead:LEAD-{number:06}" for number in range(1, 301)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        asked = [(uri_of(settings_of_keys), refs), (uri_of(settings_of_keys), refs[::-1])] * 3
        answers = pool.starmap(ask, asked)
    assert all(answer == answers[0] for answer in answers)
    assert store.get_or_create(refs) == answers[0]
    assert store.health().living == 300


def ask(uri: str, refs: list[str]) -> dict[str, DataKey]:
    store = open_key_store(uri, KeyEncryptionKey(bytes(range(32))))
    return {ref: store.get_or_create([ref])[ref] for ref in refs}


def test_a_destroyed_key_is_gone_everywhere_and_its_fact_stays(store: KeyStore, settings_of_keys: Settings) -> None:
    other = key_store(settings_of_keys)
    old = other.get_or_create([ANNA, BEN])
    (wrapped,) = material(settings_of_keys, f"SELECT wrapped FROM data_key WHERE subject_ref = '{ANNA}'")[0]

    assert store.destroy(ANNA, "DSR-20261122-0001", TWO) == 1

    with pytest.raises(KeyGoneError, match=r"was destroyed at 2.*by request DSR-20261122-0001"):
        other.get(old[ANNA].key_id)
    assert store.destroy(ANNA, "DSR-20261122-0001", TWO) == 0
    new = other.get_or_create([ANNA, BEN])
    assert new[BEN] == old[BEN]
    assert new[ANNA].dek != old[ANNA].dek
    assert new[ANNA].key_id.endswith(".2")
    first, second = store.list(ANNA)
    assert (first.key_id, first.generation, first.request_id, first.approvals) == (
        old[ANNA].key_id,
        1,
        "DSR-20261122-0001",
        TWO,
    )
    assert (second.key_id, second.destroyed_at) == (new[ANNA].key_id, None)
    assert (store.health().living, store.health().destroyed) == (2, 1)
    uri = uri_of(settings_of_keys)
    if uri.startswith("sqlite"):
        folder = Path(uri.removeprefix("sqlite:///")).parent
        assert bytes(wrapped) not in b"".join(file.read_bytes() for file in folder.iterdir())  # pyright: ignore[reportArgumentType]
    other.close()


@pytest.mark.parametrize(
    ("request_id", "approvals"), [("", TWO), ("DSR-1", ()), ("DSR-1", ("anna",)), ("DSR-1", ("anna", " anna ", ""))]
)
def test_one_person_cannot_destroy_a_key(store: KeyStore, request_id: str, approvals: tuple[str, ...]) -> None:
    key = store.get_or_create([ANNA])[ANNA]
    with pytest.raises(DestructionRefusedError, match=f"{ANNA} needs a request and the approvals of two persons"):
        store.destroy(ANNA, request_id, approvals)
    assert store.get(key.key_id) == key


def test_another_kek_is_refused_and_changes_nothing(store: KeyStore, settings_of_keys: Settings) -> None:
    key = store.get_or_create([ANNA])[ANNA]
    other = with_store(uri_of(settings_of_keys), base64.b64encode(bytes(32)).decode())
    for attempt in (lambda: key_store(other).get_or_create([BEN]), lambda: ensure_key_store(other)):
        with pytest.raises(WrongKekError, match=r"AUDIT_KEK=\(hidden\): not the key that key store .* was made with"):
            attempt()
    assert store.health().living == 1
    assert key_store(settings_of_keys).get(key.key_id) == key


def test_making_a_store_again_leaves_its_keys(store: KeyStore, settings_of_keys: Settings) -> None:
    key = store.get_or_create([ANNA])[ANNA]
    again, made = ensure_key_store(settings_of_keys)
    assert not made
    assert again.get(key.key_id) == key
    again.close()


def test_a_store_is_never_made_in_passing(settings_of_keys: Settings) -> None:
    with pytest.raises(KeyStoreMissingError, match="A first one is made with: genims audit keys store"):
        key_store(settings_of_keys).get_or_create([ANNA])
    with pytest.raises(KeyStoreMissingError):
        key_store(settings_of_keys).health()


def test_material_put_under_another_person_is_refused(store: KeyStore, settings_of_keys: Settings) -> None:
    keys = store.get_or_create([ANNA, BEN])
    material(
        settings_of_keys,
        "UPDATE data_key SET wrapped = (SELECT other.wrapped FROM data_key other "
        f"WHERE other.subject_ref = '{BEN}') WHERE subject_ref = '{ANNA}' RETURNING key_id",
    )
    for attempt in (
        lambda: key_store(settings_of_keys).get_or_create([ANNA]),
        lambda: key_store(settings_of_keys).get(keys[ANNA].key_id),
    ):
        with pytest.raises(KeyStoreCorruptError, match=f"key {keys[ANNA].key_id} is not what was stored"):
            attempt()


def test_a_server_that_is_down_is_waited_for() -> None:
    store = key_store(with_store("postgresql://genims:hunter2@127.0.0.1:1/genims_audit_keys"))
    with pytest.raises(KeyStoreUnavailableError, match=r"key store genims_audit_keys at 127\.0\.0\.1:1: ") as raised:
        store.get_or_create([ANNA])
    assert "hunter2" not in str(raised.value)


def test_a_lost_connection_is_made_again(store: KeyStore, settings_of_keys: Settings) -> None:
    key = store.get_or_create([ANNA])[ANNA]
    if uri_of(settings_of_keys).startswith("sqlite"):
        path = Path(uri_of(settings_of_keys).removeprefix("sqlite:///"))
        path.rename(path.with_suffix(".away"))
        with pytest.raises(KeyStoreMissingError, match="put it back"):
            store.get_or_create([ANNA, BEN])
        assert not path.exists()
        path.with_suffix(".away").rename(path)
    else:
        material(
            settings_of_keys,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'genims-audit-keys' "
            "AND datname = current_database()",
        )
        with pytest.raises(KeyStoreUnavailableError):
            store.get_or_create([ANNA, BEN])
    assert store.get_or_create([ANNA, BEN])[ANNA] == key


def test_a_copy_put_in_place_of_the_file_is_read_anew(tmp_path: Path) -> None:
    settings = with_store(f"sqlite:///{tmp_path}/keys.db")
    store, _ = ensure_key_store(settings)
    elder = store.get_or_create([ANNA])[ANNA]
    with closing(sqlite3.connect(tmp_path / "keys.db")) as source, closing(sqlite3.connect(tmp_path / "copy")) as copy:
        source.backup(copy)
    store.get_or_create([BEN])
    for name in ("keys.db", "keys.db-wal", "keys.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "copy").rename(tmp_path / "keys.db")

    keys = store.get_or_create([ANNA, BEN])

    assert keys[ANNA] == elder
    assert key_store(settings).get_or_create([BEN])[BEN] == keys[BEN]


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be taken for one" * 40, b""])
def test_a_file_that_is_no_store_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys.db").write_bytes(content)
    store = key_store(with_store(f"sqlite:///{tmp_path}/keys.db"))
    expected = KeyStoreCorruptError if content else KeyStoreMissingError
    with pytest.raises(expected, match=f"key store {tmp_path}/keys.db: "):
        store.get_or_create([ANNA])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    settings = with_store(f"sqlite:///{tmp_path}/keys.db")
    store, _ = ensure_key_store(settings)
    store.get_or_create([f"lead:{number}" for number in range(200)])
    store.close()
    content = bytearray((tmp_path / "keys.db").read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    (tmp_path / "keys.db").write_bytes(content)
    with pytest.raises(KeyStoreCorruptError, match="restore it from a backup"):
        key_store(settings).get_or_create(["lead:0"])


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    store, _ = ensure_key_store(with_store(f"sqlite:///{tmp_path}/keys/audit.db"))
    store.get_or_create([ANNA])
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "keys").iterdir()} == {0o600}
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "AUDIT_KEYSTORE_URI is not set"),
        ({"audit_keystore_uri": "sqlite:///k"}, "AUDIT_KEK is not set"),
        ({"audit_keystore_uri": "sqlite:///", "audit_kek": KEK}, "names no file"),
        ({"audit_keystore_uri": "azurekv://vault", "audit_kek": KEK}, "'azurekv' is no kind of key store"),
        ({"audit_keystore_uri": "sqlite:///k", "audit_kek": "hunter2!"}, "32 bytes in base64 are expected, this is no"),
        ({"audit_keystore_uri": "sqlite:///k", "audit_kek": "aHVudGVyMg=="}, "this is 7 bytes"),
        (
            {"audit_keystore_uri": "postgresql://u:hunter2@127.0.0.1/genims_mes_db", "audit_kek": KEK},
            "'genims_mes_db' is the source mes; keys need a database of their own",
        ),
        ({"audit_keystore_uri": "postgresql://u:hunter2@127.0.0.1", "audit_kek": KEK}, "is no database"),
        (
            {"audit_keystore_uri": "postgresql://u:hunter2@keys.example.com/keys", "audit_kek": KEK},
            "add ?sslmode=verify-full",
        ),
        ({"audit_keystore_uri": "postgresql://u:hun%ter2@127.0.0.1/keys", "audit_kek": KEK}, "PostgreSQL understands"),
    ],
)
def test_settings_that_keep_no_keys_are_named_without_their_secrets(given: dict[str, object], message: str) -> None:
    with pytest.raises(KeySettingsError) as raised:
        key_store(load_settings(given))
    assert message in str(raised.value)
    assert "hunter2" not in str(raised.value)
    assert "hun%ter2" not in str(raised.value)


def test_a_kek_shows_nothing() -> None:
    settings = load_settings({"audit_kek": KEK})
    assert KEK not in f"{settings!r} {key_encryption_key(settings)!r}"
