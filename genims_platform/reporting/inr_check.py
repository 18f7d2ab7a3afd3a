"""Amounts in INR by SQL: the second way to converted totals, which checks compare with those of `exchange`."""

from collections.abc import Sequence

import polars as pl

from genims_platform.sources.reader import Sources

_EXACT = pl.Decimal(38, 10)
_RATE = pl.Schema({"currency": pl.String, "rate_day": pl.Date, "rate": pl.Decimal(38, 6)})
_RATES = """
    WITH wanted AS (SELECT * FROM unnest(%(currencies)s::text[], %(days)s::date[]) AS w (currency, rate_day)),
    bands (currency, low, high) AS (VALUES ('USD', 50, 150), ('EUR', 50, 180), ('GBP', 60, 220))
    SELECT wanted.currency, wanted.rate_day,
      CASE
        WHEN exchange_rate BETWEEN low AND high AND inverse_rate BETWEEN low AND high THEN NULL
        WHEN exchange_rate BETWEEN low AND high THEN exchange_rate
        WHEN inverse_rate BETWEEN low AND high THEN inverse_rate
      END AS rate
    FROM wanted
    LEFT JOIN bands USING (currency)
    LEFT JOIN LATERAL (
      SELECT exchange_rate, inverse_rate
      FROM exchange_rates
      WHERE from_currency = wanted.currency AND to_currency = 'INR' AND rate_type = 'spot'
        AND effective_date BETWEEN wanted.rate_day - 31 AND wanted.rate_day
      ORDER BY effective_date DESC, rate_id DESC
      LIMIT 1
    ) latest ON TRUE
"""


def in_inr(sources: Sources, native: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """INR `amount` by group; `native` holds the columns `by`, `currency`, `rate_day` and `amount`, any rows a group.

    NULL where a group holds an amount that is not 0 and has no usable rate, or no amount at all.
    """
    if native.is_empty():
        return pl.DataFrame(schema=[*by, "amount"])
    amount, currency = pl.col("amount").cast(_EXACT), pl.col("currency").cast(pl.String)
    native = native.with_columns(amount, currency.fill_null("INR"), pl.col("rate_day").cast(pl.Date))
    foreign = native.filter(pl.col("currency") != "INR").select("currency", "rate_day").unique()
    rates = pl.DataFrame(schema=_RATE)
    if foreign.height:
        wanted = {"currencies": foreign["currency"].to_list(), "days": foreign["rate_day"].to_list()}
        rates = sources.query("financial", _RATES, wanted).cast(_RATE)
    as_it_is = (pl.col("currency") == "INR") | (pl.col("amount") == 0)
    converted = pl.when(as_it_is).then(pl.col("amount")).otherwise(pl.col("amount") * pl.col("rate"))
    return (
        native.join(rates, on=["currency", "rate_day"], how="left")
        .with_columns(converted=converted)
        .group_by(by)
        .agg(
            amount=pl.when(
                (pl.col("amount").is_null() | pl.col("converted").is_not_null()).all(),
                pl.col("converted").count() > 0,
            ).then(pl.col("converted").sum())
        )
    )
