"""`genims audit who`: what one user did."""

import json
import secrets
from datetime import datetime

from genims_platform.settings import Settings
from genims_platform_tests.audit.ledger.chain import Chain
from genims_platform_tests.audit.reading import chain, crm, happens, ledger, ledger_settings, owner, run

__all__ = ["chain", "crm", "ledger", "ledger_settings", "owner"]  # fixtures


def test_a_user_is_followed_through_a_time(crm: Chain, ledger_settings: Settings) -> None:
    user = f"u.{secrets.token_hex(4)}"
    read: dict[str, str | None] = {"table_name": None, "event_kind": "ACTIVITY", "session_id": "s-1", "source_ip": None}
    at = [datetime(2026, 11, 20, hour, 30) for hour in (8, 9, 10)]
    empty = {"session_id": None, "source_ip": None, "affected_rows_count": 1}
    first = happens(crm, "UPDATE", key="ACC-1", user_id=user, audit_timestamp=at[0], **empty)
    happens(crm, "UPDATE", key="ACC-1", user_id=f"{user}.other", audit_timestamp=at[1], **empty)
    # Delivered in another order than it happened, as events of two sources are.
    last = happens(
        crm, "EXPORT", key="", user_id=user, audit_timestamp=at[2], **read, affected_rows_count=1200, status="DENIED"
    )
    amid = happens(crm, "DELETE", key="ACC-2", user_id=user, audit_timestamp=at[1], **empty)

    shown = run(ledger_settings, "who", user)

    assert shown.exit_code == 0
    who = "role controller, as crm_app, with portal"
    assert shown.stdout.splitlines() == [
        f"2026-11-20 08:30:00 UTC  #{first.head.last_sequence}  UPDATE of crm.accounts ACC-1, {who}",
        f"2026-11-20 09:30:00 UTC  #{amid.head.last_sequence}  DELETE of crm.accounts ACC-2, {who}",
        f"2026-11-20 10:30:00 UTC  #{last.head.last_sequence}  EXPORT in crm, 1,200 rows, {who}, session s-1, DENIED",
    ]

    def numbers(*options: str) -> list[int]:
        answer = run(ledger_settings, "who", user, "--json", *options)
        return [event["audit_sequence"] for event in json.loads(answer.stdout)["events"]]

    assert numbers("--from", "2026-11-20T09:30", "--to", "2026-11-20T10:30") == [amid.head.last_sequence]
    assert numbers("--from", "2026-11-20T11:00+01:00") == [last.head.last_sequence]
    assert numbers("--to", "2026-11-20T08:30:00.000001") == [first.head.last_sequence]
    newest = run(ledger_settings, "who", user, "--limit", "1")
    assert newest.stdout.splitlines() == shown.stdout.splitlines()[2:]
    assert "--limit shows more" in newest.stderr


def test_a_user_who_did_nothing_and_a_time_that_cannot_be(crm: Chain, ledger_settings: Settings) -> None:
    assert crm.source == "crm"
    nobody = run(ledger_settings, "who", "nobody")
    assert (nobody.exit_code, nobody.stderr) == (1, "the audit trail knows nothing of nobody in that time\n")
    wrong = run(ledger_settings, "who", "nobody", "--from", "2026-11-20", "--to", "2026-11-20")
    assert wrong.exit_code == 2
    assert "is not before --to" in wrong.stderr
    assert run(ledger_settings, "who", "nobody", "--from", "yesterday").exit_code == 2
