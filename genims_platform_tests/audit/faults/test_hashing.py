"""The checker's own encoder against the published vectors."""

from datetime import date, datetime
from decimal import Decimal

from genims_platform_tests.audit.faults.hashing import leaf, root

CHANGE = {
    "audit_sequence": (42, "bigint"),
    "item_no": (1, "smallint unsigned"),
    "recorded_at": (datetime(2026, 12, 31, 23, 59, 59, 123456), "datetime(6)"),
    "batch_no": (7, "bigint"),
    "source_db": ("crm", "varchar(32)"),
    "change_timestamp": (datetime(2026, 12, 31, 23, 59, 58, 1), "datetime(6)"),
    "table_name": ("accounts", "varchar(63)"),
    "primary_key_value": ("ACC-000001", "varchar(255)"),
    "change_type": ("UPDATE", "varchar(16)"),
    "column_name": ("credit_limit", "varchar(63)"),
    "value_state": ("PLAIN", "varchar(8)"),
    "value_type": ("number", "varchar(8)"),
    "old_value": ("100.10", "longtext"),
    "new_value": ("Müller", "longtext"),
    "chunk_no": (1, "smallint"),
    "chunk_count": (1, "smallint"),
    "user_id": (None, "varchar(128)"),
}
PRICE = {
    "audit_sequence": (42, "bigint"),
    "item_no": (0, "smallint"),
    "old_amount": (Decimal("100.1"), "decimal(24,6)"),
    "new_amount": (Decimal("-0.5"), "decimal(24,6)"),
    "effective_date": (date(2027, 1, 1), "date"),
    "event_digest": (bytes(range(32)), "binary(32)"),
}
TEXT = {"a": ("", "varchar(1)"), "b": (None, "varchar(1)")}


def test_leaves_and_roots_are_those_that_were_published() -> None:
    leaves = [
        leaf(table, {name: value for name, (value, _) in row.items()}, {name: kind for name, (_, kind) in row.items()})
        for table, row in (("data_change_audit", CHANGE), ("price_cost_changes", PRICE), ("t", TEXT))
    ]

    assert [found.hex() for found in leaves] == [
        "ceeb00e18090cc09dc5874e6e58be7a5c0a73f8e16280ac0aaf7d1a9ffb957c9",
        "55e1c9c17641a83b550f1d96e52ceb1a3466dcce90711fa45354c0ab90a14bcd",
        "04a5fea837dcc0db1e45aaee524c831853f2db532485e484b7c8564bb8742c68",
    ]
    assert root(leaves[:2]).hex() == "5c6118791807738f229d7bd9b1be75925cdba9a86fffd1681ae02e3de3062602"
    assert root(leaves).hex() == "5bb2a5ec108d88f91ddbf30952a292e6a23aa468265d678559b8dae3c9a77c50"
