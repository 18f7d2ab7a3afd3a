"""Shared formulas as Polars expressions. A ratio without a denominator is NULL, never 0."""

import polars as pl

UNKNOWN = "UNKNOWN"
"""Key value of rows whose source key is NULL or blank."""

MINUTES_PER_DAY = 1440


def ratio(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """`numerator / denominator` in Float64; NULL where the denominator is 0 or either is NULL."""
    divisor = denominator.cast(pl.Float64)
    return numerator.cast(pl.Float64) / pl.when(divisor != 0).then(divisor)


def percent(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """`100 * part / whole`; NULL where the whole is 0 or either is NULL."""
    return 100 * ratio(part, whole)


def oee(availability_pct: pl.Expr, performance_pct: pl.Expr, quality_pct: pl.Expr) -> pl.Expr:
    """Overall equipment effectiveness in percent (ISO 22400-2): the product of its three factors in percent."""
    return availability_pct * performance_pct * quality_pct / 10_000


def weighted_mean(value: pl.Expr, weight: pl.Expr) -> pl.Expr:
    """Mean of `value` weighted by `weight`, over the rows that have both; NULL if their weights sum to 0."""
    numbers, weights = value.cast(pl.Float64), weight.cast(pl.Float64)
    counted = pl.when(numbers.is_not_null()).then(weights)
    return ratio((numbers * weights).sum(), counted.sum())


def total(value: pl.Expr) -> pl.Expr:
    """Sum of the values present; NULL, not 0, if there is none."""
    return pl.when(value.count() > 0).then(value.sum())


def present(value: pl.Expr) -> pl.Expr:
    """A text as it is in the source; NULL where it is blank."""
    return pl.when(value.str.strip_chars() != "").then(value)


def key(value: pl.Expr) -> pl.Expr:
    """A key as it is in the source; `UNKNOWN` where it is NULL or blank."""
    return present(value).fill_null(UNKNOWN)


def day(instant: pl.Expr) -> pl.Expr:
    """The UTC day of an instant."""
    return instant.dt.date()
