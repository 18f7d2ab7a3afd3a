"""`financial_data_changes`: changes of money, in any table, and every change of a financial table."""

from collections.abc import Iterator
from decimal import Decimal

from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.change import Change
from genims_platform.audit.routing.values import decimal, integer

TABLE = "financial_data_changes"
_ZERO = Decimal("0.000000")


def rows(change: Change, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """One row a changed amount; for a financial table one without amount where none changed."""
    plan = change.plan
    amounts = change.touched(plan.amounts)
    if not amounts and "financial" not in plan.classes:
        return
    currency = change.text(plan.currency, 8)
    common: Columns = {
        "change_timestamp": change.at,
        "table_name": plan.name,
        "primary_key_value": change.pk,
        "document_number": change.text(plan.document_number, 64),
        "transaction_type": change.text(plan.transaction_type, 32),
        "change_type": change.op,
        "fiscal_year": integer(change.row.get("fiscal_year"), -32768, 32767),
        "fiscal_period": integer(change.row.get("fiscal_period"), -128, 127),
        "account_ref": change.text(plan.account, 64),
        "changed_columns": change.changed_columns,
        **actor.approval,
    }
    if not amounts:
        yield TABLE, {**common, "currency_code": currency, "amount_exact": 1}
    for column in amounts:
        old, old_fits = decimal(change.old.get(column))
        new, new_fits = decimal(change.new.get(column))
        exact = old_fits and new_fits
        yield (
            TABLE,
            {
                **common,
                "amount_column": column,
                "old_amount": old,
                "new_amount": new,
                "amount_difference": (new or _ZERO) - (old or _ZERO) if exact else None,
                "amount_exact": int(exact),
                "currency_code": plan.currency_of(column) or currency,
            },
        )
