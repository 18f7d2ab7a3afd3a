"""The published encoding of stored rows, written a second time: the checker trusts no code of the platform."""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

EPOCH = datetime(1970, 1, 1)


def prefixed(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def encoded(table: str, row: Mapping[str, Any], types: Mapping[str, str]) -> bytes:
    """A row as it is hashed; `types` are the columns' types as information_schema prints them."""
    present = sorted((name.encode(), name) for name, value in row.items() if value is not None)
    parts = [prefixed(table.encode()), struct.pack(">H", len(present))]
    for name, column in present:
        tag, value = _field(row[column], types[column])
        parts += [prefixed(name), bytes([tag]), prefixed(value)]
    return b"".join(parts)


def leaf(table: str, row: Mapping[str, Any], types: Mapping[str, str]) -> bytes:
    return hashlib.sha256(b"\x00\x01" + encoded(table, row, types)).digest()


def batch_hash(table: str, row: Mapping[str, Any], types: Mapping[str, str]) -> bytes:
    without = {name: value for name, value in row.items() if name != "batch_hash"}
    return hashlib.sha256(b"\x02\x01" + encoded(table, without, types)).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Merkle tree hash of RFC 6962; the leaves are hashes already."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root(leaves[:half]) + root(leaves[half:])).digest()


def _field(value: Any, sql_type: str) -> tuple[int, bytes]:
    kind = sql_type.partition("(")[0].split()[0].lower()
    if kind.endswith("int"):
        return 1, (int(value) % (1 << 64)).to_bytes(8)
    if kind == "datetime":
        assert isinstance(value, datetime)
        return 2, ((value - EPOCH) // timedelta(microseconds=1)).to_bytes(8, signed=True)
    if kind in ("varchar", "longtext"):
        return 3, value.encode() if isinstance(value, str) else bytes(value)
    if kind in ("binary", "varbinary"):
        return 4, bytes(value)
    if kind == "decimal":
        scale = int(sql_type.rstrip(")").rpartition(",")[2])
        number = Decimal(value)
        return 5, f"{number if number else abs(number):.{scale}f}".encode()
    if kind == "date":
        assert isinstance(value, date)
        return 6, value.isoformat().encode()
    raise ValueError(f"no encoding for {sql_type}")
