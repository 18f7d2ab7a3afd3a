"""What capture costs the writing application: transactions a second of pgbench with and without it, in turn.

Measured: pgbench's own TPC-B-like transaction (three updates, a select, an insert) and one single-row UPDATE a
transaction, on pgbench's tables in a database of the benchmark's own, with 1 and 8 clients. With capture, every table
has the triggers of an audited one. Each pair of runs is repeated and its medians are compared, since a shared machine
is never quiet; the ratio counts. Also measured: microseconds a row of one UPDATE of all rows.

The server is the benchmark's own, on a disk and with fsync, since a commit that costs nothing would make the share of
capture larger than it is anywhere. Run:

    python -m benchmarks.audit_capture [--seconds 60] [--repeat 3] [--clients 1 --clients 8] [--json]
"""

import json
import os
import re
import secrets
import subprocess
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from psycopg2 import extensions, sql
from rich.console import Console
from rich.table import Table

from genims_platform.audit.capture.objects import capture_sql
from genims_platform.audit.capture.tables import live_tables, live_triggers
from genims_platform.audit.capture.triggers import attach
from genims_platform.audit.policy import AuditedTable
from genims_platform.local.postgres import binaries
from genims_platform.local.process import server_account
from genims_platform.local.server import USER
from genims_platform.settings import PostgresServer
from genims_platform.sources.connection import connect
from genims_platform_tests.audit.faults.stage import DurablePostgres

DATABASE = "genims_bench_capture"
KEYS = {"pgbench_accounts": "aid", "pgbench_branches": "bid", "pgbench_tellers": "tid", "pgbench_history": "tid"}
SINGLE_ROW = """\\set aid random(1, 100000 * :scale)
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;
"""


@dataclass(frozen=True)
class Compared:
    """Median transactions a second of one workload without and with capture, and the share that is left (0..1)."""

    workload: str
    clients: int
    without: float
    captured: float
    ratio: float


def main(
    seconds: Annotated[int, typer.Option(min=1, help="Seconds of each run.")] = 60,
    repeat: Annotated[int, typer.Option(min=1, help="Pairs of runs of each workload.")] = 3,
    clients: Annotated[list[int] | None, typer.Option(min=1, help="Clients at once; repeatable.")] = None,
    scale: Annotated[int, typer.Option(min=1, help="100,000 accounts each.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Run pgbench with and without capture in turn and print transactions a second and their ratio."""
    with durable_postgres() as (server, folder, version), bench_database(server, scale):
        single = folder / "single.sql"
        single.write_text(SINGLE_ROW)
        results = [
            compare(server, name, number, seconds, repeat, script, scale)
            for name, script in (("single-row UPDATE", ["-f", str(single)]), ("TPC-B-like", ["-b", "tpcb-like"]))
            for number in clients or [1, 8]
        ]
        bulk = {state: microseconds_a_row(server, captured) for state, captured in (("without", False), ("with", True))}
    if as_json:
        print(json.dumps({"workloads": [asdict(r) for r in results], "microseconds_a_row": bulk}, indent=2))
        return
    shown = Table("workload", "clients", "TPS without", "TPS with", "ratio", box=None)
    for r in results:
        shown.add_row(r.workload, str(r.clients), f"{r.without:,.0f}", f"{r.captured:,.0f}", f"{r.ratio:.2f}")
    console = Console()
    console.print(shown)
    console.print(f"bulk UPDATE: {bulk['without']:.1f} µs a row without, {bulk['with']:.1f} with capture")
    console.print(f"PostgreSQL {version} with fsync; {repeat} x {seconds} s, load {os.getloadavg()[0]:.1f} at the end")


def compare(
    server: PostgresServer, name: str, clients: int, seconds: int, repeat: int, script: list[str], scale: int
) -> Compared:
    runs: dict[bool, list[float]] = {False: [], True: []}
    for number in range(repeat):
        for captured in (False, True) if number % 2 == 0 else (True, False):
            set_captured(server, captured)
            runs[captured].append(pgbench(server, clients, seconds, script, scale))
    without, captured = median(runs[False]), median(runs[True])
    return Compared(name, clients, without, captured, captured / without)


def pgbench(server: PostgresServer, clients: int, seconds: int, arguments: list[str], scale: int) -> float:
    """Transactions a second, connection time excluded."""
    command = [
        binaries() / "pgbench",
        "-n",
        "-M",
        "prepared",
        "-T",
        str(seconds),
        "-c",
        str(clients),
        "-j",
        str(clients),
    ]
    output = run(server, [*command, "-D", f"scale={scale}", *arguments])
    found = re.search(r"tps = ([\d.]+)", output)
    if found is None or "number of failed transactions: 0 " not in output:
        raise RuntimeError(output)
    return float(found[1])


def run(server: PostgresServer, command: list[str | Path]) -> str:
    environment = {
        **os.environ,
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": server.user,
        "PGPASSWORD": server.password,
        "PGDATABASE": server.database,
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def set_captured(server: PostgresServer, captured: bool) -> None:
    with closing(connect(server)) as connection, connection, connection.cursor() as cursor:
        if captured:
            for table in live_tables(cursor).values():
                rule = AuditedTable.model_validate({"class": "financial", "key": KEYS[table.name]})
                for statement in attach(table.schema, table.name, rule):
                    cursor.execute(statement)
        else:
            for schema, table, name in live_triggers(cursor):
                on = sql.Identifier(schema, table)
                cursor.execute(sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(name), on))
        cursor.execute("TRUNCATE audit.queue")


def microseconds_a_row(server: PostgresServer, captured: bool) -> float:
    set_captured(server, captured)
    with closing(connect(server)) as connection, connection, connection.cursor() as cursor:
        start = time.perf_counter()
        cursor.execute("UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid <= 100000")
        return (time.perf_counter() - start) * 1e6 / cursor.rowcount


@contextmanager
def durable_postgres() -> Generator[tuple[PostgresServer, Path, str | None]]:
    """A private server with fsync, a folder, and its version."""
    with TemporaryDirectory(prefix="genims-capture-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the account of the server passes through
        port, password = 20000 + secrets.randbelow(10000), secrets.token_urlsafe(12)
        server = DurablePostgres(folder, folder / "postgres.log", port, password, server_account())
        server.buffers = "512MB"
        server.ensure_running(restart=False)
        try:
            yield PostgresServer("127.0.0.1", server.port, USER, password, DATABASE), folder, server.version()
        finally:
            server.stop()


@contextmanager
def bench_database(server: PostgresServer, scale: int) -> Generator[None]:
    with closing(connect(replace(server, database="postgres"), autocommit=True)) as administrator:
        recreate(administrator, create=True)
        try:
            run(server, [binaries() / "pgbench", "-i", "-q", "-s", str(scale)])
            with closing(connect(server)) as connection, connection, connection.cursor() as cursor:
                cursor.execute(capture_sql())
            yield
        finally:
            recreate(administrator, create=False)


def recreate(administrator: extensions.connection, *, create: bool) -> None:
    with administrator.cursor() as cursor:
        cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(DATABASE)))
        if create:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


if __name__ == "__main__":
    typer.run(main)
