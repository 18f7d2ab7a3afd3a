"""`bulk_operation_audit`: large groups of events, bulks that an application announced, and TRUNCATE.

Groups are counted over the list of keys of a range, so every relay finds the same ones.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter

from genims_platform.audit.capture.queue import Event, EventKey
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing import security
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.change import OPERATIONS
from genims_platform.audit.routing.values import Row, compact, integer, utc

TABLE = "bulk_operation_audit"
SAMPLE_KEYS = 20
_COMMITTED = "COMMITTED"
_MAX_BIGINT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class BulkGroup:
    """The row events of one table, operation and transaction, as known at the last of them.

    `is_large`: there are enough to be recorded even if nobody announced a bulk. `first` are the keys of the first ones;
    empty where the event is alone.
    """

    rows: int = 1
    is_large: bool = False
    first: tuple[EventKey, ...] = ()
    started_at: datetime | None = None
    sample: tuple[str | None, ...] = ()

    def sampled(self, events: Sequence[Event]) -> "BulkGroup":
        """The same with what the events of `first` say: when it began, and primary keys as a sample."""
        return replace(self, started_at=events[0].occurred_at, sample=tuple(event.pk for event in events))


ALONE = BulkGroup()


def bulk_groups(keys: Iterable[EventKey], threshold: int) -> Mapping[int, BulkGroup]:
    """The groups of a range by the number of their last event, at which they are recorded.

    Args:
        keys: all events of the range in the order of delivery, so that those of a transaction stand together.
        threshold: how many rows make a group large.
    """
    return {
        number: group
        for _, transaction in groupby(keys, key=attrgetter("xid"))
        for number, (_, group) in groups_of(transaction, threshold).items()
    }


def groups_of(transaction: Iterable[EventKey], threshold: int) -> Mapping[int, tuple[int, BulkGroup]]:
    """The groups of one transaction by the number of their last event, and that one's position in it."""
    first: dict[tuple[str, str], list[EventKey]] = {}
    counts: dict[tuple[str, str], int] = {}
    last: dict[tuple[str, str], tuple[int, int]] = {}
    for position, key in enumerate(transaction):
        if key.table_name is None or key.op not in OPERATIONS:
            continue
        group = key.table_name, key.op
        count = counts.get(group, 0) + 1
        counts[group] = count
        last[group] = key.event_id, position
        if count <= SAMPLE_KEYS:
            first.setdefault(group, []).append(key)
    found: dict[int, tuple[int, BulkGroup]] = {}
    for group, count in counts.items():
        number, position = last[group]
        alone = count == 1 < threshold
        found[number] = position, ALONE if alone else BulkGroup(count, count >= threshold, tuple(first[group]))
    return found


def is_recorded(group: BulkGroup | None, actor: Actor) -> bool:
    """Whether a group is recorded at the event it belongs to."""
    return group is not None and (group.is_large or actor.bulk is not None)


def group_row(event: Event, group: BulkGroup, actor: Actor, table: str, table_class: str | None) -> tuple[str, Columns]:
    """A group, at its last event."""
    started = utc(group.started_at or event.occurred_at)
    sample = group.sample if group.first else (event.pk,)
    return TABLE, {
        **_common(event, actor, table, table_class),
        "rows_affected": group.rows,
        "first_event_id": group.first[0].event_id if group.first else event.event_id,
        "duration_ms": max(0, (utc(event.occurred_at) - started) // timedelta(milliseconds=1)),
        "data_sample": compact([key for key in sample if key is not None]) if sample else None,
    }


def truncate_rows(
    event: Event, detail: Row, actor: Actor, table: str, table_class: str | None
) -> Iterator[tuple[str, Columns]]:
    """A TRUNCATE with the rows that were counted before it, and a finding."""
    number = truncated_rows(detail)
    yield (
        TABLE,
        {**_common(event, actor, table, table_class), "rows_affected": number, "first_event_id": event.event_id},
    )
    yield security.row(
        event,
        actor,
        "MASS_DELETE",
        "HIGH",
        f"TRUNCATE of {table} removed {number} rows",
        resource_type="table",
        resource_name=table,
    )


def truncated_rows(detail: Row) -> int:
    """How many rows a TRUNCATE removed."""
    return integer(detail.get("rows"), 0, _MAX_BIGINT) or 0


def _common(event: Event, actor: Actor, table: str, table_class: str | None) -> Columns:
    return {
        "operation_timestamp": utc(event.occurred_at),
        "operation_type": event.op,
        "table_name": table,
        "sensitivity_class": table_class,
        "last_event_id": event.event_id,
        "transaction_id": event.xid,
        "bulk_reference": actor.bulk,
        "declared": int(actor.bulk is not None),
        "status": _COMMITTED,
        **actor.application,
    }
