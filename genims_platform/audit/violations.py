"""Cases that are opened when a rule is broken: rows of `compliance_violations`."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.entries import Columns

TABLE = "compliance_violations"
DUE_DAYS = {"CRITICAL": 1, "HIGH": 5, "MEDIUM": 30, "LOW": 90}
UNDER_WAY = ("OPEN", "ACKNOWLEDGED")


def new_cases(
    ledger: Ledger,
    found: Mapping[str, Mapping[str, Any]],
    run_id: str | None,
    now: datetime,
    settled: Collection[str] = UNDER_WAY,
) -> list[tuple[str, Columns]]:
    """Rows that open a case for each of these; one that is there and has a `settled` status stays as it is.

    Args:
        ledger: has the cases so far.
        found: key of the case → its columns; by default it breaks integrity, which is CRITICAL.
        run_id: the run that found it.
        now: when, in UTC.
        settled: statuses of a case that is not opened again.
    """
    rows: list[tuple[str, Columns]] = []
    for key, columns in found.items():
        known = ledger.query(
            f"SELECT status FROM {TABLE} WHERE dedup_key = %s ORDER BY audit_sequence DESC LIMIT 1",  # noqa: S608
            (key,),
        )
        if known and known[0][0] in settled:
            continue
        ((number,),) = ledger.query(
            f"SELECT COUNT(DISTINCT violation_id) FROM {TABLE} WHERE violation_id LIKE %s",  # noqa: S608
            (f"V-{now:%Y%m%d}-%",),
        )
        severity = columns.get("severity", "CRITICAL")
        case: Columns = {
            "detected_timestamp": now,
            "violation_id": f"V-{now:%Y%m%d}-{int(number) + len(rows) + 1:06d}",
            "revision": 1,
            "dedup_key": key,
            "framework": "INTEGRITY",
            "severity": severity,
            "status": "OPEN",
            "due_date": (now + timedelta(days=DUE_DAYS[severity])).date(),
            "run_id": run_id,
            **columns,
        }
        rows.append((TABLE, case))
    return rows
