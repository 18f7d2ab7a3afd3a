"""What is asked of the audit trail, from a change in PostgreSQL to the rows in MySQL, while a relay runs."""

import json
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from genims_platform.audit.encryption.cipher import Place, decrypt
from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.errors import AuditUnavailableError
from genims_platform.local.servers import Engine, LocalServers
from genims_platform.mysql.append_only import LEDGER
from genims_platform.mysql.contract import contracts
from genims_platform.settings import Settings
from genims_platform_tests.audit.relay.trail import Running, Trail, made_trail, running

SOURCES = ("crm", "hcm", "service", "supplier", "erp")
CONTEXT = """
    SELECT audit.set_context(user_id => 'u.miller', role_name => 'controller', session_id => 's-1', ip => '10.0.0.9',
        application => 'portal', reason => 'LIMIT-REVIEW', approval => 'APP-77');
"""
ACTOR = {"user_id": "u.miller", "reason_code": "LIMIT-REVIEW", "approval_id": "APP-77"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Trace:
    """What one event left in MySQL."""

    sequence: int
    ledger: Row
    details: Mapping[str, Sequence[Row]]

    def only(self, table: str) -> Row:
        (row,) = self.details[table]
        return row


@dataclass(frozen=True)
class Delivery:
    """A trail and the relay that delivers to it."""

    trail: Trail
    relay: Running
    reader: Ledger

    def rows(self, table: str, where: str = "TRUE", parameters: Sequence[Any] = ()) -> list[Row]:
        columns = [column.name for column in contracts("audit")[table].columns]
        order = "item_no" if "item_no" in columns else columns[0]
        listed = ", ".join(f"`{column}`" for column in columns)
        statement = f"SELECT {listed} FROM {table} WHERE {where} ORDER BY {order}"
        try:
            found = self.reader.query(statement, parameters)
        except AuditUnavailableError:  # the server closes what is idle for long
            found = self.reader.query(statement, parameters)
        return [dict(zip(columns, row, strict=True)) for row in found]

    def cause(self, source: str, statements: str) -> list[Trace]:
        """Run statements in one transaction of the owner of the tables; what its events left, in order."""
        captured = self.trail.sources[source]
        with captured.session() as connection, connection, connection.cursor() as cursor:
            cursor.execute(statements)
            cursor.execute("SELECT pg_current_xact_id()::text")
            (row,) = cursor.fetchall()
        numbers = [event["event_id"] for event in captured.events() if event["xid"] == row[0]]
        assert numbers, "nothing was captured"
        return [self.trace(source, number) for number in numbers]

    def trace(self, source: str, event_id: int) -> Trace:
        where, place = "source_db = %s AND event_id = %s", (source, event_id)
        self.relay.wait_for(
            lambda: bool(self.rows(LEDGER, where, place)), f"event {event_id} of {source} did not arrive"
        )
        (ledger,) = self.rows(LEDGER, where, place)
        return self.traced(ledger)

    def traced(self, ledger: Row) -> Trace:
        sequence = ledger["audit_sequence"]
        details = {
            table: self.rows(table, "audit_sequence = %s", (sequence,))
            for table, contract in contracts("audit").items()
            if table != LEDGER and any(column.name == "item_no" for column in contract.columns)
        }
        return Trace(sequence, ledger, {table: rows for table, rows in details.items() if rows})

    def found(self, table: str, where: str, parameters: Sequence[Any] = ()) -> Trace:
        """The event that left the one row of a table that is looked for, as soon as it is there."""
        self.relay.wait_for(lambda: bool(self.rows(table, where, parameters)), f"{table}: nothing where {where}")
        (row,) = self.rows(table, where, parameters)
        (ledger,) = self.rows(LEDGER, "audit_sequence = %s", (row["audit_sequence"],))
        return self.traced(ledger)


@pytest.fixture(scope="module")
def delivery(
    settings: Settings, engine: Engine, servers: LocalServers, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Delivery]:
    folder = tmp_path_factory.mktemp("acceptance")
    with made_trail(settings, engine, servers, folder, SOURCES) as made:
        own = replace(made, settings=made.settings.model_copy(update={"audit_fingerprint_seconds": 1}))
        with running(own) as relay, closing(own.ledger()) as reader:
            yield Delivery(own, relay, reader)


def subset(row: Row, **expected: Any) -> None:
    assert {name: row[name] for name in expected} == expected


def account(name: str, limit: str = "100.10") -> str:
    return (
        "INSERT INTO accounts (account_id, account_number, account_name, customer_id, credit_limit) "
        f"VALUES ('{name}', '{name}', 'Müller & Co', 'CUST-000001', {limit});"
    )


def test_a_credit_limit_is_in_four_tables_under_one_number(delivery: Delivery) -> None:
    delivery.cause("crm", account("ACC-U"))

    (trace,) = delivery.cause("crm", f"{CONTEXT} UPDATE accounts SET credit_limit = 250.00 WHERE account_id = 'ACC-U'")

    assert sorted(trace.details) == ["customer_data_changes", "data_change_audit", "financial_data_changes"]
    change = trace.only("data_change_audit")
    customer = trace.only("customer_data_changes")
    money = trace.only("financial_data_changes")
    subset(
        trace.ledger,
        event_kind="ROW",
        operation_type="UPDATE",
        table_name="accounts",
        primary_key_value="ACC-U",
        sensitivity_class="customer",
        status="OK",
        source_db="crm",
        user_id="u.miller",
        user_role="controller",
        session_id="s-1",
        source_ip="10.0.0.9",
        application_name="portal",
    )
    subset(change, column_name="credit_limit", old_value="100.10", new_value="250.00", value_state="PLAIN")
    subset(customer, credit_change=1, consent_change=0, customer_id="CUST-000001", account_id="ACC-U")
    subset(customer, changed_columns="credit_limit", new_values='{"credit_limit":250.00}')
    subset(money, amount_column="credit_limit", amount_exact=1)
    subset(money, old_amount=Decimal("100.10"), new_amount=Decimal(250), amount_difference=Decimal("149.90"))
    for row in (change, customer, money):
        subset(row, audit_sequence=trace.sequence, batch_no=trace.ledger["batch_no"], **ACTOR)


def test_insert_and_delete_keep_the_whole_row(delivery: Delivery) -> None:
    (inserted,) = delivery.cause("crm", CONTEXT + account("ACC-I"))
    (deleted,) = delivery.cause("crm", f"{CONTEXT} DELETE FROM accounts WHERE account_id = 'ACC-I'")

    tables = ["customer_data_changes", "data_change_audit", "financial_data_changes"]
    for trace, side, other in ((inserted, "new", "old"), (deleted, "old", "new")):
        assert sorted(trace.details) == tables
        change = trace.only("data_change_audit")
        subset(change, column_name="*", value_state="IMAGE", value_type="json", **{f"{other}_value": None}, **ACTOR)
        image = json.loads(change[f"{side}_value"], parse_float=Decimal)
        assert (image["account_name"], str(image["credit_limit"])) == ("Müller & Co", "100.10")
        subset(trace.only("customer_data_changes"), changed_columns="*", credit_change=1, **ACTOR)
        amounts = {f"{side}_amount": Decimal("100.10"), f"{other}_amount": None}
        subset(trace.only("financial_data_changes"), **amounts, **ACTOR)
    assert inserted.sequence < deleted.sequence


def test_no_digit_of_a_salary_is_in_any_table(delivery: Delivery) -> None:
    salaries = ("7391846.25", "8402957.50")
    employee = (
        "INSERT INTO employees (employee_id, employee_number, first_name, last_name, hire_date, annual_salary) "
        f"VALUES ('EMP-S', 'EMP-S', 'Philippa', 'Featherstone', '2020-01-01', {salaries[0]});"
    )

    delivery.cause("hcm", CONTEXT + employee)
    (trace,) = delivery.cause("hcm", f"{CONTEXT} UPDATE employees SET annual_salary = {salaries[1]}")
    delivery.cause("hcm", f"{CONTEXT} DELETE FROM employees WHERE employee_id = 'EMP-S'")

    for table in contracts("audit"):
        stored = str(delivery.rows(table))
        readable = [word for word in (*(s[:7] for s in salaries), "Philippa", "Featherstone") if word in stored]
        assert readable == [], table
    change = trace.only("data_change_audit")
    subset(change, value_state="ENC", subject_ref="employee:EMP-S", column_name="annual_salary", **ACTOR)
    subset(trace.only("personnel_data_changes"), change_area="COMPENSATION", is_compensation=1, key_id=change["key_id"])
    store = key_store(delivery.trail.settings)
    try:
        key = store.get_or_create(["employee:EMP-S"])["employee:EMP-S"]
    finally:
        store.close()
    number = trace.ledger["event_id"]
    for stored, side, salary in zip((change["old_value"], change["new_value"]), ("o", "n"), salaries, strict=True):
        place = Place("hcm", 1, number, "annual_salary", "o" if side == "o" else "n")
        assert decrypt(key, "employee:EMP-S", place, stored) == ("n", salary)


def test_a_transaction_of_many_tables_keeps_its_order(delivery: Delivery) -> None:
    traces = delivery.cause(
        "crm",
        CONTEXT
        + account("ACC-T")
        + """
        INSERT INTO contacts (contact_id, contact_number, account_id, first_name, last_name, email_opted_out)
        VALUES ('CONT-T', 'CONT-T', 'ACC-T', 'Wilhelmina', 'Oates', false);
        UPDATE contacts SET email_opted_out = true WHERE contact_id = 'CONT-T';
        UPDATE accounts SET payment_terms = 'NET60' WHERE account_id = 'ACC-T';
        """,
    )

    assert [trace.sequence for trace in traces] == list(range(traces[0].sequence, traces[0].sequence + 4))
    assert [trace.ledger["table_name"] for trace in traces] == ["accounts", "contacts", "contacts", "accounts"]
    assert len({trace.ledger["transaction_id"] for trace in traces}) == 1
    subset(traces[2].only("customer_data_changes"), consent_change=1, subject_ref="contact:CONT-T", **ACTOR)
    subset(traces[3].only("customer_data_changes"), credit_change=1)
    assert "Wilhelmina" not in str(traces)


def test_what_is_rolled_back_is_nowhere(delivery: Delivery) -> None:
    captured = delivery.trail.sources["crm"]
    with captured.session() as connection, connection.cursor() as cursor:
        cursor.execute(account("ACC-GHOST"))
        connection.rollback()

    delivery.cause("crm", account("ACC-AFTER"))

    assert delivery.rows(LEDGER, "primary_key_value = %s", ("ACC-GHOST",)) == []


def test_master_data_and_prices(delivery: Delivery) -> None:
    material = (
        "INSERT INTO materials (material_id, material_code, material_name, material_type, base_unit_of_measure, "
        "standard_cost, material_status) VALUES ('MAT-A', 'MAT-A', 'Bearing', 'raw', 'EA', 4.0000, 'active');"
    )

    inserted, updated = delivery.cause(
        "erp",
        f"{CONTEXT} {material} UPDATE materials SET standard_cost = 5, material_status = 'blocked' "
        "WHERE material_id = 'MAT-A'",
    )

    subset(inserted.only("master_data_changes"), change_type="INSERT", entity_type="material", entity_name="Bearing")
    subset(updated.only("master_data_changes"), change_type="DEACTIVATE", entity_id="MAT-A", **ACTOR)
    subset(
        updated.only("price_cost_changes"),
        price_type="STANDARD_COST",
        old_price=Decimal(4),
        new_price=Decimal(5),
        price_change_percent=Decimal(25),
        **ACTOR,
    )


def test_activities_of_users(delivery: Delivery) -> None:
    read, export, denied = delivery.cause(
        "hcm",
        f"""{CONTEXT}
        SELECT audit.log_activity('READ', 'hcm.leave_requests', 'LR-1', 1, '{{"purpose": "payroll"}}');
        SELECT audit.log_activity('EXPORT', 'hcm.employees', row_count => 12);
        SELECT audit.log_activity('DENIED', 'hcm.employees', 'EMP-9', status => 'DENIED');
        """,
    )

    subset(read.only("user_activity_log"), activity_type="READ", contains_personal=1, contains_health=1)
    subset(read.only("user_activity_log"), rows_returned=1, user_id="u.miller", detail='{"purpose":"payroll"}')
    assert list(read.details) == ["user_activity_log"]
    subset(export.only("user_activity_log"), rows_returned=12, contains_health=0, contains_personal=1)
    subset(export.only("security_events"), event_type="DATA_EXPORT", event_severity="MEDIUM", user_id="u.miller")
    subset(denied.only("user_activity_log"), status="DENIED", resource_id="EMP-9")
    subset(denied.only("security_events"), event_type="UNAUTHORIZED_ACCESS", rule_id="STREAM")


def test_logins(delivery: Delivery) -> None:
    success, failure = delivery.cause(
        "service",
        """
        SELECT audit.log_login('LOGIN', 'j.doe', 'service.portal', true, method => 'SSO', mfa => true,
            ip => '203.0.113.9', user_agent => 'Firefox', session_id => 's-9');
        SELECT audit.log_login('FAILED', 'j.doe', 'service.portal', false, 'wrong password', ip => '203.0.113.9');
        """,
    )

    subset(success.only("login_audit"), event_type="LOGIN", login_status="SUCCESS", user_id="j.doe", mfa_used=1)
    subset(success.only("user_activity_log"), activity_type="LOGIN", source_ip="203.0.113.9", session_id="s-9")
    subset(failure.only("login_audit"), login_status="FAILED", failure_reason="wrong password")
    subset(failure.only("security_events"), event_type="LOGIN_FAILED", event_severity="LOW", source_ip="203.0.113.9")


def test_rights_of_portal_users(delivery: Delivery) -> None:
    _, changed = delivery.cause(
        "supplier",
        f"""{CONTEXT}
        INSERT INTO supplier_portal_users (portal_user_id, supplier_id, user_email, user_name, user_role,
            can_submit_invoices, password_hash)
        VALUES ('PU-1', 'SUP-1', 'vera@example.org', 'Vera', 'viewer', false, 'h1');
        UPDATE supplier_portal_users SET user_role = 'admin', can_submit_invoices = true, password_hash = 'h2';
        """,
    )

    rows = {row["permission_type"]: row for row in changed.details["permission_changes"]}
    assert sorted(rows) == ["can_submit_invoices", "user_role"]
    subset(rows["user_role"], grantee="PU-1", old_permission="viewer", new_permission="admin", is_elevation=1)
    subset(rows["can_submit_invoices"], is_elevation=1, is_self_grant=0, modified_by="u.miller", approval_id="APP-77")
    states = {row["column_name"]: row["value_state"] for row in changed.details["data_change_audit"]}
    assert states == {"can_submit_invoices": "PLAIN", "password_hash": "SECRET", "user_role": "PLAIN"}
    stored = str([delivery.rows(table) for table in contracts("audit")])
    assert [word for word in ("vera@example.org", "'h1'", "'h2'", '"h1"') if word in stored] == []


def test_rights_in_postgresql(delivery: Delivery) -> None:
    captured = delivery.trail.sources["crm"]
    role = f"{captured.database}_auditor"
    owner = captured.settings.source_primary("crm").user
    delivery.relay.wait_for(
        lambda: bool(delivery.rows(LEDGER, "source_db = 'crm' AND operation_type = 'FINGERPRINT'")), "no fingerprint"
    )
    with captured.superuser() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role}")
        cursor.execute(f"GRANT SELECT ON accounts TO {role}")
        try:
            trace = delivery.found("permission_changes", "grantee = %s AND permission_type = 'ACL'", (role,))
            cursor.execute(f"GRANT {owner} TO {role}")
            member = "source_db = 'crm' AND grantee = %s AND permission_type = 'MEMBER'"
            elevated = delivery.found("permission_changes", member, (role,))
        finally:
            cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    subset(trace.only("permission_changes"), new_permission="r", grantee_type="DB_ROLE", is_elevation=1)
    subset(trace.only("permission_changes"), permission_resource="relation public.accounts", old_permission=None)
    subset(trace.only("database_changes"), detected_by="FINGERPRINT", object_name="relation public.accounts")
    subset(elevated.only("permission_changes"), permission_resource=owner, new_permission="member", is_elevation=1)
    subset(elevated.only("security_events"), event_type="PRIVILEGE_ELEVATION", event_severity="HIGH")
    assert re.search(rf"\b{role}=r/", trace.only("database_changes")["new_definition"])


