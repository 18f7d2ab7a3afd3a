"""Every way to switch capture off or around is named, and nothing else."""

import pytest

from genims_platform.audit.capture.check import check
from genims_platform.audit.capture.install import install
from genims_platform_tests.audit.capture.captured import Captured


def messages(source: Captured) -> list[str]:
    return [finding.message.removeprefix(f"{source.database}: ") for finding in check(source.settings, "mes").findings]


def test_capture_as_installed_has_no_findings(mes: Captured) -> None:
    before = mes.newest_event()
    assert messages(mes) == []
    assert mes.newest_event() == before


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "ALTER TABLE labor_transactions DISABLE TRIGGER zz_audit_upd",
            "trigger public.labor_transactions.zz_audit_upd is disabled; `genims audit install",
        ),
        (
            "ALTER TABLE labor_transactions ENABLE TRIGGER zz_audit_upd",
            "trigger public.labor_transactions.zz_audit_upd is altered: not enabled always",
        ),
        (
            "DROP TRIGGER zz_audit_trunc ON labor_transactions",
            "trigger public.labor_transactions.zz_audit_trunc is missing",
        ),
        (
            (
                "CREATE OR REPLACE TRIGGER zz_audit_upd AFTER UPDATE ON labor_transactions FOR EACH ROW "
                "WHEN (OLD.labor_cost <> NEW.labor_cost) "
                "EXECUTE FUNCTION audit.capture('personnel', 'labor_transaction_id', '')"
            ),
            "trigger public.labor_transactions.zz_audit_upd is altered: is defined otherwise: CREATE TRIGGER",
        ),
        (
            (
                "CREATE OR REPLACE TRIGGER zz_audit_id AFTER INSERT ON labor_transactions FOR EACH ROW "
                "EXECUTE FUNCTION audit.capture('personnel', 'labor_transaction_id', '')"
            ),
            "trigger public.labor_transactions.zz_audit_id is altered: is defined otherwise: CREATE TRIGGER",
        ),
        (
            (
                "CREATE OR REPLACE TRIGGER zz_audit_id AFTER INSERT OR DELETE ON labor_transactions FOR EACH ROW "
                "EXECUTE FUNCTION audit.capture('operational', 'labor_transaction_id', '')"
            ),
            "trigger public.labor_transactions.zz_audit_id is altered: has the arguments ('operational'",
        ),
        (
            (
                "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
                "CREATE OR REPLACE TRIGGER zz_audit_id AFTER INSERT OR DELETE ON labor_transactions FOR EACH ROW "
                "EXECUTE FUNCTION nothing('personnel', 'labor_transaction_id', '')"
            ),
            "trigger public.labor_transactions.zz_audit_id is altered: calls public.nothing() instead of",
        ),
        (
            (
                "CREATE TRIGGER zz_audit_more AFTER INSERT ON work_orders FOR EACH ROW "
                "EXECUTE FUNCTION audit.capture('operational', 'work_order_id', '')"
            ),
            "trigger public.work_orders.zz_audit_more does not belong there: the policy does not name it",
        ),
        ("ALTER FUNCTION audit.capture() SECURITY INVOKER", "function audit.capture() is altered"),
        ("ALTER FUNCTION audit.make_tick() RESET synchronous_commit", "function audit.make_tick() is altered"),
        ("DROP FUNCTION audit.on_drop()", "function audit.on_drop() is missing"),
        ("GRANT INSERT ON audit.queue TO PUBLIC", "table audit.queue is altered"),
        (
            "GRANT EXECUTE ON FUNCTION audit.rotate TO genims_audit_app",
            "function audit.rotate(bigint,integer) is altered",
        ),
        ("DROP TABLE audit.queue_07", "table audit.queue_07 is missing"),
        (
            "DELETE FROM audit.policy WHERE table_name = 'labor_transactions'",
            "policy public.labor_transactions is miss",
        ),
        ("UPDATE audit.policy SET secret = '{notes}'", "policy public.labor_transactions is altered"),
        ("REVOKE SELECT ON labor_transactions FROM genims_audit_owner", "grant SELECT on public.labor_transactions is"),
        ("DROP TABLE electronic_batch_records", "table public.electronic_batch_records is missing: in the policy, but"),
        ("CREATE TABLE fresh (id int)", "mes: table public.fresh is not in the audit policy; its changes are not capt"),
        ("ALTER TABLE labor_transactions ADD iban text", "mes: labor_transactions.iban is unknown to the audit policy"),
        (
            "UPDATE audit.policy SET baseline_at = NULL",
            "mes: the rows of electronic_batch_records were not counted yet",
        ),
    ],
)
def test_what_is_wrong_is_named_and_an_installation_mends_it(mes: Captured, statement: str, expected: str) -> None:
    mes.execute(statement)

    found = messages(mes)

    assert any(message.startswith(expected) for message in found), found
    install(mes.settings, "mes")
    left = [message for message in messages(mes) if message.startswith(expected)]
    assert bool(left) == ("policy" in expected.partition(" is ")[2] or "electronic_batch_records is" in expected)


def test_columns_of_tables_that_are_not_audited_do_not_matter(mes: Captured) -> None:
    mes.execute("ALTER TABLE work_orders ADD iban text")

    assert messages(mes) == []


def test_a_source_without_capture_is_named(bare: Captured) -> None:
    (finding,) = check(bare.settings, "mes").findings

    assert finding.kind == "not_installed"
    assert "changes are not captured; run `genims audit install --source mes`" in finding.message


def test_who_can_alter_the_queue_is_named(mes: Captured) -> None:
    role = f"{mes.database}_friend"
    with mes.superuser() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role}; GRANT genims_audit_owner TO {role}")
        try:
            assert f"mes: {role} is a member of genims_audit_owner and can alter the queue; revoke that" in messages(
                mes
            )
        finally:
            cursor.execute(f"DROP ROLE {role}")


def test_the_catalogue_check_names_roles_and_rights(mes: Captured) -> None:
    role = f"{mes.database}_boss"
    mark = mes.newest_event()
    with mes.superuser() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} SUPERUSER")
        try:
            cursor.execute(f"GRANT SELECT ON work_orders TO {role}")
            cursor.execute(f"ALTER ROLE {role} SET work_mem = '1MB'")
            cursor.execute("ALTER TABLE work_orders ADD extra int NOT NULL DEFAULT 0")
            cursor.execute("SELECT audit.check_catalog()")
            cursor.execute("SELECT audit.check_catalog()")
            assert cursor.fetchone() == (0,)
        finally:
            cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    found = {(e["kind"], e["op"], e["table_name"], e["pk"]) for e in mes.events(mark) if e["kind"] != "SECURITY"}
    assert found >= {
        ("PERMISSION", "APPEARED", "role", role),
        ("CONFIG", "APPEARED", "setting", f"database any, role {role}"),
        ("SCHEMA", "APPEARED", "column", "public.work_orders.extra"),
    }
    assert any(event[:3] == ("PERMISSION", "APPEARED", "acl") for event in found) or any(
        event[:3] == ("PERMISSION", "CHANGED", "acl") for event in found
    )
    tampering = [e["detail"]["description"] for e in mes.events(mark, "SECURITY")]
    assert f"role {role} appeared outside an installation" in tampering
