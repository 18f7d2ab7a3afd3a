"""Live simulator: keeps writing plausible inserts, updates and deletes to the source databases."""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Literal

from psycopg2 import errors, extensions, sql
from psycopg2.extras import Json

from genims_platform.local.simulated_changes import CHANGES, Change, Delete, Insert, Row, Update
from genims_platform.settings import Settings
from genims_platform.sources.catalogue import source_table
from genims_platform.sources.connection import connect

_SAMPLE_ROWS = 300
_LONGEST_WAIT_SECONDS = 0.1
_TICK_SECONDS = 1.0


_REMEDY = "fill the sources with `genims generate`"


class NothingToSimulateError(RuntimeError):
    """A source table that the simulator works on is missing or holds no rows yet."""


@dataclass
class SimulationReport:
    """What was written so far: statements by kind and table (`insert`, `mes.defects`), transactions, seconds."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    transactions: int = 0
    seconds: float = 0.0

    @property
    def statements(self) -> int:
        """All inserts, updates and deletes."""
        return self.counts.total()

    def of_kind(self, kind: str) -> int:
        """Statements of one kind: `insert`, `update` or `delete`."""
        return sum(count for (counted, _), count in self.counts.items() if counted == kind)


def simulate(
    settings: Settings,
    *,
    rate: float,
    seconds: float | None,
    seed: int = 7,
    stop: Callable[[], bool] | None = None,
    on_tick: Callable[[SimulationReport], None] | None = None,
) -> SimulationReport:
    """Write about `rate` statements a second for `seconds` (None: until `stop()` is true), in short transactions.

    Raises:
        ValueError: `rate` is not positive.
        NothingToSimulateError: a table to work on is missing or empty.
        SourceUnavailableError: a source cannot be reached.
    """
    if rate <= 0:
        raise ValueError(f"rate={rate}: must be a positive number of statements a second")
    report = SimulationReport()
    with _Simulation(settings, seed) as simulation:
        started = time.monotonic()
        next_tick = started + _TICK_SECONDS
        while not (stop and stop()):
            now = time.monotonic()
            report.seconds = now - started
            if seconds is not None and report.seconds >= seconds:
                break
            if on_tick and now >= next_tick:
                on_tick(report)
                next_tick = now + _TICK_SECONDS
            ahead = report.statements / rate - report.seconds
            if ahead > 0:
                time.sleep(min(ahead, _LONGEST_WAIT_SECONDS))
            else:
                simulation.turn(report)
        report.seconds = time.monotonic() - started
    return report


@dataclass(frozen=True)
class _Statement:
    kind: Literal["insert", "update", "delete"]
    table: str
    columns: tuple[str, ...]
    values: Sequence[object]


class _Simulation:
    """Connections, sampled rows and the rows inserted so far."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._settings = settings
        self._rng = Random(seed)  # noqa: S311 (plausible values, not secrets)
        # A run that repeats a seed must not repeat its keys, so keys come from elsewhere.
        self._run = uuid.uuid4().hex[:8]
        self._integer_key = time.time_ns() // 1_000
        self._inserted_count = 0
        self._connections: dict[str, extensions.connection] = {}
        self._samples: dict[tuple[str, str], list[Row]] = {}
        self._children: dict[str, dict[object, list[Row]]] = {}
        self._own_keys: dict[str, list[object]] = {}
        self._texts: dict[tuple[str, str, tuple[str, ...]], str] = {}

    def __enter__(self) -> "_Simulation":
        try:
            for change in CHANGES:
                if not isinstance(change, Delete):
                    self._sample(change.table, change.where)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def turn(self, report: SimulationReport) -> None:
        """Make one change, chosen by weight, in a transaction of its own."""
        change = self._rng.choices(CHANGES, [change.weight for change in CHANGES])[0]
        statements = self._plan(change)
        if not statements:
            return
        connection = self._connection(change.table)
        # Sent as one string, statements are one transaction and one round trip.
        text = ";".join(self._text(connection, statement) for statement in statements)
        with connection.cursor() as cursor:
            cursor.execute(text, [value for statement in statements for value in statement.values])
        for statement in statements:
            report.counts[statement.kind, statement.table] += 1
        report.transactions += 1

    def _text(self, connection: extensions.connection, statement: _Statement) -> str:
        shape = (statement.kind, statement.table, statement.columns)
        if shape not in self._texts:
            self._texts[shape] = _compose(statement).as_string(connection)
        return self._texts[shape]

    def _plan(self, change: Change) -> list[_Statement]:
        match change:
            case Insert():
                return self._insert(change)
            case Update():
                return self._update(change)
            case Delete():
                return self._delete(change)

    def _insert(self, change: Insert) -> list[_Statement]:
        template = self._rng.choice(self._sample(change.table, change.where))
        anchor = template[change.anchor]
        age = timedelta(0) if anchor is None else _now() - _moment(anchor)
        row = self._new_row(change.table, template, age) | dict(change.reset)
        key = _key(change.table)
        self._own_keys.setdefault(change.table, []).append(row[key])
        self._offer(change.table, row)
        statements = [_insert_statement(change.table, row)]
        if change.child:
            table, column = change.child
            children = self._children_of(change.table, table, column).get(template[key], [])
            copies = (self._new_row(table, child, age) | {column: row[key]} for child in children)
            statements += [_insert_statement(table, copy) for copy in copies]
        return statements

    def _offer(self, table: str, row: Row) -> None:
        """Let updates work on a new row as well; the oldest rows make room."""
        for update in CHANGES:
            if isinstance(update, Update) and update.table == table:
                rows = self._sample(table, update.where)
                rows.append(row)
                del rows[: -2 * _SAMPLE_ROWS]

    def _update(self, change: Update) -> list[_Statement]:
        row = self._rng.choice(self._sample(change.table, change.where))
        values = change.change(self._rng, row, _now())
        if not values:
            return []
        row.update(values)
        return [_Statement("update", change.table, tuple(values), [*values.values(), row[_key(change.table)]])]

    def _delete(self, change: Delete) -> list[_Statement]:
        own = self._own_keys.get(change.table)
        if not own:
            return []
        key = own.pop(self._rng.randrange(len(own)))
        return [_Statement("delete", change.table, (), [key])]

    def _new_row(self, table: str, template: Row, age: timedelta) -> Row:
        facts = source_table(table)
        row = {name: _moved(value, age) for name, value in template.items()}
        self._inserted_count += 1
        key = facts.primary_key[0]
        if isinstance(template[key], int):
            row[key] = self._integer_key + self._inserted_count
        else:
            row[key] = f"{_prefix(template[key])}-SIM{self._run}-{self._inserted_count:06d}"
        for column in {column for unique in facts.unique for column in unique}:
            row[column] = f"{_prefix(template[column])}-{_now():%Y%m%d}-{self._run}{self._inserted_count:06d}"
        return row

    def _sample(self, table: str, where: str) -> list[Row]:
        if (table, where) not in self._samples:
            condition = sql.SQL(where)
            statement = sql.SQL("SELECT * FROM {} WHERE {} ORDER BY {} DESC LIMIT %s")
            rows = self._select(
                table, statement.format(_table(table), condition, sql.Identifier(_key(table))), (_SAMPLE_ROWS,)
            )
            if not rows and where != "true":
                return self._sample(table, "true")
            if not rows:
                raise NothingToSimulateError(f"{table} holds no rows to work on; {_REMEDY}")
            self._samples[table, where] = rows
        return self._samples[table, where]

    def _children_of(self, table: str, child: str, column: str) -> dict[object, list[Row]]:
        if child not in self._children:
            parents = [row[_key(table)] for rows in self._samples_of(table) for row in rows]
            statement = sql.SQL("SELECT * FROM {} WHERE {} = ANY(%s)").format(_table(child), sql.Identifier(column))
            grouped: dict[object, list[Row]] = {}
            for row in self._select(child, statement, (parents,)):
                grouped.setdefault(row[column], []).append(row)
            self._children[child] = grouped
        return self._children[child]

    def _samples_of(self, table: str) -> list[list[Row]]:
        return [rows for (sampled, _), rows in self._samples.items() if sampled == table]

    def _select(self, table: str, statement: sql.Composable, values: Sequence[object]) -> list[Row]:
        with self._connection(table).cursor() as cursor:
            try:
                cursor.execute(statement, values)
            except errors.UndefinedTable:
                raise NothingToSimulateError(f"{table} does not exist; {_REMEDY}") from None
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _connection(self, table: str) -> extensions.connection:
        source = table.partition(".")[0]
        if source not in self._connections:
            self._connections[source] = connect(self._settings.source_primary(source), autocommit=True)
        return self._connections[source]


