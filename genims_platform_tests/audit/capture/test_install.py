"""Installing capture: whole or not at all, once, upgradable, with and without a superuser."""

from collections.abc import Generator
from contextlib import closing, contextmanager

import psycopg2
import pytest

from genims_platform.audit.capture.install import Installed, install
from genims_platform.audit.capture.objects import CaptureObject, capture_sql
from genims_platform.audit.capture.queue import event_keys, make_tick
from genims_platform.audit.capture.session import CaptureBusyError, CaptureError, CaptureRefusedError
from genims_platform.audit.policy import audit_policy, parse_policy
from genims_platform.settings import SOURCE_NAMES, Settings
from genims_platform.sources import schema
from genims_platform.sources.catalogue import catalogue
from genims_platform.sources.connection import SourceUnavailableError, connect
from genims_platform_tests.audit.capture.captured import Captured

TRIGGERS = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'zz_audit_%' AND tgenabled = 'A'"
CHANGES = """
    SELECT (SELECT string_agg(xmin::text || oid::text, ' ' ORDER BY oid) FROM pg_proc WHERE proname <> 'x')
        || (SELECT string_agg(xmin::text || oid::text, ' ' ORDER BY oid) FROM pg_class)
        || (SELECT string_agg(xmin::text || oid::text, ' ' ORDER BY oid) FROM pg_trigger)
        || (SELECT count(*) FROM audit.queue) || (SELECT count(*) FROM audit.tick)
"""


def states(done: Installed, *wanted: str) -> list[CaptureObject]:
    return [found for found in done.objects if found.state in wanted]


def mes_triggers() -> int:
    return 3 * len(audit_policy().audited("mes"))


def test_all_sources_are_captured_and_a_second_time_changes_nothing(settings: Settings) -> None:
    own = settings.model_copy(
        update={f"pg_{name}_db": f"{settings.source_database(name)}_all" for name in SOURCE_NAMES}
    )
    schema.create(own)
    for name in SOURCE_NAMES:
        first = install(own, name)
        assert first.changed
        assert first.baselines == len(audit_policy().audited(name))
        with closing(connect(own.source_primary(name))) as connection, connection.cursor() as cursor:
            cursor.execute(TRIGGERS)
            assert cursor.fetchone() == (3 * len(audit_policy().audited(name)),)
            cursor.execute(CHANGES)
            before = cursor.fetchone()
            connection.rollback()
            second = install(own, name)
            assert not second.changed
            assert second.baselines == 0
            cursor.execute(CHANGES)
            assert cursor.fetchone() == before


def test_the_first_events_say_what_was_installed_and_what_was_there(bare: Captured) -> None:
    insert_labour(bare, "L1")
    done = install(bare.settings, "mes")

    assert done.baselines == len(audit_policy().audited("mes"))
    marks = bare.events(kind="MARK")
    assert sorted(event["op"] for event in marks) == ["BASELINE", "BASELINE", "FINGERPRINT", "INSTALLED"]
    installed = next(event for event in marks if event["op"] == "INSTALLED")
    assert installed["detail"]["new"]["policy_digest"] == audit_policy().digest
    assert installed["detail"]["install_uid"] == bare.value("SELECT value FROM audit.state WHERE key = 'install_uid'")
    baseline = next(event for event in marks if event["table_name"] == "labor_transactions")
    assert baseline["detail"]["rows"] == 1
    image = """
        SELECT ('x' || encode(substr(sha256(convert_to(to_jsonb(t)::text, 'UTF8')), 1, 7), 'hex'))
            ::bit(56)::bigint::text
        FROM labor_transactions t
    """
    assert baseline["detail"]["digest"] == bare.value(image)


def test_nothing_precedes_the_first_tick(bare: Captured) -> None:
    install(bare.settings, "mes")
    with bare.session(autocommit=True) as connection:
        tick, made = make_tick(connection)
        assert made
        assert len(event_keys(connection, 1, tick)) == len(bare.events()) == 4


def test_the_queue_is_left_alone_by_autovacuum(mes: Captured) -> None:
    with mes.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit.queue_07 RESET (autovacuum_enabled)")

    done = install(mes.settings, "mes")

    assert [found.name for found in states(done, "changed")] == ["audit.queue_07"]
    left_alone = "relname ~ '^queue_..$' AND 'autovacuum_enabled=off' = ANY (reloptions)"
    assert mes.value(f"SELECT count(*) FROM pg_class WHERE {left_alone}") == 32


