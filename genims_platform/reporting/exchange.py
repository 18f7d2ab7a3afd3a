"""Exchange rates to the reporting currency, INR."""

import polars as pl

from genims_platform.reporting.kpi import total

_BANDS = {"USD": (50, 150), "EUR": (50, 180), "GBP": (60, 220)}
"""Plausible INR per unit of a currency; a currency without a band has no rate."""

_USABLE_DAYS = "31d"


def inr_per_unit(rates: pl.LazyFrame) -> pl.LazyFrame:
    """`inr_rate` by `currency` and `effective_date`, from `financial.exchange_rates`.

    The source quotes some pairs the other way round, so the multiplier is whichever of rate and inverse rate lies in
    the currency's band; if both or neither do, there is no rate.
    """
    currency, direct, inverse = pl.col("from_currency"), pl.col("exchange_rate"), pl.col("inverse_rate")
    low = currency.replace_strict({name: low for name, (low, _) in _BANDS.items()}, default=None)
    high = currency.replace_strict({name: high for name, (_, high) in _BANDS.items()}, default=None)
    direct_fits = direct.is_between(low, high).fill_null(value=False)
    inverse_fits = inverse.is_between(low, high).fill_null(value=False)
    return rates.filter(pl.col("to_currency") == "INR", pl.col("rate_type") == "spot").select(
        "effective_date",
        "rate_id",
        currency=currency,
        inr_rate=pl.when(direct_fits & ~inverse_fits).then(direct).when(inverse_fits & ~direct_fits).then(inverse),
    )


def inr(amount: pl.Expr) -> pl.Expr:
    """A native amount in INR by the row's `inr_rate`; NULL without a rate, except that 0 is 0 in any currency."""
    return pl.when(amount == 0).then(amount).otherwise(amount * pl.col("inr_rate"))


def total_inr(native: pl.Expr, converted: pl.Expr) -> pl.Expr:
    """Sum of `converted`; NULL if a `native` amount has no converted one, or if there is no amount at all."""
    complete = (native.is_not_null() & converted.is_null()).sum() == 0
    return pl.when(complete).then(total(converted))


def with_inr_rate(rows: pl.LazyFrame, rates: pl.LazyFrame, *, currency: str, on: str) -> pl.LazyFrame:
    """Adds `inr_rate`: INR for a unit of the row's `currency` on its date `on`, by the latest rate of the last 31 days.

    It is 1 for INR and for no currency, NULL without a usable rate; rates are never taken from later days.
    """
    quotes = inr_per_unit(rates).sort("effective_date", "rate_id").drop("rate_id")
    return (
        rows.sort(on)
        .join_asof(
            quotes,
            left_on=on,
            right_on="effective_date",
            by_left=currency,
            by_right="currency",
            tolerance=_USABLE_DAYS,
            check_sortedness=False,  # Polars cannot check it within groups
        )
        .with_columns(
            inr_rate=pl.when(pl.col(currency).fill_null("INR") == "INR").then(1).otherwise(pl.col("inr_rate"))
        )
    )