def test_configuration(delivery: Delivery) -> None:
    setting, _, definition = delivery.cause(
        "service",
        f"""{CONTEXT}
        SELECT audit.log_config('routing', 'max_open', '10', '20', 'CHG-1');
        INSERT INTO sla_definitions (sla_id, sla_code, sla_name, response_time_minutes) VALUES ('S1', 'S1', 'Gold', 60);
        UPDATE sla_definitions SET response_time_minutes = 30 WHERE sla_id = 'S1';
        """,
    )

    subset(setting.only("configuration_changes"), config_module="routing", config_key="max_open", change_type="SET")
    subset(setting.only("configuration_changes"), old_value="10", new_value="20", approval_id="CHG-1")
    subset(
        definition.only("configuration_changes"),
        config_module="service",
        config_key="sla_definitions.S1.response_time_minutes",
        old_value="60",
        new_value="30",
        approval_required=1,
        approval_id="APP-77",
        user_id="u.miller",
    )


def test_structure_of_a_source(delivery: Delivery, caplog: pytest.LogCaptureFixture) -> None:
    captured = delivery.trail.sources["erp"]
    delivery.relay.wait_for(
        lambda: bool(delivery.rows(LEDGER, "source_db = 'erp' AND operation_type = 'FINGERPRINT'")), "no fingerprint"
    )
    captured.execute("ALTER TABLE materials ADD COLUMN colour_code varchar(20)")

    trace = delivery.found("database_changes", "source_db = 'erp' AND object_name = 'public.materials.colour_code'")

    subset(
        trace.only("database_changes"),
        change_type="APPEARED",
        object_type="column",
        object_schema="public",
        new_definition="character varying(20)",
        detected_by="FINGERPRINT",
        affects_audit=0,
    )
    (inserted,) = delivery.cause(
        "erp",
        "INSERT INTO materials (material_id, material_code, material_name, material_type, base_unit_of_measure, "
        "colour_code) VALUES ('MAT-C', 'MAT-C', 'Paint', 'raw', 'L', 'RAL 5002')",
    )
    assert json.loads(inserted.only("data_change_audit")["new_value"])["colour_code"] == "RAL 5002"
    assert "UNCLASSIFIED_COLUMN: erp.materials.colour_code" in caplog.text