def test_a_dry_run_changes_nothing(bare: Captured) -> None:
    done = install(bare.settings, "mes", dry_run=True)

    assert done.changed
    assert bare.value("SELECT to_regnamespace('audit') IS NULL")
    assert bare.value(TRIGGERS) == 0
    assert {found.name for found in states(done, "created") if found.kind == "trigger"} == {
        f"public.{table}.zz_audit_{name}" for table in audit_policy().audited("mes") for name in ("id", "upd", "trunc")
    }


def test_what_was_altered_is_put_right_and_recorded(mes: Captured) -> None:
    mark = mes.newest_event()
    with mes.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE labor_transactions DISABLE TRIGGER zz_audit_upd")
        cursor.execute("DROP TRIGGER zz_audit_id ON labor_transactions")
        cursor.execute("DROP FUNCTION audit.log_config")
        cursor.execute("GRANT INSERT ON audit.queue TO PUBLIC")
        cursor.execute(
            "CREATE OR REPLACE FUNCTION audit.capture() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
        )

    done = install(mes.settings, "mes")

    assert {(found.kind, found.name, found.state) for found in states(done, "created", "changed", "removed")} == {
        ("trigger", "public.labor_transactions.zz_audit_upd", "changed"),
        ("trigger", "public.labor_transactions.zz_audit_id", "created"),
        ("function", "audit.log_config(text,text,text,text,text)", "created"),
        ("table", "audit.queue", "changed"),
        ("function", "audit.capture()", "changed"),
    }
    insert_labour(mes, "L1")
    events = mes.events(mark)
    tampering = [event["detail"]["description"] for event in events if event["op"] == "AUDIT_TAMPER"]
    assert tampering == [
        "acl relation audit.queue changed outside an installation",
        "function audit.capture() changed outside an installation",
        "function audit.log_config(text,text,text,text,text) vanished outside an installation",
        "trigger public.labor_transactions.zz_audit_id vanished outside an installation",
        "trigger public.labor_transactions.zz_audit_upd changed outside an installation",
    ]
    assert [event["op"] for event in events if event["kind"] == "MARK"] == ["REPAIRED"]
    assert events[-1]["pk"] == "L1"
    repaired = next(event for event in events if event["op"] == "REPAIRED")
    own = [event for event in events if event["detail"] and event["detail"].get("run") == repaired["detail"]["run"]]
    assert len(own) == 6


def test_a_broken_catalogue_check_does_not_prevent_the_repair(mes: Captured) -> None:
    mes.execute(
        "CREATE OR REPLACE FUNCTION audit.check_catalog() RETURNS bigint LANGUAGE sql AS 'SELECT (1 / 0)::bigint'"
    )

    assert install(mes.settings, "mes").changed
    (event,) = mes.events(kind="SECURITY")
    assert "division by zero" in event["detail"]["description"]


def test_another_policy_and_another_version_are_upgrades(mes: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = mes.value("SELECT value FROM audit.state WHERE key = 'install_uid'")
    text = audit_policy().text.replace("version: 1", "version: 2", 1)
    text = text.replace("electronic_batch_records: {class: operational, key: ebr_id}", "")
    text = text.replace("changeover_events,", "changeover_events, electronic_batch_records,")
    policy = parse_policy(text, catalogue())

    done = install(mes.settings, "mes", policy=policy)

    assert {found.name.rpartition(".")[0] for found in states(done, "removed") if found.kind == "trigger"} == {
        "public.electronic_batch_records"
    }
    assert mes.value(TRIGGERS) == mes_triggers() - 3
    (upgraded,) = (event["detail"] for event in mes.events() if event["op"] == "UPGRADED")
    assert (upgraded["old"]["policy_version"], upgraded["new"]["policy_version"]) == ("1", "2")
    assert upgraded["old"]["policy_digest"] == audit_policy().digest

    newer = capture_sql().replace("-- Records a change of an application's own setting.", "-- Other text.")
    monkeypatch.setattr("genims_platform.audit.capture.install.capture_sql", lambda: newer)
    done = install(mes.settings, "mes", policy=policy)

    assert [found.name for found in states(done, "changed")] == ["audit.log_config(text,text,text,text,text)"]
    assert mes.value("SELECT value FROM audit.state WHERE key = 'install_uid'") == uid


def test_an_interrupted_installation_leaves_nothing(bare: Captured, settings_environment: dict[str, str]) -> None:
    bare.killed_at_a_lock("labor_transactions", settings_environment, "install")

    assert bare.value("SELECT to_regnamespace('audit') IS NULL")
    assert bare.value(TRIGGERS) == 0
    insert_labour(bare, "L1")
    assert install(bare.settings, "mes").baselines == 2
    assert bare.value(TRIGGERS) == mes_triggers()


def test_an_interrupted_count_is_made_up_for(mes: Captured) -> None:
    mes.execute("UPDATE audit.policy SET baseline_at = NULL WHERE table_name = 'labor_transactions'")

    again = install(mes.settings, "mes")

    assert not again.changed
    assert again.baselines == 1
    assert mes.events()[-1]["table_name"] == "labor_transactions"


def test_tables_that_stay_locked_are_named_and_nothing_is_changed(bare: Captured) -> None:
    hurried = bare.settings.model_copy(update={"data_sync_retry_count": 0})
    with bare.session() as writer, writer.cursor() as cursor:
        cursor.execute("LOCK TABLE labor_transactions IN ROW EXCLUSIVE MODE")
        with pytest.raises(CaptureBusyError, match="canceling statement due to lock timeout; nothing was changed"):
            install(hurried, "mes")
    assert bare.value("SELECT to_regnamespace('audit') IS NULL")


def test_installations_at_once_wait_for_each_other(bare: Captured) -> None:
    with bare.session() as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('genims audit capture', 0))")
        with pytest.raises(CaptureBusyError):
            install(bare.settings.model_copy(update={"data_sync_retry_count": 0}), "mes")
    assert install(bare.settings, "mes").changed


