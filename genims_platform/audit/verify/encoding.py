"""The published byte layout of a stored row, read back from the server: what a hash is computed over.

Values are taken as the bytes the server sends in its text protocol, so no client type can change them on the way.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256

from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.mysql.connection import identifier

RawRow = Sequence[bytes | None]
"""One row in the column order of its layout."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LEAF, _NODE, _BATCH, _VERSION = b"\x00", b"\x01", b"\x02", b"\x01"
_EMPTY_TREE = sha256(b"").digest()


class LayoutError(ValueError):
    """A table has a column whose type the byte layout does not know."""


def lp(value: bytes) -> bytes:
    """`value` after its length in 4 bytes, big-endian."""
    return len(value).to_bytes(4, "big") + value


@lru_cache(maxsize=4096)
def microseconds(text: bytes) -> int:
    """Microseconds since 1970 of a DATETIME(6) in UTC as the server prints it."""
    return (datetime.fromisoformat(text.decode()).replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


def _integer(text: bytes) -> bytes:
    return (int(text) & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "big")


@lru_cache(maxsize=4096)
def _instant(text: bytes) -> bytes:
    return microseconds(text).to_bytes(8, "big", signed=True)


def _decimal(text: bytes) -> bytes:
    return text if text.strip(b"-0.") else text.lstrip(b"-")


_SIZE_8 = (8).to_bytes(4, "big")
_FIXED: Mapping[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint"), (b"\x01", _integer)),
    "datetime": (b"\x02", _instant),
}
_VARIABLE: Mapping[str, bytes] = {
    **dict.fromkeys(("varchar", "longtext"), b"\x03"),
    **dict.fromkeys(("binary", "varbinary"), b"\x04"),
    "decimal": b"\x05",
    "date": b"\x06",
}


@dataclass(frozen=True)
class Layout:
    """How rows of one table are encoded; `columns` are in ascending byte order of their names, as rows must be."""

    table: str
    columns: tuple[str, ...]
    head: bytes
    prefixes: tuple[bytes, ...]
    """Name and tag of each column, with the length of the value where it is always 8."""

    encoders: tuple[Callable[[bytes], bytes] | None, ...]
    """How a value of fixed length is encoded; None: as it is, after its length."""

    @property
    def select(self) -> str:
        """The columns as they are written in SELECT."""
        return ", ".join(map(identifier, self.columns))

    def position(self, column: str) -> int:
        """Where a column stands in a row."""
        return self.columns.index(column)

    def encode(self, row: RawRow, *, without: int | None = None) -> bytes:
        """The bytes of a row, NULL columns and the one at position `without` left out."""
        parts = [self.head, b""]
        number = 0
        for position, (prefix, encoder, value) in enumerate(zip(self.prefixes, self.encoders, row, strict=True)):
            if value is None or position == without:
                continue
            number += 1
            if encoder is None:
                parts += (prefix, len(value).to_bytes(4, "big"), value)
            else:
                parts += (prefix, encoder(value))
        parts[1] = number.to_bytes(2, "big")
        return b"".join(parts)

    def leaf(self, row: RawRow) -> bytes:
        """The hash of one stored row."""
        return sha256(_LEAF + _VERSION + self.encode(row)).digest()

    def batch_hash(self, row: RawRow) -> bytes:
        """The hash of a row of the spine, over all its columns but `batch_hash` itself."""
        return sha256(_BATCH + _VERSION + self.encode(row, without=self.position("batch_hash"))).digest()


def layout(table: str, types: Mapping[str, str]) -> Layout:
    """The layout of a table from its columns' types (`decimal(24,6)`), as information_schema names them.

    Raises:
        LayoutError: a type is not part of the published layout.
    """
    columns = tuple(sorted(types, key=str.encode))
    prefixes: list[bytes] = []
    encoders: list[Callable[[bytes], bytes] | None] = []
    for column in columns:
        kind = re.sub(r"[ (].*", "", types[column].lower())
        if kind in _FIXED:
            tag, encoder = _FIXED[kind]
            prefixes.append(lp(column.encode()) + tag + _SIZE_8)
            encoders.append(encoder)
        elif kind in _VARIABLE:
            # The text of a DECIMAL needs one look, at its sign; the server stores what it was given.
            prefixes.append(lp(column.encode()) + _VARIABLE[kind])
            encoders.append(_with_length(_decimal) if kind == "decimal" else None)
        else:
            raise LayoutError(f"{table}.{column}: type {types[column]} is not part of the published byte layout")
    return Layout(table, columns, lp(table.encode()), tuple(prefixes), tuple(encoders))


def _with_length(convert: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda text: lp(convert(text))


def live_layouts(connection: MySQLConnectionAbstract, database: str) -> dict[str, Layout]:
    """The layout of every base table of a database, from the server's own description of it.

    Raises:
        LayoutError: a column has a type that is not part of the published layout.
    """
    with connection.cursor(raw=True) as cursor:
        cursor.execute(
            "SELECT c.table_name, c.column_name, c.column_type FROM information_schema.columns c "
            "JOIN information_schema.tables t USING (table_schema, table_name) "
            "WHERE c.table_schema = %s AND t.table_type = 'BASE TABLE'",
            (database,),
        )
        types: dict[str, dict[str, str]] = {}
        for table, column, kind in raw_rows(cursor.fetchall()):
            types.setdefault((table or b"").decode(), {})[(column or b"").decode()] = (kind or b"").decode()
    return {table: layout(table, columns) for table, columns in sorted(types.items())}


def raw_rows(rows: Iterable[object]) -> list[tuple[bytes | None, ...]]:
    """Rows of a raw cursor as immutable bytes, which can be compared and kept."""
    return [
        tuple(None if value is None else bytes(value) for value in row)  # pyright: ignore
        for row in rows
    ]


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root of the tree over `leaves` as in RFC 6962: the left half is the largest power of two below their number."""
    if not leaves:
        return _EMPTY_TREE
    # Pairing neighbours and carrying an odd last one up gives the same tree as splitting from the top.
    level = list(leaves)
    while len(level) > 1:
        paired = [sha256(_NODE + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]
