"""What is known beforehand about the events of one table."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from genims_platform.audit.policy import AuditedTable, AuditPolicy, PriceType, Subject, TableClass
from genims_platform.sources.catalogue import catalogue

STATE_COLUMNS = (
    "allow_posting",
    "approved",
    "entry_status",
    "fiscal_period",
    "fiscal_year",
    "gl_posted",
    "invoice_status",
    "journal_entry_id",
    "payment_status",
    "period_status",
    "posted",
    "posting_date",
    "requires_approval",
)
"""What controls need to know about a financial or configuration row, whether it changed or not."""

_COMPENSATION = {
    "hcm.employees": frozenset({"annual_salary", "salary_grade"}),
    "hcm.employee_employment_history": frozenset({"previous_salary", "new_salary"}),
    "mes.labor_transactions": frozenset({"hourly_rate", "overtime_rate"}),
    "cmms.maintenance_technicians": frozenset({"hourly_rate", "overtime_rate"}),
    "cmms.labor_time_entries": frozenset({"hourly_rate", "overtime_rate"}),
}
_NOT_PLURAL = re.compile(r"(ss|us|is)$")
_SINGULAR = {"bill_of_materials": "bill of materials", "contract_pricing": "contract price"}
_PAYMENT = frozenset({"tax_id", "payment_terms", "currency", "currency_code"})
_PAYMENT_PARTS = ("bank", "iban", "account")
_CREDIT = frozenset({"credit_limit", "payment_terms", "payment_terms_days"})
_CONSENT_PARTS = ("consent", "opt_in", "opt_out")
_SUPPLIER_STATUS = (
    "invoice_status",
    "contract_status",
    "document_status",
    "supplier_status",
    "qualification_status",
    "rfq_status",
    "response_status",
    "requisition_status",
    "audit_status",
    "finding_status",
    "match_result",
)
_USD = "_usd"


def entity_type(table: str) -> str:
    """What a row of a table is, in the singular: `production_lines` holds a production line."""
    if table in _SINGULAR:
        return _SINGULAR[table]
    words = table.replace("_", " ")
    if words.endswith("ies"):
        return f"{words[:-3]}y"
    return words.removesuffix("s") if not _NOT_PLURAL.search(words) else words


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table as routing sees it. A table that the policy does not name has no rule and only the class it came with.

    The sets of columns hold what the source catalogue and the policy know; tuples are in byte order.
    """

    source: str
    name: str
    rule: AuditedTable | None
    table_class: str | None
    classes: frozenset[str]
    known: frozenset[str]
    subject: Subject | None
    personal: frozenset[str]
    secret: frozenset[str]
    amounts: tuple[str, ...]
    prices: Mapping[str, PriceType]
    states: tuple[str, ...]
    entity: str
    name_column: str | None
    document_number: str | None
    transaction_type: str | None
    currency: str | None
    account: str | None
    effective: str | None
    rights: frozenset[str]
    """Flags, roles and states of a table of permissions."""

    activity: tuple[str, ...]
    """Columns that say whether master data is in use."""

    supplier_status: str | None
    compensation: frozenset[str]
    payment: frozenset[str]
    credit: frozenset[str]
    consent: frozenset[str]

    def currency_of(self, column: str) -> str | None:
        """The currency that the name of an amount or price column says."""
        return "USD" if column.endswith(_USD) else None


def plan_table(policy: AuditPolicy, source: str, name: str, captured_class: str | None) -> TablePlan:
    """What the policy and the source catalogue say about a table; `captured_class` counts where they say nothing."""
    reference = f"{source}.{name}"
    rule = policy.table(reference)
    facts = catalogue().get(source, {}).get(name)
    columns: Mapping[str, str] = {column.name: column.type for column in facts.columns} if facts else {}
    personal = frozenset(rule.personal if rule else ())
    classes: frozenset[TableClass] = frozenset(rule.classes if rule else ())
    public = [column for column in columns if column not in personal]
    return TablePlan(
        source=source,
        name=name,
        rule=rule,
        table_class=rule.table_class if rule else captured_class,
        classes=frozenset(classes),
        known=frozenset(columns),
        subject=rule.subject if rule else None,
        personal=personal,
        secret=frozenset(rule.secret if rule else ()),
        amounts=tuple(sorted(set(rule.amounts) - personal)) if rule else (),
        prices={column: rule.prices[column] for column in sorted(rule.prices) if column not in personal}
        if rule
        else {},
        states=tuple(column for column in STATE_COLUMNS if column in public)
        if classes & {"financial", "configuration"}
        else (),
        entity=entity_type(name),
        name_column=next(
            (column for ending in ("_name", "_title") for column in public if column.endswith(ending)), None
        ),
        document_number=_public(policy.header_column(reference, "document_number"), personal),
        transaction_type=_public(policy.header_column(reference, "transaction_type"), personal),
        currency=_public(policy.header_column(reference, "currency"), personal),
        account=_public(policy.header_column(reference, "account"), personal),
        effective=_public(policy.header_column(reference, "effective"), personal),
        rights=frozenset(
            column
            for column in public
            if "permission" in classes and (columns[column] == "boolean" or column.endswith(("_role", "_status")))
        ),
        activity=tuple(
            sorted(
                (column for column in public if column in ("is_active", "status") or column.endswith("_status")),
                key=lambda column: (column != "is_active", column != "status", column),
            )
        ),
        supplier_status=next((column for column in _SUPPLIER_STATUS if column in public), None),
        compensation=_COMPENSATION.get(reference, frozenset()),
        payment=frozenset(
            column for column in columns if column in _PAYMENT or any(part in column for part in _PAYMENT_PARTS)
        ),
        credit=_CREDIT & columns.keys(),
        consent=frozenset(
            column
            for column in columns
            if column == "email_opted_out" or any(part in column for part in _CONSENT_PARTS)
        ),
    )


def _public(column: str | None, personal: frozenset[str]) -> str | None:
    return None if column in personal else column
