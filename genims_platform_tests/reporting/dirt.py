"""Ways in which sources go wrong, done to all tables that reports read in copies of a factory group's databases."""

import re
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import date

import polars as pl
from psycopg2 import sql

from genims_platform.local.postgres import connect_postgres
from genims_platform.reporting.registry import reporting_tables
from genims_platform.settings import SOURCE_NAMES, Settings
from genims_platform.sources.catalogue import Table, source_table
from genims_platform.sources.connection import connect
from genims_platform.sources.schema import EVENT_TIME_COLUMNS

Dirt = Callable[[str, Table], sql.Composable | None]
"""The statement that spoils a table, given as `mes.defects` with its facts; None if it has nothing to spoil."""

HUGE = 10**12
DIGITS = 12
STRANGER = "STRANGER-"
_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")


def copy_databases(settings: Settings, suffix: str) -> Settings:
    """Settings of a copy of the 13 databases of `settings`, named with a suffix."""
    copies = {name: f"{settings.source_primary(name).database}_{suffix}" for name in SOURCE_NAMES}
    server = settings.source_primary("mes")
    with closing(connect_postgres(server.port, server.password)) as connection:
        connection.autocommit = True
        for name, copy in copies.items():
            original = sql.Identifier(settings.source_primary(name).database)
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(copy), original)
            connection.cursor().execute(statement)
    return settings.model_copy(update={f"pg_{name}_db": copy for name, copy in copies.items()})


def spoil(settings: Settings, dirt: Dirt) -> None:
    """Do `dirt` to every table that reports read."""
    read = sorted({source for table in reporting_tables().values() for source in table.source_tables})
    for database in SOURCE_NAMES:
        with (
            closing(connect(settings.source_primary(database))) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            for name in read:
                if name.startswith(f"{database}.") and (statement := dirt(name, source_table(name))):
                    cursor.execute(statement)


def nothing(name: str, _facts: Table) -> sql.Composable:
    """No row at all."""
    return sql.SQL("TRUNCATE {}").format(_table(name))


def only_master_data(name: str, facts: Table) -> sql.Composable | None:
    """No row outside the master database."""
    return None if name.startswith("master.") else nothing(name, facts)


def nulls(name: str, facts: Table) -> sql.Composable | None:
    """NULL in every column that allows it."""
    return _set(name, {column.name: sql.SQL("NULL") for column in facts.columns if not column.not_null})


def strangers(name: str, facts: Table) -> sql.Composable | None:
    """Ids that match nothing, in every column that refers to another table."""
    ids = [c.name for c in facts.columns if c.name.endswith("_id") and c.type.startswith("varchar")]
    stranger = sql.SQL("{} || left({}, 20)")
    return _set(
        name,
        {
            id_: stranger.format(sql.Literal(STRANGER), sql.Identifier(id_))
            for id_ in ids
            if id_ not in facts.primary_key
        },
    )


def doubles(name: str, facts: Table) -> sql.Composable:
    """Every row twice, under another primary key."""
    return _again(name, facts, sql.SQL("TRUE"), times=1)


def huge_amounts(name: str, facts: Table) -> sql.Composable | None:
    """±10^12 in every decimal column that can hold it: amounts of money."""
    (key,) = facts.primary_key
    amount = sql.SQL("CASE WHEN hashtext({}::text) % 2 = 0 THEN -{} ELSE {} END").format(
        sql.Identifier(key), sql.Literal(HUGE), sql.Literal(HUGE)
    )
    digits = {c.name: int(m[1]) - int(m[2]) for c in facts.columns if (m := _NUMERIC.fullmatch(c.type))}
    return _set(name, {column: amount for column, before_point in digits.items() if before_point > DIGITS})


def busy_day(day: date, times: int) -> Dirt:
    """`times` as many events on one day as there were."""

    def dirt(name: str, facts: Table) -> sql.Composable | None:
        if name not in EVENT_TIME_COLUMNS:
            return None
        column = EVENT_TIME_COLUMNS[name][0]
        numbered = isinstance(facts.polars_schema[column], pl.String)
        event = sql.SQL("substring({}, '-(\\d{{8}})-')" if numbered else "to_char({}, 'YYYYMMDD')")
        where = sql.SQL("{} = {}").format(event.format(sql.Identifier(column)), sql.Literal(f"{day:%Y%m%d}"))
        return _again(name, facts, where, times=times - 1)

    return dirt


def _set(name: str, values: Mapping[str, sql.Composable]) -> sql.Composable | None:
    if not values:
        return None
    pairs = [sql.SQL("{} = {}").format(sql.Identifier(column), value) for column, value in values.items()]
    return sql.SQL("UPDATE {} SET {}").format(_table(name), sql.SQL(", ").join(pairs))


def _again(name: str, facts: Table, where: sql.Composable, *, times: int) -> sql.Composable:
    (key,) = facts.primary_key
    unique = {key, *(columns[0] for columns in facts.unique if len(columns) == 1)}
    columns = sql.SQL(", ").join(sql.Identifier(c.name) for c in facts.columns)
    values = [_fresh(name, c.name, c.dtype) if c.name in unique else sql.Identifier(c.name) for c in facts.columns]
    # Where several columns together are unique, a second row is refused.
    insert = "INSERT INTO {} ({}) SELECT {} FROM {}, generate_series(1, {}) AS copy WHERE {} ON CONFLICT DO NOTHING"
    table = _table(name)
    return sql.SQL(insert).format(table, columns, sql.SQL(", ").join(values), table, sql.Literal(times), where)


def _fresh(name: str, column: str, dtype: pl.DataType) -> sql.Composable:
    if isinstance(dtype, pl.String):
        return sql.SQL("{} || '-' || copy").format(sql.Identifier(column))
    largest = sql.SQL("(SELECT max({}) FROM {})").format(sql.Identifier(column), _table(name))
    return sql.SQL("{} + row_number() OVER ()").format(largest)


def _table(name: str) -> sql.Identifier:
    return sql.Identifier(name.partition(".")[2])
