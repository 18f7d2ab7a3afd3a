"""Postings that PostgreSQL adds up are worth as much as the same lines one by one."""

from collections.abc import Generator
from contextlib import closing
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from genims_platform.reporting.ledger import (
    postings,
    postings_of_open_documents,
    summed_postings,
    sums_of_accounts,
    sums_of_year,
    total_posted,
)
from genims_platform.reporting.periods import DAY, Window
from genims_platform.settings import Settings
from genims_platform.sources.reader import Read, SourceDriftError, SourceReader
from genims_platform.sources.scope import Everything
from genims_platform.sources.summary import KeyOf, Summary
from genims_platform_tests.factory_group import TODAY, UNTIL, copy_row, write

LINES, HEADERS = "financial.journal_entry_lines", "financial.journal_entry_headers"
ON_CASH = "account_id IN (SELECT account_id FROM chart_of_accounts WHERE account_code BETWEEN '1110' AND '1139')"
ON_RECEIVABLES = "account_id IN (SELECT account_id FROM chart_of_accounts WHERE account_code = '1210')"
WINDOW = Window(TODAY - DAY, TODAY + DAY, UNTIL)
CASH = sums_of_accounts("cash_by_day", "1110", "1139", by="day")
OPEN = postings_of_open_documents("open", "1210", 9)
KEYS = ("account_id", "cost_center_id")


@pytest.fixture
def sources(factory: Settings) -> Generator[SourceReader]:
    """The ledger with entries that do not count, amounts in other currencies, and such as nobody can convert."""
    without: dict[str, object] = {"functional_debit": None, "functional_credit": None}
    for native in (
        {"debit_amount": 5, "credit_amount": None, "currency_code": "USD"},
        {"debit_amount": 0, "credit_amount": 7, "currency_code": "JPY"},
        {"debit_amount": 3, "currency_code": None},
        {"debit_amount": 11, "currency_code": "JPY"},
        {"debit_amount": -11, "currency_code": "JPY"},
    ):
        assert copy_row(factory, LINES, native | without, f"{ON_CASH} AND hashtext(line_id) %% 7 = 0", 20)
    paid: dict[str, object] = {"source_document_id": "PAID", "posting_date": TODAY - DAY * 30}
    entries: tuple[dict[str, object], ...] = ({"reversed": True}, {"posted": None}, paid, paid)
    for number, change in enumerate(entries):
        assert copy_row(factory, HEADERS, {"journal_number": f"LATE-{number}"} | change, "posted AND NOT reversed")
    with closing(SourceReader(factory)) as reader:
        late = "FROM journal_entry_headers WHERE journal_entry_id LIKE '%%-late%%'"
        for entry in reader.query("financial", f"SELECT journal_entry_id {late}", {})["journal_entry_id"]:
            assert copy_row(factory, LINES, {"journal_entry_id": entry}, ON_CASH)
        documents = reader.query("financial", f"SELECT journal_entry_id {late} AND source_document_id = 'PAID'", {})
        for entry, side in zip(documents["journal_entry_id"], ("debit", "credit"), strict=True):
            amounts: dict[str, object] = {"functional_debit": 0, "functional_credit": 0, f"functional_{side}": 9}
            assert copy_row(factory, LINES, {"journal_entry_id": entry} | amounts, ON_RECEIVABLES)
        yield reader
    write(factory, LINES, "DELETE FROM {table} WHERE line_id LIKE '%%-late%%'")
    write(factory, HEADERS, "DELETE FROM {table} WHERE journal_entry_id LIKE '%%-late%%'")


def _line_by_line(sources: SourceReader, window: Window) -> pl.LazyFrame:
    tables = ("journal_entry_headers", "journal_entry_lines", "chart_of_accounts", "exchange_rates")
    headers, lines, accounts, rates = (
        sources.scan(Read(f"financial.{name}", Everything()), window.span) for name in tables
    )
    return postings(headers, lines, accounts, rates, window)


def _totals(postings: pl.LazyFrame, *keys: str) -> pl.DataFrame:
    totals = (total_posted(pl.col(name)).alias(name) for name in ("debit", "credit", "expense"))
    return postings.group_by(keys).agg(*totals, pl.col("lines").sum()).sort(keys).collect()


SUMS = {
    "a day": (CASH, ("day",)),
    "a month": (sums_of_accounts("cash_by_month", "1110", "1139", by="month"), ("month",)),
    "a year": (sums_of_year("year", *KEYS), ("month", *KEYS)),
}


@pytest.mark.parametrize("earlier", [0, 20])
@pytest.mark.parametrize(("summary", "keys"), SUMS.values(), ids=SUMS)
def test_sums_equal_those_of_their_lines(
    summary: Summary, keys: tuple[str, ...], earlier: int, sources: SourceReader
) -> None:
    window = Window(TODAY - DAY * (earlier + 1), TODAY - DAY * (earlier - 1), UNTIL - timedelta(days=earlier))
    month = pl.col("day").dt.month_start()
    line_by_line = _line_by_line(sources, window).with_columns(month=month, lines=1)
    if "account_id" not in keys:
        cash = pl.col("account_code").is_between(pl.lit("1110"), pl.lit("1139"))
        line_by_line = line_by_line.filter(cash)
    else:
        line_by_line = line_by_line.filter(pl.col("day").dt.year() == window.first.year)
    expected = _totals(line_by_line, *keys)
    rates = sources.scan(Read("financial.exchange_rates"), window.span)
    given = [name for name in keys if name != "month"]
    sums = summed_postings(sources.scan(summary, window.span), rates, *(set(given) - {"day"}), "lines")
    assert_frame_equal(_totals(sums.with_columns(month=month), *keys), expected, check_dtypes=False)
    assert 0 < expected["expense"].null_count() < expected.height
    assert sources.rows_read[summary.table] < expected["lines"].sum() / 2


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


def test_open_documents_are_those_that_moved_or_are_not_settled(sources: SourceReader) -> None:
    window = Window(TODAY - DAY * 5, TODAY - DAY * 4, UNTIL)
    rates = sources.scan(Read("financial.exchange_rates"), window.span)
    document = "source_document_id"
    lines = _line_by_line(sources, window).filter(pl.col("account_code") == "1210", pl.col(document).is_not_null())
    settled = pl.col("expense").sum().over(document) == 0
    idle = pl.col("day").max().over(document) <= window.last_day - DAY * 9
    expected = lines.filter(~(settled & idle)).select("day", document, "debit", "credit").collect()
    found = summed_postings(sources.scan(OPEN, window.span), rates, document).drop("expense").collect()
    assert_frame_equal(found.select(expected.columns), expected, check_row_order=False)
    assert 0 < expected.height < lines.select(pl.len()).collect().item()
    assert "PAID" not in expected[document]
    keys = sources.keys_from(KeyOf("sales_order_id", OPEN, document), window.span)
    assert set(keys) == set(expected[document])
