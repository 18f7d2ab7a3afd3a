"""Private PostgreSQL and MySQL or MariaDB servers under `.genims/`, never the system's own services.

Everything about them is disposable. Passwords are made here and stand in `.genims/local.env` alone, which `Settings`
reads, with the variables of a local audit trail. Where the server user cannot enter the checkout (a checkout in /root),
data lies in a private folder elsewhere; `.genims/servers.json` says where.
"""

import fcntl
import hashlib
import json
import os
import pwd
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values

from genims_platform.local import audit, process
from genims_platform.local.mysql import MariaDB, MySQL
from genims_platform.local.postgres import Postgres
from genims_platform.local.process import LocalServerError
from genims_platform.local.server import USER, PrivateServer
from genims_platform.settings import LOCAL_ENV, load_settings

Engine = Literal["mariadb", "mysql"]

HOME = LOCAL_ENV.parent
ENGINES: dict[str, type[PrivateServer]] = {"postgres": Postgres, "mariadb": MariaDB, "mysql": MySQL}

# A socket's path has at most 107 bytes; the longest one here adds postgres/.s.PGSQL.12345.
_LONGEST_FOLDER = 80


@dataclass(frozen=True)
class LocalServers:
    """The two servers that `up` brought up; the passwords never appear in its repr."""

    home: Path
    engine: Engine
    postgres_port: int
    postgres_password: str = field(repr=False)
    postgres_superuser_dsn: str
    mysql_port: int
    mysql_password: str = field(repr=False)

    def environment(self) -> dict[str, str]:
        """The variables that point `Settings` at these servers, passwords included."""
        values = {
            "PG_HOST": "127.0.0.1",
            "PG_PORT": str(self.postgres_port),
            "PG_USER": USER,
            "PG_PASSWORD": self.postgres_password,
        }
        for database in ("REPORTING", "AUDIT"):
            values |= {
                f"MYSQL_{database}_HOST": "127.0.0.1",
                f"MYSQL_{database}_PORT": str(self.mysql_port),
                f"MYSQL_{database}_USER": USER,
                f"MYSQL_{database}_PASSWORD": self.mysql_password,
            }
        return values


@dataclass(frozen=True)
class ServerStatus:
    """One server as found: `healthy` means that it answered a query; `version` is then known."""

    engine: str
    version: str | None
    port: int
    pid: int | None
    healthy: bool
    data: Path


def up(engine: Engine = "mariadb", home: Path = HOME) -> LocalServers:
    """Bring up PostgreSQL and this engine, create what is missing, and point `home/local.env` at them.

    Does nothing to servers that run already. Two calls at once wait for each other.

    Raises:
        LocalServerError: a server is not installed or does not come up; the message says how to mend it.
        MySQLUnavailable: MySQL was asked for, is not installed and cannot be fetched here.
        SettingsError: a variable holds a value that cannot be used.
    """
    dagster_database = load_settings().dagster_pg_db
    with _Home.opened(home) as place:
        known = dotenv_values(place.local_env)
        passwords = (known.get("PG_PASSWORD"), known.get("MYSQL_REPORTING_PASSWORD"))
        postgres = place.server(Postgres, passwords[0] or secrets.token_urlsafe(24))
        mysql = place.server(ENGINES[engine], passwords[1] or secrets.token_urlsafe(24))
        assert isinstance(postgres, Postgres)  # noqa: S101
        servers = (postgres, mysql)
        for server, known_password in zip(servers, passwords, strict=True):
            server.ensure_running(restart=known_password is None)
            place.remember(server)
        postgres.create_database(dagster_database)
        result = LocalServers(
            place.home,
            engine,
            postgres.port,
            postgres.password,
            postgres.superuser_dsn,
            mysql.port,
            mysql.password,
        )
        # A private MySQL makes itself a certificate, MariaDB does not.
        trail = audit.audit_environment(place.home, known, tls=engine == "mysql")
        lines = [f"{name}={value}" for name, value in (result.environment() | trail).items()]
        head = f"# Written by `genims local up --engine {engine}`. Put values of your own into .env, which wins."
        process.write_private(place.local_env, "\n".join([head, *lines, ""]))
        return result


