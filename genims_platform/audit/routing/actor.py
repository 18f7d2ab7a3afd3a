"""Who acted: what the application said about itself, and what the database knows."""

from dataclasses import dataclass
from functools import lru_cache

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing.errors import UnstorableEventError
from genims_platform.audit.routing.values import cut, parse, whole

BAD_CONTEXT_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Context:
    """What `audit.set_context` stored, as claimed. `bad` is a context that is no JSON object of strings."""

    user: str | None = None
    role: str | None = None
    session: str | None = None
    ip: str | None = None
    app: str | None = None
    reason: str | None = None
    approval: str | None = None
    bulk: str | None = None
    bad: str | None = None


@lru_cache(maxsize=4096)
def parse_context(text: str | None) -> Context:
    """Read a context; whatever it is, it is no reason to refuse an event."""
    if not text:
        return Context()
    try:
        found = parse(text)
    except UnstorableEventError:
        found = None
    if type(found) is not dict or not all(type(value) is str for value in found.values()):
        return Context(bad=cut(text, BAD_CONTEXT_CHARACTERS))
    known = {name: str(value) for name, value in found.items() if name in _KNOWN and value}
    return Context(**known)


_KNOWN = frozenset(Context.__dataclass_fields__) - {"bad"}


@dataclass(frozen=True, slots=True)
class Actor:
    """The columns about the actor, ready to be stored, and the mappings of them that many tables share."""

    user_id: str | None
    user_role: str | None
    db_user: str
    session_id: str | None
    source_ip: str | None
    application_name: str | None
    reason_code: str | None
    approval_id: str | None
    bulk: str | None
    bad_context: str | None
    header: Columns
    """As in the ledger."""

    approval: Columns
    """User, database user, reason and approval."""

    application: Columns
    """The same with the application."""

    session: Columns
    """As in security events."""


def actor_of(event: Event, user: str | None = None) -> Actor:
    """Who acted; `user` stands in where the context names nobody.

    Raises:
        UnstorableEventError: the id of the user or of the approval is too long.
    """
    return _actor(event.ctx, event.db_user, event.client_addr, event.app_name, user)


@lru_cache(maxsize=4096)
def _actor(ctx: str | None, db_user: str, client_addr: str | None, app_name: str | None, user: str | None) -> Actor:
    context = parse_context(ctx)
    user_id = whole(context.user or user, 128, "user_id")
    user_role = cut(context.role, 64)
    session_id = cut(context.session, 128)
    source_ip = cut(context.ip or client_addr, 45)
    application = cut(context.app or app_name or None, 128)
    reason = cut(context.reason, 64)
    approval = whole(context.approval, 64, "approval_id")
    approved = {"user_id": user_id, "db_user": db_user, "reason_code": reason, "approval_id": approval}
    return Actor(
        user_id=user_id,
        user_role=user_role,
        db_user=db_user,
        session_id=session_id,
        source_ip=source_ip,
        application_name=application,
        reason_code=reason,
        approval_id=approval,
        bulk=cut(context.bulk, 64),
        bad_context=context.bad,
        header={
            "user_id": user_id,
            "user_role": user_role,
            "db_user": db_user,
            "session_id": session_id,
            "source_ip": source_ip,
            "application_name": application,
        },
        approval=approved,
        application={**approved, "application_name": application},
        session={"user_id": user_id, "db_user": db_user, "source_ip": source_ip, "session_id": session_id},
    )
