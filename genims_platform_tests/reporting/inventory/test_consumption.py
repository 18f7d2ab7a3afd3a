"""Bookings that PostgreSQL adds up are as many, and consume as much, as the same bookings one by one."""

from collections.abc import Generator
from contextlib import closing

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from genims_platform.reporting.consumption import booked_by_day, booked_materials, bookings_by_day
from genims_platform.reporting.periods import DAY, Window
from genims_platform.settings import Settings
from genims_platform.sources.reader import Read, SourceReader
from genims_platform.sources.scope import Between
from genims_platform_tests.factory_group import TODAY, UNTIL, copy_row, write

BOOKINGS = "mes.material_transactions"
LOOK_BACK = DAY * 40


@pytest.fixture
def sources(factory: Settings) -> Generator[SourceReader]:
    """Bookings of unknown materials and without a cost, scrap and later ones, beside the usual ones."""
    odd: tuple[dict[str, object], ...] = (
        {"transaction_date": UNTIL - DAY, "material_code": "LOST", "material_name": None},
        {"transaction_type": "scrap"},
        {"transaction_date": UNTIL},
        {"transaction_date": UNTIL - DAY, "transaction_type": "return", "total_cost": None},
    )
    for change in odd:
        assert copy_row(factory, BOOKINGS, change, "transaction_type = 'issue'", 10)
    with closing(SourceReader(factory)) as reader:
        yield reader
    write(factory, BOOKINGS, "DELETE FROM {table} WHERE transaction_id::text LIKE '%%-late%%'")


def _sums(booked: pl.LazyFrame) -> pl.DataFrame:
    keys = ("day", "material_id", "booked_name", "booked_type")
    amounts = ("quantity", "issued", "returned", "issued_cost", "bookings")
    return booked.group_by(keys).agg(pl.col(*amounts).sum()).sort(keys).collect()


def test_bookings_by_day_consume_what_single_bookings_consume(sources: SourceReader) -> None:
    window = Window(TODAY - DAY * 5, TODAY + DAY, UNTIL)
    materials = sources.scan(Read("erp.materials"), window.span)
    single = sources.scan(Read(BOOKINGS, Between("transaction_date", before=LOOK_BACK)), window.span)
    expected = _sums(booked_materials(single, materials, window))
    by_day = sources.scan(bookings_by_day(LOOK_BACK), window.span)
    assert_frame_equal(_sums(booked_by_day(by_day, materials)), expected, check_dtypes=False)
    assert expected["returned"].sum() > 0
    assert "LOST" in expected["material_id"]
    assert sources.rows_read["mes.bookings_by_day"] < sources.rows_read[BOOKINGS]
