"""Values keep their text; numbers, dates and long texts fit their columns or say that they do not."""

from datetime import date
from decimal import Decimal

import pytest

from genims_platform.audit.routing import values
from genims_platform.audit.routing.errors import UnstorableEventError
from genims_platform.audit.routing.values import Number, chunks, compact, day, decimal, differ, integer, parse


@pytest.mark.parametrize(
    "text",
    [
        "100.10",
        "0.00000000000000000000000000000000000001",
        "12345678901234567890123456789012345678901234567890",
        '"ünïcode 😀"',
        '{"a":1.0,"b":[1.50,"1.50",null,true],"ä":{"z":0}}',
        "[]",
        "{}",
        '"a\\"b\\\\c\\n"',
    ],
)
def test_compact_json_repeats_what_was_read(text: str) -> None:
    assert compact(parse(text)) == text


def test_keys_are_sorted_by_their_bytes() -> None:
    assert compact(parse('{"b": 1, "ä": 2, "a": {"d": 1, "c": 2}}')) == '{"a":{"c":2,"d":1},"b":1,"ä":2}'


@pytest.mark.parametrize("text", ["NaN", "{", '{"a": Infinity}', "[" * 100_000])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(UnstorableEventError):
        parse(text)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("1", "1", False),
        ("1", "1.0", True),
        ("1", '"1"', True),
        ('{"a": 1}', '{"a": "1"}', True),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', False),
        ("true", '"true"', True),
        ("null", '""', True),
    ],
)
def test_values_differ_in_text_or_type(old: str, new: str, expected: bool) -> None:
    assert differ(parse(old), parse(new)) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, (None, True)),
        (Number("100.10"), (Decimal("100.100000"), True)),
        (Number("-0.00"), (Decimal("0.000000"), True)),
        (Number("1.10000000000"), (Decimal("1.100000"), True)),
        (Number("999999999999999999.999999"), (Decimal("999999999999999999.999999"), True)),
        (Number("1000000000000000000"), (None, False)),
        (Number("0.0000001"), (None, False)),
        (Number("9" * 400), (None, False)),
        ("NaN", (None, False)),
        ("Infinity", (None, False)),
    ],
)
def test_a_number_fits_exactly_or_not_at_all(value: values.Json, expected: tuple[Decimal | None, bool]) -> None:
    found = decimal(value)
    assert found == expected
    assert str(found[0]) == str(expected[0])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-22", date(2026, 11, 22)),
        ("2026-11-22T23:59:59.5", date(2026, 11, 22)),
        ("infinity", None),
        ("0044-03-15 BC", None),
        ("12026-01-01", None),
        (Number("20261122"), None),
        (None, None),
    ],
)
def test_a_day_is_a_date_that_the_column_holds(value: values.Json, expected: date | None) -> None:
    assert day(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(Number("2026"), 2026), ("12", 12), (Number("1.5"), None), (Number("40000"), None), ("Q", None)],
)
def test_a_whole_number_within_bounds(value: values.Json, expected: int | None) -> None:
    assert integer(value, -32768, 32767) == expected


def test_long_texts_are_divided_between_characters() -> None:
    text = "a" + "😀" * 600_000

    parts = chunks(text)

    assert "".join(parts) == text
    assert [len(part.encode()) <= values.CHUNK_BYTES for part in parts] == [True] * 3
    assert chunks("") == [""]
    assert len(chunks("x" * values.CHUNK_BYTES)) == 1
