"""What verification and reconciliation found, as control events of the trail itself."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.ledger.control import Appender, Fact
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.restore.standing import check_not_set_back
from genims_platform.audit.verify.findings import MANIPULATIONS, Code
from genims_platform.audit.verify.verifier import Verification
from genims_platform.settings import Settings

RECORDED_FINDINGS = 100
CRITICAL_DAYS = 1


def record_verification(settings: Settings, done: Verification, *, operator: str, version: str, run_id: str) -> int:
    """Record a verification, and a violation for each code that was found and is not open yet; returns its number.

    Raises:
        AuditUnavailableError: the database was not reachable for too long.
        HaltError: the trail has not begun.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    codes: list[Code] = list(dict.fromkeys(found.code for found in done.findings))
    findings = [asdict(found) for found in done.findings[:RECORDED_FINDINGS]]
    result: Columns = {
        "checkpoint_timestamp": now,
        "record_type": "VERIFY_RESULT",
        "covers_batch_no": done.covers_batch_no,
        "covers_sequence": done.covers_sequence,
        "covers_hash": bytes.fromhex(done.covers_hash),
        "verify_scope": done.scope,
        "verify_status": done.status,
        "verified_batches": done.batches,
        "verified_rows": done.rows,
        "first_bad_sequence": done.first_bad_sequence,
        "findings": json.dumps(findings, sort_keys=True) if findings else None,
        "tool_version": version,
    }
    violations: dict[str, Mapping[str, Any]] = {
        f"VERIFY:{code}": {
            "rule_id": code,
            "title": MANIPULATIONS[code],
            "source_table": "audit_integrity_checkpoints",
            "evidence_from": min((f.sequence for f in done.findings if f.code == code and f.sequence), default=None),
            "evidence": json.dumps([asdict(f) for f in done.findings if f.code == code][:50], sort_keys=True),
            "detected_by": "genims audit verify",
        }
        for code in codes
    }
    payload = {"not_testable": list(done.not_testable), "findings": len(done.findings)}
    with closing(open_ledger(settings, "writer")) as ledger:
        check_not_set_back(settings, ledger)  # what is written to such a database makes it another one for good
        appender = Appender(ledger)
        rows = [("audit_integrity_checkpoints", result), *_violations(appender, violations, run_id, now)]
        (number,) = appender.record([Fact("VERIFY", operator, tuple(rows), payload, run_id)])
    return number


def record_comparisons(
    settings: Settings, rows: Sequence[Columns], gaps: Mapping[str, str], *, operator: str, run_id: str
) -> int:
    """Record the rows of a reconciliation, and a violation for each gap (object → what is wrong) that is not open yet.

    Raises:
        AuditUnavailableError: the database was not reachable for too long.
        HaltError: the trail has not begun.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    violations = {
        f"RECONCILE:{name}"[:160]: {
            "rule_id": "COMPLETENESS",
            "title": "the trail and its source differ",
            "object_ref": name,
            "source_table": "audit_trail_completeness",
            "evidence": json.dumps({"what": what}),
            "detected_by": "genims audit reconcile",
        }
        for name, what in gaps.items()
    }
    details = [("audit_trail_completeness", {**row, "check_timestamp": now, "run_id": run_id}) for row in rows]
    with closing(open_ledger(settings, "writer")) as ledger:
        check_not_set_back(settings, ledger)  # what is written to such a database makes it another one for good
        appender = Appender(ledger)
        details += _violations(appender, violations, run_id, now)
        (number,) = appender.record([Fact("COMPLETENESS", operator, tuple(details), run_id=run_id)])
    return number


def _violations(
    appender: Appender, found: Mapping[str, Mapping[str, Any]], run_id: str, now: datetime
) -> list[tuple[str, Columns]]:
    """Rows that open a case for each of these; one that is open already stays as it is."""
    rows: list[tuple[str, Columns]] = []
    for key, columns in found.items():
        known = appender.ledger.query(
            "SELECT status FROM compliance_violations WHERE dedup_key = %s ORDER BY audit_sequence DESC LIMIT 1", (key,)
        )
        if known and known[0][0] in ("OPEN", "ACKNOWLEDGED"):
            continue
        ((number,),) = appender.ledger.query(
            "SELECT COUNT(DISTINCT violation_id) FROM compliance_violations WHERE violation_id LIKE %s",
            (f"V-{now:%Y%m%d}-%",),
        )
        case: Columns = {
            "detected_timestamp": now,
            "violation_id": f"V-{now:%Y%m%d}-{int(number) + len(rows) + 1:06d}",
            "revision": 1,
            "dedup_key": key,
            "framework": "INTEGRITY",
            "severity": "CRITICAL",
            "status": "OPEN",
            "due_date": (now + timedelta(days=CRITICAL_DAYS)).date(),
            "run_id": run_id,
            **columns,
        }
        rows.append(("compliance_violations", case))
    return rows
