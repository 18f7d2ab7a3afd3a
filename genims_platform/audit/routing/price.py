"""`price_cost_changes`: changes of the price and cost columns that the policy names."""

from collections.abc import Iterator
from decimal import Context, Decimal, DecimalException, InvalidOperation

from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.change import Change
from genims_platform.audit.routing.errors import UnstorableEventError
from genims_platform.audit.routing.values import cut, day, decimal, inline_text, plain_text, whole

TABLE = "price_cost_changes"
_UNIT = Decimal("0.000001")
_EXACT_QUOTIENT = Context(prec=60)
_PERCENT = Context(prec=20, traps=[InvalidOperation])


def rows(change: Change, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """One row a changed price."""
    plan = change.plan
    changed = change.touched(plan.prices)
    if not changed:
        return
    row = change.row
    entity = change.identity("material_id", "product_id") or change.pk
    if entity is None:
        raise UnstorableEventError("the event has no primary key")
    common: Columns = {
        "change_timestamp": change.at,
        "table_name": plan.name,
        "entity_type": cut(plan.entity, 32),
        "entity_id": whole(entity, 255, "entity_id"),
        "entity_name": change.text(plan.name_column, 255),
        "change_type": change.op,
        "effective_date": day(row.get(plan.effective)) if plan.effective else None,
        **actor.approval,
    }
    currency = change.text(plan.currency, 8)
    for column in changed:
        old_value, new_value = change.old.get(column), change.new.get(column)
        old, old_fits = decimal(old_value)
        new, new_fits = decimal(new_value)
        yield (
            TABLE,
            {
                **common,
                "price_type": plan.prices[column],
                "column_name": column,
                "old_value": inline_text(plain_text(old_value)),
                "new_value": inline_text(plain_text(new_value)),
                "old_price": old,
                "new_price": new,
                "price_change_percent": change_percent(old, new),
                "price_exact": int(old_fits and new_fits),
                "currency_code": plan.currency_of(column) or currency,
            },
        )


def change_percent(old: Decimal | None, new: Decimal | None) -> Decimal | None:
    """By how many percent a price rose, rounded half to even; None from nothing or 0, to nothing, or if too large."""
    if not old or new is None:
        return None
    percent = _EXACT_QUOTIENT.divide(_EXACT_QUOTIENT.multiply(100, _EXACT_QUOTIENT.subtract(new, old)), abs(old))
    try:
        return _PERCENT.quantize(percent, _UNIT)
    except DecimalException:
        return None
