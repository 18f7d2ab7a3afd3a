"""`configuration_changes`: what was set differently, in tables, applications and PostgreSQL itself."""

import hashlib
from collections.abc import Iterator

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.change import WHOLE_ROW, Change
from genims_platform.audit.routing.errors import UnstorableEventError
from genims_platform.audit.routing.values import (
    Row,
    cut,
    inline_text,
    plain_text,
    too_long_to_repeat,
    utc,
    whole,
)

TABLE = "configuration_changes"
APPROVAL_REQUIRED = frozenset({"gl_posting_rules", "fiscal_periods", "fiscal_years", "sla_definitions", "leave_types"})
APPROVED_MODULE = "audit.policy"
POSTGRESQL = "postgresql"


def rows(change: Change, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """One row a changed column; one row for INSERT and DELETE."""
    plan = change.plan
    common: Columns = {
        "change_timestamp": change.at,
        "config_module": plan.source,
        "table_name": plan.name,
        "primary_key_value": change.pk,
        "change_type": change.op,
        "approval_required": int(plan.name in APPROVAL_REQUIRED),
        **actor.application,
    }
    if change.is_whole:
        yield _of_column(common, WHOLE_ROW, change.values("o"), change.values("n"))
    for column in change.changed:
        if column in change.personal:
            yield _of_column(common, column, change.sealed(column, "o"), change.sealed(column, "n"))
        else:
            old, new = change.old.get(column), change.new.get(column)
            yield _of_column(common, column, plain_text(old), plain_text(new))


def _of_column(common: Columns, column: str, old: str | None, new: str | None) -> tuple[str, Columns]:
    whole_row = column == WHOLE_ROW
    return TABLE, {
        **common,
        "config_key": cut(f"{common['table_name']}.{common['primary_key_value']}.{column}", 255),
        "column_name": column,
        "old_value": old if whole_row else inline_text(old),
        "new_value": new if whole_row else inline_text(new),
        "value_sha256": None if whole_row else _digest(new),
    }


def setting_rows(event: Event, detail: Row, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """A setting that an application reported, or one of PostgreSQL that the comparison of catalogues found."""
    catalogue = "item" in detail
    key = plain_text(detail.get("identity" if catalogue else "key"))
    module = POSTGRESQL if catalogue else plain_text(detail.get("module"))
    if key is None or module is None:
        raise UnstorableEventError("a setting needs a module and a key")
    old, new = plain_text(detail.get("old")), plain_text(detail.get("new"))
    yield (
        TABLE,
        {
            "change_timestamp": utc(event.occurred_at),
            "config_module": cut(module, 64),
            "config_key": cut(key, 255),
            "change_type": event.op,
            "old_value": old,
            "new_value": new,
            "value_sha256": _digest(new),
            "approval_required": int(module == APPROVED_MODULE),
            **actor.application,
            "approval_id": whole(plain_text(detail.get("approval")), 64, "approval_id") or actor.approval_id,
        },
    )


def _digest(text: str | None) -> bytes | None:
    """A value as long as a file is told apart by its digest."""
    return hashlib.sha256(text.encode()).digest() if text is not None and too_long_to_repeat(text) else None
