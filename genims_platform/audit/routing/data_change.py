"""`data_change_audit`: the values before and after a change, exactly."""

from collections.abc import Iterator
from itertools import zip_longest

from genims_platform.audit.ledger.entries import Columns, Value
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.change import WHOLE_ROW, Change
from genims_platform.audit.routing.values import chunks, plain_text, value_type

TABLE = "data_change_audit"


def rows(change: Change, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """One row a changed column; the whole row for INSERT and DELETE; one row a secret column that changed."""
    common: dict[str, Value] = {
        "change_timestamp": change.at,
        "table_name": change.plan.name,
        "primary_key_value": change.pk,
        "change_type": change.op,
        "transaction_id": change.xid,
        "subject_ref": change.subject_ref,
        "chunk_no": 1,
        "chunk_count": 1,
        **actor.approval,
    }
    if change.is_whole:
        row = {**common, "column_name": WHOLE_ROW, "value_state": "IMAGE", "value_type": "json"}
        old, new = change.image("o"), change.image("n")
        row["key_id"] = change.keys_of("o", "n")
        yield from _stored(row, old, new)
    secret = change.secret
    columns = () if change.is_whole else change.changed
    for column in sorted((*columns, *secret)) if secret else columns:
        if column in secret:
            yield TABLE, {**common, "column_name": column, "value_state": "SECRET"}
            continue
        old_value, new_value = change.old.get(column), change.new.get(column)
        kind = value_type(old_value if new_value is None else new_value)
        row = {**common, "column_name": column, "value_type": kind}
        if column in change.personal:
            old, new = change.sealed(column, "o"), change.sealed(column, "n")
            row["value_state"] = "ENC"
            row["key_id"] = change.keys_of(*(() if old is None else ("o",)), *(() if new is None else ("n",)))
        else:
            old, new = plain_text(old_value), plain_text(new_value)
            row["value_state"] = "PLAIN"
        yield from _stored(row, old, new)


def _stored(row: dict[str, Value], old: str | None, new: str | None) -> Iterator[tuple[str, Columns]]:
    """The row with its values; several rows where a value does not fit into one."""
    olds = () if old is None else chunks(old)
    news = () if new is None else chunks(new)
    count = max(len(olds), len(news))
    if count == 1:
        row["old_value"] = old
        row["new_value"] = new
        yield TABLE, row
        return
    for number, (before, after) in enumerate(zip_longest(olds, news), 1):
        yield TABLE, {**row, "old_value": before, "new_value": after, "chunk_no": number, "chunk_count": count}
