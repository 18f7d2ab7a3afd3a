"""What a refresh reads: the sources, and stored rows of other reporting tables where only those know the past."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import polars as pl

from genims_platform.mysql.connection import Database, identifier
from genims_platform.mysql.contract import contracts
from genims_platform.mysql.slices import stored_rows
from genims_platform.reporting.once import Once
from genims_platform.sources.catalogue import source_table
from genims_platform.sources.reader import Parameters, Read, SourceReader, lazy_source
from genims_platform.sources.scope import Between, Foreign, LastSnapshot, Span
from genims_platform.sources.summary import Summary

REPORTING = "reporting"
"""Database name in a `Read` of kept snapshots, such as `reporting.inventory_value_summary`."""


def input_schema(table: str) -> Mapping[str, pl.DataType]:
    """Columns and types of a source table or, as `reporting.<table>`, of a reporting table."""
    database, _, name = table.partition(".")
    return contracts("reporting")[name].polars_schema if database == REPORTING else source_table(table).polars_schema


class Inputs:
    """What one computation reads: the live sources and the reporting database beside them.

    Keys and summaries that several scopes look up, and statements that several checks ask, are read once, so that they
    also agree.
    `rows_read` counts the rows of both databases by table.
    """

    def __init__(self, sources: SourceReader, target: Database) -> None:
        self._sources = sources
        self._target = target
        self._keys: Once[list[str]] = Once()
        self._texts: Once[bytes] = Once()
        self._results: Once[pl.DataFrame] = Once()

    @property
    def rows_read(self) -> Counter[str]:
        """Rows by table over the life of the source reader."""
        return self._sources.rows_read

    def scan(self, read: Read | Summary, span: Span) -> pl.LazyFrame:
        """Rows of a source, or stored ones of a reporting table: `Between` some days, or the `LastSnapshot`."""
        if isinstance(read, Summary) or read.database != REPORTING:
            return self._sources.scan(read, span, self)
        contract = contracts("reporting")[read.table.partition(".")[2]]
        if not isinstance(read.scope, Between | LastSnapshot):
            raise TypeError(f"stored rows of {contract.name} are read between days, not by {read.scope}")
        period = identifier(read.scope.column)
        condition, bounds = f"{period} BETWEEN %s AND %s", _days(span)
        if isinstance(read.scope, Between):
            bounds = _days(Span(span.start - read.scope.before, span.end + read.scope.after))
        else:
            table = identifier(contract.name)
            condition = f"{period} = (SELECT MAX({period}) FROM {table} WHERE {condition})"  # noqa: S608

        def fetch(columns: list[str]) -> pl.DataFrame:
            with self._target.connection() as connection:
                rows = stored_rows(connection, contract, condition, bounds, columns=columns)
            self.rows_read[read.table] += rows.height
            return rows

        return lazy_source(read.table, contract.polars_schema, fetch)

    def query(self, database: str, statement: str, parameters: Parameters) -> pl.DataFrame:
        """The result of one bound SQL statement on a source, or on the `reporting` database."""
        read = self._target.read if database == REPORTING else partial(self._sources.query, database)
        return self._results.get((database, statement, repr(parameters)), lambda: read(statement, parameters))

    def keys_from(self, other: Foreign, span: Span) -> list[str]:
        """The distinct keys that `other` selects for a span."""
        return self._keys.get((replace(other, column=""), span), lambda: self._sources.keys_from(other, span, self))

    def summed_up(self, summary: Summary, span: Span) -> bytes:
        """The rows of a summary as its `text`."""
        return self._texts.get((summary.table, span), lambda: self._sources.summed_up(summary, span))


def _days(span: Span) -> tuple[date, date]:
    # Days and not instants: MariaDB answers MAX(day) with day < '2026-11-22 14:00' as if it were midnight.
    return span.start.date(), (span.end - timedelta(microseconds=1)).date()
