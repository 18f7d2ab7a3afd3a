import math
from decimal import Decimal

import polars as pl
import pytest

from genims_platform.mysql.contract import ContractError, TableContract, contracts, parse_contracts
from genims_platform_tests.mysql.conftest import DAY, INDEXES, SCHEMA, rows


def test_every_reporting_table_has_a_contract():
    tables = contracts("reporting")
    assert len(tables) == 35
    for table in tables.values():
        names = [column.name for column in table.columns]
        assert names[-2:] == ["source_row_count", "last_updated_at"]
        assert {*table.primary_key, *(name for index in table.indexes for name in index.columns)} <= set(names)
        assert all(column.description and not column.description.startswith("[") for column in table.columns)
        assert table.comment
        if table.partition_column is not None:
            assert table.partition_column == table.primary_key[0]


def test_comments_give_unit_range_and_description(sample: TableContract):
    described = {column.name: (column.unit, column.value_range, column.description) for column in sample.columns}
    assert described["share_pct"] == ("%", (0, 100), "share")
    assert described["pieces"] == ("pieces", (0, None), "how many")
    assert described["item_id"] == ("", None, "the item; raw")
    assert described["day"] == ("", None, "the day")
    assert not sample.column("day").nullable
    assert sample.column("item_name").nullable
    assert sample.column("item_id").collation == "utf8mb4_bin"
    assert (sample.partition_column, sample.comment) == ("day", "a sample; with semicolon")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0.125, 0.375, -0.125, None], ["0.12", "0.38", "-0.12", None]),
        ([Decimal("0.1250"), Decimal("0.3750"), Decimal("0.12501")], ["0.12", "0.38", "0.13"]),
        ([1, 2, -3], ["1.00", "2.00", "-3.00"]),
        ([True, False], ["1.00", "0.00"]),
    ],
)
def test_numbers_are_rounded_half_to_even(sample: TableContract, given: list[object], expected: list[str | None]):
    frame = rows({str(number): 0 for number in range(len(given))})
    cast, overflows = sample.cast(frame.with_columns(share_pct=pl.Series(given)))
    assert [None if value is None else str(value) for value in cast["share_pct"]] == expected
    assert overflows == {}
    assert dict(cast.schema) == sample.polars_schema


def test_numbers_that_do_not_fit_become_null_and_are_counted(sample: TableContract):
    shares = pl.Series([99999.99, 99999.996, -1e300, math.nan, math.inf, None])
    pieces = pl.Series([2.5, 3.5, 3e9, 1, 1, None])
    frame = rows({str(number): 0 for number in range(6)}).with_columns(share_pct=shares, pieces=pieces)
    cast, overflows = sample.cast(frame)
    assert cast["share_pct"].to_list() == [Decimal("99999.99"), None, None, None, None, None]
    assert cast["pieces"].to_list() == [2, 4, None, 1, 1, None]
    assert overflows == {"share_pct": 4, "pieces": 1}


def test_columns_must_be_those_of_the_schema_file(sample: TableContract):
    frame = rows({"a": 1}).drop("pieces").with_columns(piecez=1, last_updated_at=None)
    with pytest.raises(ContractError, match=r"sample_daily.*missing: pieces; .*piecez.*set by the loader"):
        sample.cast(frame)


def test_a_text_that_is_too_long_is_named(sample: TableContract):
    sample.cast(rows({"é" * 50: 1}))
    with pytest.raises(ContractError, match="sample_daily: item_id holds a value of 51 characters, at most 50 fit"):
        sample.cast(rows({"a": 1}).with_columns(item_id=pl.lit("é" * 51)))


def test_a_type_that_cannot_be_meant_is_refused(sample: TableContract):
    with pytest.raises(ContractError, match=r"sample_daily\.item_id: Int32 values given for varchar\(50\)"):
        sample.cast(rows({"a": 1}).with_columns(item_id=pl.lit(1)))
    with pytest.raises(ContractError, match=r"sample_daily\.pieces: String values given for int"):
        sample.cast(rows({"a": 1}).with_columns(pieces=pl.lit("1")))


def test_an_empty_frame_is_cast(sample: TableContract):
    cast, overflows = sample.cast(rows({"a": 1}, day=DAY).clear())
    assert (cast.height, overflows) == (0, {})


def test_a_schema_file_with_another_statement_is_refused():
    with pytest.raises(ContractError, match="expected CREATE TABLE"):
        parse_contracts("DROP TABLE sample_daily;", INDEXES)
    with pytest.raises(ContractError, match=r"sample_daily\.pieces: type JSON is not mapped"):
        parse_contracts(SCHEMA.replace("pieces INT", "pieces JSON"), INDEXES)
