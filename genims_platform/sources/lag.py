"""How far the sources have come: the newest event of each table, found through the index on its event time."""

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time

import psycopg2
from psycopg2 import sql

from genims_platform.settings import Settings
from genims_platform.sources.catalogue import source_table
from genims_platform.sources.connection import SourceUnavailableError, connect
from genims_platform.sources.schema import EVENT_TIME_COLUMNS

_SECONDS_A_QUERY = 5


@dataclass(frozen=True)
class NewestEvents:
    """Source table → its newest event (naive UTC, a day counts from its midnight); `problems` are sentences."""

    instants: Mapping[str, datetime]
    problems: tuple[str, ...]

    def of(self, tables: Iterable[str]) -> datetime | None:
        """The newest event of any of these tables, or None where none is known."""
        return max((self.instants[table] for table in tables if table in self.instants), default=None)


def newest_events(settings: Settings, tables: Collection[str], now: datetime) -> NewestEvents:
    """The newest event up to `now` of those of these tables that have an event time; later ones are plans or mistakes.

    A database that does not answer is a problem, not an error.
    """
    by_database: dict[str, list[str]] = {}
    for table in tables:
        if _event_time(table):
            by_database.setdefault(table.partition(".")[0], []).append(table)
    if not by_database:
        return NewestEvents({}, ())
    with ThreadPoolExecutor(len(by_database)) as pool:
        asked = [pool.submit(_newest, settings, name, group, now) for name, group in by_database.items()]
        answers = [answer.result() for answer in asked]
    return NewestEvents(
        {table: instant for answer in answers for table, instant in answer.instants.items()},
        tuple(problem for answer in answers for problem in answer.problems),
    )


def _newest(settings: Settings, database: str, tables: Collection[str], now: datetime) -> NewestEvents:
    instants: dict[str, datetime] = {}
    problems: list[str] = []
    server = settings.source(database)
    try:
        with closing(connect(server, autocommit=True)) as connection, connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = %s", (f"{_SECONDS_A_QUERY}s",))
            for table in tables:
                column = sql.Identifier(_event_time(table) or "")
                name = sql.Identifier(table.partition(".")[2])
                statement = sql.SQL("SELECT max({column}) FROM {name} WHERE {column} <= %s")
                try:
                    cursor.execute(statement.format(column=column, name=name), (now,))
                except psycopg2.Error as error:
                    problems.append(f"{server.address}: {table}: {str(error).splitlines()[0]}")
                    continue
                (newest,) = cursor.fetchone() or (None,)
                if isinstance(newest, datetime):
                    instants[table] = newest
                elif isinstance(newest, date):
                    instants[table] = datetime.combine(newest, time())
    except SourceUnavailableError as error:
        problems.append(str(error))
    return NewestEvents(instants, tuple(problems))


def _event_time(table: str) -> str | None:
    """The first of the table's event time columns that holds a date or a time."""
    schema = source_table(table).polars_schema
    return next((name for name in EVENT_TIME_COLUMNS.get(table, ()) if schema[name].is_temporal()), None)
