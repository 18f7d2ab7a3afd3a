"""Whatever transactions, ticks, reads and crashes do in whichever order: what is read is what a plain list says."""

import json
import secrets
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import cast

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from psycopg2 import extensions

from genims_platform.audit.capture.queue import event_keys, make_tick, read_events
from genims_platform_tests.audit.capture.captured import Captured

WRITERS = st.integers(0, 2)
ROWS = st.integers(0, 4)
TABLE = "counted"
OLD_TICK = "UPDATE audit.tick SET at = at - interval '1 hour'"


@dataclass
class Transaction:
    """Its changes as (number of the event, row, value), and how many there were at each savepoint."""

    changes: list[tuple[int, int, int]] = field(default_factory=list)
    savepoints: list[int] = field(default_factory=list)

    def locks(self, row: int) -> bool:
        return any(row == changed for _, changed, _ in self.changes)


@dataclass
class Writer:
    connection: extensions.connection
    open: Transaction | None = None

    def execute(self, statement: str, parameters: tuple[object, ...] = ()) -> int:
        """Run it; the value that it returns, if it returns one."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return int(cursor.fetchall()[0][0]) if cursor.description else 0


class Machine(RuleBasedStateMachine):
    """Three writers that raise five numbers, a reader that goes from tick to tick, and the list it is held against."""

    def __init__(self, crm: Captured) -> None:
        super().__init__()
        self.crm = crm
        self.stack = ExitStack()
        self.writers = [Writer(self.session()) for _ in range(3)]
        self.reader = self.session()
        self.prepared: dict[str, Transaction] = {}
        self.committed: list[Transaction] = []
        self.read_until, _ = make_tick(self.reader)
        self.ticks: list[tuple[int, int]] = []
        """Ticks that are not read yet, each with how many transactions had been committed by then."""

        self.read_transactions = 0
        self.lost_reads: list[tuple[int, int, list[int]]] = []
        self.values = dict(crm_rows(crm))

    def session(self) -> extensions.connection:
        return self.stack.enter_context(self.crm.session(autocommit=True))

    @rule(number=WRITERS)
    def begin(self, number: int) -> None:
        writer = self.writers[number]
        if writer.open is None:
            writer.execute("BEGIN")
            writer.open = Transaction()

    @rule(number=WRITERS, row=ROWS)
    def write(self, number: int, row: int) -> None:
        """By itself or in the transaction that is open; rows that others hold are left alone."""
        writer = self.writers[number]
        others = [other.open for other in self.writers if other is not writer and other.open is not None]
        if any(other.locks(row) for other in (*others, *self.prepared.values())):
            return
        value = writer.execute(f"UPDATE {TABLE} SET value = value + 1 WHERE id = %s RETURNING value", (row,))
        event = writer.execute("SELECT currval('audit.queue_event_id_seq')")
        if writer.open is None:
            self.committed.append(Transaction([(event, row, value)]))
        else:
            writer.open.changes.append((event, row, value))

    @rule(number=WRITERS)
    def savepoint(self, number: int) -> None:
        writer = self.writers[number]
        if writer.open is not None:
            writer.execute(f"SAVEPOINT s{len(writer.open.savepoints)}")
            writer.open.savepoints.append(len(writer.open.changes))

    @rule(number=WRITERS)
    def roll_back_to_savepoint(self, number: int) -> None:
        writer = self.writers[number]
        if writer.open is not None and writer.open.savepoints:
            kept = writer.open.savepoints.pop()
            name = f"s{len(writer.open.savepoints)}"
            writer.execute(f"ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")
            del writer.open.changes[kept:]

    @rule(number=WRITERS)
    def roll_back(self, number: int) -> None:
        writer = self.writers[number]
        if writer.open is not None:
            writer.execute("ROLLBACK")
            writer.open = None

    @rule(number=WRITERS)
    def commit(self, number: int) -> None:
        writer = self.writers[number]
        if writer.open is not None:
            writer.execute("COMMIT")
            self.committed.append(writer.open)
            writer.open = None

    @rule(number=WRITERS)
    def prepare(self, number: int) -> None:
        writer = self.writers[number]
        if writer.open is not None and len(self.prepared) < 3:
            name = secrets.token_hex(8)
            writer.execute("PREPARE TRANSACTION %s", (name,))
            self.prepared[name] = writer.open
            writer.open = None

    @precondition(lambda self: self.prepared)
    @rule(commit=st.booleans())
    def end_prepared(self, commit: bool) -> None:
        name = next(iter(self.prepared))
        ended = self.prepared.pop(name)
        self.end(f"{'COMMIT' if commit else 'ROLLBACK'} PREPARED %s", name)
        if commit:
            self.committed.append(ended)

    def end(self, statement: str, name: str) -> None:
        """Run what no transaction may be open for in a session of its own."""
        with self.crm.session(autocommit=True) as connection:
            Writer(connection).execute(statement, (name,))

    @rule(number=WRITERS)
    def crash(self, number: int) -> None:
        """A writer's server process dies; what it prepared does not."""
        writer = self.writers[number]
        with self.crm.superuser() as connection:
            ended = Writer(connection).execute(
                "SELECT pg_terminate_backend(%s, 10000)::int", (writer.connection.info.backend_pid,)
            )
        assert ended == 1
        writer.connection, writer.open = self.session(), None

    @rule()
    def tick(self) -> None:
        tick, made = make_tick(self.reader)
        newest = self.ticks[-1] if self.ticks else (self.read_until, self.read_transactions)
        if made:
            self.ticks.append((tick, len(self.committed)))
        else:
            unseen = [change for done in self.committed[newest[1] :] for change in done.changes]
            assert not unseen, "committed, and no tick would ever be made for it"
            assert tick == newest[0]

    @rule()
    def time_passes(self) -> None:
        """The newest tick is no longer young enough to do for an idle source."""
        Writer(self.reader).execute(OLD_TICK)

    @rule(position=st.integers(0, 5))
    def read(self, position: int) -> None:
        """Up to one of the ticks that were not read yet; whether there is one depends on the clock as well."""
        if not self.ticks:
            return
        position = min(position, len(self.ticks) - 1)
        upto, transactions = self.ticks[position]
        self.compare(upto, self.committed[self.read_transactions : transactions])
        del self.ticks[: position + 1]
        self.read_until, self.read_transactions = upto, transactions

    @rule()
    def read_and_crash(self) -> None:
        """What was read is lost before it was delivered; whenever it is read again, it is the same."""
        if not self.ticks:
            return
        upto, _ = self.ticks[-1]
        self.lost_reads.append((self.read_until, upto, self.numbers(self.read_until, upto)))
        with self.crm.superuser() as connection:
            Writer(connection).execute("SELECT pg_terminate_backend(%s, 10000)::int", (self.reader.info.backend_pid,))
        self.reader = self.session()

    @invariant()
    def connections_work(self) -> None:
        for writer in self.writers:
            expected = extensions.TRANSACTION_STATUS_INTRANS if writer.open else extensions.TRANSACTION_STATUS_IDLE
            assert writer.connection.info.transaction_status == expected

    def numbers(self, after: int, upto: int) -> list[int]:
        return [key.event_id for key in event_keys(self.reader, after, upto)]

    def compare(self, upto: int, expected: list[Transaction]) -> None:
        """What the range holds, against the transactions that were committed in it."""
        keys = event_keys(self.reader, self.read_until, upto)
        numbers = [key.event_id for key in keys]
        transactions = [done.changes for done in expected if done.changes]
        assert sorted(numbers) == sorted(number for changes in transactions for number, _, _ in changes)
        for changes in transactions:
            place = numbers.index(changes[0][0])
            assert numbers[place : place + len(changes)] == [number for number, _, _ in changes], "split or reordered"
        for event in read_events(self.reader, keys):
            row = json.loads(event.new or "")
            assert row["value"] == self.values[row["id"]] + 1, f"row {row['id']}: versions in another order"
            self.values[row["id"]] = row["value"]

    def teardown(self) -> None:
        try:
            for number in range(len(self.writers)):
                self.commit(number)
            while self.prepared:
                self.end_prepared(commit=True)
            self.tick()
            if self.ticks:
                upto, transactions = self.ticks[-1]
                self.compare(upto, self.committed[self.read_transactions : transactions])
                self.read_transactions = transactions
            assert not any(done.changes for done in self.committed[self.read_transactions :])
            for after, upto, numbers in self.lost_reads:
                assert self.numbers(after, upto) == numbers
            assert self.values == dict(crm_rows(self.crm))
        finally:
            for name in self.prepared:
                self.end("ROLLBACK PREPARED %s", name)
            self.stack.close()


def crm_rows(crm: Captured) -> list[tuple[int, int]]:
    return [(row["id"], row["value"]) for row in crm.rows(f"SELECT id, value FROM {TABLE}")]


def test_the_reader_agrees_with_a_list(crm: Captured) -> None:
    crm.add_table(TABLE, "id int PRIMARY KEY, value int NOT NULL", {"class": "operational", "key": "id"})
    crm.execute(f"INSERT INTO {TABLE} SELECT n, 0 FROM generate_series(0, 4) n")
    run_state_machine_as_test(
        cast("type[Machine]", lambda: Machine(crm)),
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # the steps that are printed are short enough; shortening them takes minutes
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
