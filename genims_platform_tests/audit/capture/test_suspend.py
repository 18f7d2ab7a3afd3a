"""Capture is suspended with leave: all of it or none, recorded, and never taken for capture that works."""

import secrets
from collections.abc import Generator

import pytest

from genims_platform.audit.capture.check import check
from genims_platform.audit.capture.install import install
from genims_platform.audit.capture.session import CaptureBusyError, CaptureError, CaptureRefusedError
from genims_platform.audit.capture.suspend import ROLE, Leave, resume, suspend
from genims_platform.audit.capture.uninstall import uninstall
from genims_platform_tests.audit.capture.captured import Captured
from genims_platform_tests.audit.capture.test_install import insert_labour
from genims_platform_tests.commands.conftest import Genims, genims

__all__ = ["genims"]  # fixture

LEAVE = Leave("ann", "initial load", "CHG-1042")
TABLES = ("electronic_batch_records", "labor_transactions")
OFF = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'zz_audit_%' AND tgenabled = 'D'"


@pytest.fixture
def allowed(mes: Captured) -> Generator[Captured]:
    """A source whose installer may suspend capture."""
    with mes.maintained():
        yield mes


def findings(source: Captured) -> list[tuple[str, str]]:
    return [(finding.kind, finding.name) for finding in check(source.settings, "mes").findings]


def marks(source: Captured, after: int) -> list[str]:
    return [event["op"] for event in source.events(after, "MARK")]


def test_a_table_is_suspended_and_captured_again(allowed: Captured) -> None:
    insert_labour(allowed, "L1")
    before = allowed.newest_event()

    done = suspend(allowed.settings, "mes", ["labor_transactions"], LEAVE)

    (found,) = done.tables
    assert (found.state, found.rows) == ("suspended", 1)
    assert marks(allowed, before) == ["BASELINE", "SUSPENDED"]
    (suspended,) = (event for event in allowed.events(before) if event["op"] == "SUSPENDED")
    assert suspended["table_name"] == "labor_transactions"
    assert '"approval": "CHG-1042"' in suspended["ctx"]
    assert suspended["detail"]["rows"] == 1
    assert suspended["detail"]["reason"] == "initial load"
    assert [event for event in allowed.events(before) if event["kind"] == "SECURITY"] == []
    mark = allowed.newest_event()
    insert_labour(allowed, "L2")
    allowed.execute("UPDATE labor_transactions SET labor_transaction_id = 'L3' WHERE labor_transaction_id = 'L1'")
    assert allowed.events(mark) == []

    assert findings(allowed) == [("suspended", "labor_transactions")]
    (finding,) = check(allowed.settings, "mes").findings
    assert "is suspended since" in finding.message
    assert "by ann, approval CHG-1042: initial load; `genims audit resume --source mes" in finding.message
    assert not install(allowed.settings, "mes").changed
    assert allowed.events(mark) == []

    (back,) = resume(allowed.settings, "mes", None, LEAVE).tables[1:]

    assert (back.table, back.state, back.rows, back.same_rows) == ("labor_transactions", "resumed", 2, False)
    assert back.window is not None
    assert back.window.rows == 1
    assert marks(allowed, mark) == ["RESUMED", "BASELINE"]
    assert findings(allowed) == []
    mark = allowed.newest_event()
    insert_labour(allowed, "L4")
    assert [event["pk"] for event in allowed.events(mark)] == ["L4"]


def test_the_same_rows_are_told_from_as_many_others(allowed: Captured) -> None:
    insert_labour(allowed, "L1")
    suspend(allowed.settings, "mes", None, LEAVE)
    (_, same) = resume(allowed.settings, "mes", None, LEAVE).tables
    suspend(allowed.settings, "mes", None, LEAVE)
    allowed.execute("UPDATE labor_transactions SET labor_transaction_id = 'L2'")
    (_, other) = resume(allowed.settings, "mes", None, LEAVE).tables

    assert (same.rows, same.same_rows) == (1, True)
    assert (other.rows, other.same_rows) == (1, False)


def test_what_is_done_already_is_not_done_again(allowed: Captured) -> None:
    assert [found.state for found in suspend(allowed.settings, "mes", None, LEAVE).tables] == ["suspended"] * 2
    mark = allowed.newest_event()
    again = suspend(allowed.settings, "mes", None, LEAVE)
    assert not again.changed
    assert all(found.window is not None for found in again.tables)
    assert allowed.newest_event() == mark

    preview = resume(allowed.settings, "mes", None, LEAVE, dry_run=True)
    assert preview.changed
    assert (allowed.newest_event(), allowed.value(OFF)) == (mark, 6)
    assert resume(allowed.settings, "mes", None, LEAVE).changed
    mark = allowed.newest_event()
    assert not resume(allowed.settings, "mes", None, LEAVE).changed
    assert allowed.newest_event() == mark


