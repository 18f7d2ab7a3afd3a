"""Postings that PostgreSQL adds up are worth as much as the same lines one by one."""

from collections.abc import Generator
from contextlib import closing
from datetime import timedelta

import polars as pl
import pytest

from genims_platform.reporting.ledger import account_by_day, postings, summed_postings, total_posted
from genims_platform.reporting.periods import DAY, Window
from genims_platform.settings import Settings
from genims_platform.sources.reader import Read, SourceDriftError, SourceReader
from genims_platform.sources.scope import Everything
from genims_platform.sources.summary import Summary
from genims_platform_tests.factory_group import TODAY, UNTIL, copy_row, write

LINES, HEADERS = "financial.journal_entry_lines", "financial.journal_entry_headers"
ON_CASH = "account_id IN (SELECT account_id FROM chart_of_accounts WHERE account_code BETWEEN '1110' AND '1139')"
WINDOW = Window(TODAY - DAY, TODAY + DAY, UNTIL)
CASH = account_by_day("cash_by_day", "1110", "1139")


@pytest.fixture
def sources(factory: Settings) -> Generator[SourceReader]:
    """The ledger with entries that do not count, amounts in other currencies, and such as nobody can convert."""
    without: dict[str, object] = {"functional_debit": None, "functional_credit": None}
    for amounts in (
        {"debit_amount": 5, "credit_amount": None, "currency_code": "USD"},
        {"debit_amount": 0, "credit_amount": 7, "currency_code": "JPY"},
        {"debit_amount": 3, "currency_code": None},
        {"debit_amount": 11, "currency_code": "JPY"},
        {"debit_amount": -11, "currency_code": "JPY"},
    ):
        assert copy_row(factory, LINES, amounts | without, f"{ON_CASH} AND hashtext(line_id) %% 7 = 0", 20)
    void: tuple[dict[str, object], ...] = ({"reversed": True}, {"posted": None})
    for number, change in enumerate(void):
        assert copy_row(factory, HEADERS, {"journal_number": f"LATE-{number}"} | change, "posted")
    with closing(SourceReader(factory)) as reader:
        entries = "SELECT journal_entry_id FROM journal_entry_headers WHERE journal_entry_id LIKE '%%-late%%'"
        for entry in reader.query("financial", entries, {})["journal_entry_id"]:
            assert copy_row(factory, LINES, {"journal_entry_id": entry}, ON_CASH)
        yield reader
    write(factory, LINES, "DELETE FROM {table} WHERE line_id LIKE '%%-late%%'")
    write(factory, HEADERS, "DELETE FROM {table} WHERE journal_entry_id LIKE '%%-late%%'")


def _line_by_line(sources: SourceReader, window: Window) -> pl.LazyFrame:
    tables = ("journal_entry_headers", "journal_entry_lines", "chart_of_accounts", "exchange_rates")
    headers, lines, accounts, rates = (
        sources.scan(Read(f"financial.{name}", Everything()), window.span) for name in tables
    )
    return postings(headers, lines, accounts, rates, window).filter(
        pl.col("account_code").is_between(pl.lit("1110"), pl.lit("1139"))
    )


def _by_day(postings: pl.LazyFrame) -> pl.DataFrame:
    amounts = ("debit", "credit", "expense")
    return (
        postings.group_by("day").agg(total_posted(pl.col(name)).alias(name) for name in amounts).sort("day").collect()
    )


@pytest.mark.parametrize("earlier", [0, 20])
def test_sums_of_a_day_equal_those_of_its_lines(sources: SourceReader, earlier: int) -> None:
    window = Window(TODAY - DAY * (earlier + 1), TODAY - DAY * (earlier - 1), UNTIL - timedelta(days=earlier))
    summary = sources.scan(CASH, window.span)
    rates = sources.scan(Read("financial.exchange_rates"), window.span)
    expected = _by_day(_line_by_line(sources, window))
    assert _by_day(summed_postings(summary, rates)).equals(expected)
    assert expected["expense"].null_count() > 0
    assert expected["expense"].count() > 10
    assert sources.rows_read["financial.cash_by_day"] < sources.rows_read[LINES] / 2


def test_a_summary_names_what_it_reads_and_notices_a_column_that_changed(factory: Settings) -> None:
    assert CASH.tables == (LINES, HEADERS, "financial.chart_of_accounts")
    assert CASH.columns["financial.chart_of_accounts"] == {"account_id", "account_code"}
    assert {"functional_debit", "journal_entry_id", "currency_code"} <= CASH.columns[LINES]
    wrong = Summary("financial.x", "", "SELECT r.rate_type AS day FROM exchange_rates r", {"day": pl.String()})
    write(factory, "financial.exchange_rates", "ALTER TABLE {table} RENAME rate_type TO kind")
    try:
        with (
            closing(SourceReader(factory)) as reader,
            pytest.raises(SourceDriftError, match=r"exchange_rates\.rate_type is missing"),
        ):
            reader.scan(wrong, WINDOW.span).collect()
    finally:
        write(factory, "financial.exchange_rates", "ALTER TABLE {table} RENAME kind TO rate_type")
