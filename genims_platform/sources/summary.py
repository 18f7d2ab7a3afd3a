"""Sums that PostgreSQL forms before anything is read: a history of any length arrives as few rows."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from io import StringIO

import polars as pl
import sqlglot
from psycopg2 import extensions

from genims_platform.sources.named_columns import named_columns
from genims_platform.sources.scope import Foreign, Span
from genims_platform.sources.small_reads import copied_text, parsed


@dataclass(frozen=True)
class Summary:
    """A model's claim on rows that a SELECT forms of tables of one database, in place of a `Read` of all their rows.

    `table` names the result like a table of the database, such as `financial.cash_by_day`; `schema` are its columns in
    order, `description` says in words what it sums up. In `statement` every column names its table by an alias, and
    the bounds of the span are `%(start)s`, `%(end)s`, `%(first_day)s` and `%(last_day)s`.
    """

    table: str
    description: str
    statement: str
    schema: Mapping[str, pl.DataType] = field(hash=False)

    @property
    def database(self) -> str:
        """Short name of the database."""
        return self.table.partition(".")[0]

    @cached_property
    def columns(self) -> Mapping[str, frozenset[str]]:
        """Source table, such as `financial.journal_entry_lines`, → columns that the statement names."""
        named = named_columns(sqlglot.parse_one(self.statement, read="postgres"))
        return {f"{self.database}.{table}": columns for table, columns in named.items()}

    @property
    def tables(self) -> tuple[str, ...]:
        """The source tables that the statement reads."""
        return tuple(self.columns)

    def text(self, connection: extensions.connection, span: Span) -> bytes:
        """The rows for a span, summed up by the server, as CSV without a header. Leaves Polars alone."""
        last_day = (span.end - timedelta(microseconds=1)).date()
        bounds = {"start": span.start, "end": span.end, "first_day": span.start.date(), "last_day": last_day}
        with connection.cursor() as cursor:
            statement = cursor.mogrify(self.statement, bounds).decode()
        return copied_text(connection, statement)

    def rows(self, text: bytes) -> pl.DataFrame:
        """What `text` returned, in the types of `schema`.

        Raises:
            polars.exceptions.PolarsError: a value has no place in its type.
        """
        return parsed(text, self.schema)

    def keys(self, text: bytes, column: str) -> list[str]:
        """The distinct values of a column of what `text` returned, ascending. Leaves Polars alone."""
        place = list(self.schema).index(column)
        found = {row[place] for row in csv.reader(StringIO(text.decode(), newline=""))}
        return sorted(found - {""})


@dataclass(frozen=True)
class KeyOf(Foreign):
    """Rows whose `column` holds a `key` of the rows of `summary`."""

    summary: Summary
    key: str
