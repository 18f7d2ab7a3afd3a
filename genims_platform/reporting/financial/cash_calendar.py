"""Amounts by the day on which they fall due, and what is known to fall due soon."""

from datetime import timedelta

import polars as pl

_AHEAD = timedelta(days=30)
_DAY = timedelta(days=1)


def due_calendar(amounts: pl.LazyFrame) -> pl.LazyFrame:
    """`due` and `due_next_30d` by `day`, from rows with `amount`, the day it is `due` and the day since it is `known`.

    On a day, `due_next_30d` holds what was known by its end and falls due on the 30 days after it. Days without an
    amount have no row.
    """
    sums = amounts.group_by("known", "due").agg(pl.col("amount").sum())
    known, due = pl.col("known"), pl.col("due")
    ahead = (
        sums.select("amount", first=pl.max_horizontal(known, due - _AHEAD), last=due - _DAY, seen=known)
        .filter(pl.col("seen").is_not_null(), pl.col("first") <= pl.col("last"))
        .select(due_next_30d="amount", day=pl.date_ranges("first", "last"))
        .explode("day")
    )
    return (
        pl.concat([sums.select(day="due", due="amount"), ahead], how="diagonal_relaxed")
        .group_by("day")
        .agg(pl.col("due", "due_next_30d").sum())
    )
