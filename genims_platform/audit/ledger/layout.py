"""How a stored row becomes bytes, and bytes become hashes. Published: verifiers of other authors compute the same.

A row is encoded once for both of its uses: hashed as what will be stored, and written as a row of a statement. The two
are made from the same normalised value, so they cannot differ.
"""

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException
from functools import cache, lru_cache
from operator import getitem
from typing import Any

from mysql.connector.conversion import MySQLConverter

from genims_platform.audit.ledger.entries import Columns, Value
from genims_platform.audit.ledger.errors import UnstorableError
from genims_platform.mysql.append_only import SPINE
from genims_platform.mysql.contract import contracts

HASH_VERSION = 1

TABLES = (
    "system_audit_log",
    "user_activity_log",
    "login_audit",
    "database_changes",
    "permission_changes",
    "configuration_changes",
    "security_events",
    "backup_recovery",
    "audit_sequence_manager",
    "audit_etl_sync_log",
    "data_change_audit",
    "bulk_operation_audit",
    "financial_data_changes",
    "master_data_changes",
    "price_cost_changes",
    "customer_data_changes",
    "supplier_data_changes",
    "personnel_data_changes",
    "sla_compliance_tracking",
    "gdpr_data_request_log",
    "legal_hold_tracking",
    "sox_compliance_log",
    "hipaa_compliance_log",
    "audit_trail_completeness",
    "audit_report_schedule",
    "retention_policy_tracking",
    "audit_archive_log",
    "audit_integrity_checkpoints",
    "compliance_violations",
    "certification_compliance_tracking",
)
"""In the order of their numbers, which is the order of the leaves of one event. Part of the format: never reordered."""

TABLE_NUMBERS: Mapping[str, int] = {name: number for number, name in enumerate(TABLES, 1)}

PLACE = ("audit_sequence", "batch_no", "recorded_at")
"""Columns of every row that are known only when its batch is written, in the order in which they stand in the bytes."""

_LEAF, _NODE, _BATCH = b"\x00\x01", b"\x01", b"\x02\x01"
_LENGTH = struct.Struct(">I")
_COUNT = struct.Struct(">H")
_SIGNED = struct.Struct(">q")
_UNSIGNED = struct.Struct(">Q")
_EIGHT = _LENGTH.pack(8)
_SIGNED_LIMIT = 1 << 63
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the layout knows naive UTC only
_DIGITS = Context(prec=90, rounding=ROUND_HALF_UP)

_REMEMBERED_LENGTH = 64
_REMEMBERED = 10_000
_UNIQUE_TYPES = ("bigint", "longtext", "binary", "varbinary")
_ESCAPED = b"\\\n\r'\"\x1a"

Encoded = tuple[bytes, bytes]
"""A value or a row as it is hashed, and as it stands in a statement."""

Pieces = tuple[tuple[bytes, ...], tuple[bytes, ...]]
"""The same for a row without the values of `PLACE`: what stands before, between and behind them."""

_ABSENT: Encoded = b"", b"NULL"

_MISTAKES = (TypeError, ValueError, AttributeError, OverflowError, struct.error, DecimalException)


def prefixed(value: bytes) -> bytes:
    """The bytes behind their length."""
    return _LENGTH.pack(len(value)) + value


