"""A store of keys that is away, slow, damaged or of another key: nothing is stored in clear, nobody else waits.

Events of hcm's employees need keys, those of erp's materials do not.
"""

import base64
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from genims_platform.audit.encryption.keystore import ensure_key_store
from genims_platform.local.process import wait_until
from genims_platform.settings import load_settings
from genims_platform_tests.audit.faults.run import STALL_SECONDS
from genims_platform_tests.audit.faults.stage import Program, Stage

pytestmark = pytest.mark.fault

MATERIAL = (
    "INSERT INTO materials (material_id, material_code, material_name, material_type, base_unit_of_measure) "
    "VALUES (%(id)s, %(id)s, 'M', 'raw', 'EA')"
)
EMPLOYEE = (
    "INSERT INTO employees (employee_id, employee_number, first_name, last_name, hire_date, national_id) "
    "VALUES (%(id)s, %(id)s, 'Ada', 'Lovelace', '2020-02-29', %(secret)s)"
)


class Delivering:
    """A relay at work on a trail with a key store of its own file."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.store = stage.folder / "keys.sqlite"
        self.relay: Program = stage.relay()
        self.written: list[str] = []

    def arrived(self, key: str) -> bool:
        rows = self.stage.audit("SELECT COUNT(*) FROM system_audit_log WHERE primary_key_value = %s", (key,))
        return rows[0][0] > 0

    def arrives(self, key: str) -> None:
        try:
            wait_until(lambda: self.arrived(key), STALL_SECONDS, "")
        except TimeoutError:
            pytest.fail(f"{key} does not arrive:\n{self.relay.tail()}")

    def material(self) -> str:
        key = f"M {uuid4()}"
        self.stage.execute("erp", MATERIAL, {"id": key})
        return key

    def employee(self) -> str:
        """Somebody new, so that a key has to be made."""
        key, secret = f"E {uuid4()}", secrets.token_hex(8)
        self.written.append(secret)
        self.stage.execute("hcm", EMPLOYEE, {"id": key, "secret": secret})
        return key

    def hears(self, text: str) -> None:
        try:
            wait_until(lambda: text in self.relay.tail(20), STALL_SECONDS, "")
        except TimeoutError:
            pytest.fail(f"the relay does not say {text!r}:\n{self.relay.tail()}")

    def waits_for(self, text: str) -> str:
        """Somebody's event that cannot be stored now, while the other source goes on."""
        waiting = self.employee()
        self.hears(text)
        self.arrives(self.material())
        assert not self.arrived(waiting)
        return waiting

    def goes_on(self, waiting: str) -> None:
        self.arrives(waiting)
        self.arrives(self.employee())
        assert self.relay.running

    def assert_nothing_in_clear(self) -> None:
        for secret in self.written:
            query = "SELECT COUNT(*) FROM data_change_audit WHERE new_value LIKE %s"
            assert self.stage.audit(query, (f"%{secret}%",)) == [(0,)]


@pytest.fixture(scope="module")
def working(shared_stage: Stage) -> Generator[Delivering]:
    """The relay works through all of these tests; what they leave is checked in the end."""
    if shared_stage.broken or not shared_stage.trail:
        shared_stage.new_trail()
    made = Delivering(shared_stage)
    yield made
    shared_stage.assert_clean()
    shared_stage.stop_programs()


@pytest.fixture
def delivering(working: Delivering) -> Generator[Delivering]:
    working.arrives(working.employee())
    yield working
    assert working.relay.running, working.relay.tail()
    working.assert_nothing_in_clear()


@contextmanager
def moved_away(store: Path) -> Generator[None]:
    """The file and its log are elsewhere meanwhile."""
    files = list(store.parent.glob(f"{store.name}*"))
    away = store.parent / "away"
    away.mkdir()
    for file in files:
        file.rename(away / file.name)
    try:
        yield
    finally:
        for path in store.parent.glob(f"{store.name}*"):
            path.unlink()
        for file in files:
            (away / file.name).rename(file)
        away.rmdir()


def test_a_store_that_is_away(delivering: Delivering) -> None:
    with moved_away(delivering.store):
        waiting = delivering.waits_for("No such file or directory; put it back")
    delivering.goes_on(waiting)


def test_a_store_that_is_locked(delivering: Delivering) -> None:
    """As slow as can be: somebody holds it for longer than anybody waits."""
    with closing(sqlite3.connect(delivering.store, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        waiting = delivering.employee()
        delivering.arrives(delivering.material())
        assert not delivering.arrived(waiting)
        other.execute("ROLLBACK")
    delivering.goes_on(waiting)


def zeros(store: Path) -> None:
    store.write_bytes(bytes(8192))


def half(store: Path) -> None:
    """Its tables are there, its keys are not what they were."""
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE key_store SET mark = zeroblob(60)")


@pytest.mark.parametrize(("harm", "text"), [(zeros, "restore it from a backup"), (half, "not the key that")])
def test_a_store_that_is_damaged(delivering: Delivering, harm: Callable[[Path], None], text: str) -> None:
    copy = delivering.store.with_name("copy.sqlite")
    with closing(sqlite3.connect(delivering.store)) as whole, closing(sqlite3.connect(copy)) as target:
        whole.backup(target)
    with moved_away(delivering.store):
        shutil.copy(copy, delivering.store)
        harm(delivering.store)
        waiting = delivering.waits_for(text)
    copy.unlink()
    delivering.goes_on(waiting)


def test_a_store_of_another_key_encryption_key(delivering: Delivering) -> None:
    other = base64.b64encode(secrets.token_bytes(32)).decode()
    with moved_away(delivering.store):
        values = {**delivering.stage.values, "AUDIT_KEK": other}
        ensure_key_store(load_settings({name.lower(): value for name, value in values.items()}))[0].close()
        waiting = delivering.waits_for("not the key that")
    delivering.goes_on(waiting)


def test_a_relay_with_another_key_encryption_key_does_not_begin(working: Delivering) -> None:
    started = working.stage.relay("--standby", AUDIT_KEK=base64.b64encode(secrets.token_bytes(32)).decode())
    assert started.wait(STALL_SECONDS) == 2
    assert "AUDIT_KEK=(hidden): not the key that" in started.tail()