def _insert_statement(table: str, row: Mapping[str, object]) -> _Statement:
    values = [Json(value) if isinstance(value, dict) else value for value in row.values()]
    return _Statement("insert", table, tuple(row), values)


def _compose(statement: _Statement) -> sql.Composable:
    table, key = _table(statement.table), sql.Identifier(_key(statement.table))
    columns = [sql.Identifier(column) for column in statement.columns]
    match statement.kind:
        case "insert":
            values = sql.SQL(", ").join(sql.Placeholder() * len(columns))
            return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(table, sql.SQL(", ").join(columns), values)
        case "update":
            changes = sql.SQL(", ").join(sql.SQL("{} = %s").format(column) for column in columns)
            return sql.SQL("UPDATE {} SET {} WHERE {} = %s").format(table, changes, key)
        case "delete":
            return sql.SQL("DELETE FROM {} WHERE {} = %s").format(table, key)


def _table(reference: str) -> sql.Identifier:
    return sql.Identifier(reference.partition(".")[2])


def _key(reference: str) -> str:
    return source_table(reference).primary_key[0]


def _prefix(value: object) -> str:
    return str(value).partition("-")[0]


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 (source times are naive UTC)
    raise TypeError(f"{value!r} is no date")


def _moved(value: object, age: timedelta) -> object:
    return value + age if isinstance(value, date) else value