class RowLayout:
    """The encoding of the rows of one table.

    Args:
        table: its name.
        columns: name → SQL type, in lower case as in the contract.
    """

    def __init__(self, table: str, columns: Mapping[str, str]) -> None:
        self.table = table
        self.columns = tuple(sorted(columns, key=str.encode))
        """In the order of the values of a statement."""

        self._head = prefixed(table.encode())
        self._names = frozenset(columns)
        self._fields = tuple(_Field(name, columns[name]) for name in self.columns)
        self._place = [self.columns.index(name) for name in PLACE if name in self._names]

    def encode(self, row: Columns) -> Encoded:
        """The row as it is hashed, and its values as a row of a statement, without parentheses.

        Raises:
            UnstorableError: a value has the wrong type, is too long or has too many digits, or a column is unknown.
        """
        parts, literals = self._values(row)
        count = len(parts) - parts.count(b"")
        return b"%b%b%b" % (self._head, _COUNT.pack(count), b"".join(parts)), b",".join(literals)

    def pieces(self, row: Columns) -> Pieces:
        """The same of a row that has no values of `PLACE` yet; `placed` adds them.

        Raises:
            UnstorableError: as `encode`.
        """
        parts, literals = self._values(row)
        count = len(parts) - parts.count(b"") + len(PLACE)
        first, second, third = self._place
        join, comma = b"".join, b",".join
        return (
            (
                b"%b%b%b%b" % (_LEAF, self._head, _COUNT.pack(count), join(parts[:first])),
                join(parts[first + 1 : second]),
                join(parts[second + 1 : third]),
                join(parts[third + 1 :]),
            ),
            (
                comma((*literals[:first], b"")),
                comma((b"", *literals[first + 1 : second], b"")),
                comma((b"", *literals[second + 1 : third], b"")),
                comma((b"", *literals[third + 1 :])),
            ),
        )

    def value(self, column: str, value: Value) -> Encoded:
        """One value of a row; those of `PLACE` are encoded alike in all tables."""
        return self._fields[self.columns.index(column)][value]

    def _values(self, row: Columns) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        try:
            # No Python code runs for a value that was seen before.
            parts, literals = zip(*map(getitem, self._fields, map(row.get, self.columns)), strict=True)
        except _MISTAKES:
            raise self._mistake(row) from None
        if not self._names.issuperset(row):
            surplus = ", ".join(sorted(set(row) - self._names))
            raise UnstorableError(f"{self.table} has no column {surplus}", table=self.table, column=surplus)
        return parts, literals

    def _mistake(self, row: Columns) -> UnstorableError:
        for field in self._fields:
            try:
                field[row.get(field.name)]
            except _MISTAKES as error:
                return UnstorableError(
                    f"{self.table}.{field.name}: a value cannot be stored: {_why(error)}",
                    table=self.table,
                    column=field.name,
                )
        raise AssertionError("unreachable")


def placed(pieces: Pieces, sequence: Encoded, batch_no: Encoded, recorded_at: Encoded) -> Encoded:
    """A row whose place is known now: its leaf of the Merkle tree, and its values as a row of a statement."""
    (a, b, c, d), (e, f, g, h) = pieces
    hashed = hashlib.sha256(b"".join((a, sequence[0], b, batch_no[0], c, recorded_at[0], d))).digest()
    return hashed, b"".join((e, sequence[1], f, batch_no[1], g, recorded_at[1], h))


def load_layouts() -> None:
    """Read the contracts of all tables, for whose parsing the first rows would otherwise wait."""
    for table in TABLES:
        row_layout(table)


@cache
def row_layout(table: str) -> RowLayout:
    """The layout of a table of the audit database, from its contract."""
    return RowLayout(table, {column.name: column.sql_type for column in contracts("audit")[table].columns})


