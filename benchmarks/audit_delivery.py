"""How long an event takes from its commit in PostgreSQL to the audit database, and how fast a backlog is worked off.

The servers are the benchmark's own, with durable settings: PostgreSQL with fsync, MySQL or MariaDB with
innodb_flush_log_at_trx_commit=1. Three sources are captured (crm, hcm with encrypted personal values, erp). pgbench
writes at a fixed rate whatever the relay does: each transaction sets the context and updates 1 to `--rows` rows. An
event counts as arrived when another session sees its batch; that session looks every 50 ms, which is part of the
figures. The commit is dated by PostgreSQL (track_commit_timestamp), before its own flush to disk.

Run:

    python -m benchmarks.audit_delivery [--rate 1000 --rate 5000 --rate 60000] [--minutes 5] [--idle 10]
        [--rows 4] [--all-sources] [--bulk 1000000] [--drain 1000000] [--drain-source hcm] [--engine mysql] [--json]

Rates are events a minute over all sources together; `--idle` counts single events, each 7 s after the one before.
`--all-sources` captures and relays all of the platform's sources, and writes to each that has an audited table.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import mysql.connector
import psutil
import psycopg2
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.audit_targets import all_targets
from genims_platform.local.postgres import binaries
from genims_platform.settings import SOURCE_NAMES
from genims_platform_tests.audit.faults.addresses import Addresses, read
from genims_platform_tests.audit.faults.stage import MATERIALS, Program, Stage, stage
from genims_platform_tests.audit.faults.workload import TARGETS, Target

ROWS = 5000
"""Rows of each source that are updated."""

BULK_SOURCE = "erp"
BESIDE_BULK = 5000
"""Events a minute of the other sources."""

CLIENTS = 12
"""Sessions that write, all sources together."""

LOOK_SECONDS = 0.05
CATCH_UP_SECONDS = 900
IDLE_SECONDS = 7


@dataclass(frozen=True)
class Latency:
    """Milliseconds from commit to arrival. CPU is in cores (1.0 = one core), memory in MB at the most."""

    load: str
    events: int
    missing: int
    p50: float
    p99: float
    max: float
    cpu: float
    memory: float


@dataclass(frozen=True)
class Drain:
    """A backlog worked off by a relay started cold; seconds from its start to its last batch.

    Bytes are for one event: in the queue with its indexes, in PostgreSQL's WAL (of the change and its capture), and in
    the files of the audit database.
    """

    events: int
    seconds: float
    per_second: float
    memory: float
    queue_bytes: float
    wal_bytes: float
    audit_bytes: float


def main(
    rate: Annotated[list[int] | None, typer.Option(min=60, help="Events a minute; repeatable.")] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="Minutes of each rate.")] = 5,
    rows: Annotated[
        int, typer.Option(min=1, max=100, help="Most rows of a transaction; each size is as frequent.")
    ] = 4,
    idle: Annotated[int, typer.Option(min=0, help="Single events on an idle system.")] = 10,
    bulk: Annotated[
        int, typer.Option(min=0, help="Rows of one transaction, beside which other sources are written.")
    ] = 0,
    all_sources: Annotated[bool, typer.Option("--all-sources", help="All sources instead of three.")] = False,
    drain: Annotated[int, typer.Option(min=0, help="Events of a backlog; 0: none.")] = 0,
    drain_source: Annotated[
        list[str] | None, typer.Option(help="Have the backlog in this source only; repeatable.")
    ] = None,
    engine: Annotated[str, typer.Option(help="mariadb or mysql.")] = "mariadb",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure and print latencies, and the speed of a drain where asked for."""
    if engine not in ("mariadb", "mysql"):
        raise typer.BadParameter(f"{engine} is neither mariadb nor mysql")
    targets = all_targets() if all_sources else TARGETS
    if wrong := {*(drain_source or ())} - {*targets}:
        raise typer.BadParameter(f"{', '.join(sorted(wrong))}: not among {', '.join(targets)}")
    with stage(engine, on_disk=True, sources=SOURCE_NAMES if all_sources else tuple(TARGETS)) as made:
        made.new_trail()
        add_rows(made, targets)
        rates = [1000, 5000, 60000] if rate is None else rate
        latencies = list(measure(made, targets, rates, minutes, idle, rows))
        if bulk:
            latencies.append(measure_beside(made, targets, bulk, rows))
        chosen = {source: targets[source] for source in drain_source or targets}
        drained = measure_drain(made, chosen, drain) if drain else None
        versions = f"PostgreSQL {made.postgres.version()}, {engine} {made.mysql.version()}"
    if as_json:
        found = {"latencies": [asdict(row) for row in latencies], "drain": drained and asdict(drained)}
        print(json.dumps(found, indent=2))
        return
    console = Console()
    shown = Table("load", "events", "missing", "p50 ms", "p99 ms", "max ms", "relay cores", "relay MB", box=None)
    for row in latencies:
        numbers = (f"{row.p50:.0f}", f"{row.p99:.0f}", f"{row.max:.0f}", f"{row.cpu:.2f}", f"{row.memory:.0f}")
        shown.add_row(row.load, f"{row.events:,}", str(row.missing), *numbers)
    console.print(shown)
    if drained:
        console.print(
            f"backlog of {drained.events:,}: {drained.seconds:.0f} s, {drained.per_second:,.0f} events/s, "
            f"relay {drained.memory:.0f} MB"
        )
        console.print(
            f"bytes an event: {drained.queue_bytes:,.0f} in the queue, {drained.wal_bytes:,.0f} of WAL with the change "
            f"itself, {drained.audit_bytes:,.0f} in the audit database"
        )
    console.print(f"{versions}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end")


