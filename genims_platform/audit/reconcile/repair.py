"""Events that the ledger lacks, recorded after all from the queue of their source; nothing is edited."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.reconcile.comparison import Comparison
from genims_platform.audit.reconcile.source import partitions, queued_events
from genims_platform.audit.reprocessed import EventName
from genims_platform.audit.reprocessing import NotRecordableError, Reprocessing
from genims_platform.settings import Settings
from genims_platform.sources.connection import connect

_AT_ONCE = 250


@dataclass(frozen=True)
class Repaired:
    """A missing event, and the number under which it is recorded now, or why it is not."""

    event: EventName
    number: int | None
    reason: str | None = None


def repair(settings: Settings, found: Iterable[Comparison], *, operator: str | None) -> Iterator[Repaired]:
    """Record each event that a comparison of a whole source misses, in its order, each at most once.

    Raises:
        SourceUnavailableError: a source cannot be reached.
        AuditUnavailableError: the audit database was busy or not reachable for too long.
        KeyStoreUnavailableError: the keys of persons cannot be reached.
        HaltError: a person has to look.
    """
    gaps = [comparison for comparison in found if comparison.table is None and comparison.difference.missing]
    if not gaps:
        return
    with closing(open_ledger(settings, "writer")) as ledger, closing(key_store(settings)) as keys:
        work = Reprocessing(settings, keys, audit_policy(), ledger, operator)
        for gap in gaps:
            for event, held in _held(settings, gap):
                name = EventName(gap.source, gap.incarnation, event)
                if held is None:
                    yield Repaired(name, None, f"the queue of {gap.source} no longer holds it")
                    continue
                try:
                    yield Repaired(name, work.record(name, work.fact(name, held, None)))
                except NotRecordableError as error:
                    yield Repaired(name, None, str(error))


def _held(settings: Settings, gap: Comparison) -> Iterator[tuple[int, Event | None]]:
    """The missing events as the queue holds them; tables are the roots of their partitions."""
    with closing(connect(settings.audit_relay(gap.source), autocommit=True)) as queue:
        roots = partitions(queue)
        for start in range(0, len(gap.difference.missing), _AT_ONCE):
            some = gap.difference.missing[start : start + _AT_ONCE]
            events = {event.event_id: event for event in queued_events(queue, some)}
            for number in some:
                event = events.get(number)
                root = roots.get(event.table_name or "") if event and event.kind in ("ROW", "TRUNCATE") else None
                yield number, replace(event, table_name=root) if event and root else event
