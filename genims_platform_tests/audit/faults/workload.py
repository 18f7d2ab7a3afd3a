"""Applications that write to audited tables, and a history of what they meant to do and were told.

    python -m genims_platform_tests.audit.faults.workload ADDRESSES --history FILE --seconds 20 --rate 60 --seed 1

A program of its own. Each writer has one source: it changes a few rows that all writers of the source fight for, raises
a counter by one, inserts and deletes rows of its own, copies in bulk, rolls back, rolls back in part, pauses with its
transaction open, and commits in two phases. Every row holds the name of the transaction that wrote it.

A line of the history is either the intent, written before COMMIT is sent, or the outcome (`ok`, `rolled back`,
`failed`, or `unknown` when the connection broke during COMMIT). SIGTERM ends the program after the running
transactions. SIGUSR1 has nothing committed any more that waits for the disk, and SIGUSR2 has all of it again: so a test
can kill a source whose last commits were acknowledged and are in no file.
"""

import argparse
import io
import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import extensions, sql

from genims_platform_tests.audit.faults.addresses import Addresses, read

HOT_ROWS = 24
COUNTERS = "fault_counters"
"""A table that each source has besides; its rows hold a number that every change raises by one."""

COUNTER_COLUMNS = "counter_id text PRIMARY KEY, value bigint NOT NULL, mark text"
COUNTER_KEYS = tuple(f"C-{row}" for row in range(8))
DURABLE, ASYNCHRONOUS = "workload, durable", "workload, asynchronous"
"""Names of the applications, which differ in what COMMIT waits for."""

TEXTS = ("plain", "", None, "Grüße aus Köln 🏭", 'quote " and \\ and \n newline', "表", "NaN", "e\u0301", "x" * 3000)
NUMBERS = ("0", "100.10", "-0.01", "9999999.99", "1", None)


@dataclass(frozen=True)
class Target:
    """The audited table of one source: its key, its counter, where the mark goes, and columns that vary."""

    table: str
    key: str
    counter: str
    counter_type: str
    mark: str
    text: str
    number: str
    unique: str
    """A second column that tells rows apart; it gets the key."""

    needed: tuple[tuple[str, str], ...]
    """Columns that may not be NULL, with a value."""


TARGETS = {
    "crm": Target(
        "accounts",
        "account_id",
        "employee_count",
        "integer",
        "notes",
        "description",
        "credit_limit",
        "account_number",
        (("account_name", "A"),),
    ),
    "hcm": Target(
        "employees",
        "employee_id",
        "work_location",
        "text",
        "job_title",
        "national_id",
        "annual_salary",
        "employee_number",
        (("first_name", "Ada"), ("last_name", "Lovelace"), ("hire_date", "2020-02-29")),
    ),
    "erp": Target(
        "materials",
        "material_id",
        "lead_time_days",
        "integer",
        "dimensions",
        "product_id",
        "standard_cost",
        "material_code",
        (("material_name", "M"), ("material_type", "raw"), ("base_unit_of_measure", "EA")),
    ),
}
"""`text` and `number` of hcm are personal, so their values must arrive encrypted."""


@dataclass(frozen=True)
class Mix:
    """Shares of transactions (0..1) and sizes."""

    rollback: float = 0.15
    part_rollback: float = 0.05
    pause: float = 0.05
    bulk: float = 0.02
    two_phase: float = 0.01
    context: float = 0.9
    longest_pause: float = 0.5
    bulk_rows: int = 2000


