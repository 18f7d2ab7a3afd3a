"""Servers of a fault test's own, which it may kill, and the programs that run against them."""

import base64
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast, get_args

import mysql.connector
import psutil
import psycopg2
from psycopg2 import extensions, sql

from genims_platform.audit.accounts import ensure_accounts
from genims_platform.audit.capture.install import install
from genims_platform.audit.capture.triggers import attach
from genims_platform.audit.database import audit_database
from genims_platform.audit.encryption.keystore import ensure_key_store
from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.ledger.control import Appender, ensure_genesis
from genims_platform.audit.ledger.opening import open_source
from genims_platform.audit.policy import AuditedTable
from genims_platform.local.mysql import MariaDB, MySQL, connect_mysql
from genims_platform.local.postgres import Postgres, connect_postgres
from genims_platform.local.process import server_account, wait_until
from genims_platform.local.process import stop as stop_server
from genims_platform.local.server import USER, PrivateServer
from genims_platform.local.servers import Engine
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import PROJECT_ROOT, AuditRole, Settings, load_settings
from genims_platform.sources import schema
from genims_platform.sources.connection import connect
from genims_platform_tests.audit.faults import addresses
from genims_platform_tests.audit.faults.addresses import Addresses
from genims_platform_tests.audit.faults.workload import COUNTER_COLUMNS, COUNTERS, DURABLE, TARGETS

PACKAGE = __package__ or ""
SOURCES = tuple(TARGETS)

ACCOUNT = "INSERT INTO accounts (account_id, account_number, account_name) VALUES (%(id)s, %(id)s, 'A')"
MATERIALS = (
    "INSERT INTO materials (material_id, material_code, material_name, material_type, base_unit_of_measure) "
    "SELECT %(id)s || n, %(id)s || n, 'M', 'raw', 'EA' FROM generate_series(1, %(rows)s) n"
)
BACKGROUND = tuple(
    f"postgres: {name}" for name in ("walwriter", "checkpointer", "background writer", "autovacuum launcher")
)
"""What of PostgreSQL writes WAL or pages without being asked by a session."""

CHECKED_PER_SECOND = 200
"""Events that the checker manages at the least, beside everything else."""

MEMORY = Path("/dev/shm")  # noqa: S108
ROOM = 4 << 30
"""Bytes that the servers' folders may take."""


class DurablePostgres(Postgres):
    """PostgreSQL that survives a killed machine too, as a source does; small, because it starts often."""

    buffers = "64MB"

    def command(self) -> list[str | Path]:
        options = ("fsync=on", f"shared_buffers={self.buffers}", "restart_after_crash=on")
        return [*super().command(), *(part for option in options for part in ("-c", option))]


class DurableMariaDB(MariaDB):
    buffers = "128M"
    replication: Sequence[str] = ()

    def command(self) -> list[str | Path]:
        return [*super().command(), f"--innodb-buffer-pool-size={self.buffers}", *self.replication]


class DurableMySQL(MySQL):
    buffers = "128M"
    replication: Sequence[str] = ()

    def command(self) -> list[str | Path]:
        return [*super().command(), f"--innodb-buffer-pool-size={self.buffers}", *self.replication]


