"""Accepting confirmed breaks of the trail: what two people know of is recorded, nothing is repaired."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.ledger.control import Appender, Fact
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.verify.accepted import acceptance, as_recorded
from genims_platform.audit.verify.verifier import Verification
from genims_platform.settings import Settings

OPERATION = "VERIFY"
RECORD = "REANCHOR"
APPROVERS = 2


class NotApprovedError(PermissionError):
    """Too few people stand behind it; the message says who else is needed."""


def approvers(approvals: Sequence[str], operator: str) -> tuple[str, ...]:
    """The people who approved, if they are two at least and none of them is the operator.

    Raises:
        NotApprovedError: they are not.
    """
    found = {name.strip().casefold(): name.strip() for name in approvals if name.strip()}
    if operator.casefold() in found:
        raise NotApprovedError(f"{operator} runs this and cannot approve it as well; {APPROVERS} other people have to")
    if len(found) < APPROVERS:
        raise NotApprovedError(
            f"{len(found)} approver{'' if len(found) == 1 else 's'}; {APPROVERS} different people have to approve: "
            "--approval NAME --approval NAME"
        )
    return tuple(found.values())


def record_acceptance(
    settings: Settings,
    done: Verification,
    *,
    reason: str,
    approvals: Sequence[str],
    operator: str,
    version: str,
    run_id: str,
) -> int:
    """Record the breaks of a verification as accepted; returns the number of the record.

    Raises:
        NotApprovedError: too few people approved.
        AuditUnavailableError: the database was not reachable for too long.
        HaltError: the trail has not begun.
    """
    names = approvers(approvals, operator)
    now = datetime.now(UTC).replace(tzinfo=None)
    numbers = [found.finding.sequence for found in done.breaks if found.finding.sequence is not None]
    record: Columns = {
        "checkpoint_timestamp": now,
        "record_type": RECORD,
        "covers_batch_no": done.covers_batch_no,
        "covers_sequence": done.covers_sequence,
        "covers_hash": bytes.fromhex(done.covers_hash),
        "verify_scope": done.scope,
        "first_bad_sequence": min(numbers, default=None),
        "findings": as_recorded(done.breaks),
        "tool_version": version,
    }
    ranges = acceptance(done.breaks)
    event: Columns = {
        "event_timestamp": now,
        "event_type": "BREAK_ACCEPTED",
        "event_severity": "HIGH",
        "rule_id": "VERIFY",
        "user_id": operator,
        "resource_type": "audit trail",
        "description": f"breaks of the trail accepted: {', '.join(ranges)}; approved by {', '.join(names)}"[:1000],
        "evidence_from": min(numbers, default=None),
        "evidence_to": max(numbers, default=None),
        "evidence_count": len(done.breaks),
    }
    payload = {"reason": reason, "approvals": list(names), "accepted": ranges}
    details = (("audit_integrity_checkpoints", record), ("security_events", event))
    with closing(open_ledger(settings, "writer")) as ledger:
        (number,) = Appender(ledger).record([Fact(OPERATION, operator, details, payload, run_id)])
    return number
