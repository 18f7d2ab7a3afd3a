"""`customer_data_changes`: changes of customers and of what belongs to them."""

from collections.abc import Iterator

from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.change import Change
from genims_platform.audit.routing.values import cut

TABLE = "customer_data_changes"


def rows(change: Change, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """One row a changed row."""
    plan = change.plan
    personal = change.touched(sorted(change.personal)) if change.personal else ()
    yield (
        TABLE,
        {
            "change_timestamp": change.at,
            "table_name": plan.name,
            "primary_key_value": change.pk,
            "customer_id": change.identity("customer_id"),
            "account_id": change.identity("account_id"),
            "subject_ref": change.subject_ref,
            "key_id": change.key_id(),
            "change_type": change.op,
            "changed_columns": change.changed_columns,
            "personal_columns": cut(",".join(personal), 1000) if personal else None,
            "old_values": change.values("o"),
            "new_values": change.values("n"),
            "consent_change": int(bool(plan.consent and change.touched(plan.consent))),
            "credit_change": int(bool(plan.credit and change.touched(plan.credit))),
            **actor.application,
        },
    )
