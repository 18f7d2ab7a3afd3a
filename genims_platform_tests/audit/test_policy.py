"""The audit policy covers every source table, and mistakes in it are named."""

import hashlib
import re
from collections import Counter

import pytest

from genims_platform.audit.policy import PolicyError, audit_policy, parse_policy
from genims_platform.settings import SOURCE_NAMES
from genims_platform.sources.catalogue import catalogue

TEXT = audit_policy().text


def mistakes(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, catalogue())
    return str(caught.value)


def changed(pattern: str, replacement: str) -> str:
    text, number = re.subn(pattern, replacement, TEXT, count=1)
    assert number == 1
    return text


def test_every_source_table_is_listed_once() -> None:
    policy = audit_policy()

    assert sum(len(policy.audited(source)) for source in SOURCE_NAMES) == 191
    assert sum(len(policy.not_audited(source)) for source in SOURCE_NAMES) == 55
    assert policy.digest == hashlib.sha256(TEXT.encode()).hexdigest()


def test_the_classes_are_those_of_the_specification() -> None:
    rules = [rule for source in SOURCE_NAMES for rule in audit_policy().audited(source).values()]

    assert Counter(rule.table_class for rule in rules) == {
        "financial": 30,
        "customer": 33,
        "personnel": 26,
        "master": 43,
        "supplier": 25,
        "configuration": 20,
        "permission": 2,
        "operational": 12,
    }
    assert sum(rule.health for rule in rules) == 3


def test_what_a_relay_asks() -> None:
    policy = audit_policy()

    assert policy.table_class("crm.accounts") == "customer"
    assert policy.amount_columns("crm.accounts") == ("credit_limit",)
    assert policy.price_columns("erp.sales_order_lines") == {
        "unit_price": "SELLING",
        "discount_percentage": "DISCOUNT",
        "net_price": "SELLING",
    }
    assert "annual_salary" in policy.personal_columns("hcm.employees")
    assert policy.secret_columns("supplier.supplier_portal_users") == ("password_hash",)
    portal_users = policy.table("service.portal_users")
    assert portal_users is not None
    assert portal_users.classes == ("permission", "customer")
    assert policy.header_column("erp.purchase_orders", "document_number") == "po_number"
    assert policy.header_column("crm.accounts", "effective") is None


def test_a_subject_carries_its_type_and_falls_back_where_its_column_is_null() -> None:
    policy = audit_policy()

    assert policy.subject_reference("hcm.employees", {"employee_id": "EMP-000001"}) == "employee:EMP-000001"
    assert policy.subject_reference("master.employees", {"employee_id": "EMP-000001"}) == "staff:EMP-000001"
    ticket = {"contact_id": None, "ticket_id": "TKT-1"}
    assert policy.subject_reference("service.service_tickets", ticket) == "contact:TKT-1"
    assert policy.subject_reference("crm.contacts", {}) is None
    assert policy.subject_reference("crm.accounts", {"account_id": "A"}) is None


@pytest.mark.parametrize("reference", ["mes.work_orders", "mes.unknown", "unknown.table", "nonsense"])
def test_a_table_that_is_not_audited_has_no_rule(reference: str) -> None:
    policy = audit_policy()

    assert policy.table(reference) is None
    assert policy.table_class(reference) is None
    assert policy.amount_columns(reference) == ()
    assert policy.price_columns(reference) == {}
    assert policy.header_column(reference, "currency") is None


@pytest.mark.parametrize(
    ("pattern", "replacement", "expected"),
    [
        (r"sensors: \{", "censors: {", "master.censors is not in the source catalogue"),
        (r"sensors: \{", "censors: {", "master.sensors is in no list; name it under audited or not_audited"),
        (
            r"key: sensor_id",
            "key: factory_id",
            "master.sensors: key is factory_id, but the table's primary key is sens",
        ),
        (r"asset_value_usd", "asset_value", "master.machines: amounts names column asset_value, which the table does"),
        (r"\[mrp_|mrp_elements", "mrp_runs", "erp.mrp_runs is listed 2 times"),
        (r"class: supplier", "class: vendor", "Input should be 'customer', 'financial'"),
        (r"unit_price_usd: SELLING", "unit_price_usd: SOLD", "unit_price_usd: Input should be 'SELLING'"),
        (r"subject: \{type: staff, columns: \[employee_id\]\}\n", "\n", "master.employees has personal columns but no"),
        (r"also: master", "also: customer", "master.customers: class and also are both customer"),
        (r"password_hash, password_salt", "portal_user_id", "portal_user_id is secret, so it can be neither key nor"),
        (r"amounts:", "amount:", "amount: Extra inputs are not permitted"),
        (r"  qms:", "  quality:", "source qms is missing"),
        (r"  qms:", "  quality:", "quality is no source; sources are master, operational"),
        (r"      shifts:", "      sensors:", "'sensors' stands twice"),
        (r"  account: ", "  kontos: ", "header_columns.kontos.[key]: Input should be"),
        (r"\n  effective: .*", "", "header_columns.effective is missing"),
        (r"sources:", "sources: [", "audit_policy.yaml is not YAML"),
        (r"version: 1", "version: 0", "version: Input should be greater than or equal to 1"),
    ],
)
def test_a_mistake_is_named(pattern: str, replacement: str, expected: str) -> None:
    assert expected in mistakes(changed(pattern, replacement))


def test_an_empty_file_is_no_policy() -> None:
    assert "audit_policy.yaml: file: Input should be" in mistakes("")
