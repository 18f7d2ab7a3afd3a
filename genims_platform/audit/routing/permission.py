"""`permission_changes`: who got or lost which right, in PostgreSQL and in the portals."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing import security
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.change import WHOLE_ROW, Change
from genims_platform.audit.routing.database_change import UNNAMED, is_difference
from genims_platform.audit.routing.errors import UnstorableEventError
from genims_platform.audit.routing.values import Json, Row, cut, inline_text, plain_text, utc, whole

TABLE = "permission_changes"
PUBLIC = "public"
_RESTRICTION = "password_reset_required"
_LOGIN_NAMES = ("username", "user_email", "email")
_ATTRIBUTES = ("superuser", "login", "createrole", "createdb", "replication", "bypassrls", "inherit")
_POWERFUL = frozenset({"SUPERUSER", "CREATEROLE", "BYPASSRLS"})
_ACL_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,{}"]+)')
_ACL_PARTS = re.compile(r'^("(?:[^"]|"")*"|[^=]*)=([^/]*)/')
_MEMBERSHIP = re.compile(r'^("(?:[^"]|"")*"|[^:]*): (.*)$')


def rows(change: Change, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """One row a flag, role or state of a portal user that changed; one row for INSERT and DELETE."""
    plan = change.plan
    grantee = whole(change.pk, 128, "grantee")
    if grantee is None:
        raise UnstorableEventError("the event has no primary key")
    known_as = {grantee, *(plain_text(change.row.get(name)) for name in _LOGIN_NAMES)}
    common: Columns = {
        "change_timestamp": change.at,
        "change_type": change.op,
        "grantee": grantee,
        "grantee_type": "PORTAL_USER",
        "permission_resource": f"{plan.source}.{plan.name}",
        "is_self_grant": int(actor.user_id is not None and actor.user_id in known_as),
        "table_name": plan.name,
        "primary_key_value": change.pk,
        **_actor_columns(actor),
    }
    if change.is_whole:
        yield (
            TABLE,
            {
                **common,
                "permission_type": WHOLE_ROW,
                "old_permission": change.values("o"),
                "new_permission": change.values("n"),
                "is_elevation": int(change.op == "INSERT"),
            },
        )
    for column in change.changed:
        if column in plan.rights:
            old, new = change.old.get(column), change.new.get(column)
            yield (
                TABLE,
                {
                    **common,
                    "permission_type": column,
                    "old_permission": inline_text(plain_text(old)),
                    "new_permission": inline_text(plain_text(new)),
                    "is_elevation": int(_is_elevation(column, old, new)),
                },
            )


def _is_elevation(column: str, old: Json, new: Json) -> bool:
    """Whether a flag was set, a state became active or a role became that of an administrator."""
    if column == _RESTRICTION:
        return False
    if new is True:
        return old is not True
    wanted = "admin" if column.endswith("_role") else "active"
    before, after = (str(value).lower() if isinstance(value, str) else "" for value in (old, new))
    if wanted == "admin":
        return wanted in after and wanted not in before
    return after == wanted and before != wanted


@dataclass(frozen=True, slots=True)
class _Right:
    grantee: str
    kind: str
    resource: str | None
    old: str | None
    new: str | None
    elevation: bool
    powerful: bool = False


def database_rows(
    event: Event, detail: Row, actor: Actor, owner_roles: frozenset[str]
) -> Iterator[tuple[str, Columns]]:
    """Rights in PostgreSQL, and a finding where somebody gained power over all of it.

    `owner_roles` own audited tables or capture itself: being a member of one is such power.
    """
    for right in _rights(event, detail, owner_roles):
        yield (
            TABLE,
            {
                "change_timestamp": utc(event.occurred_at),
                "change_type": event.op,
                "grantee": cut(right.grantee, 128),
                "grantee_type": "DB_ROLE",
                "permission_type": cut(right.kind, 64),
                "permission_resource": cut(right.resource, 255),
                "old_permission": right.old,
                "new_permission": right.new,
                "is_elevation": int(right.elevation),
                "is_self_grant": int(right.elevation and right.grantee in (actor.db_user, actor.user_id)),
                **_actor_columns(actor),
            },
        )
        if right.powerful and right.elevation:
            gained = f"membership in {right.resource}" if right.kind == "MEMBER" else right.kind
            yield security.row(
                event,
                actor,
                "PRIVILEGE_ELEVATION",
                "HIGH",
                f"role {right.grantee} gained {gained}",
                resource_type="role",
                resource_name=right.grantee,
            )


def _rights(event: Event, detail: Row, owner_roles: frozenset[str]) -> Iterator[_Right]:
    if not is_difference(detail):
        # The event trigger does not say who and what: the statement does.
        granted = event.op != "REVOKE"
        kind = plain_text(detail.get("tag")) or event.op
        statement = plain_text(detail.get("statement"))
        yield _Right(UNNAMED, kind, event.table_name, None, statement, granted)
        return
    identity = plain_text(detail.get("identity")) or event.pk or UNNAMED
    old, new = plain_text(detail.get("old")), plain_text(detail.get("new"))
    match event.table_name:
        case "role":
            yield from _role(unquoted(identity), old, new)
        case "member":
            found = _MEMBERSHIP.match(identity)
            role, member = (unquoted(found[1]), unquoted(found[2])) if found else (None, unquoted(identity))
            gained = old is None or (new == "admin" and old != "admin")
            yield _Right(member, "MEMBER", role, old, new, gained and new is not None, role in owner_roles)
        case "owner":
            yield _Right(new or old or UNNAMED, "OWNER", identity, old, new, bool(old and new))
        case _:
            yield from _acl((event.table_name or "acl").upper(), identity, old, new)


def _role(name: str, old: str | None, new: str | None) -> Iterator[_Right]:
    before, after = (
        set((old or "").split(" valid until ")[0].split()),
        set((new or "").split(" valid until ")[0].split()),
    )
    changed = [attribute for attribute in _ATTRIBUTES if (attribute in before) is not (attribute in after)]
    for attribute in changed:
        kind = attribute.upper()
        yield _Right(name, kind, None, old, new, attribute in after, kind in _POWERFUL)
    if not changed:
        yield _Right(name, "ROLE", None, old, new, elevation=False)


def _acl(kind: str, resource: str, old: str | None, new: str | None) -> Iterator[_Right]:
    before, after = privileges(old), privileges(new)
    changed = sorted(grantee for grantee in before.keys() | after.keys() if before.get(grantee) != after.get(grantee))
    for grantee in changed:
        was, now = before.get(grantee), after.get(grantee)
        more = bool(set(_single(now)) - set(_single(was)))
        yield _Right(grantee, kind, resource, was, now, more)
    if not changed:
        yield _Right(UNNAMED, kind, resource, old, new, elevation=False)


def _single(letters: str | None) -> list[str]:
    """Privileges one by one; an asterisk, the right to pass it on, belongs to the letter before it."""
    return re.findall(r"\w\*?", letters or "")


def privileges(acl: str | None) -> Mapping[str, str]:
    """Role → letters of its privileges, from an access list as PostgreSQL prints it: `{app=arwd/genims,=r/genims}`."""
    found: dict[str, str] = {}
    for quoted, bare in _ACL_ITEM.findall(acl or ""):
        item = re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
        if parts := _ACL_PARTS.match(item):
            grantee = unquoted(parts[1]) or PUBLIC
            found[grantee] = found.get(grantee, "") + parts[2]
    return found


def unquoted(identifier: str) -> str:
    """The name that an identifier stands for."""
    if len(identifier) > 1 and identifier.startswith('"') and identifier.endswith('"'):
        return identifier[1:-1].replace('""', '"')
    return identifier


def _actor_columns(actor: Actor) -> Columns:
    return {
        "modified_by": actor.user_id,
        "db_user": actor.db_user,
        "reason_code": actor.reason_code,
        "approval_id": actor.approval_id,
    }
