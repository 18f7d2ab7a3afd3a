"""The published byte layout: its examples, and what holds for every value."""

import hashlib
import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genims_platform.audit.ledger.entries import Value
from genims_platform.audit.ledger.errors import UnstorableError
from genims_platform.audit.ledger.layout import (
    TABLE_NUMBERS,
    TABLES,
    RowLayout,
    leaf,
    merkle_root,
    microseconds,
    prefixed,
    row_layout,
)
from genims_platform.mysql.contract import contracts

A = "ceeb00e18090cc09dc5874e6e58be7a5c0a73f8e16280ac0aaf7d1a9ffb957c9"
B = "55e1c9c17641a83b550f1d96e52ceb1a3466dcce90711fa45354c0ab90a14bcd"
C = "04a5fea837dcc0db1e45aaee524c831853f2db532485e484b7c8564bb8742c68"
PRICE_COLUMNS = {
    "audit_sequence": "bigint",
    "item_no": "smallint unsigned",
    "old_amount": "decimal(24,6)",
    "new_amount": "decimal(24,6)",
    "effective_date": "date",
    "event_digest": "binary(32)",
}
LONGEST_TEXT = 20


def test_published_leaf_of_a_changed_column() -> None:
    row = {
        "audit_sequence": 42,
        "item_no": 1,
        "recorded_at": datetime(2026, 12, 31, 23, 59, 59, 123456),
        "batch_no": 7,
        "source_db": "crm",
        "change_timestamp": datetime(2026, 12, 31, 23, 59, 58, 1),
        "table_name": "accounts",
        "primary_key_value": "ACC-000001",
        "change_type": "UPDATE",
        "column_name": "credit_limit",
        "value_state": "PLAIN",
        "value_type": "number",
        "old_value": "100.10",
        "new_value": "Müller",
        "chunk_no": 1,
        "chunk_count": 1,
    }
    assert leaf(row_layout("data_change_audit").encode(row)[0]).hex() == A


def test_published_leaf_of_a_price() -> None:
    row: dict[str, Value] = {
        "audit_sequence": 42,
        "item_no": 0,
        "old_amount": Decimal("100.1"),
        "new_amount": Decimal("-0.5"),
        "effective_date": date(2027, 1, 1),
        "event_digest": bytes(range(32)),
    }
    assert leaf(RowLayout("price_cost_changes", PRICE_COLUMNS).encode(row)[0]).hex() == B


def test_published_leaf_of_an_empty_text() -> None:
    assert leaf(one("longtext", "", table="t")).hex() == C


def test_published_roots() -> None:
    a, b, c = map(bytes.fromhex, (A, B, C))
    assert merkle_root([a, b]).hex() == "5c6118791807738f229d7bd9b1be75925cdba9a86fffd1681ae02e3de3062602"
    assert merkle_root([a, b, c]).hex() == "5bb2a5ec108d88f91ddbf30952a292e6a23aa468265d678559b8dae3c9a77c50"
    assert merkle_root([a]) == a
    assert merkle_root([]) == hashlib.sha256(b"").digest()


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=70))
def test_a_root_divides_its_leaves_at_the_largest_power_of_two(leaves: list[bytes]) -> None:
    assert merkle_root(leaves) == recursive_root(leaves)


def test_tables_have_the_numbers_of_their_place_in_the_schema_file() -> None:
    assert tuple(contracts("audit")) == TABLES
    assert sorted(TABLE_NUMBERS.values()) == list(range(1, 31))


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_every_table_has_a_code(table: str) -> None:
    assert set(row_layout(table).columns) == {column.name for column in contracts("audit")[table].columns}


@given(st.integers(-(1 << 63), (1 << 64) - 1))
def test_a_whole_number_is_eight_bytes(value: int) -> None:
    assert one("bigint", value)[-8:] == (value % (1 << 64)).to_bytes(8, "big")


@given(st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)))
def test_an_instant_is_its_microseconds(value: datetime) -> None:
    (since,) = struct.unpack(">q", one("datetime(6)", value)[-8:])
    assert datetime(1970, 1, 1) + timedelta(microseconds=since) == value
    assert since == microseconds(value)


