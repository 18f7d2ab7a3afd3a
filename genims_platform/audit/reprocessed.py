"""Events that are recorded after all: the fact that carries their details, and which events have one.

An event that could not be stored as it should be keeps its place and number in the ledger. What it should have been
comes later as a control event REPROCESSED, which names it and carries its detail rows; nothing is edited.
"""

import hashlib
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.control import Fact
from genims_platform.audit.ledger.entries import Entry
from genims_platform.mysql.append_only import SPINE

OPERATION = "REPROCESSED"
_ABOUT = ("schema_name", "table_name", "primary_key_value", "sensitivity_class", "affected_rows_count")
_OF_THE_ORIGINAL = frozenset({"event_id", "event_digest", "status"})
_AT_ONCE = 500


class EventName(NamedTuple):
    """Which event of which life of which source."""

    source: str
    incarnation: int
    event_id: int


def reprocessed_fact(event: EventName, entry: Entry, *, sequence: int | None, operator: str | None) -> Fact:
    """The fact that records an event as it should have been; it can be recorded only once.

    Args:
        event: the event.
        entry: what it becomes by routing.
        sequence: its number in the ledger; None if the ledger lacks it.
        operator: who has it recorded.
    """
    digest = entry.ledger["event_digest"]
    assert isinstance(digest, bytes)  # noqa: S101
    header = {name: value for name, value in entry.ledger.items() if name not in _OF_THE_ORIGINAL and value is not None}
    return Fact(
        OPERATION,
        operator,
        entry.details,
        {"original": {"sequence": sequence, **event._asdict(), "digest": digest.hex()}, "event": header},
        about={name: entry.ledger.get(name) for name in _ABOUT},
        uid=_uid(event),
    )


def reprocessed(ledger: Ledger, events: Iterable[EventName]) -> Mapping[EventName, int]:
    """Those of the events that are recorded after all, with the number of the event that carries their details.

    Raises:
        AuditUnavailableError: the audit database cannot be reached.
    """
    found: dict[EventName, int] = {}
    rest = iter(events)
    while some := {_uid(event): event for event in islice(rest, _AT_ONCE)}:
        marks = ", ".join(["%s"] * len(some))
        rows = ledger.query(
            f"SELECT batch_uid, first_sequence FROM {SPINE} WHERE batch_uid IN ({marks})",  # noqa: S608
            tuple(some),
        )
        found |= {some[bytes(uid)]: int(number) for uid, number in rows}
    return found


def _uid(event: EventName) -> bytes:
    return hashlib.sha256(f"{OPERATION} {event.source} {event.incarnation} {event.event_id}".encode()).digest()[:16]
