"""The private PostgreSQL server: the 13 sources and Dagster's storage on a laptop or in CI."""

import os
import pwd
import re
import shutil
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import encrypt_password

from genims_platform.local import process
from genims_platform.local.process import LocalServerError
from genims_platform.local.server import USER, PrivateServer

SUPERUSER = "postgres"

_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "jit": "off",
    # Local data is disposable: this may lose it when the machine crashes, but not when a server process is killed.
    # (synchronous_commit=off would lose the last commits even then, and gains little without fsync.)
    "fsync": "off",
    "max_wal_size": "2GB",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "track_commit_timestamp": "on",
    "max_prepared_transactions": "10",
}


def binaries(major: str | None = None) -> Path:
    """The folder that holds `postgres` and `initdb`: of this major version, or the newest.

    Raises:
        LocalServerError: PostgreSQL, or that version of it, is not installed.
    """
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    if found := shutil.which("initdb"):
        folders.append(Path(found).resolve().parent)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists() and major in (None, _major(folder)):
            return folder
    if major is None:
        raise LocalServerError("PostgreSQL is not installed; run scripts/bootstrap (Debian, Ubuntu) or install it")
    raise LocalServerError(
        f"the local data was made by PostgreSQL {major}, which is not installed; "
        "install it, or start afresh with `genims local reset`"
    )


def connect_postgres(port: int, password: str) -> "psycopg2.extensions.connection":
    """Connect to the `postgres` database of a local server over TCP as `genims`."""
    return psycopg2.connect(
        host="127.0.0.1", port=port, user=USER, password=password, dbname="postgres", connect_timeout=5
    )


class Postgres(PrivateServer):
    """PostgreSQL: passwords over TCP, and its superuser over the socket for whoever started it."""

    engine: ClassVar[str] = "postgres"
    clean_shutdown: ClassVar[signal.Signals] = signal.SIGINT

    @property
    def superuser_dsn(self) -> str:
        """Connection string (socket, no password) of the superuser, for the account that brought the server up."""
        return f"host={self.data} port={self.port} user={SUPERUSER} dbname=postgres connect_timeout=5"

    def initialise(self, data: Path) -> None:
        """Run `initdb`."""
        options = ["--username", SUPERUSER, "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        access = ["--auth-local=peer", "--auth-host=reject"]
        process.run_as(self.account, [binaries() / "initdb", "-D", data, *options, *access], data)

    def prepare(self) -> None:
        """Say who may connect: the superuser by operating system account, everybody else by password."""
        # No process works here (the caller looked), but a killed one that nobody has reaped yet, as in a container
        # without an init, would count as alive to PostgreSQL.
        for stale in (self.data / "postmaster.pid", *self.data.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)
        process.write_private(
            self.data / "pg_hba.conf",
            f"local all {SUPERUSER} peer map=genims\n"
            "local all all scram-sha-256\n"
            "host all all 127.0.0.1/32 scram-sha-256\n",
            self.account,
        )
        caller = pwd.getpwuid(os.geteuid()).pw_name
        process.write_private(self.data / "pg_ident.conf", f'genims "{caller}" {SUPERUSER}\n', self.account)

    def command(self) -> list[str | Path]:
        """`postgres` with its options."""
        major = (self.data / "PG_VERSION").read_text().strip()
        argv: list[str | Path] = [binaries(major) / "postgres", "-D", self.data, "-p", str(self.port), "-k", self.data]
        for name, value in _OPTIONS.items():
            argv += ["-c", f"{name}={value}"]
        return argv

    def ready(self) -> None:
        """Give the `genims` role its password and the right to create databases and roles."""
        try:
            with closing(psycopg2.connect(self.superuser_dsn)) as connection, connection, connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (USER,))
                verb = "CREATE" if cursor.fetchone() is None else "ALTER"
                # Hashed here, so that no statement (and no log) ever holds the password.
                secret = encrypt_password(self.password, USER, connection, "scram-sha-256")
                statement = sql.SQL(verb + " ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD {}")
                cursor.execute(statement.format(sql.Identifier(USER), sql.Literal(secret)))
        except psycopg2.OperationalError:  # still starting or recovering
            return

    def version(self) -> str | None:
        """See `PrivateServer.version`."""
        try:
            with closing(connect_postgres(self.port, self.password)) as connection, connection.cursor() as cursor:
                cursor.execute("SHOW server_version")
                row = cursor.fetchone()
                return str(row[0]).split()[0] if row else None
        except psycopg2.OperationalError:
            return None

    def create_database(self, name: str) -> None:
        """Create a database owned by `genims` unless it exists."""
        with closing(connect_postgres(self.port, self.password)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _major(folder: Path) -> str:
    done = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"\d+", done.stdout)
    return found.group() if found else ""
