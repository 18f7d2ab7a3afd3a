"""A small generated factory group in real databases, shared by the tests that refresh reporting tables."""

from collections.abc import Generator
from datetime import date, datetime

import pytest
from psycopg2 import sql

from genims_platform.local.generate.plan import Plan
from genims_platform.local.generate.run import generate
from genims_platform.mysql.connection import Database
from genims_platform.mysql.deploy import deploy
from genims_platform.orchestration.resources import reporting_database
from genims_platform.reporting.periods import Hours, midnight
from genims_platform.settings import Settings
from genims_platform.sources.catalogue import source_table
from genims_platform.sources.connection import connect

UNTIL = datetime(2026, 3, 10, 14, 30)
TODAY = UNTIL.date()


@pytest.fixture(scope="session")
def factory(settings: Settings) -> Settings:
    """Settings whose 13 sources hold two months of data up to UNTIL."""
    generate(settings, Plan(scale=0.02, months=2, seed=11, until=UNTIL))
    return settings


@pytest.fixture
def reporting(settings: Settings) -> Generator[Database]:
    """The deployed reporting database, emptied."""
    database = reporting_database(settings)
    deploy(database, "reporting", today=TODAY)
    clear(database)
    yield database
    database.close()


def clear(database: Database) -> None:
    """Delete every row of the reporting database."""
    tables = database.read("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
    with database.connection() as connection, connection.cursor() as cursor:
        for name in tables.to_series():
            cursor.execute(f"DELETE FROM `{name}`")
        connection.commit()


def days(first: date, end: date) -> Hours:
    """All hours of the days [first, end)."""
    return Hours(midnight(first), midnight(end))


def write(settings: Settings, table: str, statement: str, parameters: dict[str, object] | None = None) -> int:
    """Run a statement on the database of `table`; `{table}` in it names the table. Returns the rows it touched."""
    database, _, name = table.partition(".")
    connection = connect(settings.source_primary(database))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(table=sql.Identifier(name)), parameters or {})
            return cursor.rowcount
    finally:
        connection.close()


def copy_row(settings: Settings, table: str, changes: dict[str, object], where: str, number: int = 1) -> int:
    """Insert copies of rows that match `where` with `changes`, as a late booking would; keys get a new value."""
    facts = source_table(table)
    (key,) = facts.primary_key
    columns = [column.name for column in facts.columns]
    integer = facts.polars_schema[key].is_integer()
    fresh = f"(SELECT max({key}) FROM {{table}}) + row_number() OVER ()" if integer else f"{key} || %(suffix)s"
    values = [fresh if c == key else f"%({c})s" if c in changes else f'"{c}"' for c in columns]
    names = ", ".join(f'"{c}"' for c in columns)
    statement = (
        f"INSERT INTO {{table}} ({names}) SELECT {', '.join(values)} FROM {{table}} WHERE {where} LIMIT %(number)s"
    )
    suffix = f"-late{next(_SUFFIXES)}"
    return write(settings, table, statement, {**changes, "suffix": suffix, "number": number})


def _suffixes() -> Generator[int]:
    number = 0
    while True:
        yield (number := number + 1)


_SUFFIXES = _suffixes()
