"""`login_audit`: who came in, who was refused, and how."""

from collections.abc import Iterator

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing import activity, security
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.values import Row, cut, integer, plain_text, utc, whole

TABLE = "login_audit"
_FINDINGS = {"FAILED": ("LOGIN_FAILED", "LOW"), "LOCKED": ("ACCOUNT_LOCKED", "MEDIUM")}
_MAX_INT = 2**31 - 1


def user(detail: Row) -> str | None:
    """The user that the login is about; the actor where the context names nobody."""
    return plain_text(detail.get("user")) or None


def rows(event: Event, detail: Row, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """The login, the same as an activity, and a finding where it was refused."""
    refused = event.op in _FINDINGS
    status = "FAILED" if refused or detail.get("success") is False else "SUCCESS"
    realm = plain_text(detail.get("realm")) or "unknown"
    reason = plain_text(detail.get("failure_reason")) or ("not stated" if event.op == "FAILED" else None)
    source_ip = cut(plain_text(detail.get("ip")), 45) or actor.source_ip
    session = cut(plain_text(detail.get("session")), 128) or actor.session_id
    mfa = detail.get("mfa")
    yield (
        TABLE,
        {
            "login_timestamp": utc(event.occurred_at),
            "event_type": event.op,
            "login_status": status,
            "failure_reason": cut(reason, 255),
            "user_id": whole(user(detail), 128, "user_id") or actor.user_id,
            "db_user": actor.db_user,
            "realm": cut(realm, 32),
            "auth_method": cut(plain_text(detail.get("method")), 24),
            "mfa_used": int(mfa) if isinstance(mfa, bool) else None,
            "source_ip": source_ip,
            "device_id": cut(plain_text(detail.get("device")), 128),
            "user_agent": cut(plain_text(detail.get("user_agent")), 255),
            "session_id": session,
            "session_duration_seconds": integer(detail.get("duration_s"), 0, _MAX_INT),
            "application_name": actor.application_name,
        },
    )
    yield activity.TABLE, activity.login_row(event, actor, source_ip, session, status)
    if refused:
        event_type, severity = _FINDINGS[event.op]
        table, found = security.row(
            event,
            actor,
            event_type,
            severity,
            f"{'login refused' if event.op == 'FAILED' else 'account locked'} in {realm}",
            resource_type="realm",
            resource_name=realm,
        )
        yield table, {**found, "source_ip": source_ip, "session_id": session}
