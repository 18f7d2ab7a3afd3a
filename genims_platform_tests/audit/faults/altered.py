"""Servers of a stage that are started in another way: with a false clock, with an operator, on a disk that is full."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mysql.connector
import pytest
from mysql.connector.errorcode import ER_NO_SUCH_THREAD

from genims_platform.local import process
from genims_platform.local.mysql import COLLATION
from genims_platform.local.process import wait_until
from genims_platform.local.server import PrivateServer
from genims_platform_tests.audit.faults.stage import Stage

OPERATOR = "operator"

_LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")
_ROOMY = 2 << 30


@dataclass(frozen=True)
class Clock:
    """A clock that programs started with `variables` go by; their monotonic clocks stay right."""

    file: Path

    @property
    def variables(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(_faketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set_ahead(self, seconds: float) -> None:
        """Let it go so much before the machine's clock; running programs notice within a second or two."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{seconds:+.0f}\n")
        fresh.chmod(0o644)
        fresh.replace(self.file)


def made_clock(folder: Path, name: str) -> Clock:
    """A clock that is right."""
    clock = Clock(folder / f"{name}.clock")
    clock.set_ahead(0)
    return clock


def _faketime() -> Path:
    found = [path for pattern in _LIBRARIES for path in Path("/").glob(pattern[1:])]
    assert found, "libfaketime is not installed; run scripts/bootstrap (Debian, Ubuntu) or install faketime"
    return found[0]


def go_by(server: PrivateServer, clock: Clock, patch: pytest.MonkeyPatch) -> None:
    """Start a server again that goes by this clock."""
    usual = server.command
    variables = [f"{name}={value}" for name, value in clock.variables.items()]
    patch.setattr(server, "command", lambda: ["env", *variables, *usual()])
    again(server)


def again(server: PrivateServer) -> None:
    """End a server cleanly and start it, where its clients look for it."""
    port = server.port
    server.ensure_running(restart=True)
    assert server.port == port, f"somebody took port {port}"


class Operator:
    """An account of the audit database's server that may change its settings; for tests, nobody has one in use."""

    def __init__(self, stage: Stage, password: str | None = None) -> None:
        self._stage = stage
        self.password = password or secrets.token_urlsafe(12)

    @property
    def statements(self) -> str:
        name = f"'{OPERATOR}'@'127.0.0.1'"
        return (
            f"CREATE USER IF NOT EXISTS {name};\n"
            f"ALTER USER {name} IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {name} WITH GRANT OPTION;\n"
        )

    def connect(self, port: int | None = None) -> None:
        """Open its connection, which it keeps: when all are taken, there would be none for it."""
        self._connection = mysql.connector.connect(
            host="127.0.0.1",
            port=port or self._stage.mysql.port,
            user=OPERATOR,
            password=self.password,
            collation=COLLATION,
            connection_timeout=5,
            autocommit=True,
        )

    def close(self) -> None:
        self._connection.close()

    def run(self, statement: str, parameters: tuple[str, ...] = ()) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()

    def end_sessions(self, user: str) -> None:
        """Kill all connections of an account."""
        for (number,) in self.run("SELECT id FROM information_schema.processlist WHERE user = %s", (user,)):
            try:
                self.run(f"KILL {number}")
            except mysql.connector.Error as error:
                if error.errno != ER_NO_SUCH_THREAD:
                    raise


@contextmanager
def operated(stage: Stage) -> Generator[Operator]:
    """The stage with an operator for its audit database's server, which is started again for that."""
    operator = Operator(stage)
    server = stage.mysql
    usual = server.prepare
    accounts = server.root / f"{server.engine}-accounts.sql"

    def prepare() -> None:
        usual()
        process.write_private(accounts, accounts.read_text() + operator.statements, server.account)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "prepare", prepare)
        again(server)
    operator.connect()
    try:
        yield operator
    finally:
        operator.run(f"DROP USER '{OPERATOR}'@'127.0.0.1'")
        operator.close()


@dataclass(frozen=True)
class Disk:
    """A file system in memory; mounted over an empty folder."""

    folder: Path

    def mount(self) -> None:
        _run("mount", "-t", "tmpfs", "-o", f"size={_ROOMY}", "genims-test", self.folder)

    def unmount(self) -> None:
        _run("umount", self.folder)

    def fill(self) -> None:
        """Leave no room for anything more."""
        wait_until(self._shrunk, 20, f"{self.folder} grows")

    def clear(self) -> None:
        """Make room again, as an administrator does."""
        self._resize(_ROOMY)

    def _shrunk(self) -> bool:
        found = os.statvfs(self.folder)
        # Refused if more was written meanwhile.
        with suppress(AssertionError):
            self._resize((found.f_blocks - found.f_bfree) * found.f_frsize)
            return True
        return False

    def _resize(self, size: int) -> None:
        _run("mount", "-o", f"remount,size={size}", self.folder)


@contextmanager
def disk_of_its_own(server: PrivateServer, folder: Path) -> Generator[Disk]:
    """A folder of a server's data on a file system of its own; the server is started again for that."""
    server.stop()
    disk = Disk(folder)
    aside = server.root / f"{folder.name}.aside"  # a server would find its files twice in its own folder
    folder.rename(aside)
    folder.mkdir()
    disk.mount()
    try:
        _copy(aside, folder)
        again(server)
        yield disk
        disk.clear()
    finally:
        server.stop()
        shutil.rmtree(aside)
        aside.mkdir()
        _copy(folder, aside)
        disk.unmount()
        folder.rmdir()
        aside.rename(folder)
        again(server)


def _copy(whole: Path, target: Path) -> None:
    """Copy with owners and rights, the folder itself included; in holes there would be no room for a page."""
    _run("cp", "-a", "--sparse=never", f"{whole}/.", target)


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stderr}"


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
