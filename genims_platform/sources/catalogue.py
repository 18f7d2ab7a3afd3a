"""The source catalogue: databases, tables, columns, keys and references of the 13 sources, as facts.

It is what the platform expects a source to look like: the reader takes column types from it, `genims sources check`
compares live databases with it, and local databases are created from it. Database names are the catalogue's own
(`genims_mes_db`); a deployment maps them to real names in its settings.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from genims_platform.settings import SOURCE_NAMES

_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")
_SIMPLE_TYPES: dict[str, pl.DataType] = {
    "integer": pl.Int32(),
    "bigint": pl.Int64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "time": pl.Time(),
    "timestamp": pl.Datetime("us"),
}


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Reference(_Fact):
    """A column whose values name rows of another table, possibly in another database.

    `orphan_share` is the share of values observed to match nothing (0..1).
    """

    columns: tuple[str]
    to: str
    orphan_share: float

    @property
    def column(self) -> str:
        """The referring column."""
        return self.columns[0]

    @property
    def target(self) -> tuple[str, str, str]:
        """Short database name, table and key column referred to."""
        database, table, key = self.to.split(".")
        return database.removeprefix("genims_").removesuffix("_db"), table, key


class Column(_Fact):
    """One column with its PostgreSQL type and what was observed in it.

    `values` lists the codes of an enumeration-like column, `value_range` the smallest and largest value,
    `null_share` the share of NULLs (0..1).
    """

    name: str
    type: str
    not_null: bool = False
    null_share: float = 0.0
    values: tuple[str, ...] = ()
    value_range: tuple[float | str, float | str] | None = Field(default=None, alias="range")

    @property
    def dtype(self) -> pl.DataType:
        """The Polars type the reader gives this column."""
        if match := _NUMERIC.fullmatch(self.type):
            return pl.Decimal(38, int(match[2]))
        return _SIMPLE_TYPES.get(self.type, pl.String())


class Table(_Fact):
    """The facts of one source table; `rows` is the size it was observed with."""

    rows: int
    primary_key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...]
    references: tuple[Reference, ...]
    columns: tuple[Column, ...]

    @property
    def polars_schema(self) -> dict[str, pl.DataType]:
        """Column name → Polars type, in table order."""
        return {column.name: column.dtype for column in self.columns}


_CATALOGUE = TypeAdapter(dict[str, dict[str, Table]])


@cache
def catalogue() -> Mapping[str, Mapping[str, Table]]:
    """Short database name → table name → table, for all 13 sources."""
    raw = _CATALOGUE.validate_json(resources.files("genims_platform.sources").joinpath("catalogue.json").read_bytes())
    return {name: raw[f"genims_{name}_db"] for name in SOURCE_NAMES}


def source_table(reference: str) -> Table:
    """The table named `<short database>.<table>`, for example `mes.work_orders`.

    Raises:
        KeyError: the catalogue knows no such table.
    """
    database, _, name = reference.partition(".")
    try:
        return catalogue()[database][name]
    except KeyError:
        raise KeyError(f"the source catalogue knows no table {reference!r}") from None