def measure_beside(made: Stage, targets: Mapping[str, Target], bulk: int, rows: int) -> Latency:
    """Delays of the other sources' events while one transaction of many rows is delivered."""
    others = {source: target for source, target in targets.items() if source != BULK_SOURCE}
    delivered = threading.Event()

    def go_on_writing() -> None:
        while not delivered.is_set():
            write(made, others, BESIDE_BULK / 60, 10, rows)

    relay = made.relay()
    writer = threading.Thread(target=go_on_writing)
    try:
        wait_for_delivery(made)
        usage = Usage(relay)
        with observed(made, usage.look) as observer:
            writer.start()
            made.execute(BULK_SOURCE, MATERIALS, {"id": f"{bulk} rows ", "rows": bulk})
            began = time.time()
            wait_for_delivery(made, BULK_SOURCE)
            ended = time.time()
            delivered.set()
            writer.join()
        arrivals, missing = observer.arrivals()
    finally:
        delivered.set()
        relay.stop()
    beside = [found for found in arrivals if found.source in others and began <= found.committed <= ended]
    return latency(f"{BESIDE_BULK:,} a minute beside {bulk:,} rows ({ended - began:.0f} s)", beside, missing, usage)


def measure(
    made: Stage, targets: Mapping[str, Target], rates: Sequence[int], minutes: float, idle: int, rows: int
) -> Generator[Latency]:
    relay = made.relay()
    try:
        wait_for_delivery(made)
        if idle:
            usage = Usage(relay)
            with observed(made, usage.look) as observer:
                for _ in range(idle):
                    time.sleep(IDLE_SECONDS)
                    write_one(made)
            yield latency(f"1 event each {IDLE_SECONDS} s", *observer.arrivals(), usage)
        for rate in rates:
            usage = Usage(relay)
            with observed(made, usage.look) as observer:
                write(made, targets, rate / 60, minutes * 60, rows)
            yield latency(f"{rate:,} a minute", *observer.arrivals(), usage)
        if not relay.running:
            raise RuntimeError(relay.tail())
    finally:
        relay.stop()


class Usage:
    """CPU seconds and the most memory of a program and what it started."""

    def __init__(self, program: Program) -> None:
        self._process = psutil.Process(program.process.pid)
        self._start = self._seconds()
        self._since = time.monotonic()
        self.memory = 0.0
        self.cpu = 0.0

    def _seconds(self) -> float:
        times = self._process.cpu_times()
        return sum(times[:2]) + sum(sum(child.cpu_times()[:2]) for child in self._process.children(recursive=True))

    def look(self) -> None:
        try:
            family = [self._process, *self._process.children(recursive=True)]
            # Shared pages of forked workers count once.
            self.memory = max(self.memory, sum(process.memory_full_info().pss for process in family) / 1e6)
            self.cpu = (self._seconds() - self._start) / (time.monotonic() - self._since)
        except psutil.NoSuchProcess:
            return


@dataclass(frozen=True, slots=True)
class Arrival:
    """When an event was committed, in seconds since 1970, and how many milliseconds later it was seen."""

    source: str
    committed: float
    delay: float


