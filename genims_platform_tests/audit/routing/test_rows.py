"""What a change of a row leaves, table by table."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.routing.errors import CipherError, UnstorableEventError
from genims_platform.audit.routing.router import Unclassified
from genims_platform_tests.audit.routing.captured import (
    CONTEXT,
    Text,
    everything,
    opened,
    other_event,
    routed,
    router,
    row_event,
    row_of,
    rows_of,
    tables_of,
)

ACCOUNT = {
    "account_id": "ACC-000001",
    "customer_id": "CUST-000001",
    "account_name": "Müller",
    "credit_limit": Text("100.10"),
    "payment_terms": "NET30",
    "phone": None,
}
EMPLOYEE = {
    "employee_id": "EMP-000001",
    "first_name": "Ada",
    "annual_salary": Text("1250000.00"),
    "employment_status": "active",
    "primary_factory_id": "FAC-000001",
}
SUBJECT = "employee:EMP-000001"


def subset(row: Columns, **expected: Any) -> None:
    assert {name: row.get(name) for name in expected} == expected


def test_the_credit_limit_of_an_account() -> None:
    event = row_event("crm.accounts", ACCOUNT, ACCOUNT | {"credit_limit": Text("200.00")})

    entry = routed("crm", event)

    assert tables_of(entry) == ["customer_data_changes", "data_change_audit", "financial_data_changes"]
    subset(
        entry.ledger,
        event_id=99,
        transaction_id=7001,
        event_kind="ROW",
        operation_type="UPDATE",
        schema_name="public",
        table_name="accounts",
        primary_key_value="ACC-000001",
        sensitivity_class="customer",
        user_id="u.miller",
        user_role="controller",
        db_user="app_login",
        session_id="s-1",
        source_ip="10.0.0.9",
        application_name="portal",
        affected_rows_count=1,
        status="OK",
        event_digest=event.digest,
        payload=None,
    )
    change = row_of(entry, "data_change_audit")
    subset(
        change,
        column_name="credit_limit",
        value_state="PLAIN",
        value_type="number",
        old_value="100.10",
        new_value="200.00",
        chunk_no=1,
        chunk_count=1,
        change_type="UPDATE",
        subject_ref=None,
        key_id=None,
    )
    customer = row_of(entry, "customer_data_changes")
    subset(
        customer,
        customer_id="CUST-000001",
        account_id="ACC-000001",
        changed_columns="credit_limit",
        personal_columns=None,
        old_values='{"credit_limit":100.10}',
        new_values='{"credit_limit":200.00}',
        credit_change=1,
        consent_change=0,
        application_name="portal",
    )
    money = row_of(entry, "financial_data_changes")
    subset(
        money,
        amount_column="credit_limit",
        old_amount=Decimal("100.10"),
        new_amount=Decimal("200.00"),
        amount_difference=Decimal("99.90"),
        amount_exact=1,
        account_ref="ACC-000001",
    )
    for row in (change, customer, money):
        subset(row, user_id="u.miller", reason_code="LIMIT", approval_id="APP-77", db_user="app_login")


@pytest.mark.parametrize(("old", "new"), [(None, ACCOUNT), (ACCOUNT, None)], ids=["INSERT", "DELETE"])
def test_whole_rows_are_kept_as_images(old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
    entry = routed("crm", row_event("crm.accounts", old, new))

    image = (
        '{"account_id":"ACC-000001","account_name":"Müller","credit_limit":100.10,"customer_id":"CUST-000001",'
        '"payment_terms":"NET30","phone":null}'
    )
    change = row_of(entry, "data_change_audit")
    subset(
        change,
        column_name="*",
        value_state="IMAGE",
        value_type="json",
        old_value=image if old else None,
        new_value=image if new else None,
    )
    customer = row_of(entry, "customer_data_changes")
    subset(customer, changed_columns="*", old_values=change.get("old_value"), new_values=change.get("new_value"))
    subset(customer, credit_change=1)
    limit = Decimal("100.10")
    subset(
        row_of(entry, "financial_data_changes"),
        old_amount=limit if old else None,
        new_amount=limit if new else None,
        amount_difference=-limit if old else limit,
        changed_columns="*",
    )


def test_no_digit_of_a_salary_is_stored() -> None:
    event = row_event("hcm.employees", EMPLOYEE, EMPLOYEE | {"annual_salary": Text("1375000.00")})

    entry = routed("hcm", event)

    assert tables_of(entry) == ["data_change_audit", "personnel_data_changes"]
    assert not [digits for digits in ("1250000", "1375000", "125", "1375000.00") if f"'{digits}" in everything(entry)]
    assert "1250000" not in everything(entry)
    assert "1375000" not in everything(entry)
    change = row_of(entry, "data_change_audit")
    subset(change, value_state="ENC", value_type="number", subject_ref=SUBJECT, column_name="annual_salary")
    assert opened("hcm", event, str(change["old_value"]), "annual_salary", "o", [SUBJECT]) == "1250000.00"
    assert opened("hcm", event, str(change["new_value"]), "annual_salary", "n", [SUBJECT]) == "1375000.00"
    personnel = row_of(entry, "personnel_data_changes")
    subset(
        personnel,
        employee_id="EMP-000001",
        subject_ref=SUBJECT,
        key_id=change["key_id"],
        change_area="COMPENSATION",
        is_compensation=1,
        is_health_data=0,
        self_change=0,
        new_values=json.dumps({"annual_salary": {"$enc": change["new_value"]}}, separators=(",", ":")),
    )


@pytest.mark.parametrize("removed", [True, False])
def test_personal_columns_of_an_image_are_encrypted(removed: bool) -> None:
    event = row_event("hcm.employees", EMPLOYEE if removed else None, None if removed else EMPLOYEE)

    entry = routed("hcm", event)

    change = row_of(entry, "data_change_audit")
    side, column = ("o", "old_value") if removed else ("n", "new_value")
    stored = json.loads(str(change[column]))
    assert stored["employment_status"] == "active"
    assert opened("hcm", event, stored["first_name"]["$enc"], "first_name", side, [SUBJECT]) == "Ada"
    assert "Ada" not in everything(entry)
    assert "1250000" not in everything(entry)
    subset(row_of(entry, "personnel_data_changes"), change_area="IDENTITY", is_compensation=1)


def test_an_unencrypted_change_of_a_person_names_the_person_but_no_key() -> None:
    entry = routed("hcm", row_event("hcm.employees", EMPLOYEE, EMPLOYEE | {"employment_status": "left"}))

    subset(row_of(entry, "data_change_audit"), value_state="PLAIN", subject_ref=SUBJECT, key_id=None)
    subset(row_of(entry, "personnel_data_changes"), subject_ref=SUBJECT, key_id=None, change_area="IDENTITY")


def test_a_row_that_moves_to_another_person_uses_both_keys() -> None:
    old = {"case_id": "CASE-1", "contact_id": "CONT-1", "description": "old words"}
    event = row_event("crm.cases", old, old | {"contact_id": "CONT-2", "description": "new words"})
    mapper = router()

    entry = routed("crm", event, by=mapper)

    assert mapper.subjects("crm", event) == {"contact:CONT-1", "contact:CONT-2"}
    change = rows_of(entry, "data_change_audit")[1]
    subset(change, column_name="description", subject_ref="contact:CONT-2")
    assert str(change["key_id"]).count(",") == 1
    persons = ["contact:CONT-1", "contact:CONT-2"]
    assert opened("crm", event, str(change["old_value"]), "description", "o", persons[:1]) == "old words"
    assert opened("crm", event, str(change["new_value"]), "description", "n", persons[1:]) == "new words"
    subset(row_of(entry, "customer_data_changes"), key_id=change["key_id"])


def test_personal_text_about_nobody_is_encrypted_for_the_row() -> None:
    event = row_event("crm.cases", None, {"case_id": "CASE-1", "contact_id": None, "description": "secret words"})

    entry = routed("crm", event)

    assert "secret words" not in everything(entry)
    subset(row_of(entry, "data_change_audit"), subject_ref="contact:CASE-1")
    quiet = routed("crm", row_event("crm.cases", None, {"case_id": "CASE-1", "contact_id": None}))
    subset(row_of(quiet, "data_change_audit"), subject_ref=None, key_id=None)


def test_text_of_an_unknown_column_is_encrypted_where_there_is_a_person_and_reported() -> None:
    mapper = router()
    new = EMPLOYEE | {"nickname": "Lovelace", "floor": 3, "extras": {"hobby": "engines"}}

    entry = routed("hcm", row_event("hcm.employees", None, new), by=mapper)
    plain = routed("crm", row_event("crm.accounts", ACCOUNT, ACCOUNT | {"nickname": "big one"}), by=mapper)

    assert "Lovelace" not in everything(entry)
    assert "engines" not in everything(entry)
    assert json.loads(str(row_of(entry, "data_change_audit")["new_value"]))["floor"] == 3
    subset(row_of(plain, "data_change_audit"), new_value="big one", value_state="PLAIN")
    assert mapper.unclassified == {
        Unclassified("hcm", "employees", "nickname"),
        Unclassified("hcm", "employees", "floor"),
        Unclassified("hcm", "employees", "extras"),
        Unclassified("crm", "accounts", "nickname"),
    }


def test_a_table_that_the_policy_does_not_name_is_kept_and_reported() -> None:
    mapper = router()

    entry = routed("mes", row_event("mes.new_table", {"id": "1", "a": 1}, {"id": "1", "a": 2}, pk="1"), by=mapper)

    assert tables_of(entry) == ["data_change_audit"]
    assert mapper.unclassified == {Unclassified("mes", "new_table")}


def test_secret_columns_are_only_named() -> None:
    user = {"portal_user_id": "PU-1", "account_id": "ACC-1", "contact_id": "CONT-1", "user_status": "active"}
    event = row_event(
        "service.portal_users", user, user | {"user_status": "locked"}, detail='{"secret_changed": ["password_hash"]}'
    )

    entry = routed("service", event)

    secret, status = rows_of(entry, "data_change_audit")
    subset(secret, column_name="password_hash", value_state="SECRET", old_value=None, new_value=None)
    subset(status, column_name="user_status", value_state="PLAIN", old_value="active", new_value="locked")
    subset(row_of(entry, "customer_data_changes"), changed_columns="password_hash,user_status")
    assert "password_hash" not in str(row_of(entry, "customer_data_changes")["new_values"])


def test_secret_values_that_were_captured_all_the_same_are_not_stored() -> None:
    user = {"portal_user_id": "PU-1", "contact_id": "CONT-1", "password_hash": "$2b$one"}

    entry = routed("service", row_event("service.portal_users", user, user | {"password_hash": "$2b$two"}))

    assert "$2b$" not in everything(entry)
    subset(row_of(entry, "data_change_audit"), column_name="password_hash", value_state="SECRET")


def test_rights_of_portal_users() -> None:
    user = {
        "portal_user_id": "PU-1",
        "supplier_id": "SUP-1",
        "user_role": "viewer",
        "can_submit_invoices": False,
        "password_reset_required": False,
        "is_active": True,
        "login_count": 1,
    }
    changed = user | {
        "user_role": "Admin",
        "can_submit_invoices": True,
        "password_reset_required": True,
        "is_active": False,
        "login_count": 2,
    }
    ctx = json.dumps({"user": "PU-1"})

    entry = routed("supplier", row_event("supplier.supplier_portal_users", user, changed, ctx=ctx))
    added = routed("supplier", row_event("supplier.supplier_portal_users", None, user))

    assert {
        (row["permission_type"], row["old_permission"], row["new_permission"], row["is_elevation"])
        for row in rows_of(entry, "permission_changes")
    } == {
        ("user_role", "viewer", "Admin", 1),
        ("can_submit_invoices", "false", "true", 1),
        ("password_reset_required", "false", "true", 0),
        ("is_active", "true", "false", 0),
    }
    assert {row["is_self_grant"] for row in rows_of(entry, "permission_changes")} == {1}
    subset(row_of(entry, "supplier_data_changes"), change_area="PORTAL", supplier_id="SUP-1")
    subset(
        row_of(added, "permission_changes"),
        permission_type="*",
        grantee="PU-1",
        grantee_type="PORTAL_USER",
        is_elevation=1,
        is_self_grant=0,
        modified_by="u.miller",
    )


def test_configuration_tables_leave_a_row_a_column_and_the_state_for_controls() -> None:
    period = {"fiscal_period_id": "FP-1", "fiscal_year": 2026, "period_status": "open", "allow_posting": True}
    key = audit_policy().audited("financial")["fiscal_periods"].key
    period = {key: "FP-1", **period}

    entry = routed(
        "financial",
        row_event("financial.fiscal_periods", period, period | {"period_status": "closed", "allow_posting": False}),
    )

    posting, status = rows_of(entry, "configuration_changes")
    subset(
        status,
        config_module="financial",
        config_key="fiscal_periods.FP-1.period_status",
        column_name="period_status",
        old_value="open",
        new_value="closed",
        approval_required=1,
        approval_id="APP-77",
    )
    subset(posting, old_value="true", new_value="false")
    assert json.loads(str(entry.ledger["payload"])) == {
        "ctx": {"allow_posting": True, "fiscal_year": 2026, "period_status": "open"}
    }
    subset(row_of(entry, "financial_data_changes"), amount_column=None, amount_exact=1, fiscal_year=2026)


def test_prices() -> None:
    price = {
        "pricing_id": "CP-1",
        "contract_id": "C-1",
        "material_id": "MAT-1",
        "currency_code": "EUR",
        "unit_price": Text("4.0000"),
        "previous_unit_price": None,
        "effective_from": "2026-12-01",
    }

    entry = routed("supplier", row_event("supplier.contract_pricing", price, price | {"unit_price": Text("5.0000")}))

    subset(
        row_of(entry, "price_cost_changes"),
        entity_type="contract price",
        entity_id="MAT-1",
        price_type="PURCHASE",
        column_name="unit_price",
        old_value="4.0000",
        new_value="5.0000",
        old_price=Decimal(4),
        new_price=Decimal(5),
        price_change_percent=Decimal(25),
        price_exact=1,
        currency_code="EUR",
    )
    subset(row_of(entry, "supplier_data_changes"), change_area="CONTRACT", payment_relevant=0)


@pytest.mark.parametrize(
    ("old", "new", "percent"),
    [
        (None, "5", None),
        ("0", "5", None),
        ("3", "4", "33.333333"),
        ("-4", "-5", "-25.000000"),
        ("0.000001", "999999999999999", None),
    ],
)
def test_the_change_of_a_price_in_percent(old: str | None, new: str, percent: str | None) -> None:
    before = {"mapping_id": "M-1", "product_id": "P-1", "unit_price_usd": None if old is None else Text(old)}

    entry = routed(
        "master", row_event("master.customer_product_mapping", before, before | {"unit_price_usd": Text(new)})
    )

    row = row_of(entry, "price_cost_changes")
    assert row["price_change_percent"] == (None if percent is None else Decimal(percent))
    subset(row, currency_code="USD", entity_id="P-1")


def test_amounts_that_do_not_fit_are_left_to_the_exact_text() -> None:
    old = ACCOUNT | {"credit_limit": "NaN"}

    entry = routed("crm", row_event("crm.accounts", old, ACCOUNT))

    subset(
        row_of(entry, "financial_data_changes"),
        old_amount=None,
        new_amount=Decimal("100.10"),
        amount_difference=None,
        amount_exact=0,
    )
    subset(row_of(entry, "data_change_audit"), old_value="NaN", new_value="100.10", value_type="number")


@pytest.mark.parametrize(
    ("table", "row", "change", "expected"),
    [
        ("master.products", {"product_id": "P-1", "status": "active"}, {"status": "retired"}, "DEACTIVATE"),
        ("master.products", {"product_id": "P-1", "status": "retired"}, {"status": "active"}, "REACTIVATE"),
        ("master.products", {"product_id": "P-1", "status": "retired"}, {"status": "new"}, "UPDATE"),
        ("erp.work_centers", {"work_center_id": "W-1", "is_active": True}, {"is_active": False}, "DEACTIVATE"),
        (
            "erp.materials",
            {"material_id": "M-1", "material_status": "blocked"},
            {"material_status": "Active"},
            "REACTIVATE",
        ),
    ],
)
def test_use_of_master_data(table: str, row: dict[str, Any], change: dict[str, Any], expected: str) -> None:
    entry = routed(table.partition(".")[0], row_event(table, row, row | change))

    assert row_of(entry, "master_data_changes")["change_type"] == expected


@pytest.mark.parametrize(
    ("table", "entity"),
    [
        ("master.machines", "machine"),
        ("master.factories", "factory"),
        ("erp.bill_of_materials", "bill of materials"),
        ("erp.routing", "routing"),
        ("wms.warehouse_aisles", "warehouse aisle"),
        ("hcm.skills_catalog", "skills catalog"),
        ("erp.suppliers", "supplier"),
    ],
)
def test_entities_of_master_data(table: str, entity: str) -> None:
    source, _, name = table.partition(".")
    key = audit_policy().audited(source)[name].key

    entry = routed(source, row_event(table, None, {"machine_name": "Press", "factory_id": "FAC-1", key: "X-1"}))

    row = row_of(entry, "master_data_changes")
    subset(row, entity_type=entity, entity_id="X-1")
    assert row["entity_name"] == ("Press" if name == "machines" else None)


@pytest.mark.parametrize(
    ("table", "old", "change", "expected"),
    [
        (
            "supplier.supplier_invoices",
            {"invoice_id": "I-1", "supplier_id": "SUP-1", "invoice_status": "open", "currency_code": "EUR"},
            {"invoice_status": "paid"},
            {"change_area": "INVOICE", "old_status": "open", "new_status": "paid", "payment_relevant": 0},
        ),
        (
            "erp.suppliers",
            {"supplier_id": "SUP-1", "tax_id": "DE1", "supplier_status": "active"},
            {"tax_id": "DE2"},
            {"change_area": "MASTER", "payment_relevant": 1, "subject_ref": "vendor:SUP-1"},
        ),
        (
            "supplier.three_way_match_log",
            {"log_id": "L-1", "match_result": "matched"},
            {"match_result": "variance"},
            {"change_area": "INVOICE", "old_status": "matched", "new_status": "variance"},
        ),
        ("supplier.rfq_lines", {"line_id": "L-1", "quantity": 1}, {"quantity": 2}, {"change_area": "SOURCING"}),
        (
            "cmms.service_contracts",
            {"contract_id": "C-1", "vendor_id": "VEN-1", "payment_terms": "NET30"},
            {"payment_terms": "NET60"},
            {"change_area": "CONTRACT", "supplier_id": "VEN-1", "payment_relevant": 1},
        ),
    ],
)
def test_supplier_data(table: str, old: dict[str, Any], change: dict[str, Any], expected: dict[str, Any]) -> None:
    entry = routed(table.partition(".")[0], row_event(table, old, old | change))

    subset(row_of(entry, "supplier_data_changes"), **expected)


@pytest.mark.parametrize(
    ("table", "area", "health"),
    [
        ("hcm.leave_requests", "LEAVE", 1),
        ("hcm.safety_incidents", "HEALTH_SAFETY", 1),
        ("hcm.positions", "POSITION", 0),
        ("hcm.performance_reviews", "PERFORMANCE", 0),
        ("hcm.training_enrollments", "TRAINING", 0),
        ("mes.labor_transactions", "ATTENDANCE", 0),
        ("hcm.offboarding_records", "ONOFFBOARDING", 0),
        ("service.field_technicians", "IDENTITY", 0),
    ],
)
def test_personnel_data(table: str, area: str, health: int) -> None:
    source, _, name = table.partition(".")
    key = audit_policy().audited(source)[name].key
    ctx = json.dumps({"user": "EMP-7"})

    entry = routed(source, row_event(table, None, {key: "K-1", "employee_id": "EMP-7"}, ctx=ctx))

    subset(
        row_of(entry, "personnel_data_changes"),
        change_area=area,
        is_health_data=health,
        employee_id="EMP-7",
        self_change=1,
    )


def test_consent() -> None:
    contact = {"contact_id": "CONT-1", "account_id": "ACC-1", "email_opted_out": False, "email": "a@example.org"}

    entry = routed("crm", row_event("crm.contacts", contact, contact | {"email_opted_out": True, "email": None}))

    subset(
        row_of(entry, "customer_data_changes"),
        consent_change=1,
        credit_change=0,
        personal_columns="email",
        changed_columns="email,email_opted_out",
        subject_ref="contact:CONT-1",
    )


def test_long_values_are_chunked_once_and_referred_to_elsewhere() -> None:
    text = "ä" * 700_000
    account = ACCOUNT | {"notes": None}

    entry = routed("crm", row_event("crm.accounts", account, account | {"notes": text}))

    first, second = rows_of(entry, "data_change_audit")
    assert (first["chunk_no"], first["chunk_count"], second["chunk_no"], second["chunk_count"]) == (1, 2, 2, 2)
    assert f"{first['new_value']}{second['new_value']}" == text
    stored = json.loads(str(row_of(entry, "customer_data_changes")["new_values"]))
    assert stored["notes"]["$ref"] == "data_change_audit"
    assert stored["notes"]["length"] == 1_400_000


@pytest.mark.parametrize(
    "ctx", ["no json", "[1]", '{"user": 7}', '{"user": "a', "null", '{"user": {"name": "x"}}', "x" * 3000]
)
def test_a_context_that_cannot_be_read_is_kept(ctx: str) -> None:
    entry = routed("crm", row_event("crm.accounts", ACCOUNT, ACCOUNT | {"phone": "1"}, ctx=ctx))

    subset(entry.ledger, user_id=None, source_ip="127.0.0.1", application_name="psql")
    kept = json.loads(str(entry.ledger["payload"]))["bad_ctx"]
    assert kept == (ctx if len(ctx) <= 2000 else f"{ctx[:1999]}…")


def test_without_context_the_actor_is_not_known() -> None:
    entry = routed("crm", row_event("crm.accounts", ACCOUNT, ACCOUNT | {"phone": "1"}, ctx=None))

    subset(entry.ledger, user_id=None, db_user="app_login", payload=None)


@pytest.mark.parametrize(
    "changes",
    [
        {"pk": "x" * 256},
        {"ctx": json.dumps(CONTEXT | {"user": "u" * 129})},
        {"ctx": json.dumps(CONTEXT | {"approval": "a" * 65})},
        {"old": None},
        {"new": None},
        {"new": "[]"},
        {"new": "{"},
        {"op": "MERGE"},
        {"table_name": None},
        {"kind": "NOTHING"},
    ],
)
def test_what_cannot_be_stored_is_said_so(changes: dict[str, Any]) -> None:
    event = replace(row_event("crm.accounts", ACCOUNT, ACCOUNT | {"phone": "+49 555 0100"}), **changes)

    with pytest.raises(UnstorableEventError) as caught:
        router().route("crm", 1, event)
    assert "0100" not in str(caught.value)
    assert router().subjects("crm", event) == set()


def test_a_missing_key_is_no_fault_of_the_event() -> None:
    with pytest.raises(CipherError):
        router().route("hcm", 1, row_event("hcm.employees", None, EMPLOYEE))


def test_an_update_that_texts_do_not_show_keeps_both_images() -> None:
    entry = routed("hcm", row_event("hcm.employees", EMPLOYEE, EMPLOYEE))

    row = row_of(entry, "data_change_audit")
    subset(row, column_name="*", value_state="IMAGE", change_type="UPDATE")
    assert "Ada" not in everything(entry)


def test_a_replayed_event_has_a_header_only() -> None:
    entry = router().replayed("crm", row_event("crm.accounts", None, ACCOUNT))

    subset(entry.ledger, status="REPLAYED", table_name="accounts", sensitivity_class="customer")
    assert entry.details == ()
    assert router().replayed("crm", other_event("MARK", "INSTALLED", {})).ledger["status"] == "REPLAYED"