def test_a_superuser_gets_event_triggers_and_a_plain_owner_does_not(bare: Captured) -> None:
    plain = install(bare.settings, "mes")
    assert not plain.event_triggers
    assert bare.value("SELECT value FROM audit.state WHERE key = 'event_triggers'").startswith("no: only a superuser")

    with superuser(bare) as settings:
        done = install(settings, "mes")
        assert done.event_triggers
        assert {found.name for found in states(done, "created")} == {"genims_audit_ddl", "genims_audit_drop"}
        assert not install(settings, "mes").changed
        mark = bare.newest_event()
        bare.execute("CREATE TABLE fresh (id int); ALTER TABLE fresh ADD n int; GRANT SELECT ON fresh TO PUBLIC")
        bare.execute("CREATE TEMP TABLE passing (id int)")
        bare.execute("DROP TABLE fresh")

        recorded = [(event["kind"], event["op"], event["pk"]) for event in bare.events(mark)]
        assert recorded == [
            ("DDL", "CREATE TABLE", "public.fresh"),
            ("DDL", "ALTER TABLE", "public.fresh"),
            ("PERMISSION", "GRANT", None),
            ("DDL", "DROP", "public.fresh"),
        ]
        assert bare.events(mark)[2]["detail"]["statement"].endswith("GRANT SELECT ON fresh TO PUBLIC")
        assert not install(bare.settings, "mes").changed  # the owner leaves what the superuser made


def test_an_upgrade_by_a_superuser_records_itself_once(bare: Captured) -> None:
    with superuser(bare) as settings:
        install(settings, "mes")
        bare.execute("DROP TRIGGER zz_audit_id ON labor_transactions")
        mark = bare.newest_event()
        install(settings, "mes")

    assert [event["kind"] for event in bare.events(mark)] == ["SCHEMA", "SECURITY", "MARK", "SCHEMA"]


def test_statements_with_passwords_are_masked(bare: Captured) -> None:
    with superuser(bare) as settings:
        install(settings, "mes")
        mark = bare.newest_event()
        with bare.superuser() as connection, connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE t (id int); CREATE ROLE genims_masked PASSWORD 'hunter2'; DROP ROLE genims_masked"
            )
        assert "PASSWORD '***'" in bare.events(mark)[0]["detail"]["statement"]
        assert "hunter2" not in str(bare.events(mark))


def test_a_role_that_may_not_create_roles_is_told_what_it_needs(bare: Captured) -> None:
    role = f"{bare.database}_weak"
    with bare.superuser() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'weak'")
        try:
            weak = bare.settings.model_copy(update={"audit_pg_install_user": role, "audit_pg_install_password": "weak"})
            weak = Settings.model_validate(weak.model_dump())
            with pytest.raises(CaptureRefusedError, match=rf"{role} may not do this: .*\(CREATEROLE\)"):
                install(weak, "mes")
        finally:
            cursor.execute(f"DROP ROLE {role}")
    assert bare.value("SELECT to_regnamespace('audit') IS NULL")