def test_an_account_without_the_role_is_refused(mes: Captured) -> None:
    mark = mes.newest_event()
    with pytest.raises(CaptureRefusedError, match=f"it is no member of {ROLE}. A superuser decides that: GRANT"):
        suspend(mes.settings, "mes", None, LEAVE)
    assert (mes.newest_event(), mes.value(OFF)) == (mark, 0)


def test_only_what_is_captured_can_be_suspended(allowed: Captured, bare: Captured) -> None:
    with pytest.raises(CaptureError, match="table nonsense is not captured; run `genims audit install --source mes`"):
        suspend(allowed.settings, "mes", ["nonsense"], LEAVE)
    uninstall(bare.settings, "mes")
    with pytest.raises(CaptureError, match="the database is not captured"):
        suspend(bare.settings, "mes", None, LEAVE)


def test_a_repair_of_a_suspended_table_leaves_it_suspended(allowed: Captured) -> None:
    suspend(allowed.settings, "mes", None, LEAVE)
    allowed.execute("DROP TRIGGER zz_audit_id ON labor_transactions")
    allowed.execute("ALTER TABLE labor_transactions ENABLE ALWAYS TRIGGER zz_audit_upd")
    assert ("object", "trigger public.labor_transactions.zz_audit_upd") in findings(allowed)

    assert install(allowed.settings, "mes").changed

    assert allowed.value(OFF) == 6
    assert [kind for kind, _ in findings(allowed)] == ["suspended"] * 2


def test_capture_that_was_removed_begins_anew(allowed: Captured) -> None:
    suspend(allowed.settings, "mes", None, LEAVE)
    uninstall(allowed.settings, "mes")
    install(allowed.settings, "mes")

    assert (findings(allowed), allowed.value(OFF)) == ([], 0)


@pytest.mark.parametrize("act", ["suspend", "resume"])
def test_halfway_there_is_nothing(allowed: Captured, settings_environment: dict[str, str], act: str) -> None:
    if act == "resume":
        suspend(allowed.settings, "mes", None, LEAVE)
    state = allowed.newest_event(), allowed.value(OFF), findings(allowed)
    options = ["--reason", "load"] if act == "suspend" else []

    # The first table is switched by then.
    allowed.killed_at_a_lock("labor_transactions", settings_environment, act, "--approval", "CHG-1", *options)

    assert (allowed.newest_event(), allowed.value(OFF), findings(allowed)) == state


def test_tables_that_stay_locked_are_named(allowed: Captured) -> None:
    hurried = allowed.settings.model_copy(update={"data_sync_retry_count": 0})
    with allowed.session() as writer, writer.cursor() as cursor:
        cursor.execute("LOCK TABLE labor_transactions IN ROW EXCLUSIVE MODE")
        with pytest.raises(CaptureBusyError, match="nothing was changed"):
            suspend(hurried, "mes", None, LEAVE)
    assert allowed.value(OFF) == 0


def test_event_triggers_of_a_superuser_say_nothing_of_it(mes: Captured) -> None:
    role = f"g{secrets.token_hex(4)}_super"
    with mes.superuser() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'strong'")
        strong = mes.settings.model_validate(
            mes.settings.model_dump() | {"audit_pg_install_user": role, "audit_pg_install_password": "strong"}
        )
        try:
            install(strong, "mes")
            mark = mes.newest_event()
            suspend(strong, "mes", ["labor_transactions"], LEAVE)
            kinds = [event["kind"] for event in mes.events(mark)]
            assert set(kinds) == {"MARK", "SCHEMA"}
            assert mes.value("SELECT count(*) FROM pg_event_trigger WHERE evtenabled = 'A'") == 2
        finally:
            cursor.execute(f"REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}")


def test_the_commands_say_what_they_did(allowed: Captured, genims: Genims) -> None:
    here = {"PG_MES_DB": allowed.database}
    about = ("--source", "mes", "--table", "labor_transactions", "--approval", "CHG-7")
    insert_labour(allowed, "L1")

    assert genims("audit", "suspend", "--source", "mes", "--reason", "load", **here).exit_code == 2
    preview = genims("audit", "suspend", *about, "--reason", "load", "--dry-run", **here)
    assert preview.stdout == "mes.labor_transactions  would be: suspended; it has 1 rows\n"
    done = genims("audit", "suspend", *about, "--reason", "load", **here)
    assert (done.exit_code, done.stdout) == (0, "mes.labor_transactions  suspended; it has 1 rows\n")
    assert "is suspended since" in genims("audit", "suspend", *about, "--reason", "load", **here).stdout
    checked = genims("audit", "check", "--source", "mes", **here)
    assert (checked.exit_code, "approval CHG-7: load" in checked.stdout) == (1, True)
    insert_labour(allowed, "L2")
    back = genims("audit", "resume", *about, **here)
    assert back.exit_code == 0
    assert back.stdout.endswith("it has 2 rows, it had 1 before; its rows changed meanwhile\n")
    wrong = genims("audit", "resume", "--source", "mes", "--table", "x", "--approval", "CHG-7", **here)
    assert (wrong.exit_code, "no audited table of mes" in wrong.stderr) == (2, True)
