"""`data_change_audit`: the values before and after a change, exactly."""

from collections.abc import Iterator
from itertools import zip_longest

from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.change import WHOLE_ROW, Change
from genims_platform.audit.routing.values import chunks, plain_text, value_type

TABLE = "data_change_audit"


def rows(change: Change, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """One row a changed column; the whole row for INSERT and DELETE; one row a secret column that changed."""
    common: Columns = {
        "change_timestamp": change.at,
        "table_name": change.plan.name,
        "primary_key_value": change.pk,
        "change_type": change.op,
        "transaction_id": change.xid,
        "subject_ref": change.subject_ref,
        **actor.approval,
    }
    if change.is_whole:
        old, new = change.image("o"), change.image("n")
        yield from _chunked(
            {
                **common,
                "column_name": WHOLE_ROW,
                "value_state": "IMAGE",
                "value_type": "json",
                "key_id": change.keys_of("o", "n"),
            },
            old,
            new,
        )
    columns = [*(() if change.is_whole else change.changed), *change.secret]
    for column in sorted(columns) if change.secret else columns:
        if column in change.secret:
            yield (
                TABLE,
                {
                    **common,
                    "column_name": column,
                    "value_state": "SECRET",
                    "chunk_no": 1,
                    "chunk_count": 1,
                },
            )
            continue
        old_value, new_value = change.old.get(column), change.new.get(column)
        described = {
            **common,
            "column_name": column,
            "value_type": value_type(old_value if new_value is None else new_value),
        }
        if column in change.personal:
            old, new = change.sealed(column, "o"), change.sealed(column, "n")
            sides = ("o",) if new is None else ("n",) if old is None else ("o", "n")
            described["value_state"] = "ENC"
            described["key_id"] = change.keys_of(*sides)
        else:
            old, new = plain_text(old_value), plain_text(new_value)
            described["value_state"] = "PLAIN"
        yield from _chunked(described, old, new)


def _chunked(row: Columns, old: str | None, new: str | None) -> Iterator[tuple[str, Columns]]:
    olds = [] if old is None else chunks(old)
    news = [] if new is None else chunks(new)
    count = max(len(olds), len(news))
    for number, (before, after) in enumerate(zip_longest(olds, news), 1):
        yield TABLE, {**row, "old_value": before, "new_value": after, "chunk_no": number, "chunk_count": count}
