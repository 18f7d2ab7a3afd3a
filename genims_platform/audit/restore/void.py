"""Declaring void what the audit database lost and nothing can bring back: its numbers never name another event."""

import secrets
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.ledger.append import Ledger, open_ledger
from genims_platform.audit.ledger.batch import Batch, Head, build_batch
from genims_platform.audit.ledger.control import CONTROL, Appender, Fact, following
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.ledger.errors import HaltError
from genims_platform.audit.relay.journal import read_journal
from genims_platform.audit.restore.rebuild import NotReplayableError, Rebuilder
from genims_platform.audit.restore.replay import alone, next_line, note
from genims_platform.audit.restore.standing import Point, Standing, newest_checkpoint, standing
from genims_platform.settings import Settings

OPERATION = "RESTORE_VOID"
RULE = "RESTORE"
_REASON_CHARACTERS = 500


class VoidRefusedError(RuntimeError):
    """Nothing is declared void; the message says why, and what to do instead."""


@dataclass(frozen=True)
class Voided:
    """Numbers that name nothing any more, and the number of the event that records it."""

    batch_no: int
    first_sequence: int
    last_sequence: int
    recorded_as: int
    standing: Standing


@dataclass(frozen=True)
class _Decision:
    reason: str
    approvals: Sequence[str]
    operator: str
    why_not: str
    """Why what is lost cannot be delivered again."""


def declare_void(settings: Settings, *, reason: str, approvals: Collection[str], operator: str) -> Voided:
    """Use up the lost numbers with one batch that holds nothing, and record who decided it and why.

    Args:
        settings: where database, journal and checkpoints are.
        reason: why; kept with the record.
        approvals: two different persons.
        operator: who does it.

    Raises:
        VoidRefusedError: nothing is lost, it can be delivered again, or not two persons approve.
        LeaderExistsError: a relay works.
        DivergedError: the database went on after it was set back.
        HaltError: the database refuses what it must accept.
        ConnectionError: a source or the audit database cannot be reached, so that nobody knows what is possible.
    """
    persons = sorted({person.strip().casefold(): person.strip() for person in approvals if person.strip()}.values())
    if len(persons) != 2:
        raise VoidRefusedError(
            f"two different persons have to approve; given: {', '.join(persons) or 'nobody'}. What is declared void "
            "stays so"
        )
    with alone(settings), closing(open_ledger(settings, "relay")) as ledger:
        ledger.check_server()
        found = standing(settings, ledger)
        if found.published is None:
            raise VoidRefusedError("nothing is lost: the database has all that journal and checkpoints know of")
        decision = _Decision(reason, persons, operator, _why_not(settings, ledger, found))
        ticks = _control_tick(settings, ledger, found)
        appender = Appender(ledger)

        def plan(head: Head | None, now: datetime) -> Sequence[Batch]:
            if head != found.head:
                raise HaltError(f"somebody else writes to {ledger.server.address}; stop it first")
            # Checkpoints that are newer than this one are not those that it makes void.
            at = max(now, *(point.at for point in (found.journal, found.checkpoint) if point))
            return _batches(appender, found, at, ticks, decision)

        void, record = appender.commit(plan)
        note(settings, ledger)
        return Voided(
            void.head.batch_no,
            found.head.last_sequence + 1,
            void.head.last_sequence,
            record.head.last_sequence,
            standing(settings, ledger),
        )


def _why_not(settings: Settings, ledger: Ledger, found: Standing) -> str:
    """Why the next lost batch cannot be delivered again."""
    line = next_line(ledger, found)
    if line is None:
        return (
            "the journal has nothing of it" if found.folder else "AUDIT_JOURNAL_DIR is not set, so there is no journal"
        )
    with closing(key_store(settings)) as keys, closing(Rebuilder(settings, ledger, keys)) as rebuilder:
        try:
            rebuilder.batch(found.head, line)
        except NotReplayableError as error:
            return str(error)
    raise VoidRefusedError(
        f"batch {line['batch_no']} can be delivered again; do that first: genims audit restore --replay"
    )


def _control_tick(settings: Settings, ledger: Ledger, found: Standing) -> int:
    """How far the source of control batches was; its events are numbered by that, and those are not given out again."""
    ticks = [0]
    if found.folder is not None:
        lines = read_journal(found.folder, found.head.batch_no)
        ticks += (int(line["tick_to"]) for line in lines if line["source_db"] == CONTROL)
    if found.checkpoint is not None and (checkpoint := newest_checkpoint(settings, ledger)) is not None:
        cursor = checkpoint.statement.cursors.get(CONTROL)
        ticks.append(cursor[1] if cursor else 0)
    return max(ticks)


def _batches(
    appender: Appender, found: Standing, now: datetime, control_tick: int, decision: _Decision
) -> Sequence[Batch]:
    before = appender.control_span()
    span = following(before, max(1, control_tick - before.tick_to))
    void = build_batch(
        found.head,
        "VOID",
        span,
        (),
        recorded_at=now,
        writer_id=appender.writer_id,
        batch_uid=secrets.token_bytes(16),
        routing_version=appender.routing_version,
        event_count=found.lost_numbers,
    )
    return [void, *appender.control_batches(void.head, now, [_fact(void, found, now, decision)], span)]


def _fact(void: Batch, found: Standing, now: datetime, decision: _Decision) -> Fact:
    first, last = found.head.last_sequence + 1, void.head.last_sequence
    numbers = f"numbers {first} to {last}" if last >= first else "no numbers"
    event: Columns = {
        "event_timestamp": now,
        "event_type": OPERATION,
        "event_severity": "CRITICAL",
        "rule_id": RULE,
        "user_id": decision.operator,
        "resource_type": "batch",
        "resource_name": f"batch {void.head.batch_no}",
        "description": f"the audit database was restored; {numbers} of {found.lost_batches} lost batches are void: "
        f"{decision.reason[:_REASON_CHARACTERS]}",
        "evidence_from": first,
        "evidence_to": max(first, last),
        "evidence_count": found.lost_numbers,
        "action_taken": "numbers used up by a batch without events",
    }
    points = {
        "database": (found.head.batch_no, found.head.last_sequence, found.head.batch_hash.hex()),
        "journal": _shown(found.journal),
        "checkpoint": _shown(found.checkpoint),
    }
    payload = {
        "reason": decision.reason,
        "approvals": list(decision.approvals),
        "why_not_replayed": decision.why_not,
        "heads": points,
    }
    return Fact(OPERATION, decision.operator, (("security_events", event),), payload, kind="MARK")


def _shown(point: Point | None) -> tuple[int, int, str] | None:
    return None if point is None else (point.batch_no, point.last_sequence, point.batch_hash)