class Observer(threading.Thread):
    """Another session of the audit database, which notes when it first sees each batch."""

    def __init__(self, made: Stage, each_second: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._addresses = read(made.addresses)
        self._made = made
        self._each_second = each_second
        self._first = newest_events(self._addresses)
        self._seen: dict[int, float] = {}
        self._done = threading.Event()
        self._newest = newest_batch(made)
        self._oldest = self._newest

    def run(self) -> None:
        looked = 0.0
        with closing(mysql.connector.connect(**self._addresses.mysql, autocommit=True)) as connection:
            while not self._done.wait(LOOK_SECONDS):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT batch_no FROM audit_sequence_manager WHERE batch_no > %s", (self._newest,))
                    rows: list[Any] = cursor.fetchall()
                now = time.time()
                for (number,) in rows:
                    self._seen[number] = now
                    self._newest = max(self._newest, number)
                if now - looked > 1:
                    self._each_second()
                    looked = now

    def end(self) -> None:
        self._each_second()
        self._done.set()
        self.join()

    def arrivals(self) -> tuple[list[Arrival], int]:
        """Of the events since the observer was made, and how many of them are missing; after its end."""
        batches: dict[tuple[str, int], int] = {
            (source, event): batch
            for source, event, batch in self._made.audit(
                "SELECT source_db, event_id, batch_no FROM system_audit_log WHERE batch_no > %s", (self._oldest,)
            )
        }
        found: list[Arrival] = []
        missing = 0
        for source, event, committed in committed_events(self._addresses, self._first):
            batch = batches.get((source, event))
            if batch is None:
                missing += 1
            else:
                found.append(Arrival(source, committed, (self._seen[batch] - committed) * 1000))
        return found, missing


def latency(load: str, arrivals: Sequence[Arrival], missing: int, usage: Usage) -> Latency:
    found = sorted(arrival.delay for arrival in arrivals)
    if not found:
        raise RuntimeError(f"{load}: {missing} events were written and none arrived; take longer or a higher rate")
    return Latency(
        load,
        len(found) + missing,
        missing,
        found[len(found) // 2],
        found[len(found) * 99 // 100],
        found[-1],
        usage.cpu,
        usage.memory,
    )


@contextmanager
def observed(made: Stage, each_second: Callable[[], None]) -> Generator[Observer]:
    """An observer of what is written in the block, and of its delivery."""
    observer = Observer(made, each_second)
    observer.start()
    try:
        yield observer
        wait_for_delivery(made)
        time.sleep(10 * LOOK_SECONDS)
    finally:
        observer.end()


def add_rows(made: Stage, targets: Mapping[str, Target] = TARGETS) -> None:
    """Rows to update."""
    for source, target in targets.items():
        columns = [target.key, target.unique, *(column for column, _ in target.needed)]
        values = ", ".join(f"'{value}'" for _, value in target.needed)
        made.execute(
            source,
            f"INSERT INTO {target.table} ({', '.join(columns)}) "
            f"SELECT 'B-' || n, 'B-' || n, {values} FROM generate_series(1, {ROWS}) n",
        )
        with made.session(source) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"VACUUM ANALYZE {target.table}")


def write_one(made: Stage) -> None:
    made.execute("crm", "UPDATE accounts SET health_score = coalesce(health_score, 0) + 1 WHERE account_id = 'B-1'")


def transaction(target: Target, rows: int) -> str:
    """A script of pgbench that updates so many rows in the order of their keys, so that nobody waits for ever.

    As an application with a connection pool does: prepared statements, one round trip for a transaction.
    """
    part = ROWS // rows
    chosen = [f"\\set row{n} random({n * part + 1}, {(n + 1) * part})" for n in range(rows)]
    updates = [
        f"UPDATE {target.table} SET {target.number} = :value, {target.counter} = :value "
        f"WHERE {target.key} = 'B-' || :row{n};"
        for n in range(rows)
    ]
    context = "SELECT audit.set_context('clerk ' || :client_id, 'clerk', reason => 'BENCH');"
    first, last = "\\set value random(1, 1000000)", "\\endpipeline"
    return "\n".join([*chosen, first, "\\startpipeline", "BEGIN;", context, *updates, "COMMIT;", last, ""])


def write(made: Stage, targets: Mapping[str, Target], per_second: float, seconds: float, most_rows: int) -> None:
    """pgbench on each source at once, at a rate of events that does not depend on how fast anything is."""
    running: list[subprocess.Popen[str]] = []
    server = made.settings.source_primary("crm")
    sizes = range(1, most_rows + 1)
    clients = max(1, CLIENTS // len(targets))
    for source, target in targets.items():
        command: list[str | Path] = [binaries() / "pgbench", "-n", "-M", "prepared", "-T", f"{seconds:.0f}"]
        for rows in sizes:
            script = made.folder / f"{source}-{rows}.sql"
            script.write_text(transaction(target, rows))
            command += ["-f", script]
        transactions = per_second / len(targets) / mean(sizes)
        command += ["-R", str(transactions), "-c", str(clients), "-j", "1"]
        environment = {
            "PATH": os.environ["PATH"],
            "PGHOST": server.host,
            "PGPORT": str(server.port),
            "PGUSER": server.user,
            "PGPASSWORD": server.password,
            "PGDATABASE": made.settings.source_database(source),
        }
        running.append(
            subprocess.Popen(  # noqa: S603
                command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        )
    for process in running:
        output, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(output)


def measure_drain(made: Stage, targets: Mapping[str, Target], events: int) -> Drain:
    """Write a backlog while no relay works, then start one."""
    wanted = events // len(targets)
    writers = [
        threading.Thread(target=write_backlog, args=(made, source, target, wanted))
        for source, target in targets.items()
    ]
    before = delivered_events(made)
    queue, wal, audit = queue_bytes(made), wal_bytes(made), audit_bytes(made)
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    queue, wal = queue_bytes(made) - queue, wal_bytes(made) - wal
    start = time.monotonic()
    relay = made.relay()
    usage = Usage(relay)
    goal = before + wanted * len(targets)
    while (found := delivered_events(made)) < goal:
        usage.look()
        if not relay.running or time.monotonic() - start > CATCH_UP_SECONDS:
            raise RuntimeError(f"{found - before:,} events after {time.monotonic() - start:.0f} s: {relay.tail()}")
        time.sleep(0.2)
    seconds = time.monotonic() - start
    relay.stop()
    events = goal - before
    audit = audit_bytes(made) - audit
    return Drain(events, seconds, events / seconds, usage.memory, queue / events, wal / events, audit / events)


def queue_bytes(made: Stage) -> int:
    statement = "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('audit.queue')"
    return sum(asked(made, source, statement) for source in made.sources)


def wal_bytes(made: Stage) -> int:
    return asked(made, made.sources[0], "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")


def audit_bytes(made: Stage) -> int:
    return sum(path.stat().st_size for path in made.root.rglob(f"{made.settings.mysql_audit.database}/*.ibd"))


def asked(made: Stage, source: str, statement: str) -> int:
    """The one number that a statement answers."""
    with made.session(source) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        ((found,),) = cursor.fetchall()
    return found


def write_backlog(made: Stage, source: str, target: Target, events: int) -> None:
    """Updates of one row, ten in a transaction."""
    with made.session(source) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit = off")
            cursor.execute(
                f"""DO $$ BEGIN FOR n IN 1..{events} LOOP
                    UPDATE {target.table} SET {target.number} = n, {target.counter} = n
                    WHERE {target.key} = 'B-' || (n % {ROWS} + 1);
                    IF n % 10 = 0 THEN COMMIT; END IF;
                END LOOP; END $$"""
            )


def wait_for_delivery(made: Stage, *sources: str) -> None:
    """Until the audit database holds every event of these sources' queues; by default, of all."""
    sources = sources or made.sources
    queued = sum(asked(made, source, "SELECT count(*) FROM audit.queue") for source in sources)
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while (found := delivered_events(made, sources)) < queued:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{queued - found:,} events are missing")
        time.sleep(0.1)


def delivered_events(made: Stage, sources: Sequence[str] = ()) -> int:
    sources = sources or made.sources
    chosen = ", ".join("%s" for _ in sources)
    ((found,),) = made.audit(
        "SELECT COALESCE(SUM(event_count), 0) FROM audit_sequence_manager "
        f"WHERE batch_kind = 'STREAM' AND source_db IN ({chosen})",
        tuple(sources),
    )
    return int(found)


def newest_batch(made: Stage) -> int:
    ((found,),) = made.audit("SELECT MAX(batch_no) FROM audit_sequence_manager")
    return int(found)


def newest_events(addresses: Addresses) -> dict[str, int]:
    found: dict[str, int] = {}
    for source, address in addresses.sources.items():
        with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT coalesce(max(event_id), 0) FROM audit.queue")
            ((found[source],),) = cursor.fetchall()
    return found


def committed_events(addresses: Addresses, after: dict[str, int]) -> Generator[tuple[str, int, float]]:
    """Source, number and time of commit (seconds since 1970) of the events after these numbers."""
    for source, address in addresses.sources.items():
        with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT event_id, extract(epoch FROM pg_xact_commit_timestamp(xid::xid))::float8 FROM audit.queue "
                "WHERE event_id > %s",
                (after.get(source, 0),),
            )
            for event, committed in cursor:
                yield source, event, committed


if __name__ == "__main__":
    typer.run(main)
