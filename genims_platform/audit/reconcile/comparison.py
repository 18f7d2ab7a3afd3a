"""One comparison of a range of events, and how it is recorded."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from genims_platform.audit.ledger.entries import Columns

LISTED_EVENTS = 100
SHOWN_EVENTS = 10

CheckType = Literal["HOURLY", "DAILY", "DEEP", "BASELINE", "SEQUENCE"]
Status = Literal["OK", "GAP", "MISMATCH", "SUSPENDED", "NOT_AVAILABLE"]
Totals = Mapping[str | None, tuple[int, int]]
"""Table → events, and the sum of the first 56 bits of their digests."""


@dataclass(frozen=True)
class Difference:
    """Events of one side only, and events that are there more than once; those `altered` have another digest."""

    missing: tuple[int, ...] = ()
    unexpected: tuple[int, ...] = ()
    duplicate: tuple[int, ...] = ()
    altered: tuple[int, ...] = ()

    @classmethod
    def between(cls, queued: Mapping[int, bytes], stored: Iterable[tuple[int, bytes]]) -> "Difference":
        """What differs between event → digest in a queue and the events of the ledger."""
        rows = list(stored)
        times = Counter(event for event, _ in rows)
        return cls(
            missing=tuple(sorted(queued.keys() - times.keys())),
            unexpected=tuple(sorted(times.keys() - queued.keys())),
            duplicate=tuple(sorted(event for event, number in times.items() if number > 1)),
            altered=tuple(sorted({event for event, digest in rows if queued.get(event, digest) != digest})),
        )


@dataclass(frozen=True)
class Comparison:
    """A source, or one table of it, compared from tick `tick_from` (exclusive) to `tick_to`."""

    check_type: CheckType
    source: str
    incarnation: int
    table: str | None
    tick_from: int | None
    tick_to: int | None
    first_sequence: int | None
    last_sequence: int | None
    expected: tuple[int, int] | None
    """Events and sum of digests in PostgreSQL; None: it no longer has them."""

    actual: tuple[int, int]
    difference: Difference = Difference()
    broken: Mapping[str, int] | None = None
    """Rule of the ledger → events that break it."""

    repaired: tuple[int, ...] = ()
    """Events that the ledger lacked and that were delivered again since; they count as present."""

    notes: Mapping[str, object] | None = None
    """What else is recorded; never a value of a source."""

    verdict: Status | None = None
    """Stands before what the numbers say, where those alone cannot tell."""

    @property
    def status(self) -> Status:
        """OK only if counts, digests and events agree."""
        if self.verdict is not None:
            return self.verdict
        if self.expected is None:
            return "NOT_AVAILABLE"
        if self.difference.missing or self.difference.unexpected or self.difference.duplicate:
            return "GAP"
        if self.broken and any(self.broken.values()):
            return "GAP"
        return "OK" if self.expected == self.actual and not self.difference.altered else "MISMATCH"

    @property
    def gap_found(self) -> bool:
        """Whether a person has to look."""
        return self.status in ("GAP", "MISMATCH")

    @property
    def name(self) -> str:
        """What was compared: `crm`, `crm.accounts`, `*`."""
        return self.source if self.table is None else f"{self.source}.{self.table}"

    @property
    def sentence(self) -> str:
        """What was found, in words; never a value of a source."""
        what = "rows" if self.check_type == "BASELINE" else "events"
        words = [f"{self.actual[0]} {what} of {'unknown' if self.expected is None else self.expected[0]}"]
        words += [
            f"{kind}: {', '.join(map(str, events[:SHOWN_EVENTS]))}{' …' if len(events) > SHOWN_EVENTS else ''}"
            for kind, events in (*asdict(self.difference).items(), ("recorded after all", self.repaired))
            if events
        ]
        words += [f"{rule}: {number}" for rule, number in (self.broken or {}).items() if number]
        if self.check_type == "BASELINE" and self.status == "MISMATCH":
            words.append("changed outside the trail")
        if reason := (self.notes or {}).get("reason"):
            words.append(str(reason))
        return "; ".join(words)

    def row(self) -> Columns:
        """The row of `audit_trail_completeness`, without time and run."""
        listed = {
            "missing": self.difference.missing[:LISTED_EVENTS],
            "unexpected": self.difference.unexpected[:LISTED_EVENTS],
            "duplicate": self.difference.duplicate[:LISTED_EVENTS],
            "altered": self.difference.altered[:LISTED_EVENTS],
            "repaired": self.repaired[:LISTED_EVENTS],
            **(self.broken or {}),
            **(self.notes or {}),
        }
        detail = {what: events for what, events in listed.items() if events}
        known = self.expected is not None
        return {
            "check_type": self.check_type,
            "checked_source": self.source,
            "checked_incarnation": self.incarnation,
            "table_name": self.table,
            "tick_from": self.tick_from,
            "tick_to": self.tick_to,
            "first_sequence": self.first_sequence,
            "last_sequence": self.last_sequence,
            "expected_count": self.expected[0] if self.expected else None,
            "actual_count": self.actual[0],
            "missing_count": len(self.difference.missing) if known else None,
            "unexpected_count": len(self.difference.unexpected) if known else None,
            "duplicate_count": len(self.difference.duplicate) if known else None,
            "expected_digest": self.expected[1] if self.expected else None,
            "actual_digest": self.actual[1],
            "status": self.status,
            "gap_found": int(self.gap_found),
            "detail": json.dumps(detail, sort_keys=True) if detail else None,
        }
