"""`supplier_data_changes`: changes of suppliers, sourcing, contracts, documents, invoices and ratings."""

from collections.abc import Iterator
from functools import cache

from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.routing.actor import Actor
from genims_platform.audit.routing.change import Change
from genims_platform.audit.routing.values import Row, cut, plain_text

TABLE = "supplier_data_changes"
_AREAS = {
    "supplier_contracts": "CONTRACT",
    "contract_pricing": "CONTRACT",
    "service_contracts": "CONTRACT",
    "supplier_documents": "DOCUMENT",
    "supplier_invoices": "INVOICE",
    "supplier_invoice_lines": "INVOICE",
    "three_way_match_log": "INVOICE",
    "supplier_qualification": "QUALIFICATION",
    "supplier_audits": "QUALIFICATION",
    "audit_findings": "QUALIFICATION",
    "quote_comparison": "SOURCING",
    "purchase_requisitions": "SOURCING",
    "purchase_requisition_lines": "SOURCING",
    "supplier_performance_metrics": "PERFORMANCE",
    "supplier_quality_metrics": "PERFORMANCE",
    "supplier_rating_history": "PERFORMANCE",
    "supplier_scorecards": "PERFORMANCE",
    "supplier_portal_users": "PORTAL",
    "supplier_notifications": "PORTAL",
    "supplier_communications": "PORTAL",
}


@cache
def area(table: str) -> str:
    """The part of supplier work that a table belongs to."""
    return _AREAS.get(table, "SOURCING" if table.startswith("rfq_") else "MASTER")


def rows(change: Change, actor: Actor) -> Iterator[tuple[str, Columns]]:
    """One row a changed row."""
    plan = change.plan
    yield (
        TABLE,
        {
            "change_timestamp": change.at,
            "table_name": plan.name,
            "primary_key_value": change.pk,
            "supplier_id": change.identity("supplier_id", "vendor_id"),
            "change_area": area(plan.name),
            "change_type": change.op,
            "old_status": _status(plan.supplier_status, change.old),
            "new_status": _status(plan.supplier_status, change.new),
            "changed_columns": change.changed_columns,
            "old_values": change.values("o"),
            "new_values": change.values("n"),
            "payment_relevant": int(bool(change.touched(plan.payment))),
            "subject_ref": change.subject_ref,
            "key_id": change.key_id(),
            **actor.application,
        },
    )


def _status(column: str | None, row: Row) -> str | None:
    return cut(plain_text(row.get(column)), 64) if column else None
