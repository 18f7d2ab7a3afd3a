"""Postings of the general ledger in INR."""

import polars as pl

from genims_platform.reporting.exchange import total_inr, with_inr_rate
from genims_platform.reporting.periods import Window

_EXACT = pl.Decimal(38, 10)
_ACCOUNT = ("account_code", "account_name", "account_type")


def postings(
    headers: pl.LazyFrame, lines: pl.LazyFrame, accounts: pl.LazyFrame, rates: pl.LazyFrame, window: Window
) -> pl.LazyFrame:
    """Lines of posted entries that are not reversed, by `day`, account, `factory_id` and `cost_center_id`.

    `account_code`, `account_name` and `account_type` describe the account, by `account_id`; NULL for an unknown one.
    `debit`, `credit` and `expense` (their difference) are the functional amounts (INR), else the native ones converted
    at the posting date; NULL where an amount has no usable rate.
    """
    valid = headers.filter(
        pl.col("posted"), ~pl.col("reversed"), pl.col("posting_date") < pl.lit(window.span.end)
    ).select("journal_entry_id", "source_document_id", day="posting_date")
    dated = lines.join(valid, on="journal_entry_id").join(
        accounts.select("account_id", *_ACCOUNT).unique("account_id", keep="first", maintain_order=True),
        on="account_id",
        how="left",
    )
    rated = with_inr_rate(dated, rates, currency="currency_code", on="day")

    def inr(side: str) -> pl.Expr:
        native = pl.col(f"{side}_amount").cast(_EXACT).fill_null(0)
        converted = pl.when(native == 0).then(native).otherwise(native * pl.col("inr_rate"))
        return pl.coalesce(pl.col(f"functional_{side}").cast(_EXACT), converted)

    return rated.select(
        "day",
        "source_document_id",
        "account_id",
        *_ACCOUNT,
        "factory_id",
        "cost_center_id",
        debit=inr("debit"),
        credit=inr("credit"),
    ).with_columns(expense=pl.col("debit") - pl.col("credit"))


def total_posted(amount: pl.Expr, where: pl.Expr | None = None) -> pl.Expr:
    """Sum of an amount over `postings` (those that meet `where`); NULL without one, or if one has no usable rate."""
    day = pl.col("day")
    return total_inr(day, amount) if where is None else total_inr(day.filter(where), amount.filter(where))