def down(home: Path = HOME) -> None:
    """Shut every server of this home down cleanly and wait until the last process is gone."""
    if not home.exists():
        return
    with _Home.opened(home) as place:
        for server in place.made():
            server.stop()


def status(home: Path = HOME) -> list[ServerStatus]:
    """What every server ever made in this home is doing now."""
    if not home.exists():
        return []
    with _Home.opened(home) as place:
        found: list[ServerStatus] = []
        for server in place.made():
            pid = server.pid
            version = server.version() if pid else None
            found.append(ServerStatus(server.engine, version, server.port, pid, version is not None, server.data))
        return found


def reset(home: Path = HOME) -> None:
    """Shut the servers of this home down and delete their data, passwords and logs."""
    down(home)
    if not home.exists():
        return
    with _Home.opened(home) as place:
        for server in place.made():
            shutil.rmtree(server.data)
            if isinstance(server, MariaDB | MySQL):
                shutil.rmtree(server.scratch, ignore_errors=True)
            server.log.unlink(missing_ok=True)
        shutil.rmtree(place.home / audit.FOLDER, ignore_errors=True)
        place.local_env.unlink(missing_ok=True)
        place.forget()


class _Home:
    """A locked `.genims` folder: where its data lies and which ports its servers had."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.local_env = home / LOCAL_ENV.name
        self.account = process.server_account()
        self._record = home / "servers.json"
        self._root = self._data_root()
        self._ports = self._recorded_ports()

    @classmethod
    @contextmanager
    def opened(cls, home: Path) -> Generator["_Home"]:
        home = home.resolve()
        home.mkdir(parents=True, exist_ok=True)
        with (home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield cls(home)

    def server(self, kind: type[PrivateServer], password: str) -> PrivateServer:
        port = self._ports.get(kind.engine) or self._first_port(kind.engine)
        return kind(self._root, self.home / f"{kind.engine}.log", port, password, self.account)

    def made(self) -> list[PrivateServer]:
        """A server for each data folder that exists."""
        known = dotenv_values(self.local_env)
        return [
            self.server(kind, known.get("PG_PASSWORD" if kind is Postgres else "MYSQL_REPORTING_PASSWORD") or "")
            for kind in ENGINES.values()
            if (self._root / kind.engine).exists()
        ]

    def remember(self, server: PrivateServer) -> None:
        """Record the port at once, so that it is known even if the next server fails."""
        self._ports[server.engine] = server.port
        self._record.write_text(json.dumps({"data": str(self._root), "ports": self._ports}, indent=2) + "\n")

    def forget(self) -> None:
        self._record.unlink(missing_ok=True)
        if self._root != self.home:
            shutil.rmtree(self._root)

    def _recorded_ports(self) -> dict[str, int]:
        try:
            return {str(name): int(port) for name, port in json.loads(self._record.read_text())["ports"].items()}
        except (OSError, ValueError, KeyError):
            return {}

    def _first_port(self, engine: str) -> int:
        """Below the range that outgoing connections take ports from, and different for each checkout."""
        number = int.from_bytes(hashlib.sha256(f"{self.home}:{engine}".encode()).digest()[:4])
        return 20000 + number % 11000

    def _data_root(self) -> Path:
        if len(os.fsencode(self.home)) <= _LONGEST_FOLDER:
            if self.account is None:
                return self.home
            self.home.chmod(0o711)  # the server user passes through; what lies in it is private by itself
            if _can_enter(self.account, self.home):
                return self.home
        key = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        root = Path("/var/lib/genims-local") / key if self.account else Path(f"/var/tmp/genims-{os.getuid()}-{key}")  # noqa: S108
        root.mkdir(mode=0o711, parents=True, exist_ok=True)
        found = root.lstat()
        if root.is_symlink() or found.st_uid != os.geteuid():
            raise LocalServerError(
                f"{root} belongs to somebody else; remove it, or move the checkout to a shorter path"
            )
        return root


def _can_enter(account: pwd.struct_passwd, folder: Path) -> bool:
    try:
        process.run_as(account, ["test", "-x", folder], Path("/"))
    except LocalServerError:
        return False
    return True