def test_security_events(delivery: Delivery) -> None:
    (reported,) = delivery.cause(
        "supplier", f"""{CONTEXT} SELECT audit.log_security('BADGE', 'HIGH', 'badge cloned', '{{"door": 4}}')"""
    )
    captured = delivery.trail.sources["supplier"]
    delivery.relay.wait_for(
        lambda: bool(delivery.rows(LEDGER, "source_db = 'supplier' AND operation_type = 'FINGERPRINT'")),
        "no fingerprint",
    )
    captured.execute("ALTER TABLE rfq_lines DISABLE TRIGGER zz_audit_upd")
    tampered = delivery.found("database_changes", "object_name = 'public.rfq_lines.zz_audit_upd'")
    captured.execute("ALTER TABLE rfq_lines ENABLE ALWAYS TRIGGER zz_audit_upd")

    subset(reported.only("security_events"), event_type="BADGE", event_severity="HIGH", detail='{"door":4}')
    subset(reported.only("security_events"), user_id="u.miller", description="badge cloned")
    subset(tampered.only("database_changes"), affects_audit=1, change_type="CHANGED", object_type="trigger")
    subset(tampered.only("security_events"), event_type="AUDIT_TAMPER", event_severity="CRITICAL")


def test_bulk_operations(delivery: Delivery) -> None:
    traces = delivery.cause(
        "crm",
        f"""{CONTEXT} SELECT audit.begin_bulk('LOAD-7');
        INSERT INTO accounts (account_id, account_number, account_name)
        SELECT 'BULK-' || n, 'BULK-' || n, 'x' FROM generate_series(1, 3) n;
        """,
    )

    assert [list(trace.details.get("bulk_operation_audit", ())) for trace in traces[:2]] == [[], []]
    subset(
        traces[2].only("bulk_operation_audit"),
        rows_affected=3,
        declared=1,
        bulk_reference="LOAD-7",
        operation_type="INSERT",
        first_event_id=traces[0].ledger["event_id"],
        data_sample='["BULK-1","BULK-2","BULK-3"]',
        approval_id="APP-77",
    )


def test_what_cannot_be_stored_keeps_its_place(delivery: Delivery) -> None:
    before, poison, after = delivery.cause(
        "crm",
        account("ACC-P1")
        + f"SELECT audit.set_context(user_id => '{'u' * 200}');"
        + account("ACC-P2", "6620194.75")
        + "SELECT audit.set_context(user_id => 'u.miller');"
        + account("ACC-P3"),
    )

    assert (poison.sequence, after.sequence) == (before.sequence + 1, before.sequence + 2)
    subset(poison.ledger, status="QUARANTINED", user_id=None, primary_key_value="ACC-P2")
    assert list(poison.details) == ["security_events"]
    subset(poison.only("security_events"), event_type="POISON_EVENT", event_severity="HIGH")
    assert "6620194" not in str(poison)
    subset(after.ledger, status="OK", user_id="u.miller")


def test_at_the_end_nothing_is_missing(delivery: Delivery) -> None:
    for source, captured in delivery.trail.sources.items():
        delivery.relay.wait_for_events(source, len(captured.events()))

    delivery.trail.check_complete()
