"""Captured changes that a real relay delivered and a real sealer signed: nothing to find, also after a new key."""

import secrets
import shutil
from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from genims_platform.audit.encryption.cipher import Place, decrypt, stored_key_id
from genims_platform.audit.encryption.errors import KeyGoneError
from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.sealer.sealer import Sealer
from genims_platform.audit.sealer.signing import add_public_key, new_signing_key
from genims_platform.audit.verify.verifier import Scope, verify
from genims_platform.local.servers import Engine, LocalServers
from genims_platform.settings import Settings
from genims_platform.sources.catalogue import catalogue
from genims_platform_tests.audit.capture.captured import Captured
from genims_platform_tests.audit.relay.trail import Trail, made_trail


@pytest.fixture
def whole(
    settings: Settings, engine: Engine, servers: LocalServers, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Trail]:
    folder = tmp_path_factory.mktemp("whole")
    with made_trail(settings, engine, servers, folder, ("crm", "hcm", "erp")) as trail:
        yield trail


def with_checkpoints(settings: Settings, home: Path) -> Settings:
    (home / "worm").mkdir()
    key = new_signing_key(home / "signing.key")
    add_public_key(home / "public", key.public)
    return settings.model_copy(
        update={
            "audit_worm_uri": (home / "worm").as_uri(),
            "audit_signing_key_file": home / "signing.key",
            "audit_public_keys_file": home / "public",
        }
    )


WRITES = {
    "crm": (
        "UPDATE accounts SET credit_limit = 250.00",
        "UPDATE contacts SET phone = NULL, last_name = 'C'",
        "DELETE FROM contacts",
    ),
    "hcm": ("UPDATE employees SET annual_salary = 1300000",),
    "erp": ("UPDATE materials SET standard_cost = 13, last_purchase_price = 7", "DELETE FROM materials"),
}
ROWS = {
    "crm": {
        "accounts": {"credit_limit": 100.10},
        "contacts": {"phone": "1", "last_name": "B"},
    },
    "hcm": {"employees": {"annual_salary": 1250000}},
    "erp": {"materials": {"standard_cost": 12.5}},
}


def insert(source: Captured, table: str, values: Mapping[str, object]) -> None:
    """A row with these values, and something in every column that needs a value."""
    columns = catalogue()[source.source][table].columns
    row = {column.name: _something(column.type) for column in columns if column.not_null} | dict(values)
    names, marks = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    source.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", row)


def _something(kind: str) -> object:
    if kind.startswith(("varchar", "text", "char")):
        return "X"
    if kind.startswith(("date", "timestamp")):
        return "2026-11-22"
    return True if kind == "boolean" else 1


def test_nothing_to_find(whole: Trail, tmp_path: Path) -> None:
    for source, statements in WRITES.items():
        for table, values in ROWS[source].items():
            insert(whole.sources[source], table, values)
        for statement in statements:
            whole.sources[source].execute(statement)
    whole.deliver()
    settings = with_checkpoints(whole.settings, tmp_path)
    pinned = tmp_path / secrets.token_hex(4)
    shutil.copy(tmp_path / "public", pinned)
    with closing(Sealer(settings)) as sealer:
        assert sealer.seal_once()
        sealer.rotate()
        whole.sources["crm"].execute("UPDATE accounts SET credit_limit = 300.00")
        whole.deliver()
        assert sealer.seal_once()
    # The verifier's own copy of the keys knows only the first one.
    done = verify(settings.model_copy(update={"audit_public_keys_file": pinned}), Scope("full"), processes=2)
    assert done.findings == ()
    assert done.not_testable == ()
    assert done.rows > 50


def test_a_person_becomes_unreadable_and_no_hash_is_broken(whole: Trail, tmp_path: Path) -> None:
    insert(whole.sources["hcm"], "employees", {"employee_id": "GONE", "employee_number": "GONE", "annual_salary": 1})
    whole.sources["hcm"].execute("UPDATE employees SET annual_salary = 987654.25 WHERE employee_id = 'GONE'")
    whole.deliver()
    settings = with_checkpoints(whole.settings, tmp_path)
    find = (
        "SELECT l.event_id, l.incarnation, c.subject_ref, c.new_value FROM data_change_audit c JOIN system_audit_log l "
        "ON l.audit_sequence = c.audit_sequence WHERE c.primary_key_value = 'GONE' AND c.column_name = 'annual_salary'"
    )
    ((event, incarnation, person, stored),) = whole.query(find)
    place = Place("hcm", incarnation, event, "annual_salary", "n")
    with closing(Sealer(settings)) as sealer, closing(key_store(settings)) as keys:
        assert sealer.seal_once()
        assert decrypt(keys.get(stored_key_id(stored)), person, place, stored) == ("n", "987654.25")

        assert keys.destroy(person, "DSR-20261122-0001", ("anna", "ben")) == 1

        with pytest.raises(KeyGoneError):
            keys.get(stored_key_id(stored))
    assert whole.query(find) == [(event, incarnation, person, stored)]
    assert verify(settings, Scope("full"), processes=2).findings == ()
