"""Values: from the JSON images of a source row to the texts and numbers that are stored and hashed."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Literal, TypeAlias, cast

from genims_platform.audit.routing.cipher import Kind
from genims_platform.audit.routing.errors import UnstorableEventError

Json: TypeAlias = "str | bool | list[Json] | dict[str, Json] | None"
"""Numbers are `Number`; a float would lose digits."""

Row: TypeAlias = Mapping[str, Json]
ValueType = Literal["string", "number", "boolean", "json"]

CHUNK_BYTES = 1 << 20
"""Longest text in one row of `data_change_audit`; more goes into several rows."""

INLINE_BYTES = 1 << 16
"""Longest value that is repeated in the tables of the classes."""

_CHARACTER_BYTES = 4
_DECIMAL_UNIT = Decimal("0.000001")
_DECIMAL_ZERO = Decimal("0.000000")
_DECIMAL_DIGITS = 24
_EXACTLY = Context(prec=_DECIMAL_DIGITS, traps=[Inexact, InvalidOperation])


class Number(str):
    """A number as PostgreSQL printed it."""

    __slots__ = ()


def _no_constant(name: str) -> Json:
    raise UnstorableEventError(f"the image holds {name}, which is no JSON")


_decode = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_no_constant).decode


def parse(text: str) -> Json:
    """Read JSON with every number as its text.

    Raises:
        UnstorableEventError: it is no JSON, or nested too deeply.
    """
    try:
        return cast("Json", _decode(text))
    except json.JSONDecodeError as error:
        raise UnstorableEventError(f"no JSON at character {error.pos} of {len(text)}") from None
    except RecursionError:
        raise UnstorableEventError(f"JSON of {len(text)} characters is nested too deeply") from None


def parse_row(text: str | None, name: str) -> dict[str, Json] | None:
    """Read the image of a row; None for none.

    Raises:
        UnstorableEventError: it is no JSON object.
    """
    if text is None:
        return None
    row = parse(text)
    if type(row) is not dict:
        raise UnstorableEventError(f"{name} is no JSON object")
    return row


@lru_cache(maxsize=16384)
def quoted_name(name: str) -> str:
    """A column name as JSON."""
    return encode_basestring(name)


def compact(value: Json) -> str:
    """JSON without spaces, keys in byte order, numbers as they were printed."""
    if type(value) is str:
        return encode_basestring(value)
    if value is None:
        return "null"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return compact_object({name: compact(item) for name, item in value.items()})
    return f"[{','.join(map(compact, value))}]"


def compact_object(tokens: Mapping[str, str]) -> str:
    """A JSON object of values that are JSON already."""
    return f"{{{','.join([f'{quoted_name(name)}:{tokens[name]}' for name in sorted(tokens)])}}}"


def exact_text(value: Json) -> str:
    """The text of a value that is not NULL: a string as it is, a number as printed, JSON compact."""
    if type(value) is str:
        return value
    return str(value) if isinstance(value, str) else compact(value)


def plain_text(value: Json) -> str | None:
    """The same; None for NULL."""
    return None if value is None else exact_text(value)


def value_type(value: Json) -> ValueType:
    """What the text of a value was."""
    kind = type(value)
    if kind is str:
        return "string"
    if kind is Number:
        return "number"
    return "boolean" if kind is bool else "json"


def value_kind(value: Json) -> Kind:
    """The same as one letter, as it is encrypted with the text."""
    kind = type(value)
    if kind is str:
        return "s"
    if kind is Number:
        return "n"
    return "b" if kind is bool else "j"


def differ(old: Json, new: Json) -> bool:
    """Whether two values differ in text or type."""
    if type(old) is not type(new):
        return True
    if isinstance(old, (dict, list)):
        return compact(old) != compact(new)
    return old != new


def chunks(text: str) -> list[str]:
    """A text in parts of at most `CHUNK_BYTES`, cut between characters."""
    if len(text) * _CHARACTER_BYTES <= CHUNK_BYTES:
        return [text]
    encoded = text.encode()
    parts: list[str] = []
    start = 0
    while start < len(encoded):
        end = min(start + CHUNK_BYTES, len(encoded))
        while end < len(encoded) and encoded[end] & 0xC0 == 0x80:
            end -= 1
        parts.append(encoded[start:end].decode())
        start = end
    return parts


def too_long_to_repeat(text: str) -> bool:
    """Whether a value is only referred to in the tables of the classes."""
    return len(text) * _CHARACTER_BYTES > INLINE_BYTES and len(text.encode()) > INLINE_BYTES


def reference_to(text: str) -> str:
    """JSON that stands for a value too long to repeat; `length` in bytes, digest of the text as it is stored."""
    encoded = text.encode()
    digest = hashlib.sha256(encoded).hexdigest()
    return f'{{"$ref":"data_change_audit","length":{len(encoded)},"sha256":"{digest}"}}'


def inline_text(text: str | None) -> str | None:
    """A text as the tables of the classes repeat it: itself, or a reference to where it is."""
    return reference_to(text) if text is not None and too_long_to_repeat(text) else text


def decimal(value: Json) -> tuple[Decimal | None, bool]:
    """A number for a DECIMAL(24,6) column, and whether the column says exactly what the value says."""
    if value is None:
        return None, True
    if type(value) is not Number:
        return None, False
    try:
        number = _EXACTLY.quantize(Decimal(value), _DECIMAL_UNIT)
    except DecimalException:
        return None, False
    return number or _DECIMAL_ZERO, True


def integer(value: Json, low: int, high: int) -> int | None:
    """A whole number within bounds; None for anything else."""
    if not isinstance(value, str):
        return None
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
        return None
    number = int(value)
    return number if low <= number <= high else None


def day(value: Json) -> date | None:
    """The date of a date or timestamp; None for one that DATE does not hold."""
    if type(value) is not str or value.endswith("BC") or value[10:11] not in ("", "T", " "):
        return None
    try:
        found = date.fromisoformat(value[:10])
    except ValueError:
        return None
    return found if found.year >= 1000 else None


def cut(text: str | None, length: int) -> str | None:
    """A text for a VARCHAR column; what is too long ends in an ellipsis."""
    return text if text is None or len(text) <= length else text[: length - 1] + "…"


def whole(text: str | None, length: int, column: str) -> str | None:
    """A text that identifies something, so it is never cut.

    Raises:
        UnstorableEventError: it is too long for the column.
    """
    if text is not None and len(text) > length:
        raise UnstorableEventError(f"{column} has {len(text)} characters, {length} fit")
    return text


def utc(instant: datetime) -> datetime:
    """An instant as the audit database stores it: UTC, without zone."""
    return instant if instant.tzinfo is None else instant.astimezone(UTC).replace(tzinfo=None)
