"""Sources made of rows in memory, for hand-computed examples of pure models."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import polars as pl

from genims_platform.reporting.inputs import input_schema
from genims_platform.reporting.periods import DAY, Window, midnight
from genims_platform.reporting.table import ReportingTable
from genims_platform.sources.reader import Parameters, Read
from genims_platform.sources.scope import Span
from genims_platform.sources.summary import Summary

MONDAY = date(2026, 3, 2)
TUESDAY = MONDAY + DAY

Rows = Sequence[Mapping[str, object]] | pl.DataFrame


def at(day: date, hour: float, minute: float = 0) -> datetime:
    return midnight(day) + timedelta(hours=hour, minutes=minute)


class FrameSources:
    """Serves given rows by name of table or summary; columns left out are NULL, tables left out are empty.

    Scopes are ignored.
    """

    def __init__(self, tables: Mapping[str, Rows]) -> None:
        self._tables = tables

    def scan(self, read: Read | Summary, span: Span) -> pl.LazyFrame:  # noqa: ARG002
        schema = read.schema if isinstance(read, Summary) else input_schema(read.table)
        return _complete(read.table, self._tables.get(read.table, []), dict(schema)).lazy()

    def query(self, database: str, statement: str, parameters: Parameters) -> pl.DataFrame:
        raise NotImplementedError("rows in memory answer no SQL")


def rows_of(table: ReportingTable, tables: Mapping[str, Rows], window: Window) -> pl.DataFrame:
    """The table's rows as they would be loaded, by primary key."""
    computed = table.compute(FrameSources(tables), window).collect()
    return table.contract.cast(computed)[0].sort(table.contract.primary_key)


def _complete(name: str, rows: Rows, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    if isinstance(rows, pl.DataFrame):
        given = rows.cast({column: schema[column] for column in rows.columns})
        return given.with_columns(
            pl.lit(None, dtype).alias(column) for column, dtype in schema.items() if column not in rows.columns
        ).select(list(schema))
    unknown = {column for row in rows for column in row} - set(schema)
    if unknown:
        raise KeyError(f"{name} has no columns {sorted(unknown)}")
    return pl.DataFrame([dict(row) for row in rows], schema=schema, strict=False)