def test_a_plain_owner_may_install_where_an_administrator_made_the_roles(mes: Captured, settings: Settings) -> None:
    role = f"{mes.database}_owner"
    own = settings.model_copy(update={"pg_mes_db": f"{mes.database}_2"})
    with mes.superuser() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'plain'")
        cursor.execute(f"GRANT genims_audit_owner TO {role}")
        cursor.execute(f"CREATE DATABASE {own.pg_mes_db} OWNER {role}")
    plain = Settings.model_validate(own.model_dump() | {"pg_user": role, "pg_password": "plain"})
    try:
        schema.create(plain, ["mes"])
        assert install(plain, "mes").changed
        assert not install(plain, "mes").changed
    finally:
        with mes.superuser() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {own.pg_mes_db}")
            cursor.execute(f"DROP ROLE {role}")


def test_a_key_that_differs_from_the_policy_is_refused(bare: Captured) -> None:
    bare.execute(
        "ALTER TABLE labor_transactions DROP CONSTRAINT labor_transactions_pkey, ADD PRIMARY KEY (employee_id)"
    )

    with pytest.raises(
        CaptureError, match=r"labor_transactions has the primary key \(employee_id\), the policy says lab"
    ):
        install(bare.settings, "mes")


def test_a_schema_of_that_name_is_left_alone(bare: Captured) -> None:
    bare.execute("CREATE SCHEMA audit")

    with pytest.raises(CaptureError, match="a schema `audit` exists and belongs to genims"):
        install(bare.settings, "mes")


def test_a_missing_table_is_named_and_the_others_are_captured(bare: Captured) -> None:
    bare.execute("DROP TABLE electronic_batch_records")

    done = install(bare.settings, "mes")

    assert [found.name for found in states(done, "missing")] == ["public.electronic_batch_records"]
    assert bare.value(TRIGGERS) == mes_triggers() - 3


def test_the_relay_account_may_read_and_nothing_else(bare: Captured) -> None:
    role = f"{bare.database}_relay"
    own = Settings.model_validate(
        bare.settings.model_dump() | {"audit_pg_relay_user": role, "audit_pg_relay_password": "first"}
    )
    try:
        done = install(own, "mes")
        assert [found.state for found in done.objects if found.kind == "login"] == ["created"]
        assert not install(own, "mes").changed
        other = Settings.model_validate(own.model_dump() | {"audit_pg_relay_password": "second"})
        with pytest.raises(SourceUnavailableError):
            connect(other.audit_relay("mes"))
        assert [found.name for found in states(install(other, "mes"), "changed")] == [role]

        with closing(connect(other.audit_relay("mes"), autocommit=True)) as relay, relay.cursor() as cursor:
            tick, _ = make_tick(relay)
            assert event_keys(relay, 1, tick)
            cursor.execute("SELECT audit.check_catalog(), audit.rotate(%s, 14)", (tick,))
            for statement in (
                "INSERT INTO audit.queue (kind, op) VALUES ('ROW', 'INSERT')",
                "DELETE FROM audit.queue",
                "SELECT * FROM labor_transactions",
                "SELECT audit.compare_catalog('x')",
                "INSERT INTO audit.tick (snap, seq_hint) VALUES ('1:1:', 0)",
            ):
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    cursor.execute(statement)
    finally:
        with bare.superuser() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP ROLE IF EXISTS {role}")


@contextmanager
def superuser(source: Captured) -> Generator[Settings]:
    """Settings whose installer is a superuser, for as long as the block runs."""
    role = f"{source.database}_super"
    with source.superuser() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'strong'")
        account = {"audit_pg_install_user": role, "audit_pg_install_password": "strong"}
        try:
            yield Settings.model_validate(source.settings.model_dump() | account)
        finally:
            cursor.execute(f"REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}")


def insert_labour(source: Captured, key: str) -> None:
    facts = catalogue()["mes"]["labor_transactions"]
    columns = [column for column in facts.columns if column.not_null and column.name != "labor_transaction_id"]
    names = ", ".join(["labor_transaction_id", *(column.name for column in columns)])
    values = ", ".join("now()" if column.type == "timestamp" else "'1'" for column in columns)
    source.execute(
        f"INSERT INTO labor_transactions ({names}) VALUES (%(key)s{', ' if values else ''}{values})", {"key": key}
    )
