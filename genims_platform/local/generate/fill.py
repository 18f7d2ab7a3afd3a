"""Completes a partial table: every column its domain did not set gets what the catalogue observed in it."""

import re

import numpy as np
import polars as pl

from genims_platform.local.generate.plan import Plan, identifiers, numbered, prefix
from genims_platform.local.generate.world import World
from genims_platform.sources.catalogue import Column, Table, source_table

_LENGTH = re.compile(r"varchar\((\d+)\)")
_LONG_AGO = re.compile(r"birth|hire|installation|commission|since|manufactured|purchase_date|overhaul")
_STRUCTURED = {"jsonb": "{}", "text[]": "{}", "point": "(0,0)"}
_LOADED = ("created_at", "updated_at")
_YES = re.compile(r"^is_active|^approved$|^auto_|_available$|_completed$")


class UnknownColumnError(ValueError):
    """A domain set a column that its table does not have."""


def complete(reference: str, frame: pl.DataFrame, world: World, offset: int = 0) -> pl.DataFrame:
    """The whole table, or the part of it that follows `offset` rows: catalogue columns, order and types.

    Unique keys are unique. A frame without columns stands for a table that no domain makes: it gets the plan's rows.

    Raises:
        UnknownColumnError: the frame has a column that the catalogue does not know.
    """
    table = source_table(reference)
    if unknown := set(frame.columns) - table.polars_schema.keys():
        raise UnknownColumnError(f"{reference} has no column {', '.join(sorted(unknown))}; mend its generator")
    rows = len(frame) if frame.width else world.plan.rows(reference)
    filler = _Filler(reference, table, world, rows, offset)
    columns = [
        frame[column.name] if column.name in frame.columns else filler.series(column) for column in table.columns
    ]
    whole = pl.DataFrame(
        [_cast(values.alias(column.name), column) for values, column in zip(columns, table.columns, strict=True)]
    )
    for key in table.unique:
        if len(key) > 1:
            whole = whole.unique(key, keep="first", maintain_order=True)
    return whole


def _cast(values: pl.Series, column: Column) -> pl.Series:
    if isinstance(column.dtype, pl.Decimal) and values.dtype.is_float():
        return values.round(column.dtype.scale).cast(column.dtype)
    if column.dtype == pl.Int32() and values.dtype.is_float():
        return values.round().cast(pl.Int32)
    return values if values.dtype == column.dtype else values.cast(column.dtype)


