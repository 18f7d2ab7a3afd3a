"""Real database servers for the tests, kept apart from the developer's own, and databases of this session's own."""

import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import cast, get_args

import pytest

from genims_platform.local import servers as local_servers
from genims_platform.local.mysql import connect_mysql
from genims_platform.local.postgres import connect_postgres
from genims_platform.local.servers import Engine, LocalServers
from genims_platform.settings import PROJECT_ROOT, SOURCE_NAMES, Settings, load_settings
from genims_platform_tests.databases import drop_database
from genims_platform_tests.factory_group import factory, reporting

__all__ = ["factory", "reporting"]  # fixtures

DISK_HOME = PROJECT_ROOT / ".genims" / "test"
MEMORY = Path("/dev/shm")  # noqa: S108
SERVERS_GIB, LEFT_GIB = 4, 2
"""Memory that the servers of sessions may fill, and that has to stay for everything else."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--engine", choices=get_args(Engine), default="mariadb", help="server for reporting and audit")
    parser.addoption(
        "--soak", metavar="TIME", help="a load on the audit trail for this time (90s, 30m, 8h), and long faults"
    )


def pytest_configure() -> None:
    """Cut the tests off from the developer's environment and files."""
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)
    Settings.model_config["env_file"] = None


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> Engine:
    return cast("Engine", pytestconfig.getoption("--engine"))


def home() -> Path:
    """The folder of the test servers: in memory where there is room, else in the checkout.

    Each audit database has 120 tables, indexes, partitions and triggers, and a server waits for the disk at every one
    of them: 10 s instead of 1 s. A server that is killed loses no more in memory than it would on a disk.

    Processes that share the tests have servers of their own: roles belong to a whole server, and capture records what
    anybody does to them.
    """
    process = os.environ.get("PYTEST_XDIST_WORKER", "")
    key = hashlib.sha256(f"{os.getuid()}:{PROJECT_ROOT}:{process}".encode()).hexdigest()[:12]
    place = MEMORY / f"genims-test-{key}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        own = not place.is_symlink() and place.stat().st_uid == os.getuid()
        if own and ((place / "servers.json").exists() or _has_room()):
            return place
    except OSError:
        pass
    return DISK_HOME / process


def _has_room() -> bool:
    (available,) = re.findall(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    free = min(shutil.disk_usage(MEMORY).free, int(available) * 1024 - (LEFT_GIB << 30))
    return free > SERVERS_GIB << 30


@pytest.fixture(scope="session")
def servers(engine: Engine) -> Generator[LocalServers]:
    """Private servers, shared with other test sessions; they go with the last one unless GENIMS_KEEP_SERVERS=1."""
    place = home()
    place.mkdir(parents=True, exist_ok=True)
    with (place / "sessions.lock").open("w") as sessions:
        fcntl.flock(sessions, fcntl.LOCK_SH)
        yield local_servers.up(engine, place)
        if os.environ.get("GENIMS_KEEP_SERVERS") == "1":
            return
        try:
            fcntl.flock(sessions, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another session still uses them
            return
        local_servers.reset(place)


@pytest.fixture(scope="session")
def settings_environment(servers: LocalServers) -> Generator[dict[str, str]]:
    """The variables behind `settings`, for commands that are run as processes of their own."""
    prefix = f"genims_t{secrets.token_hex(4)}_"
    databases = {f"PG_{name.upper()}_DB": f"{prefix}{name}" for name in SOURCE_NAMES}
    databases |= {"MYSQL_REPORTING_DB": f"{prefix}reporting", "MYSQL_AUDIT_DB": f"{prefix}audit"}
    databases |= {"DAGSTER_PG_DB": f"{prefix}dagster"}
    yield servers.environment() | databases
    _drop_databases(servers, prefix)


@pytest.fixture(scope="session")
def settings(settings_environment: dict[str, str]) -> Settings:
    """Settings of the test servers. No database in them exists yet; any `genims_t…_` one is dropped at the end."""
    return load_settings({name.lower(): value for name, value in settings_environment.items()})


def _drop_databases(servers: LocalServers, prefix: str) -> None:
    pattern = prefix.replace("_", r"\_") + "%"
    with closing(connect_postgres(servers.postgres_port, servers.postgres_password)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", (pattern,))
            for (name,) in cursor.fetchall():
                drop_database(connection, name)
    with (
        closing(connect_mysql(servers.mysql_port, servers.mysql_password)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE %s", (pattern,))
        for (name,) in cast("list[tuple[str]]", cursor.fetchall()):
            cursor.execute(f"DROP DATABASE `{name}`")
