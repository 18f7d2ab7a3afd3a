"""The table contracts: what `schema/*.sql` says about columns, types, keys, indexes and partitions.

The comment of a column reads `unit [lowest..highest]: meaning`; unit and range may be missing.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Literal

import polars as pl
import sqlglot
from sqlglot import TokenType, exp

from genims_platform.mysql.check_constraints import CheckContract, canonical_condition
from genims_platform.mysql.partitions import Partitioning
from genims_platform.settings import PROJECT_ROOT

Kind = Literal["reporting", "audit"]

LOAD_INSTANT = "last_updated_at"
"""Column that the loader fills: the UTC instant of the load. Computed frames do not hold it."""

_COMMENT = re.compile(
    r"(?:(?P<unit>[^:;\[\]]{0,40}?)(?:\s*(?P<range>\[(?P<low>[-\d.]*?)\.\.(?P<high>[-\d.]*)\]):?|:)\s+)?(?P<text>.*)",
    re.DOTALL,
)
_PARTITIONING = re.compile(
    r"ALTER TABLE\s+`?(?P<table>\w+)`?\s+PARTITION BY RANGE\s*"
    r"(?:COLUMNS\s*\(\s*`?(?P<months>\w+)`?\s*\)|\(\s*YEAR\(\s*`?(?P<years>\w+)`?\s*\)\s*\))",
    re.IGNORECASE,
)

_INTEGERS: Mapping[str, type[pl.DataType]] = {
    "TINYINT": pl.Int8,
    "SMALLINT": pl.Int16,
    "MEDIUMINT": pl.Int32,
    "INT": pl.Int32,
    "BIGINT": pl.Int64,
}
_UNSIGNED_INTEGERS: Mapping[str, type[pl.DataType]] = {
    "TINYINT": pl.UInt8,
    "SMALLINT": pl.UInt16,
    "MEDIUMINT": pl.UInt32,
    "INT": pl.UInt32,
    "BIGINT": pl.UInt64,
}
_OTHERS: Mapping[str, pl.DataType] = {
    "DOUBLE": pl.Float64(),
    "DATE": pl.Date(),
    "DATETIME": pl.Datetime("us"),
    "BINARY": pl.Binary(),
    "VARBINARY": pl.Binary(),
}
_TEXTS = ("CHAR", "VARCHAR", "TEXT", "TINYTEXT", "MEDIUMTEXT", "LONGTEXT")
_WIDEST_DECIMAL = 38
_TEXT_INPUTS = (pl.String, pl.Categorical, pl.Enum, pl.Null)


class ContractError(ValueError):
    """A frame or a schema file breaks the contract of a table; the message names table and columns."""


@dataclass(frozen=True)
class ColumnContract:
    """One column: its SQL type and definition, and what its comment says."""

    name: str
    sql_type: str
    nullable: bool
    unit: str
    value_range: tuple[Decimal | None, Decimal | None] | None
    description: str
    dtype: pl.DataType
    comment: str
    collation: str | None
    definition: str
    """The column as it is written in CREATE TABLE."""

    @property
    def max_length(self) -> int | None:
        """Longest text in characters, or None for other types."""
        found = re.fullmatch(r"(?:var)?char\((\d+)\)", self.sql_type)
        return int(found[1]) if found else None


@dataclass(frozen=True)
class IndexContract:
    """One secondary index."""

    name: str
    columns: tuple[str, ...]
    unique: bool


@dataclass(frozen=True)
class TableContract:
    """One table."""

    name: str
    comment: str
    columns: tuple[ColumnContract, ...]
    primary_key: tuple[str, ...]
    unique_keys: tuple[IndexContract, ...]
    """Those that stand in CREATE TABLE."""

    indexes: tuple[IndexContract, ...]
    """Those of the index file."""

    checks: tuple[CheckContract, ...]
    partitioning: Partitioning | None
    collation: str
    create_statement: str
    """CREATE TABLE as it is in the file, without indexes and partitions."""

    @property
    def partition_column(self) -> str | None:
        """The column whose month or year decides the partition, or None."""
        return self.partitioning.column if self.partitioning else None

    def column(self, name: str) -> ColumnContract:
        """The column of this name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name}")

    @property
    def computed_columns(self) -> tuple[ColumnContract, ...]:
        """All columns but the one that the loader fills."""
        return tuple(column for column in self.columns if column.name != LOAD_INSTANT)

    @property
    def polars_schema(self) -> dict[str, pl.DataType]:
        """Names and types of a computed frame, in column order; without `last_updated_at`, which the loader fills."""
        return {column.name: column.dtype for column in self.computed_columns}

    def cast(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
        """The frame in the contract's columns and types, numbers rounded once, half to even.

        A number that is not finite or does not fit its type becomes NULL and is counted: the second value maps a
        column to how many, for columns that had any.

        Raises:
            ContractError: columns are missing or surplus, a type cannot be meant, or a text is too long.
        """
        expected = self.polars_schema
        missing = [name for name in expected if name not in frame.columns]
        surplus = [name for name in frame.columns if name not in expected]
        if missing or surplus:
            raise ContractError(
                f"{self.name}: the computed columns are not those of the schema file; "
                f"missing: {', '.join(missing) or 'none'}; not in the schema: {', '.join(surplus) or 'none'}"
                + (f" ({LOAD_INSTANT} is set by the loader)" if LOAD_INSTANT in surplus else "")
            )
        result = frame.select(self._cast_column(column, frame.schema[column.name]) for column in self.computed_columns)
        self._check_lengths(result)
        nulls_before, nulls_after = frame.null_count().row(0, named=True), result.null_count().row(0, named=True)
        overflows = {name: nulls_after[name] - nulls_before[name] for name in expected}
        return result, {name: count for name, count in overflows.items() if count}

    def _cast_column(self, column: ColumnContract, given: pl.DataType) -> pl.Expr:
        target = column.dtype
        value = pl.col(column.name)
        numeric = given.is_numeric() or given == pl.Boolean
        if given == pl.Null:
            fits = True
        elif target == pl.String:
            fits = isinstance(given, _TEXT_INPUTS)
        elif target.is_numeric():
            fits = numeric
        elif target.is_temporal():
            fits = given.is_temporal()
        else:
            fits = given == target
        if not fits:
            raise ContractError(f"{self.name}.{column.name}: {given} values given for {column.sql_type}")
        if given == pl.Boolean and target.is_decimal():
            value = value.cast(pl.Int8)
        if target.is_integer() and (given.is_float() or given.is_decimal()):
            value = value.round(0, mode="half_to_even")
        if isinstance(target, pl.Decimal) and given != pl.Null:
            return _round(value, given, target)
        return value.cast(target, strict=not target.is_numeric())

    def _check_lengths(self, frame: pl.DataFrame) -> None:
        limits = {column.name: column.max_length for column in self.computed_columns if column.max_length is not None}
        if frame.is_empty() or not limits:
            return
        longest = frame.select(pl.col(list(limits)).str.len_chars().max()).row(0, named=True)
        problems = [
            f"{name} holds a value of {longest[name]} characters, at most {limit} fit"
            for name, limit in limits.items()
            if longest[name] is not None and longest[name] > limit
        ]
        if problems:
            raise ContractError(f"{self.name}: {'; '.join(problems)}")


@cache
def contracts(database: Kind) -> Mapping[str, TableContract]:
    """Contracts of all tables of a database by table name, in file order."""
    folder = PROJECT_ROOT / "schema"
    return parse_contracts(
        (folder / f"mysql_{database}_schema.sql").read_text("utf-8"),
        (folder / f"mysql_{database}_indexes.sql").read_text("utf-8"),
    )


def parse_contracts(schema_sql: str, indexes_sql: str) -> Mapping[str, TableContract]:
    """Contracts from CREATE TABLE statements and from CREATE INDEX and ALTER TABLE … PARTITION BY statements.

    Raises:
        ContractError: a statement of another kind, or a column type that is not mapped.
    """
    indexes: dict[str, list[IndexContract]] = {}
    partitionings: dict[str, Partitioning] = {}
    for text in _statements(indexes_sql):
        if found := _PARTITIONING.match(text):
            partitionings[found["table"]] = (
                Partitioning(found["months"], "month") if found["months"] else Partitioning(found["years"], "year")
            )
            continue
        table, index = _index(text)
        indexes.setdefault(table, []).append(index)
    tables = (_table(text, indexes, partitionings) for text in _statements(schema_sql))
    return {table.name: table for table in tables}


def _round(value: pl.Expr, given: pl.DataType, target: pl.Decimal) -> pl.Expr:
    """`value` as `target`, rounded half to even; NULL where it does not fit, where Polars would refuse the column."""
    if given.is_float():
        value = pl.when(value.is_finite() & (value.abs() < 10.0 ** (_WIDEST_DECIMAL - target.scale - 1))).then(value)
        # Sums of floats differ in the last bits with the order of their rows; that must not decide a tie.
        value = value.round(target.scale + 6)
    # Polars rounds half to even here.
    rounded = value.cast(pl.Decimal(_WIDEST_DECIMAL, target.scale), strict=False)
    largest = (Decimal(10) ** target.precision - 1).scaleb(-target.scale)
    limit = pl.lit(largest, dtype=pl.Decimal(_WIDEST_DECIMAL, target.scale))
    return pl.when(rounded.is_between(-limit, limit)).then(rounded).cast(target)


def _statements(sql: str) -> Iterator[str]:
    """Texts of the statements, without comments before them; quoted semicolons do not separate."""
    start: int | None = None
    for token in sqlglot.tokenize(sql, read="mysql"):
        if token.token_type == TokenType.SEMICOLON:
            if start is not None:
                yield sql[start : token.start]
            start = None
        elif start is None:
            start = token.start
    if start is not None:
        raise ContractError(f"a statement does not end with a semicolon: {sql[start : start + 60]!r}")


def _create(text: str, kind: str) -> exp.Create:
    statement = sqlglot.parse_one(text, read="mysql")
    if not isinstance(statement, exp.Create) or statement.kind != kind:
        raise ContractError(f"expected CREATE {kind}, found {text[:60]!r}")
    return statement


def _index(text: str) -> tuple[str, IndexContract]:
    statement = _create(text, "INDEX")
    index = statement.this
    columns = tuple(ordered.this.name for ordered in index.args["params"].args["columns"])
    return index.args["table"].name, IndexContract(index.name, columns, bool(statement.args.get("unique")))


def _table(
    text: str, indexes: Mapping[str, list[IndexContract]], partitionings: Mapping[str, Partitioning]
) -> TableContract:
    statement = _create(text, "TABLE")
    name = statement.this.this.name
    keys = statement.find(exp.PrimaryKey)
    if keys is None:
        raise ContractError(f"{name}: no PRIMARY KEY")
    primary_key = tuple(key.name for key in keys.expressions)
    table_comment = statement.find(exp.SchemaCommentProperty)
    table_collation = statement.find(exp.CollateProperty)
    collation = table_collation.this.name if table_collation else "utf8mb4_unicode_ci"
    return TableContract(
        name=name,
        comment=table_comment.this.name if table_comment else "",
        columns=tuple(
            _column(name, definition, primary_key, collation)
            for definition in statement.this.expressions
            if isinstance(definition, exp.ColumnDef)
        ),
        primary_key=primary_key,
        unique_keys=tuple(_unique_key(part) for part in statement.this.find_all(exp.UniqueColumnConstraint)),
        indexes=tuple(indexes.get(name, ())),
        checks=tuple(_check(part) for part in statement.this.find_all(exp.CheckColumnConstraint)),
        partitioning=partitionings.get(name),
        collation=collation,
        create_statement=text,
    )


def _unique_key(key: exp.UniqueColumnConstraint) -> IndexContract:
    return IndexContract(key.this.this.name, tuple(column.name for column in key.this.expressions), unique=True)


def _check(check: exp.CheckColumnConstraint) -> CheckContract:
    constraint = check.parent if isinstance(check.parent, exp.Constraint) else None
    return CheckContract(
        name=constraint.this.name if constraint else None,
        condition=canonical_condition(check.this.sql("mysql")),
        definition=(constraint or check).sql("mysql"),
    )


def _column(
    table: str, definition: exp.ColumnDef, primary_key: tuple[str, ...], table_collation: str
) -> ColumnContract:
    kind = definition.kind
    if kind is None:
        raise ContractError(f"{table}.{definition.name}: no type")
    # Not copied: generating SQL from a copy of the tree takes twice as long, and every process reads the contracts.
    sql_type = kind.sql("mysql", copy=False)
    dtype = _dtype(kind, sql_type)
    if dtype is None:
        raise ContractError(f"{table}.{definition.name}: type {sql_type} is not mapped")
    constraints = {type(constraint.kind): constraint.kind for constraint in definition.constraints}
    not_null = constraints.get(exp.NotNullColumnConstraint)
    comment = constraints.get(exp.CommentColumnConstraint)
    collate = constraints.get(exp.CollateColumnConstraint)
    text = comment.this.name if comment else ""
    unit, value_range, description = _explain(text)
    return ColumnContract(
        name=definition.name,
        sql_type=sql_type.lower().replace(" ", "") if kind.expressions else sql_type.lower(),
        nullable=definition.name not in primary_key and (not_null is None or bool(not_null.args.get("allow_null"))),
        unit=unit,
        value_range=value_range,
        description=description,
        dtype=dtype,
        comment=text,
        collation=(collate.this.name if collate else table_collation) if _base(sql_type) in _TEXTS else None,
        definition=definition.sql("mysql", copy=False),
    )


def _dtype(kind: exp.DataType, sql_type: str) -> pl.DataType | None:
    base = _base(sql_type)
    parameters = [int(parameter.this.name) for parameter in kind.expressions if parameter.this.name.isdigit()]
    integers = _UNSIGNED_INTEGERS if sql_type.upper().endswith(" UNSIGNED") else _INTEGERS
    if base in integers:
        return integers[base]()
    if base in _TEXTS:
        return pl.String()
    if base == "DECIMAL":
        if parameters[0] > _WIDEST_DECIMAL:  # its digits as text are exact, a rounded number would not be
            return pl.String()
        return pl.Decimal(parameters[0], parameters[1] if len(parameters) > 1 else 0)
    return _OTHERS.get(base)


def _base(sql_type: str) -> str:
    return re.sub(r"[ (].*", "", sql_type.upper())


def _explain(comment: str) -> tuple[str, tuple[Decimal | None, Decimal | None] | None, str]:
    found = _COMMENT.fullmatch(comment)
    if found is None:
        return "", None, comment
    value_range = None
    if found["range"]:
        low, high = (Decimal(bound) if bound else None for bound in (found["low"], found["high"]))
        value_range = (low, high)
    return found["unit"] or "", value_range, found["text"]
