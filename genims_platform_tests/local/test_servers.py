import os
import signal
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import get_args

import psycopg2
import pytest
from dotenv import dotenv_values

from genims_platform.audit.encryption.kek import secret_bytes
from genims_platform.local import servers as local_servers
from genims_platform.local.audit import audit_environment
from genims_platform.local.mysql import connect_mysql
from genims_platform.local.process import LocalServerError, main_process
from genims_platform.local.servers import Engine, LocalServers
from genims_platform.settings import AuditRole, load_settings


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    home = tmp_path_factory.mktemp("genims")
    yield home
    local_servers.reset(home)


@pytest.fixture
def running(engine: Engine, home: Path) -> LocalServers:
    return local_servers.up(engine, home)


def test_up_twice_changes_nothing(engine: Engine, home: Path, running: LocalServers) -> None:
    before = local_servers.status(home)
    assert [server.healthy for server in before] == [True, True]
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(local_servers.up, engine, home) for _ in range(2)]
        assert [call.result() for call in calls] == [running, running]
    assert local_servers.status(home) == before


def test_killed_servers_come_back_with_their_data(engine: Engine, home: Path, running: LocalServers) -> None:
    with closing(psycopg2.connect(running.postgres_superuser_dsn)) as postgres, postgres, postgres.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with closing(connect_mysql(running.mysql_port, running.mysql_password)) as mysql, mysql.cursor() as cursor:
        cursor.execute("CREATE DATABASE genims_kept")
        cursor.execute("CREATE TABLE genims_kept.kept AS SELECT 42 AS answer")
    for server in local_servers.status(home):
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
    assert local_servers.up(engine, home) == running
    with closing(psycopg2.connect(running.postgres_superuser_dsn)) as postgres, postgres.cursor() as cursor:
        cursor.execute("SELECT answer FROM kept")
        assert cursor.fetchall() == [(42,)]
    with closing(connect_mysql(running.mysql_port, running.mysql_password)) as mysql, mysql.cursor() as cursor:
        cursor.execute("SELECT answer FROM genims_kept.kept")
        assert cursor.fetchall() == [(42,)]


def test_passwords_stand_in_one_private_file_only(home: Path, running: LocalServers) -> None:
    secrets = {running.postgres_password, running.mysql_password}
    command_lines = "".join(
        (Path("/proc") / str(server.pid) / "cmdline").read_text() for server in local_servers.status(home)
    )
    assert not any(secret in command_lines or secret in repr(running) for secret in secrets)
    local_env = home / "local.env"
    assert local_env.stat().st_mode & 0o777 == 0o600
    small_files = [path for path in home.rglob("*") if path.is_file() and path.stat().st_size < 1_000_000]
    holding = [path for path in small_files if any(secret.encode() in path.read_bytes() for secret in secrets)]
    assert holding == [local_env]


def test_secrets_of_the_audit_trail_are_made_once(engine: Engine, home: Path, running: LocalServers) -> None:
    before = dotenv_values(home / "local.env")
    assert local_servers.up(engine, home) == running
    assert dotenv_values(home / "local.env") == before

    passwords = [str(before[f"MYSQL_AUDIT_{role.upper()}_PASSWORD"]) for role in get_args(AuditRole)]
    made = {*passwords, before["AUDIT_PG_RELAY_PASSWORD"], running.mysql_password, running.postgres_password}
    assert len(made) == len(passwords) + 3
    assert before["AUDIT_INSECURE"] == ("1" if engine == "mariadb" else "0")
    assert {path.stat().st_mode & 0o777 for path in (home / "audit").rglob("*") if path.is_dir()} == {0o700}


def test_another_key_encryption_key_gets_another_key_store(tmp_path: Path) -> None:
    first = audit_environment(tmp_path, {}, tls=False)
    second = audit_environment(tmp_path, first, tls=True)
    lost = audit_environment(tmp_path, {}, tls=True)
    assert second == {**first, "AUDIT_INSECURE": "0"}
    assert lost["AUDIT_KEYSTORE_URI"] != first["AUDIT_KEYSTORE_URI"]
    settings = load_settings({name.lower(): value for name, value in first.items()})
    assert len(secret_bytes("AUDIT_KEK", first["AUDIT_KEK"])) == 32
    assert settings.audit_worm_uri == (tmp_path / "audit" / "checkpoints").as_uri()


def test_a_lost_password_file_is_made_anew(engine: Engine, home: Path, running: LocalServers) -> None:
    (home / "local.env").unlink()
    again = local_servers.up(engine, home)
    assert again.postgres_password != running.postgres_password
    assert [server.healthy for server in local_servers.status(home)] == [True, True]


def test_down_leaves_no_process_and_up_keeps_the_ports(engine: Engine, home: Path, running: LocalServers) -> None:
    local_servers.down(home)
    after = local_servers.status(home)
    assert [(server.pid, server.healthy, main_process(server.data)) for server in after] == [(None, False, None)] * 2
    assert local_servers.up(engine, home) == running


@pytest.mark.usefixtures("running")
def test_a_server_that_cannot_start_says_why(engine: Engine, home: Path) -> None:
    local_servers.down(home)
    version_file = next(server.data for server in local_servers.status(home)) / "PG_VERSION"
    version = version_file.read_text()
    version_file.write_text("7\n")
    with pytest.raises(LocalServerError, match=r"made by PostgreSQL 7, which is not installed.*reset"):
        local_servers.up(engine, home)
    version_file.write_text(version)


@pytest.mark.usefixtures("running")
def test_reset_deletes_data_and_passwords(home: Path) -> None:
    local_servers.reset(home)
    assert local_servers.status(home) == []
    assert sorted(path.name for path in home.iterdir()) == ["lock"]
