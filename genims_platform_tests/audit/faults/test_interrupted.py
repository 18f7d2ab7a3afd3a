"""Work that is cut short: capture that is installed or removed, and checkpoints between their place and their table."""

import signal
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from genims_platform.audit.capture.check import check
from genims_platform.audit.capture.install import install
from genims_platform.audit.capture.uninstall import uninstall
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.sealer.errors import CheckpointStoreUnavailableError
from genims_platform.local.mysql import connect_mysql
from genims_platform.local.process import wait_until
from genims_platform.settings import Settings, load_settings
from genims_platform.sources import schema
from genims_platform.sources.connection import connect
from genims_platform_tests.audit.faults.altered import Disk, needs_root
from genims_platform_tests.audit.faults.checkpoints import Checkpoints
from genims_platform_tests.audit.faults.run import STALL_SECONDS
from genims_platform_tests.audit.faults.stage import Stage

pytestmark = pytest.mark.fault

SOURCE = "mes"
TABLE = "labor_transactions"
TRIGGERS = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'zz_audit_%' AND tgenabled = 'A'"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class Source:
    """A source of the stage that no trail delivers, with the account that installs capture in it."""

    def __init__(self, stage: Stage, account: dict[str, str]) -> None:
        self.stage = stage
        self.variables = {f"PG_{SOURCE.upper()}_DB": f"genims_fault_{SOURCE}", **account}

    @property
    def settings(self) -> Settings:
        return load_settings({name.lower(): value for name, value in {**self.stage.values, **self.variables}.items()})

    def value(self, query: str) -> object:
        """What a superuser reads; a session that waits for a lock is not counted as one of his."""
        with (
            closing(
                psycopg2.connect(self.stage.postgres.superuser_dsn, dbname=self.variables["PG_MES_DB"])
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(query)
            ((value,),) = cursor.fetchall()
            return value

    def faults(self) -> list[str]:
        """What is wrong with capture; the account that installed it in other sources is none of that."""
        return [fault.message for fault in check(self.settings, SOURCE).findings if fault.kind != "owner_member"]

    def kill_amid(self, command: str) -> None:
        """Run a command that comes to a table which somebody writes to, and kill it there."""
        with closing(connect(self.settings.source_primary(SOURCE))) as writer, writer.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {TABLE} IN ROW EXCLUSIVE MODE")
            program = self.stage.genims("audit", command, "--source", SOURCE, **self.variables)
            wait_until(
                lambda: self.value(WAITING) == 1 or not program.running, STALL_SECONDS, f"{command} comes to no lock"
            )
            assert program.running, program.tail()
            program.kill()
        wait_until(lambda: self.value(SESSIONS) == 0, STALL_SECONDS, f"the session of {command} lives on")


@pytest.fixture(params=["superuser", "owner"])
def source(trail: Stage, request: pytest.FixtureRequest) -> Generator[Source]:
    role = "fault_installer"
    account = {"AUDIT_PG_INSTALL_USER": role, "AUDIT_PG_INSTALL_PASSWORD": "strong"}
    made = Source(trail, account if request.param == "superuser" else {})
    with closing(psycopg2.connect(trail.postgres.superuser_dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'strong'")
            schema.create(made.settings, [SOURCE])
            yield made
            cursor.execute(f"DROP DATABASE {made.variables['PG_MES_DB']} WITH (FORCE)")
            cursor.execute(f"REASSIGN OWNED BY {role} TO postgres")
            cursor.execute(f"DROP OWNED BY {role}")
            cursor.execute(f"DROP ROLE {role}")


def test_capture_is_there_or_not_whenever_work_on_it_is_killed(source: Source) -> None:
    triggers = 3 * len(audit_policy().audited(SOURCE))
    state = "SELECT to_regnamespace('audit') IS NULL"

    source.kill_amid("install")
    assert source.value(state)
    assert source.value(TRIGGERS) == 0
    assert install(source.settings, SOURCE).changed
    assert not install(source.settings, SOURCE).changed
    assert source.value(TRIGGERS) == triggers

    with closing(connect(source.settings.source_primary(SOURCE))) as owner, owner, owner.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {TABLE} DISABLE TRIGGER zz_audit_upd")
    before = source.faults()
    assert before
    source.kill_amid("install")
    assert source.faults() == before
    assert source.value(TRIGGERS) == triggers - 1
    assert install(source.settings, SOURCE).changed

    source.kill_amid("uninstall")
    assert source.value(TRIGGERS) == triggers
    assert source.faults() == []
    assert uninstall(source.settings, SOURCE).changed
    assert not uninstall(source.settings, SOURCE).changed
    assert source.value(TRIGGERS) == 0


@pytest.fixture
def checkpoints(trail: Stage, tmp_path: Path) -> Generator[Checkpoints]:
    trail.new_trail()
    yield Checkpoints(trail, tmp_path)
    trail.broken = True  # its checkpoints lie in a folder that goes


def test_a_sealer_that_is_killed_before_it_records_its_checkpoint(trail: Stage, checkpoints: Checkpoints) -> None:
    assert checkpoints.sealer.seal_once() is not None
    checkpoints.happens()
    with closing(connect_mysql(trail.mysql.port, trail.mysql.password)) as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLES {trail.values['MYSQL_AUDIT_DB']}.audit_sequence_manager READ")
        sealer = checkpoints.command("seal")
        wait_until(lambda: len(list(checkpoints.worm.rglob("cp-*"))) == 2, STALL_SECONDS, sealer.tail())
        sealer.send(signal.SIGKILL)
        sealer.process.wait()
    assert checkpoints.copies() == [1]
    assert checkpoints.sealer.seal_once() is None
    assert checkpoints.copies() == checkpoints.numbers() == [1, 2]
    assert checkpoints.sealer.rotate() is not None
    assert checkpoints.copies() == checkpoints.numbers() == [1, 2, 3]
    verified = checkpoints.command("verify", "--scope", "full")
    assert verified.wait(STALL_SECONDS) == 0, verified.tail()


@needs_root
def test_a_full_place_of_checkpoints(checkpoints: Checkpoints) -> None:
    disk = Disk(checkpoints.worm)
    disk.mount()
    try:
        assert checkpoints.sealer.seal_once() is not None
        checkpoints.happens()
        disk.fill()
        for _ in range(2):
            with pytest.raises(CheckpointStoreUnavailableError, match="No space left on device"):
                checkpoints.sealer.seal_once()
        assert checkpoints.copies() == checkpoints.numbers() == [1]
        disk.clear()
        assert checkpoints.sealer.seal_once() is not None
        assert checkpoints.copies() == checkpoints.numbers() == [1, 2]
    finally:
        disk.unmount()
