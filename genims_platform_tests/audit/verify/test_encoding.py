"""The verifier's own encoder: the published vectors, and the reading of types from each server."""

from hashlib import sha256

import pytest

from genims_platform.audit.verify.encoding import Layout, LayoutError, layout, live_layouts, merkle_root
from genims_platform.mysql.connection import Database
from genims_platform.mysql.contract import contracts

VECTOR_A = "ceeb00e18090cc09dc5874e6e58be7a5c0a73f8e16280ac0aaf7d1a9ffb957c9"
VECTOR_B = "55e1c9c17641a83b550f1d96e52ceb1a3466dcce90711fa45354c0ab90a14bcd"
VECTOR_C = "04a5fea837dcc0db1e45aaee524c831853f2db532485e484b7c8564bb8742c68"
ROOT_AB = "5c6118791807738f229d7bd9b1be75925cdba9a86fffd1681ae02e3de3062602"
ROOT_ABC = "5bb2a5ec108d88f91ddbf30952a292e6a23aa468265d678559b8dae3c9a77c50"
CHANGE = {
    "audit_sequence": b"42",
    "item_no": b"1",
    "recorded_at": b"2026-12-31 23:59:59.123456",
    "batch_no": b"7",
    "source_db": b"crm",
    "change_timestamp": b"2026-12-31 23:59:58.000001",
    "table_name": b"accounts",
    "primary_key_value": b"ACC-000001",
    "change_type": b"UPDATE",
    "column_name": b"credit_limit",
    "value_state": b"PLAIN",
    "value_type": b"number",
    "old_value": b"100.10",
    "new_value": "Müller".encode(),
    "chunk_no": b"1",
    "chunk_count": b"1",
}


@pytest.fixture(scope="module")
def layouts(administrator: Database) -> dict[str, Layout]:
    with administrator.connection() as connection:
        return live_layouts(connection, administrator.server.database)


def _leaf(rows: Layout, values: dict[str, bytes]) -> str:
    return rows.leaf([values.get(column) for column in rows.columns]).hex()


def test_the_published_vectors(layouts: dict[str, Layout]) -> None:
    assert _leaf(layouts["data_change_audit"], CHANGE) == VECTOR_A
    prices = layout(
        "price_cost_changes",
        {
            "audit_sequence": "bigint(20)",
            "item_no": "smallint(5) unsigned",
            "old_amount": "decimal(24,6)",
            "new_amount": "decimal(24,6)",
            "effective_date": "date",
            "event_digest": "binary(32)",
        },
    )
    price = {
        "audit_sequence": b"42",
        "item_no": b"0",
        "old_amount": b"100.100000",
        "new_amount": b"-0.500000",
        "effective_date": b"2027-01-01",
        "event_digest": bytes(range(32)),
    }
    assert _leaf(prices, price) == VECTOR_B
    assert _leaf(layout("t", {"a": "varchar(5)", "b": "longtext"}), {"a": b""}) == VECTOR_C
    a, b, c = (bytes.fromhex(vector) for vector in (VECTOR_A, VECTOR_B, VECTOR_C))
    assert merkle_root([a, b]).hex() == ROOT_AB
    assert merkle_root([a, b, c]).hex() == ROOT_ABC


def test_the_layout_is_read_from_the_server(layouts: dict[str, Layout]) -> None:
    for name, table in contracts("audit").items():
        assert set(layouts[name].columns) == {column.name for column in table.columns}
        assert list(layouts[name].columns) == sorted(layouts[name].columns)


def test_a_column_of_another_type_is_refused() -> None:
    with pytest.raises(LayoutError, match=r"t\.a: type json"):
        layout("t", {"a": "json"})


def test_a_tree_is_split_at_the_largest_power_of_two() -> None:
    def split(leaves: list[bytes]) -> bytes:
        if len(leaves) < 2:
            return leaves[0] if leaves else sha256(b"").digest()
        left = 1 << (len(leaves) - 1).bit_length() - 1
        return sha256(b"\x01" + split(leaves[:left]) + split(leaves[left:])).digest()

    for number in range(70):
        leaves = [sha256(bytes([i])).digest() for i in range(number)]
        assert merkle_root(leaves) == split(leaves)


def test_numbers_of_both_signs_and_negative_zero() -> None:
    numbers = layout("n", {"i": "bigint(20)", "u": "bigint(20) unsigned", "d": "decimal(24,2)"})
    assert numbers.encode([b"-0.00", b"-1", b"18446744073709551615"]) == numbers.encode(
        [b"0.00", b"18446744073709551615", b"-1"]
    )
    assert b"-0.01" in numbers.encode([b"-0.01", b"1", b"1"])
    earlier = layout("t", {"d": "datetime(6)"})
    assert earlier.encode([b"1969-12-31 23:59:59.999999"]).endswith(b"\xff" * 8)