class History:
    """Lines of JSON, each flushed when written."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()

    def write(self, **entry: Any) -> None:
        line = json.dumps({**entry, "at": round(time.time(), 6)})
        with self._lock:
            self._file.write(line + "\n")


@dataclass
class Transaction:
    """What one transaction is to do and did; `rows` are the row changes that carry its name."""

    name: str
    kind: str
    rows: int = 0
    absent: list[str] = field(default_factory=list)
    """Names written after a savepoint that was rolled back to."""


class Writer(threading.Thread):
    def __init__(self, number: int, source: str, address: str, rate: float, options: argparse.Namespace) -> None:
        super().__init__(name=f"writer {number}", daemon=True)
        self.number = number
        self.source = source
        self.target = TARGETS[source]
        self.address = address
        self.rate = rate
        self.synchronous = number % 4 != 3
        self.random = random.Random(f"{options.seed}:{number}")  # noqa: S311
        self.prefix = f"{options.seed}.{number}"
        self.mix = Mix(bulk_rows=options.bulk_rows, longest_pause=options.longest_pause)
        self.stop: threading.Event = options.stop
        self.quiet: threading.Event = options.quiet
        self.history: History = options.record
        self.outcomes: Counter[str] = Counter()
        self.connection: extensions.connection | None = None
        self.own_rows: list[str] = []
        self.two_phase = True

    def run(self) -> None:
        due = time.monotonic()
        for name in self._names():
            due = max(due + self.random.expovariate(self.rate), time.monotonic() - 1)
            if self.stop.wait(max(0.0, due - time.monotonic())):
                break
            while self.synchronous and self.quiet.is_set() and not self.stop.wait(0.02):
                pass
            self._transaction(name)
        if self.connection:
            self.connection.close()

    def _names(self) -> Iterator[str]:
        start = int(time.time() * 1000)  # so that a second run of the same seed names its transactions otherwise
        number = 0
        while not self.stop.is_set():
            number += 1
            yield f"{self.prefix}.{start}.{number}"

    def _transaction(self, name: str) -> None:
        transaction = Transaction(name, self._kind())
        started = time.perf_counter()
        committing = False
        try:
            cursor = self._cursor()
            self._begin(cursor, transaction)
            self._work(cursor, transaction)
            if transaction.kind == "rollback":
                cursor.execute("ROLLBACK")
                outcome = "rolled back"
            else:
                self._intend(transaction)
                committing = True
                self._commit(cursor, transaction)
                outcome = "ok"
            error = None
        except psycopg2.Error as failure:
            error = f"{type(failure).__name__}: {str(failure).strip().splitlines()[0] if str(failure).strip() else ''}"
            lost = (
                self.connection is None
                or bool(self.connection.closed)
                or isinstance(failure, psycopg2.OperationalError)
            )
            outcome = "unknown" if committing and lost else "failed"
            self._give_up(transaction, committing=committing)
        self.outcomes[outcome] += 1
        if outcome in ("rolled back", "failed") and not committing:
            self._intend(transaction)
        self.history.write(
            outcome=outcome,
            name=name,
            error=error,
            seconds=round(time.perf_counter() - started, 6),
            kind=transaction.kind,
        )

    def _intend(self, transaction: Transaction) -> None:
        self.history.write(
            intent=transaction.name,
            source=self.source,
            synchronous=self.synchronous or transaction.kind == "two-phase",
            kind=transaction.kind,
            rows=transaction.rows,
            absent=transaction.absent,
        )

    def _kind(self) -> str:
        draw = self.random.random()
        for kind, share in (
            ("rollback", self.mix.rollback),
            ("part", self.mix.part_rollback),
            ("bulk", self.mix.bulk),
            ("two-phase", self.mix.two_phase if self.two_phase and not self.quiet.is_set() else 0),
        ):
            if draw < share:
                return kind
            draw -= share
        return "plain"

    def _cursor(self) -> extensions.cursor:
        if self.connection is None or self.connection.closed:
            self.connection = psycopg2.connect(self.address, connect_timeout=3)
            self.connection.autocommit = True
            with self.connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('synchronous_commit', %s, false)", ("on" if self.synchronous else "off",)
                )
                name = DURABLE if self.synchronous else ASYNCHRONOUS
                cursor.execute("SELECT set_config('application_name', %s, false)", (name,))
                cursor.execute("SHOW max_prepared_transactions")
                self.two_phase = cursor.fetchone() != ("0",)
        return self.connection.cursor()

    def _begin(self, cursor: extensions.cursor, transaction: Transaction) -> None:
        if self.random.random() < self.mix.context:
            cursor.execute(
                "BEGIN; SELECT audit.set_context(%s, 'clerk', session_id => %s, reason => 'TEST')",
                (f"user {self.number}", transaction.name),
            )
        else:
            cursor.execute("BEGIN")

    def _work(self, cursor: extensions.cursor, transaction: Transaction) -> None:
        if transaction.kind == "bulk":
            self._copy(cursor, transaction)
            return
        hot = sorted(self.random.sample(range(HOT_ROWS), self.random.randint(1, 4)))
        for position, row in enumerate(hot):
            self._change(cursor, transaction.name, f"H-{row:04}")
            transaction.rows += 1
            if position == 0 and self.random.random() < self.mix.pause:
                time.sleep(self.random.uniform(0, self.mix.longest_pause))
        counter = self.random.choice(COUNTER_KEYS)
        count_up(cursor, counter, transaction.name)
        transaction.rows += 1
        if transaction.kind == "part":
            undone = f"{transaction.name}u"
            cursor.execute("SAVEPOINT part")
            self._insert(cursor, undone, undone)
            self._change(cursor, undone, f"H-{hot[-1]:04}")
            count_up(cursor, counter, undone)
            cursor.execute("ROLLBACK TO SAVEPOINT part")
            transaction.absent.append(undone)
        draw = self.random.random()
        if draw < 0.3:
            self._insert(cursor, transaction.name, transaction.name)
            transaction.rows += 1
            if transaction.kind == "plain":
                self.own_rows.append(transaction.name)
        elif draw < 0.4 and self.own_rows:
            key = self.own_rows.pop()
            target = sql.Identifier(self.target.table), sql.Identifier(self.target.key)
            cursor.execute(sql.SQL("DELETE FROM {} WHERE {} = %s").format(*target), (key,))

    def _change(self, cursor: extensions.cursor, name: str, key: str) -> None:
        target = self.target
        statement = sql.SQL(
            "UPDATE {table} SET {counter} = (coalesce({counter}::int, 0) + 1)::" + target.counter_type + ", "
            "{mark} = %s, {text} = %s, {number} = %s WHERE {key} = %s"
        ).format(
            table=sql.Identifier(target.table),
            counter=sql.Identifier(target.counter),
            mark=sql.Identifier(target.mark),
            text=sql.Identifier(target.text),
            number=sql.Identifier(target.number),
            key=sql.Identifier(target.key),
        )
        cursor.execute(statement, (name, self._text(), self.random.choice(NUMBERS), key))
        assert cursor.rowcount == 1, f"{key} is gone"

    def _insert(self, cursor: extensions.cursor, name: str, key: str) -> None:
        insert(cursor, self.target, [key], name, self._text())

    def _text(self) -> str | None:
        text = self.random.choice(TEXTS)
        return text[:20] if text and self.source != "crm" else text

    def _copy(self, cursor: extensions.cursor, transaction: Transaction) -> None:
        target = self.target
        count = self.random.randint(min(100, self.mix.bulk_rows), self.mix.bulk_rows)
        columns = [target.key, target.unique, target.mark, target.counter, *(column for column, _ in target.needed)]
        values = [transaction.name, "0", *(value for _, value in target.needed)]
        keys = (f"{transaction.name}-{row}" for row in range(count))
        lines = ("\t".join([key, key, *values]) for key in keys)
        into = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(target.table), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        cursor.copy_expert(into, io.StringIO("\n".join(lines) + "\n"))
        transaction.rows += count

    def _commit(self, cursor: extensions.cursor, transaction: Transaction) -> None:
        if transaction.kind == "two-phase":
            cursor.execute("PREPARE TRANSACTION %s", (transaction.name,))
            time.sleep(self.random.uniform(0, 0.05))
            cursor.execute("COMMIT PREPARED %s", (transaction.name,))
        else:
            cursor.execute("COMMIT")

    def _give_up(self, transaction: Transaction, *, committing: bool) -> None:
        """Leave no lock behind: close the session, and end a prepared transaction that outlived it."""
        if self.connection:
            with suppress(psycopg2.Error):
                self.connection.close()
        self.connection = None
        self.stop.wait(0.1)
        if committing and transaction.kind == "two-phase":
            end_prepared(self.address, transaction.name)


def count_up(cursor: extensions.cursor, counter: str, name: str) -> None:
    cursor.execute(f"UPDATE {COUNTERS} SET value = value + 1, mark = %s WHERE counter_id = %s", (name, counter))
    assert cursor.rowcount == 1, f"{counter} is gone"


def end_prepared(address: str, name: str, seconds: float = 60) -> None:
    """Commit what a broken session left prepared, as a transaction manager would."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with closing(psycopg2.connect(address, connect_timeout=3)) as connection:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1 FROM pg_prepared_xacts WHERE gid = %s", (name,))
                    if cursor.fetchone():
                        cursor.execute("COMMIT PREPARED %s", (name,))
                    return
        except psycopg2.OperationalError:
            time.sleep(0.2)