def leaf(encoding: bytes) -> bytes:
    """The hash of one stored row."""
    return hashlib.sha256(_LEAF + encoding).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaves in order, as in certificate transparency (RFC 6962)."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = list(leaves)
    # Pairing from the left and carrying a last odd node up gives the tree that splits at the largest power of two.
    while len(level) > 1:
        paired = [hashlib.sha256(_NODE + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        level = paired if len(level) % 2 == 0 else [*paired, level[-1]]
    return level[0]


@cache
def _spine_layout() -> RowLayout:
    columns = {column.name: column.sql_type for column in contracts("audit")[SPINE].columns}
    return RowLayout(SPINE, {name: kind for name, kind in columns.items() if name != "batch_hash"})


def batch_hash(spine: Columns) -> bytes:
    """The hash of a spine row, whatever it holds as `batch_hash`."""
    encoding, _ = _spine_layout().encode({name: value for name, value in spine.items() if name != "batch_hash"})
    return hashlib.sha256(_BATCH + encoding).digest()


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970-01-01 of a naive UTC instant.

    Raises:
        TypeError: the instant has a time zone.
    """
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


class _Field(dict[Any, Encoded]):
    """Value → its encoding with name and tag, and its literal; values are encoded when they are asked for first.

    Events repeat users, tables, kinds and flags, so most values are found rather than made.
    """

    def __init__(self, name: str, sql_type: str) -> None:
        super().__init__({None: _ABSENT})
        self.name = name
        tag, self._codec = _codec(sql_type)
        self._prefix = prefixed(name.encode()) + tag
        self._repeats = not sql_type.startswith(_UNIQUE_TYPES)

    def __missing__(self, value: Any) -> Encoded:
        encoded, literal = self._codec(value)
        found = self._prefix + encoded, literal
        if self._repeats and len(literal) <= _REMEMBERED_LENGTH:
            if len(self) >= _REMEMBERED:
                self.clear()
                self[None] = _ABSENT
            self[value] = found
        return found


def _codec(sql_type: str) -> tuple[bytes, Callable[[Any], Encoded]]:
    base, _, rest = sql_type.partition("(")
    sizes = [int(size) for size in rest.partition(")")[0].split(",") if size]
    kind = base.split()[0]
    if kind not in _CODECS:
        raise ValueError(f"{sql_type}: the layout knows no values of this type")
    tag, codec = _CODECS[kind]
    return tag, codec(*sizes)


def _integer(value: Any) -> Encoded:
    if not isinstance(value, int):
        raise TypeError("no whole number")
    packed = _SIGNED.pack(value) if value < _SIGNED_LIMIT else _UNSIGNED.pack(value)
    return _EIGHT + packed, b"%d" % value


@lru_cache(_REMEMBERED)
def _instant(value: Any) -> Encoded:
    if not isinstance(value, datetime):
        raise TypeError("no instant")
    return _EIGHT + _SIGNED.pack(microseconds(value)), b"'%b'" % str(value).encode()


def _text(value: Any) -> Encoded:
    if not isinstance(value, str):
        raise TypeError("no text")
    raw = value.encode()
    # Asking whether there is anything to escape is ten times faster than escaping.
    escaped = raw if len(raw.translate(None, _ESCAPED)) == len(raw) else MySQLConverter.escape(raw)
    return _LENGTH.pack(len(raw)) + raw, b"'%b'" % escaped


# An event repeats its key, user and approval in several tables.
_short_text = lru_cache(_REMEMBERED)(_text)


def _limited_text(limit: int) -> Callable[[Any], Encoded]:
    # The server would cut surplus spaces without an error.
    def encode(value: Any) -> Encoded:
        if len(value) > limit:
            raise ValueError(f"{len(value)} characters, at most {limit} fit")
        return _short_text(value) if len(value) <= _REMEMBERED_LENGTH else _text(value)

    return encode


def _binary(limit: int) -> Callable[[Any], Encoded]:
    def encode(value: Any) -> Encoded:
        if not isinstance(value, bytes):
            raise TypeError("no bytes")
        if len(value) > limit:
            raise ValueError(f"{len(value)} bytes, at most {limit} fit")
        return prefixed(value), b"0x" + value.hex().encode() if value else b"''"

    return encode


def _fixed_binary(length: int) -> Callable[[Any], Encoded]:
    # The server would fill up a shorter value with zeros.
    def encode(value: Any) -> Encoded:
        if not isinstance(value, bytes):
            raise TypeError("no bytes")
        if len(value) != length:
            raise ValueError(f"{len(value)} bytes, {length} are needed")
        return _LENGTH.pack(length) + value, b"0x" + value.hex().encode()

    return encode


def _decimal(precision: int, scale: int) -> Callable[[Any], Encoded]:
    unit = Decimal(1).scaleb(-scale)
    limit = Decimal(10) ** (precision - scale)

    def encode(value: Any) -> Encoded:
        if not isinstance(value, (Decimal, int)):
            raise TypeError("no exact number")
        rounded = Decimal(value).quantize(unit, context=_DIGITS)
        if not abs(rounded) < limit:
            raise ValueError(f"more than {precision - scale} digits before the point")
        text = format(rounded if rounded else abs(rounded), "f").encode()
        return prefixed(text), text

    return encode


def _date(value: Any) -> Encoded:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError("no date")
    text = value.isoformat().encode()
    return prefixed(text), b"'%b'" % text


# Widths of whole numbers and of fractions of a second are no matter of the layout.
_CODECS: Mapping[str, tuple[bytes, Callable[..., Callable[[Any], Encoded]]]] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint"), (b"\x01", lambda *_: _integer)),
    "datetime": (b"\x02", lambda *_: _instant),
    "varchar": (b"\x03", _limited_text),
    "longtext": (b"\x03", lambda: _text),
    "binary": (b"\x04", _fixed_binary),
    "varbinary": (b"\x04", _binary),
    "decimal": (b"\x05", _decimal),
    "date": (b"\x06", lambda: _date),
}


def _why(error: Exception) -> str:
    # The message of a failed conversion would quote the value.
    if isinstance(error, UnicodeError):
        return "it holds half of a surrogate pair, which is no character"
    return str(error) if type(error) in (TypeError, ValueError) else type(error).__name__
