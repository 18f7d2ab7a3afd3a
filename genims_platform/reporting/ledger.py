"""Postings of the general ledger in INR."""

from typing import Literal

import polars as pl

from genims_platform.reporting.exchange import total_inr, with_inr_rate
from genims_platform.reporting.periods import Window
from genims_platform.sources.summary import Summary

_EXACT = pl.Decimal(38, 10)
_SUM = pl.Decimal(38, 2)
_ACCOUNT = ("account_code", "account_name", "account_type")

_AMOUNTS = ("functional_debit", "functional_credit", "debit_amount", "credit_amount")
# Lines add up only with their like: in one currency, and without the functional amount if they have none. They are then
# converted after they are added up, and amounts of both signs must not make up a zero that needs no rate.
_ALIKE = """
    l.currency_code,
    CASE WHEN l.functional_debit IS NULL THEN sign(coalesce(l.debit_amount, 0)) END,
    CASE WHEN l.functional_credit IS NULL THEN sign(coalesce(l.credit_amount, 0)) END
"""
_SUMS = ", ".join(f"sum(l.{amount}) AS {amount}" for amount in _AMOUNTS)
_PERIOD = {
    "day": "h.posting_date",
    # What has to be converted keeps its day, which has a rate of its own.
    "month": """
        CASE WHEN l.functional_debit IS NULL OR l.functional_credit IS NULL THEN h.posting_date
          ELSE date_trunc('month', h.posting_date)::date END
    """,
}


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
    return _in_inr(
        dated, rates, "day", "source_document_id", "account_id", *_ACCOUNT, "factory_id", "cost_center_id"
    ).with_columns(expense=pl.col("debit") - pl.col("credit"))


def sums_of_accounts(name: str, first: str, last: str, *, by: Literal["day", "month"]) -> Summary:
    """The summary `name` of the postings on accounts with codes from `first` to `last`, up to the window's end.

    `summed_postings` converts them.
    """
    accounts = f"`{first}`" if first == last else f"`{first}` to `{last}`"
    return _sums(
        name,
        f"postings on {accounts} before the end of the window, added up by {by}",
        f"l.account_id = ANY ({_account_ids(first, last)})",
        by=by,
    )


def sums_of_year(name: str, *keys: Literal["account_id", "cost_center_id", "factory_id"]) -> Summary:
    """The summary `name` of the postings from January 1 to the window's end, by `keys` of their lines and month.

    `summed_postings` converts them.
    """
    words = f"postings from January 1 to the end of the window, added up by month, {', '.join(f'`{k}`' for k in keys)}"
    return _sums(name, words, "h.posting_date >= date_trunc('year', %(start)s)", *keys, by="month")


def _sums(name: str, words: str, where: str, *keys: str, by: Literal["day", "month"]) -> Summary:
    columns = "".join(f"l.{key}, " for key in keys)
    return Summary(
        f"financial.{name}",
        words,
        f"""
        SELECT {_PERIOD[by]} AS day, {columns} l.currency_code, {_SUMS}, count(*) AS lines
        FROM journal_entry_lines l JOIN journal_entry_headers h ON h.journal_entry_id = l.journal_entry_id
        WHERE h.posted AND NOT h.reversed AND h.posting_date < %(end)s AND {where}
        GROUP BY 1, {columns} {_ALIKE}
        """,  # noqa: S608 - names of columns
        {
            "day": pl.Date(),
            **dict.fromkeys(keys, pl.String()),
            "currency_code": pl.String(),
            **dict.fromkeys(_AMOUNTS, _SUM),
            "lines": pl.Int64(),
        },
    )


def _account_ids(first: str, last: str) -> str:
    """SQL of the accounts with codes from `first` to `last`.

    An array: with `IN (SELECT ...)` PostgreSQL expects few lines, and looks up the entry of each one.
    """
    codes = f"BETWEEN '{first}' AND '{last}'"
    return f"ARRAY(SELECT a.account_id FROM chart_of_accounts a WHERE a.account_code {codes})"  # noqa: S608 - account codes that a model names


def postings_of_open_documents(name: str, account: str, days: int) -> Summary:
    """The summary `name` of the postings on `account` by `source_document_id` and line, of open documents.

    Those are documents that are not settled, or have a posting in the last `days` days. One is settled while its debits
    and credits on the account are all known in INR, and equal. `summed_postings` converts the postings, with
    `source_document_id` among its keys.
    """
    # Windows need one pass over the ledger, where grouping and looking up the groups' lines needs two.
    return Summary(
        f"financial.{name}",
        f"postings on `{account}` before the end of the window, of documents that they do not settle, or that have one"
        f" in the {days} days before it",
        f"""
        SELECT p.day, p.source_document_id, p.currency_code, {", ".join(f"p.{amount}" for amount in _AMOUNTS)}
        FROM (
          SELECT h.posting_date AS day, h.source_document_id, l.currency_code,
            {", ".join(f"l.{amount}" for amount in _AMOUNTS)},
            max(h.posting_date) OVER d AS last_day,
            sum(l.functional_debit) OVER d AS debits, sum(l.functional_credit) OVER d AS credits,
            count(*) OVER d AS lines, count(l.functional_debit + l.functional_credit) OVER d AS known_lines
          FROM journal_entry_lines l JOIN journal_entry_headers h ON h.journal_entry_id = l.journal_entry_id
          WHERE h.posted AND NOT h.reversed AND h.posting_date < %(end)s AND h.source_document_id IS NOT NULL
            AND l.account_id = ANY ({_account_ids(account, account)})
          WINDOW d AS (PARTITION BY h.source_document_id)
        ) p
        WHERE p.last_day > %(last_day)s - {days} OR p.debits IS DISTINCT FROM p.credits OR p.lines > p.known_lines
        """,  # noqa: S608 - an account code that a model names
        {
            "day": pl.Date(),
            "source_document_id": pl.String(),
            "currency_code": pl.String(),
            **dict.fromkeys(_AMOUNTS, _SUM),
        },
    )


def summed_postings(sums: pl.LazyFrame, rates: pl.LazyFrame, *keys: str) -> pl.LazyFrame:
    """`day`, `keys`, `debit`, `credit` and `expense` as of `postings`, of postings that SQL has added up.

    A month stands on its first day.
    """
    return _in_inr(sums, rates, "day", *keys).with_columns(expense=pl.col("debit") - pl.col("credit"))


def _in_inr(lines: pl.LazyFrame, rates: pl.LazyFrame, *columns: str) -> pl.LazyFrame:
    """`columns` of dated lines, and their `debit` and `credit` in INR."""
    rated = with_inr_rate(lines, rates, currency="currency_code", on="day")

    def inr(side: Literal["debit", "credit"]) -> pl.Expr:
        native = pl.col(f"{side}_amount").cast(_EXACT).fill_null(0)
        converted = pl.when(native == 0).then(native).otherwise(native * pl.col("inr_rate"))
        return pl.coalesce(pl.col(f"functional_{side}").cast(_EXACT), converted)

    return rated.select(*columns, debit=inr("debit"), credit=inr("credit"))


def total_posted(amount: pl.Expr, where: pl.Expr | None = None) -> pl.Expr:
    """Sum of an amount over `postings` (those that meet `where`); NULL without one, or if one has no usable rate."""
    day = pl.col("day")
    return total_inr(day, amount) if where is None else total_inr(day.filter(where), amount.filter(where))
