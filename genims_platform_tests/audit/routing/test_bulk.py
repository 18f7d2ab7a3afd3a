"""Mass changes are found from the keys of a range and recorded once, at their last event."""

import json
from dataclasses import replace
from datetime import timedelta

from genims_platform.audit.capture.queue import EventKey
from genims_platform.audit.routing.bulk import bulk_groups
from genims_platform_tests.audit.routing.captured import AT, CONTEXT, routed, router, row_event, row_of, tables_of


def key(number: int, xid: int, table: str | None = "accounts", op: str = "UPDATE") -> EventKey:
    return EventKey(1, number, xid, table, op)


def test_groups_are_counted_by_transaction_table_and_operation() -> None:
    keys = [
        *(key(n, 1) for n in range(1, 5)),
        key(5, 1, "cases"),
        key(6, 1, op="DELETE"),
        key(7, 2),
        key(8, 3),
        key(9, 3),
        key(10, 3, None, "READ"),
        key(11, 3, "accounts", "TRUNCATE"),
    ]

    groups = bulk_groups(keys, 4)

    assert {number: (group.rows, group.is_large) for number, group in groups.items()} == {
        4: (4, True),
        5: (1, False),
        6: (1, False),
        7: (1, False),
        9: (2, False),
    }
    assert [first.event_id for first in groups[4].first] == [1, 2, 3, 4]


def test_a_large_group_is_recorded_at_its_last_event() -> None:
    keys = [key(n, 7001) for n in range(1, 1001)]
    event = replace(row_event("crm.accounts", {"account_id": "A"}, {"account_id": "A", "phone": "1"}), event_id=1000)
    earlier = [
        replace(event, event_id=n, pk=f"ACC-{n}", occurred_at=AT - timedelta(seconds=2, milliseconds=n))
        for n in range(1, 21)
    ]
    group = bulk_groups(keys, 1000)[1000]
    mapper = router()

    assert mapper.records_bulk(event, group)
    row = row_of(routed("crm", event, group.sampled(earlier)), "bulk_operation_audit")

    assert (row["rows_affected"], row["first_event_id"], row["last_event_id"]) == (1000, 1, 1000)
    assert (row["operation_type"], row["declared"], row["duration_ms"]) == ("UPDATE", 0, 2001)
    assert json.loads(str(row["data_sample"])) == [f"ACC-{n}" for n in range(1, 21)]


def test_a_declared_bulk_is_recorded_whatever_its_size() -> None:
    ctx = json.dumps(CONTEXT | {"bulk": "LOAD-7"})
    event = row_event("crm.accounts", None, {"account_id": "A-1"}, ctx=ctx)
    single = bulk_groups([key(99, 7001, op="INSERT")], 1000)[99]
    last = bulk_groups([key(98, 7001, op="INSERT"), key(99, 7001, op="INSERT")], 1000)

    alone = row_of(routed("crm", event, single), "bulk_operation_audit")

    assert (alone["bulk_reference"], alone["declared"], alone["rows_affected"]) == ("LOAD-7", 1, 1)
    assert (alone["first_event_id"], alone["duration_ms"], alone["data_sample"]) == (99, 0, '["A-1"]')
    assert row_of(routed("crm", event, last[99]), "bulk_operation_audit")["rows_affected"] == 2
    assert 98 not in last
    assert "bulk_operation_audit" not in tables_of(routed("crm", event))


def test_a_small_group_that_nobody_announced_is_not_recorded() -> None:
    event = row_event("crm.accounts", None, {"account_id": "A-1"})
    group = bulk_groups([key(99, 7001, op="INSERT")], 1000)[99]

    assert not router().records_bulk(event, group)
    assert "bulk_operation_audit" not in tables_of(routed("crm", event, group))
