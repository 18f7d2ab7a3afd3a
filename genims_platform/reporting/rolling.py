"""Measures over the days up to a day, exact and independent of where a computation begins."""

from datetime import timedelta

import polars as pl


def over_days(rows: pl.LazyFrame, days: int) -> pl.LazyFrame:
    """Each row on its own `day` and on the `days - 1` days after it: grouped by `day`, the last `days` days up to D."""
    day = pl.col("day")
    return rows.with_columns(day=pl.date_ranges(day, day + timedelta(days=days - 1))).explode("day")


def month_to_date(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Each row on its own `day` and on the later days of its month: grouped by `day`, the rows of the month up to D."""
    day = pl.col("day")
    return rows.with_columns(day=pl.date_ranges(day, day.dt.month_end())).explode("day")
