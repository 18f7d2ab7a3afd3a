"""Values of sales orders in INR by SQL, which checks compare with those of `order_values`."""

from collections.abc import Sequence

import polars as pl

from genims_platform.reporting.checks import Expected
from genims_platform.reporting.inr_check import in_inr
from genims_platform.reporting.periods import Window
from genims_platform.sources.reader import Sources


def totals_in_inr(native: Expected, measures: Sequence[str], *, rows: Sequence[str]) -> Expected:
    """Totals a period in INR of the `measures` that `native` finds by period (first column), `rate_day` and `currency`.

    `rows` names the other columns that tell one row of the reporting table from another: a row with an amount that has
    no usable rate is NULL there, so that none of its amounts is in the total.
    """

    def expected(sources: Sources, window: Window) -> pl.DataFrame:
        found = native(sources, window)
        if found.is_empty():
            return pl.DataFrame()
        period = found.columns[0]
        total = found.select(period).unique()
        for measure in measures:
            amounts = found.select(period, *{*rows, "rate_day", "currency"}, amount=measure)
            converted = in_inr(sources, amounts, [period, *rows])
            total = total.join(
                converted.group_by(period).agg(pl.col("amount").sum().alias(measure)), on=period, how="left"
            )
        return total

    return expected


def unconverted(native: Expected, measure: str) -> Expected:
    """In how many currencies and days `native` finds amounts that have no usable rate."""

    def expected(sources: Sources, window: Window) -> pl.DataFrame:
        found = native(sources, window)
        if found.is_empty():
            return pl.DataFrame()
        amounts = found.filter(pl.col(measure).is_not_null()).select("currency", "rate_day", amount=measure)
        return in_inr(sources, amounts, ["currency", "rate_day"]).select(pl.col("amount").is_null().sum())

    return expected
