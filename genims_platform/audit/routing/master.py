"""`master_data_changes`: creation, change and removal of master data."""

from collections.abc import Iterator

from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.change import Change
from genims_platform.audit.routing.errors import UnstorableEventError
from genims_platform.audit.routing.values import Json, cut

TABLE = "master_data_changes"


def rows(change: Change, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """One row a changed row."""
    if change.pk is None:
        raise UnstorableEventError("the event has no primary key")
    plan = change.plan
    yield (
        TABLE,
        {
            "change_timestamp": change.at,
            "table_name": plan.name,
            "entity_type": cut(plan.entity, 32),
            "entity_id": change.pk,
            "entity_name": change.text(plan.name_column, 255),
            "change_type": _change_type(change),
            "changed_columns": change.changed_columns,
            "old_values": change.values("o"),
            "new_values": change.values("n"),
            "factory_id": change.identity("factory_id"),
            **actor.application,
        },
    )


def _change_type(change: Change) -> str:
    """The operation, or what it did to the use of the record."""
    if change.is_update:
        for column in change.plan.activity:
            before, after = _active(change.old.get(column)), _active(change.new.get(column))
            if before is not after:
                return "REACTIVATE" if after else "DEACTIVATE"
    return change.op


def _active(value: Json) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "active")