def insert(cursor: extensions.cursor, target: Target, keys: list[str], name: str, text: str | None) -> None:
    columns = [
        target.key,
        target.unique,
        target.counter,
        target.mark,
        target.text,
        *(column for column, _ in target.needed),
    ]
    statement = sql.SQL("INSERT INTO {} ({}) SELECT k, k, '0', {} FROM unnest(%s::text[]) k").format(
        sql.Identifier(target.table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join([sql.Placeholder()] * (len(columns) - 3)),
    )
    cursor.execute(statement, (name, text, *(value for _, value in target.needed), keys))


def prepare(addresses: Addresses, history: History, seed: str) -> None:
    """Insert the rows that everybody changes, where they are missing."""
    for source, address in addresses.sources.items():
        target = TARGETS[source]
        with closing(psycopg2.connect(address)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(
                sql.SQL("SELECT {key} FROM {table} WHERE {key} LIKE 'H-%%'").format(
                    key=sql.Identifier(target.key), table=sql.Identifier(target.table)
                )
            )
            present = {key for (key,) in cursor.fetchall()}
            missing = [key for key in (f"H-{row:04}" for row in range(HOT_ROWS)) if key not in present]
            if not missing:
                continue
            name = f"{seed}.{source}.rows"
            insert(cursor, target, missing, name, None)
            cursor.execute(
                f"INSERT INTO {COUNTERS} SELECT k, 0, %s FROM unnest(%s::text[]) k", (name, list(COUNTER_KEYS))
            )
            rows = len(missing) + len(COUNTER_KEYS)
            history.write(intent=name, source=source, synchronous=True, kind="plain", rows=rows, absent=[])
        history.write(outcome="ok", name=name, error=None, seconds=0, kind="rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("addresses", type=Path)
    parser.add_argument("--history", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--rate", type=float, default=60, help="transactions a second, all writers together")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--bulk-rows", type=int, default=2000)
    parser.add_argument("--longest-pause", type=float, default=0.5)
    options = parser.parse_args()
    options.stop, options.quiet = threading.Event(), threading.Event()
    signal.signal(signal.SIGUSR1, lambda _number, _frame: options.quiet.set())
    signal.signal(signal.SIGUSR2, lambda _number, _frame: options.quiet.clear())
    signal.signal(signal.SIGTERM, lambda _number, _frame: options.stop.set())
    addresses = read(options.addresses)
    options.record = History(options.history)
    prepare(addresses, options.record, options.seed)
    sources = sorted(addresses.sources)
    writers = [
        Writer(
            number,
            sources[number % len(sources)],
            addresses.sources[sources[number % len(sources)]],
            options.rate / options.writers,
            options,
        )
        for number in range(options.writers)
    ]
    for writer in writers:
        writer.start()
    options.stop.wait(options.seconds)
    options.stop.set()
    for writer in writers:
        writer.join(90)
    total = sum((writer.outcomes for writer in writers), Counter[str]())
    print(json.dumps(total))  # noqa: T201


if __name__ == "__main__":
    main()
