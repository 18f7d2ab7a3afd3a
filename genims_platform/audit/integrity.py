"""What verification and reconciliation found, as control events of the trail itself."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.ledger.control import Appender, Fact
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.restore.standing import check_not_set_back
from genims_platform.audit.verify.findings import MANIPULATIONS, Code
from genims_platform.audit.verify.verifier import Verification
from genims_platform.audit.violations import new_cases
from genims_platform.settings import Settings

RECORDED_FINDINGS = 100


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
        rows = [("audit_integrity_checkpoints", result), *new_cases(appender.ledger, violations, run_id, now)]
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
        details += new_cases(appender.ledger, violations, run_id, now)
        (number,) = appender.record([Fact("COMPLETENESS", operator, tuple(details), run_id=run_id)])
    return number