class _Filler:
    """Draws the missing columns of one part of one table."""

    def __init__(self, reference: str, table: Table, world: World, rows: int, offset: int) -> None:
        self._reference = reference
        self._table = table
        self._world = world
        self._plan: Plan = world.plan
        self._rows = rows
        self._offset = offset
        self._references = {r.column: ".".join(r.target[:2]) for r in table.references}
        if reference.startswith("hcm."):
            # People of hcm tables are those of the hcm register; both registers number theirs alike.
            own = {"master.employees": "hcm.employees"}
            self._references = {column: own.get(target, target) for column, target in self._references.items()}
        self._unique = {key[0] for key in table.unique if len(key) == 1}
        self._times = [c.name for c in table.columns if c.type in ("date", "timestamp") and c.name not in _LOADED]
        self._moments: np.ndarray | None = None

    def series(self, column: Column) -> pl.Series:
        """Values of one column."""
        if (column.name,) == self._table.primary_key:
            return identifiers(self._reference, self._rows, self._offset + 1)
        if column.name in self._unique:
            return self._distinct(column)
        if column.null_share >= 1 and not column.not_null:
            return pl.Series([None] * self._rows, dtype=column.dtype)
        rng = self._plan.rng(f"{self._reference}.{column.name}.{self._offset}")
        values = self._drawn(column, rng)
        if column.null_share and not column.not_null:
            values = values.set(pl.Series(rng.random(self._rows) < column.null_share), None)
        return values

    def _distinct(self, column: Column) -> pl.Series:
        numbers = pl.int_range(self._offset + 1, self._offset + self._rows + 1, eager=True)
        if not self._offset and len(column.values) >= self._rows:
            return pl.Series(column.values[: self._rows])
        if column.type == "date":
            days = numbers - self._rows
            return pl.select(pl.lit(self._plan.end.date()) + pl.duration(days=pl.lit(days))).to_series()
        return numbered(prefix(self._reference), numbers) if column.dtype == pl.String() else numbers

    def _drawn(self, column: Column, rng: np.random.Generator) -> pl.Series:
        if column.name in self._references or column.values:
            pool = self._pool(column)
            return pool.gather(pl.Series(self._picks(column, len(pool), rng)))
        if column.name in _LOADED:
            return pl.repeat(self._plan.end, self._rows, dtype=pl.Datetime("us"), eager=True)
        match column.type:
            case "date" | "timestamp":
                values = self._time(column, rng)
            case "time":
                values = pl.Series(rng.integers(0, 1_440, self._rows) * 60_000_000_000).cast(pl.Time)
            case "boolean":
                values = pl.Series(rng.random(self._rows) < (0.97 if _YES.search(column.name) else 0.15))
            case _:
                values = self._number(column, rng) if column.dtype.is_numeric() else self._text(column, rng)
        return values

    def _pool(self, column: Column) -> pl.Series:
        reference = self._references.get(column.name)
        return self._world.keys(reference) if reference else pl.Series(column.values)

    def _picks(self, column: Column, choices: int, rng: np.random.Generator) -> np.ndarray:
        """Random choices; columns of a key of two count through their combinations instead, so that none repeats."""
        for first, *others in (key for key in self._table.unique if len(key) > 1):
            row = np.arange(self._offset, self._offset + self._rows)
            if column.name == first:
                return row % choices
            if column.name in others and first in self._references:
                return row // len(self._world.keys(self._references[first])) % choices
        return rng.integers(0, choices, self._rows)

    def _number(self, column: Column, rng: np.random.Generator) -> pl.Series:
        low, high = (float(bound) for bound in column.value_range or (1.0, 100.0))
        if column.dtype.is_integer():
            return pl.Series(rng.integers(int(low), int(high) + 1, self._rows))
        return pl.Series(rng.uniform(low, high, self._rows))

    def _time(self, column: Column, rng: np.random.Generator) -> pl.Series:
        if _LONG_AGO.search(column.name):
            back = rng.integers(200, 5_000, self._rows).astype("timedelta64[D]")
            return pl.Series(np.datetime64(self._plan.start, "us") - back)
        if self._moments is None:
            rows_rng = self._plan.rng(f"{self._reference}.moments.{self._offset}")
            self._moments = self._plan.instants(rows_rng, self._rows)
        # Later columns of a row lie later (start before end), but none in the future unless it is a due or expiry date.
        order = self._times.index(column.name) if column.name in self._times else 0
        step = rng.integers(0, 1_440, self._rows).astype("timedelta64[m]") + np.timedelta64(order * 8, "h")
        moments = self._moments + step
        if re.search(r"expir|due|valid_until|renewal|next_|effective_to|end_date$", column.name):
            return pl.Series(moments + np.timedelta64(180, "D"))
        return pl.Series(np.minimum(moments, np.datetime64(self._plan.end, "us")))

    def _text(self, column: Column, rng: np.random.Generator) -> pl.Series:
        if column.type in _STRUCTURED:
            return pl.repeat(_STRUCTURED[column.type], self._rows, eager=True)
        numbers = pl.Series(rng.integers(1, 1_000, self._rows))
        if column.name.endswith(("_id", "_by", "_number", "_code")):
            values = numbered("".join(word[:2] for word in column.name.split("_")[:-1]).upper() or "X", numbers)
        elif "email" in column.name:
            values = pl.select(pl.lit("contact") + pl.lit(numbers).cast(pl.String) + "@example.com").to_series()
        else:
            title = column.name.replace("_", " ").capitalize()
            values = pl.select(pl.lit(f"{title} ") + pl.lit(numbers).cast(pl.String)).to_series()
        limit = _LENGTH.fullmatch(column.type)
        return values.str.slice(0, int(limit[1])) if limit else values