class Program:
    """A program under test; its output goes to a file."""

    def __init__(self, command: Sequence[str | Path], environment: dict[str, str], folder: Path, log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def send(self, what: signal.Signals) -> None:
        """Signal the program and what it started, the main process first."""
        if not self.running:
            return
        with suppress(psutil.NoSuchProcess):
            main = psutil.Process(self.process.pid)
            for process in (main, *main.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(what)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.process.wait()

    def wait(self, seconds: float) -> int | None:
        """Its exit code; None if it still runs then."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, seconds: float = 20) -> int | None:
        """Ask it to end; kill it if it does not. None if it had to be killed."""
        if self.running:
            self.process.send_signal(signal.SIGTERM)
        code = self.wait(seconds)
        if code is None:
            self.kill()
        return code

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Stage:
    """Private servers with captured sources and an audit database; `build` begins a new trail on them."""

    def __init__(self, engine: Engine, *, on_disk: bool = False, sources: Sequence[str] = SOURCES) -> None:
        """`on_disk`: where a commit costs what it costs, and with buffers for a load of hours, as in production."""
        self.sources = tuple(sources)
        self.root = Path(tempfile.mkdtemp(prefix="genims-fault-", dir=None if on_disk else _place()))
        self.root.chmod(0o711)
        account = server_account()
        password = secrets.token_urlsafe(12)
        ports = 20000 + secrets.randbelow(10000)
        kind = DurableMariaDB if engine == "mariadb" else DurableMySQL
        self.engine: Engine = engine
        self.postgres = DurablePostgres(self.root, self.root / "postgres.log", ports, password, account)
        self.mysql = kind(self.root, self.root / f"{engine}.log", ports + 500, password, account)
        if on_disk:
            self.postgres.buffers, self.mysql.buffers = "512MB", "2G"
        self.postgres.ensure_running(restart=False)
        self.mysql.ensure_running(restart=False)
        self.secrets = {
            f"MYSQL_AUDIT_{role.upper()}_PASSWORD": secrets.token_urlsafe(16) for role in get_args(AuditRole)
        }
        self.secrets |= {
            "AUDIT_PG_RELAY_PASSWORD": secrets.token_urlsafe(16),
            "AUDIT_KEK": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        self.histories: list[Path] = []
        self.programs: list[Program] = []
        self.broken = False
        self.trail = 0

    @property
    def folder(self) -> Path:
        """What belongs to the trail of now: keys, journal, histories, logs."""
        return self.root / f"trail{self.trail}"

    @property
    def values(self) -> dict[str, str]:
        """The variables of the platform's settings."""
        address = {"HOST": "127.0.0.1", "PORT": str(self.mysql.port), "USER": USER, "PASSWORD": self.mysql.password}
        return {
            "PG_HOST": "127.0.0.1",
            "PG_PORT": str(self.postgres.port),
            "PG_USER": USER,
            "PG_PASSWORD": self.postgres.password,
            **{f"MYSQL_AUDIT_{name}": value for name, value in address.items()},
            **{f"PG_{source.upper()}_DB": f"genims_fault_{source}" for source in self.sources},
            "MYSQL_AUDIT_DB": "genims_fault_audit",
            "AUDIT_INSECURE": "1" if self.engine == "mariadb" else "0",
            "AUDIT_JOURNAL_DIR": str(self.folder / "journal"),
            "AUDIT_KEYSTORE_URI": f"sqlite:///{self.folder}/keys.sqlite",
            **self.secrets,
        }

    @property
    def settings(self) -> Settings:
        return load_settings({name.lower(): value for name, value in self.values.items()})

    @property
    def addresses(self) -> Path:
        """Where the programs read the connection strings."""
        return self.folder / "addresses.json"

    def build(self) -> None:
        """Begin anew: databases, capture, schema, accounts."""
        self.stop_programs()
        self.trail += 1
        self.folder.mkdir(mode=0o700)
        self.histories.clear()
        self.broken = False
        settings = self.settings
        self._drop()
        schema.create(settings, self.sources)
        for source in self.sources:
            install(settings, source)
            self._add_counters(source)
        database = audit_database(settings)
        deploy(database, "audit", today=datetime.now(UTC).date())
        ensure_accounts(database, settings)
        database.close()
        self._write_addresses(self.postgres.port, self.mysql.port)

    def _add_counters(self, source: str) -> None:
        rule = AuditedTable.model_validate({"class": "operational", "key": "counter_id"})
        with (
            closing(connect(self.settings.source_primary(source))) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"CREATE TABLE {COUNTERS} ({COUNTER_COLUMNS})")
            cursor.execute(f"GRANT SELECT ON {COUNTERS} TO genims_audit_owner")
            for statement in attach("public", COUNTERS, rule):
                cursor.execute(statement)

    def new_trail(self) -> None:
        """Begin anew, ready for a relay: as `build`, with a key store, a genesis and all sources opened."""
        self.restart_servers()
        self.build()
        settings = self.settings
        ensure_key_store(settings)[0].close()
        with closing(open_ledger(settings, "writer")) as ledger:
            appender = Appender(ledger)
            ensure_genesis(appender)
            for source in self.sources:
                open_source(appender, settings.audit_relay(source), source)

    def _write_addresses(self, postgres_port: int, mysql_port: int) -> None:
        login = f"host=127.0.0.1 port={postgres_port} user={USER} password={self.postgres.password}"
        Addresses(
            {source: f"{login} dbname={self.values[f'PG_{source.upper()}_DB']}" for source in self.sources},
            {
                "host": "127.0.0.1",
                "port": mysql_port,
                "user": USER,
                "password": self.mysql.password,
                "database": self.values["MYSQL_AUDIT_DB"],
                "collation": "utf8mb4_bin",
                "connection_timeout": 5,
            },
            str(self.folder / "keys.sqlite"),
            self.secrets["AUDIT_KEK"],
        ).write(self.addresses)

    def _drop(self) -> None:
        with closing(connect_postgres(self.postgres.port, self.postgres.password)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for source in self.sources:
                    name = sql.Identifier(self.values[f"PG_{source.upper()}_DB"])
                    cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        with closing(connect_mysql(self.mysql.port, self.mysql.password)) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {self.values['MYSQL_AUDIT_DB']}")

    def start(self, command: Sequence[str | Path], name: str, **environment: str) -> Program:
        """Start a program with the settings of the stage, and these variables besides."""
        log = self.folder / f"{name}-{len(self.programs)}.log"
        program = Program(command, {**_environment(), **self.values, **environment}, self.folder, log)
        self.programs.append(program)
        return program

    def python(self, module: str, *arguments: str | Path) -> list[str | Path]:
        return [sys.executable, "-m", f"{PACKAGE}.{module}", *arguments]

    def genims(self, *arguments: str, **environment: str) -> Program:
        return self.start(
            [Path(sys.executable).with_name("genims"), *arguments], f"genims-{arguments[1]}", **environment
        )

    def relay(self, *options: str, **environment: str) -> Program:
        """The relay of its sources."""
        chosen = [part for source in self.sources for part in ("--source", source)]
        return self.genims("audit", "relay", *chosen, *options, **environment)

    @contextmanager
    def workload(self, seconds: float = 1800, rate: float = 15, **options: str | float) -> Generator[Program]:
        """Applications that write until the block ends, or for `seconds`."""
        history = self.folder / f"history-{len(self.histories)}.jsonl"
        self.histories.append(history)
        given = {
            "seconds": seconds,
            "rate": rate,
            "seed": len(self.histories),
            "bulk_rows": 120,
            "writers": 8,
            **options,
        }
        flags = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        program = self.start(self.python("workload", self.addresses, "--history", history, *flags), "workload")
        try:
            yield program
            assert program.running or program.process.returncode == 0, program.tail()
        finally:
            program.stop(100)

    def check(self, wait: float = 30, *, histories: bool = True, events: int = 0) -> dict[str, Any]:
        """The verdict over the whole trail (so many events); the checker remembers heads, which must not change."""
        paths = [path for path in self.histories if path.exists()] if histories else []
        command = self.python("checker", self.addresses, "--wait", str(wait), "--heads", self.folder / "heads.json")
        command += [part for path in paths for part in ("--history", path)]
        done = subprocess.run(
            command,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=wait + 900 + events / CHECKED_PER_SECOND,
        )
        if not done.stdout:
            raise RuntimeError(done.stderr)
        verdict: dict[str, Any] = json.loads(done.stdout)
        assert verdict["clean"] == (done.returncode == 0)
        self.broken = self.broken or not verdict["clean"]
        return verdict

    def assert_clean(self) -> dict[str, Any]:
        """The verdict, in which nothing may be wrong and nothing may be left out of delivery or mapping."""
        verdict = self.check(240)
        assert verdict["clean"], json.dumps(verdict, indent=1)
        return verdict

    @contextmanager
    def nothing_flushed(self, workload: Program) -> Generator[None]:
        """No session but those of applications that commit asynchronously, and the relay's, has PostgreSQL write WAL.

        What runs in its background stands still; applications whose COMMIT waits for the disk pause.
        """
        assert self.postgres.pid
        workload.process.send_signal(signal.SIGUSR1)
        background = [
            process
            for process in psutil.Process(self.postgres.pid).children()
            if process.cmdline()[0].startswith(BACKGROUND)
        ]
        try:
            wait_until(self._durable_sessions_idle, 60, "applications that commit durably go on")
            for process in background:
                process.suspend()
            yield
        finally:
            for process in background:
                with suppress(psutil.NoSuchProcess):
                    process.resume()
            workload.process.send_signal(signal.SIGUSR2)

    def _durable_sessions_idle(self) -> bool:
        with closing(psycopg2.connect(self.postgres.superuser_dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND state <> 'idle'", (DURABLE,)
            )
            return cursor.fetchall() == [(0,)]

    def kill_mysql(self) -> None:
        """SIGKILL, and nothing else: what was not in a file is gone."""
        self._kill(self.mysql)

    def kill_postgres(self) -> None:
        """SIGKILL the postmaster and all of its children."""
        self._kill(self.postgres)

    def _kill(self, server: PrivateServer) -> None:
        assert server.pid
        main = psutil.Process(server.pid)
        victims = [main, *main.children(recursive=True)]
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        server.stop()  # waits for the last of them; nobody may reap them, so their numbers tell nothing

    def revive(self, server: PrivateServer) -> None:
        """Start a killed server again, where its clients look for it."""
        port = server.port
        server.ensure_running(restart=False)
        assert server.port == port, f"somebody took port {port}"

    def restart_servers(self) -> None:
        for server in (self.postgres, self.mysql):
            if not server.pid:
                self.revive(server)

    def stop_programs(self) -> None:
        for program in self.programs:
            program.send(signal.SIGCONT)
            program.kill()
        self.programs.clear()

    @contextmanager
    def session(self, source: str) -> Generator[extensions.connection]:
        """A session of an application; what it does not commit is rolled back."""
        with closing(psycopg2.connect(addresses.read(self.addresses).sources[source])) as connection:
            yield connection

    def execute(self, source: str, statement: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run and commit, as an application."""
        with self.session(source) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)

    def audit(self, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows of the audit database, as its administrator."""
        settings = self.settings.mysql_audit
        with (
            closing(
                mysql.connector.connect(
                    host=settings.host,
                    port=settings.port,
                    user=settings.user,
                    password=settings.password,
                    database=settings.database,
                    collation="utf8mb4_bin",
                )
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(query, parameters)
            return cast("list[tuple[Any, ...]]", cursor.fetchall())

    def close(self) -> None:
        """End everything; nothing that was written is of use to anybody, so nothing is shut down cleanly."""
        self.stop_programs()
        if self.mysql.pid:
            self._kill(self.mysql)
        # Killed, it would leave its shared memory behind for good.
        stop_server(self.postgres.data, signal.SIGQUIT)
        shutil.rmtree(self.root, ignore_errors=True)


def _place() -> Path | None:
    """A folder in memory, where servers start and stop quicker; None where there is none with room.

    That SIGKILL takes only what is in no file yet is as true there.
    """
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM else None


def _environment() -> dict[str, str]:
    """That of this process without settings of the platform."""
    own = {key: value for key, value in os.environ.items() if key.lower() not in Settings.model_fields}
    return {**own, "PYTHONPATH": str(PROJECT_ROOT)}


@contextmanager
def stage(engine: Engine, *, on_disk: bool = False, sources: Sequence[str] = SOURCES) -> Generator[Stage]:
    # The servers are detached, so a test session that is told to end must get the chance to stop them.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        made = Stage(engine, on_disk=on_disk, sources=sources)
        try:
            yield made
        finally:
            made.close()
    finally:
        signal.signal(signal.SIGTERM, before)
