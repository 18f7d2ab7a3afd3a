"""`database_changes`: what changed in the structure and the rights of a source."""

import re
from collections.abc import Iterator

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing import security
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.errors import UnstorableEventError
from genims_platform.audit.routing.values import Row, cut, plain_text, utc

TABLE = "database_changes"
UNNAMED = "(see statement)"
_COMMANDS = ("CREATE", "ALTER", "DROP", "GRANT", "REVOKE")
_DIFFERENCES = ("APPEARED", "CHANGED", "VANISHED")
# The schema `audit` or something in it, as PostgreSQL writes identities.
_IN_AUDIT = re.compile(r"^(?:relation |column |schema )?audit(?:\.|$)")
_CAPTURE = re.compile(r"\bzz_audit_|\bgenims_audit_(?:ddl|drop)\b")
_SWITCHED_OFF = re.compile(r"\bdisable\s+trigger\b", re.IGNORECASE)
_SCHEMA = re.compile(r'^(?:relation |column |schema )?("(?:[^"]|"")+"|\w+)\.')
_QUALIFIED = frozenset({"column", "table", "trigger", "function", "acl", "owner"})


def is_difference(detail: Row) -> bool:
    """Whether the comparison of catalogues found it, rather than an event trigger that saw the command."""
    return "item" in detail


def rows(event: Event, detail: Row, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """The change, and a finding where it touches the audit of the source itself."""
    difference = is_difference(detail)
    statement = plain_text(detail.get("statement"))
    name = plain_text(detail.get("identity")) or event.pk or UNNAMED
    kind = (event.table_name or "unknown").lower()
    affects = _affects_audit(event, detail, name, statement)
    yield (
        TABLE,
        {
            "change_timestamp": utc(event.occurred_at),
            "change_type": _change_type(event),
            "command_tag": cut(plain_text(detail.get("tag")), 64),
            "object_type": cut(kind, 32),
            "object_schema": cut(event.schema_name or _schema(kind, name if difference else ""), 63),
            "object_name": cut(name, 255),
            "ddl_statement": statement,
            "old_definition": plain_text(detail.get("old")),
            "new_definition": plain_text(detail.get("new")),
            "detected_by": "FINGERPRINT" if difference else "EVENT_TRIGGER",
            "affects_audit": int(affects),
            "user_id": actor.user_id,
            "db_user": actor.db_user,
            "session_id": actor.session_id,
            "source_ip": actor.source_ip,
            "transaction_id": event.xid,
            "reason_code": actor.reason_code,
            "approval_id": actor.approval_id,
        },
    )
    if affects:
        yield _finding(event, detail, actor, kind, name)


def _finding(event: Event, detail: Row, actor: Actor, kind: str, name: str) -> tuple[str, Columns]:
    run = plain_text(detail.get("run"))
    what = f"{kind} {name}: {event.op.lower()}"
    return security.row(
        event,
        actor,
        "AUDIT_TAMPER" if run is None else "AUDIT_INSTALLED",
        "CRITICAL" if run is None else "LOW",
        f"{what}, which audit capture needs" if run is None else f"{what} by installation {run}",
        resource_type=kind,
        resource_name=name,
    )


def _change_type(event: Event) -> str:
    word = event.op.split(" ", 1)[0]
    return word if word in _COMMANDS or word in _DIFFERENCES else "OTHER"


def _schema(kind: str, identity: str) -> str | None:
    found = _SCHEMA.match(identity) if kind in _QUALIFIED else None
    return found[1].strip('"').replace('""', '"') if found else None


def _affects_audit(event: Event, detail: Row, name: str, statement: str | None) -> bool:
    if event.schema_name == "audit" or _IN_AUDIT.match(name) or _CAPTURE.search(name):
        return True
    if is_difference(detail):
        # The functions that are compared are those of the schema `audit`, whatever the search path makes of the name.
        return event.table_name == "function" or name.startswith("genims_audit_owner:")
    if statement is None:
        raise UnstorableEventError("a command needs its statement")
    return bool(_CAPTURE.search(statement) or _SWITCHED_OFF.search(statement))
