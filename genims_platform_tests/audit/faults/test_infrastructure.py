"""Servers that run but accept nothing: applications go on, the relay says what it waits for and resumes alone."""

from collections.abc import Callable, Generator
from contextlib import closing, suppress

import psycopg2
import pytest
from psycopg2 import errors

from genims_platform.local.mysql import connect_mysql
from genims_platform.local.process import wait_until
from genims_platform_tests.audit.faults.altered import Disk, Operator, disk_of_its_own, needs_root, operated
from genims_platform_tests.audit.faults.run import STALL_SECONDS, Run, attacked
from genims_platform_tests.audit.faults.stage import Stage

pytestmark = pytest.mark.fault

RATE = 6
"""Transactions a second of the applications."""

MORE = (
    "INSERT INTO materials (material_id, material_code, material_name, material_type, base_unit_of_measure) "
    "SELECT k, k, 'M', 'raw', 'EA' FROM (SELECT %(name)s || n AS k FROM generate_series(1, %(rows)s) n) keys"
)


def waits(run: Run, code: int, *others: str) -> None:
    """Until the relay says that it waits because of this error, or in other words."""
    said = (f"(code {code})", f": {code} (", *others)

    def heard() -> bool:
        text = run.relay.tail(20)
        return "waiting:" in text and any(words in text for words in said)

    try:
        wait_until(heard, STALL_SECONDS, "")
    except TimeoutError:
        pytest.fail(f"the relay does not say that it waits because of {said}:\n{run.relay.tail()}")


def survive(stage: Stage, harm: Callable[[Run], None], seed: int) -> None:
    """A relay that is never started again delivers everything, though this happens; applications notice nothing."""
    with attacked(stage, seed, rate=RATE) as run:
        relay = run.relay
        harm(run)
        run.progress(2)
        assert run.relay is relay
        assert relay.running
    verdict = stage.assert_clean()
    assert verdict["delivered"] >= verdict["events"] > 0
    assert run.outcomes().keys() <= {"ok", "rolled back"}


@pytest.fixture
def operator(trail: Stage) -> Generator[Operator]:
    with operated(trail) as found:
        yield found


def test_a_server_that_is_set_read_only(trail: Stage, operator: Operator) -> None:
    names = ("read_only", "super_read_only") if trail.engine == "mysql" else ("read_only",)

    def harm(run: Run) -> None:
        for name in names:
            operator.run(f"SET GLOBAL {name} = 1")
            try:
                waits(run, 1290)
            finally:
                operator.run("SET GLOBAL read_only = 0")
            run.progress(2)

    survive(trail, harm, seed=11)


def test_a_server_without_a_free_connection(trail: Stage, operator: Operator) -> None:
    ((limit,),) = trail.audit("SELECT @@GLOBAL.max_connections")

    def harm(run: Run) -> None:
        taken = [connect_mysql(trail.mysql.port, trail.mysql.password) for _ in range(10)]
        operator.run("SET GLOBAL max_connections = 10")
        try:
            operator.end_sessions(trail.settings.mysql_audit_relay_user)
            waits(run, 1040)
        finally:
            operator.run(f"SET GLOBAL max_connections = {limit}")
        for connection in taken:
            connection.close()

    survive(trail, harm, seed=12)


@pytest.fixture
def audit_disk(trail: Stage) -> Generator[Disk]:
    with disk_of_its_own(trail.mysql, trail.mysql.data / trail.values["MYSQL_AUDIT_DB"]) as disk:
        yield disk


@needs_root
def test_a_server_whose_disk_is_full(trail: Stage, audit_disk: Disk) -> None:
    def harm(run: Run) -> None:
        audit_disk.fill()
        # What is reserved already must be used up first.
        trail.execute("erp", MORE, {"name": f"full {trail.trail} ", "rows": 1500})
        # MariaDB may give up altogether: to roll back it may need room itself.
        waits(run, 1114, "Lost connection", "connection refused")
        audit_disk.clear()
        trail.restart_servers()

    survive(trail, harm, seed=14)


@pytest.fixture
def source_disk(trail: Stage) -> Generator[Disk]:
    with closing(psycopg2.connect(trail.postgres.superuser_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT oid FROM pg_database WHERE datname = %s", (trail.values["PG_ERP_DB"],))
        ((number,),) = cursor.fetchall()
    with disk_of_its_own(trail.postgres, trail.postgres.data / "base" / str(number)) as disk:
        yield disk


@needs_root
def test_a_source_whose_disk_is_full(trail: Stage, source_disk: Disk) -> None:
    """A write that could not be recorded fails; what was acknowledged is there and arrives."""

    def is_full() -> bool:
        with suppress(errors.DiskFull):
            trail.execute("erp", MORE, {"name": f"room {trail.trail} {run.head()} ", "rows": 500})
            return False
        return True

    with attacked(trail, 15, rate=RATE) as run:
        relay = run.relay
        source_disk.fill()
        wait_until(is_full, STALL_SECONDS, "the source still has room")
        # The other sources are on another disk.
        run.progress(2)
        source_disk.clear()
        trail.execute("erp", MORE, {"name": f"after {trail.trail} ", "rows": 1})
        run.progress(2)
        assert run.relay is relay
        assert relay.running
    trail.assert_clean()