@given(st.decimals(min_value=-(10**17), max_value=10**17, places=6), st.integers(0, 4))
def test_a_number_with_more_or_fewer_zeros_is_the_same(value: Decimal, zeros: int) -> None:
    text = one("decimal(24,6)", value)
    longer = Decimal(f"{value:f}" + "0" * zeros)
    assert one("decimal(24,6)", longer) == text
    assert one("decimal(24,6)", value.normalize()) == text


@pytest.mark.parametrize(
    ("given_number", "stored"),
    [("-0.0000001", b"0.000000"), ("-0", b"0.000000"), ("1.0000005", b"1.000001"), ("1E+3", b"1000.000000")],
)
def test_a_number_is_rounded_to_the_scale_of_its_column(given_number: str, stored: bytes) -> None:
    encoded, literal = RowLayout("t", {"a": "decimal(24,6)"}).encode({"a": Decimal(given_number)})
    assert (encoded.endswith(prefixed(stored)), literal) == (True, stored)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=LONGEST_TEXT))
def test_a_text_is_its_utf8_bytes(value: str) -> None:
    assert one(f"varchar({LONGEST_TEXT})", value).endswith(prefixed(value.encode()))


@given(st.dictionaries(st.sampled_from("abcdef"), st.none() | st.text("xy", max_size=3)))
def test_a_null_is_left_out_and_order_does_not_matter(row: dict[str, str | None]) -> None:
    layout = RowLayout("t", dict.fromkeys("fedcba", "varchar(3)"))
    present = {name: value for name, value in reversed(row.items()) if value is not None}
    assert layout.encode(row) == layout.encode(present)
    encoding, _ = layout.encode(row)
    assert struct.unpack_from(">H", encoding, len(prefixed(b"t"))) == (len(present),)


def test_forgotten_values_are_encoded_again() -> None:
    layout = RowLayout("t", {"a": "bigint", "b": "varchar(8)"})
    before = layout.encode({"a": 1, "b": None})
    for number in range(25_000):
        layout.encode({"a": number, "b": str(number)})
    assert layout.encode({"a": 1, "b": None}) == before


@pytest.mark.parametrize(
    ("sql_type", "value", "why"),
    [
        ("bigint", "1", "no whole number"),
        ("bigint", 1.5, "no whole number"),
        ("bigint", 1 << 64, "error"),
        ("datetime(6)", date(2026, 1, 1), "no instant"),
        ("datetime(6)", datetime(2026, 1, 1, tzinfo=UTC), "offset"),
        ("date", datetime(2026, 1, 1), "no date"),
        ("varchar(3)", "abcd", "4 characters, at most 3 fit"),
        ("varchar(3)", "abc ", "4 characters, at most 3 fit"),
        ("varchar(3)", b"abc", "no text"),
        ("longtext", "\ud800", "half of a surrogate pair"),
        ("longtext", ["a"], "unhashable"),
        ("binary(4)", b"abc", "3 bytes, 4 are needed"),
        ("varbinary(2)", b"abc", "3 bytes, at most 2 fit"),
        ("varbinary(2)", "ab", "no bytes"),
        ("decimal(4,2)", Decimal("99.995"), "more than 2 digits before the point"),
        ("decimal(4,2)", Decimal("NaN"), "InvalidOperation"),
        ("decimal(4,2)", Decimal("Infinity"), "InvalidOperation"),
        ("decimal(4,2)", 1.5, "no exact number"),
    ],
)
def test_what_would_be_stored_otherwise_is_refused(sql_type: str, value: Value, why: str) -> None:
    with pytest.raises(UnstorableError, match=why) as refused:
        one(sql_type, value)
    assert (refused.value.table, refused.value.column) == ("t", "a")


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(UnstorableError, match="login_audit has no column extra"):
        row_layout("login_audit").encode({"extra": 1})


def one(sql_type: str, value: Value, table: str = "t") -> bytes:
    """The encoding of a row of one column."""
    encoding, _ = RowLayout(table, {"a": sql_type, "b": "int"}).encode({"a": value, "b": None})
    return encoding


def recursive_root(leaves: Sequence[bytes]) -> bytes:
    """The definition, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    left, right = recursive_root(leaves[:split]), recursive_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()
