"""A relay that runs: stopped, followed by another one, beside another one, with servers and sources in trouble."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.ledger.control import Appender
from genims_platform.audit.ledger.opening import open_source
from genims_platform.audit.relay.leadership import LEADER, STANDBY, Leadership
from genims_platform.audit.relay.service import LeaderExistsError, NotBegunError, Relay
from genims_platform.local.process import wait_until
from genims_platform.mysql.connection import Database
from genims_platform_tests.audit.relay.trail import PATIENCE, Trail, running

ACCOUNT = "INSERT INTO accounts (account_id, account_number, account_name) VALUES (%(id)s, %(id)s, %(id)s)"
ACCOUNTS = """INSERT INTO accounts (account_id, account_number, account_name)
    SELECT %(name)s || n, %(name)s || n, 'A' FROM generate_series(1, %(rows)s) n"""


def environment(trail: Trail, **more: str) -> dict[str, str]:
    """The variables of a trail, for a relay that is a process of its own."""
    values = {name.upper(): _text(value) for name, value in trail.settings.model_dump().items() if value is not None}
    values.pop("AUDIT_SOURCE")
    return {**os.environ, **values, **more}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)  # pyright: ignore[reportAttributeAccessIssue]


def own_account(trail: Trail) -> Database:
    """The relay's account, which may end its own connections."""
    return Database(trail.settings.mysql_audit_as("relay"))


@contextmanager
def started(trail: Trail, folder: Path, *options: str, **more: str) -> Generator[subprocess.Popen[str]]:
    """A relay that is a process of its own; if it is still there at the end it is killed, or it would lead for ever."""
    sources = [part for source in trail.sources for part in ("--source", source)]
    command = [sys.executable, "-m", "genims_platform.cli", "audit", "relay", *sources, *options]
    with (
        (folder / "relay.log").open("w") as log,
        subprocess.Popen(
            command, cwd=folder, env=environment(trail, **more), stdout=log, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def ends(process: subprocess.Popen[str], seconds: float) -> int:
    process.wait(seconds)
    return process.returncode


def test_sigterm_ends_the_command_cleanly_while_it_delivers(trail_of_three: Trail, tmp_path: Path) -> None:
    trail = trail_of_three
    trail.sources["crm"].execute(ACCOUNTS, {"name": "T", "rows": 3000})
    before = len(trail.ledger_events("crm"))
    with started(trail, tmp_path) as relay:
        wait_until(lambda: len(trail.ledger_events("crm")) > before + 500, PATIENCE, "nothing was delivered")
        relay.send_signal(signal.SIGTERM)
        assert ends(relay, PATIENCE) == 0
    assert trail.query("SELECT IS_FREE_LOCK(%s)", (f"genims:{trail.settings.mysql_audit_db}.{LEADER}",)) == [(1,)]

    trail.deliver()
    trail.check_complete()


@pytest.mark.parametrize(
    "failpoint", ["after_tick:2", "after_keys:1", "after_spine:2", "mid_details:1", "before_commit:2", "after_commit:2"]
)
def test_a_killed_relay_loses_and_repeats_nothing(trail_of_three: Trail, tmp_path: Path, failpoint: str) -> None:
    trail = trail_of_three
    trail.sources["crm"].execute(ACCOUNTS, {"name": failpoint, "rows": 2500})
    with started(trail, tmp_path, "--once", AUDIT_FAILPOINT=failpoint) as killed:
        assert ends(killed, PATIENCE) == -signal.SIGKILL, (tmp_path / "relay.log").read_text()

    trail.deliver()
    trail.check_complete()


def test_a_standby_takes_over_when_the_leader_ends(trail_of_three: Trail) -> None:
    trail = trail_of_three
    crm = trail.sources["crm"]
    with running(trail) as first:
        first.wait_for(lambda: any(report.working for report in first.reports), "no leader")
        with running(trail, standby=True) as second:
            crm.execute(ACCOUNT, {"id": "1"})
            first.wait_for(lambda: len(trail.ledger_events("crm")) == len(trail.queued("crm")), "first")
            second.wait_for(lambda: any(not report.working for report in second.reports), "no standby")
            first.end()
            crm.execute(ACCOUNT, {"id": "2"})
            second.wait_for(lambda: len(trail.ledger_events("crm")) == len(trail.queued("crm")), "second")
            second.wait_for(lambda: any(report.working for report in second.reports), "it does not lead")
    trail.check_complete()


def test_a_run_that_is_over_waits_for_its_successor(trail_of_three: Trail) -> None:
    trail = trail_of_three
    # It ends without a successor after twice its time.
    with running(trail, seconds=6, standby=True) as first:
        time_over = time.monotonic() + 7
        first.wait_for(lambda: time.monotonic() > time_over or first.ended, "never")
        assert not first.ended
        with running(trail, standby=True) as second:
            first.wait_for(lambda: first.ended, "the first did not end")
            second.wait_for(lambda: any(report.working for report in second.reports), "no successor")


def test_the_time_of_a_standby_begins_when_it_takes_over(trail_of_three: Trail) -> None:
    """One that leads ends because another waits; that one's waiting must not end at the same moment."""
    trail = trail_of_three
    with running(trail) as first:
        first.wait_for(lambda: any(report.working for report in first.reports), "no leader")
        with running(trail, seconds=1, standby=True) as second:
            second.wait_for(lambda: len(second.reports) >= 4, "no standby")
            first.end()
            second.wait_for(lambda: any(report.working for report in second.reports), "it does not lead")


def test_a_second_leader_is_refused_by_name(trail_of_three: Trail) -> None:
    trail = trail_of_three
    with running(trail) as first:
        first.wait_for(lambda: bool(first.reports), "no report")
        with pytest.raises(LeaderExistsError, match=r"connection \d+ of the server.*--standby"):
            Relay(trail.settings, sources=("crm",)).run(threading.Event(), once=True)


def test_two_relays_at_once_only_lose_races(trail_of_three: Trail) -> None:
    trail = trail_of_three
    crm = trail.sources["crm"]
    trail.deliver()
    before = len(trail.queued("crm"))
    with running(trail, exclusive=False) as first, running(trail, exclusive=False) as second:
        for number in range(150):
            crm.execute(ACCOUNT, {"id": f"R{number}"})
        first.wait_for(lambda: len(trail.ledger_events("crm")) == len(trail.queued("crm")), "not delivered")
    assert first.error is None
    assert second.error is None
    assert first.result is not None
    assert second.result is not None
    delivered = first.result.events + second.result.events
    assert delivered >= len(trail.queued("crm")) - before
    trail.check_complete()


def test_a_changed_installation_halts_its_source_only(trail_of_three: Trail) -> None:
    trail = trail_of_three
    crm, hcm = trail.sources["crm"], trail.sources["hcm"]
    trail.deliver()
    uid = crm.value("SELECT value FROM audit.state WHERE key = 'install_uid'")
    change = "UPDATE audit.state SET value = %(uid)s WHERE key = 'install_uid'"
    crm.execute(change, {"uid": "another"})
    try:
        hcm.execute(
            "INSERT INTO employees (employee_id, employee_number, first_name, last_name, hire_date) "
            "VALUES ('H1', 'H1', 'Ada', 'Lovelace', '2020-02-29')"
        )
        crm.execute(ACCOUNT, {"id": "halted"})
        result = trail.deliver()

        assert list(result.halted) == ["crm"]
        assert "genims audit source open crm" in result.halted["crm"]
        assert len(trail.ledger_events("hcm")) == len(trail.queued("hcm"))
        assert len(trail.ledger_events("crm")) < len(trail.queued("crm"))
    finally:
        crm.execute(change, {"uid": uid})
    assert not trail.deliver().halted
    trail.check_complete()


def test_a_tick_of_another_history_halts_its_source(trail: Trail) -> None:
    crm = trail.sources["crm"]
    trail.deliver()
    crm.execute("UPDATE audit.tick SET token = gen_random_uuid()")
    crm.execute(ACCOUNT, {"id": "X"})

    assert "is another one" in trail.deliver().halted["crm"]


def test_a_restored_source_repeats_nothing(trail: Trail) -> None:
    crm = trail.sources["crm"]
    crm.execute(ACCOUNT, {"id": "before"})
    trail.deliver()
    crm.execute(ACCOUNT, {"id": "in the backup"})
    backup = f"{crm.database}_backup"
    with closing(psycopg2.connect(crm.superuser_dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        owner = crm.settings.source_primary("crm").user
        cursor.execute(f"CREATE DATABASE {backup} OWNER {owner} TEMPLATE {crm.database}")
        trail.deliver()
        crm.execute(ACCOUNT, {"id": "lost by the restore"})
        trail.deliver()
        cursor.execute(f"DROP DATABASE {crm.database} WITH (FORCE)")
        cursor.execute(f"ALTER DATABASE {backup} RENAME TO {crm.database}")
    crm.execute(ACCOUNT, {"id": "after"})
    assert "genims audit source open crm" in trail.deliver().halted["crm"]

    with closing(open_ledger(trail.settings, "writer")) as ledger:
        opened = open_source(Appender(ledger), trail.settings.audit_relay("crm"), "crm", reason="restored")
    assert not trail.deliver().halted

    assert opened.incarnation == 2
    assert trail.query(
        """SELECT l.incarnation, l.status, l.primary_key_value, COUNT(d.audit_sequence)
        FROM system_audit_log l LEFT JOIN data_change_audit d USING (audit_sequence)
        WHERE l.source_db = 'crm' AND l.event_kind = 'ROW' GROUP BY l.audit_sequence ORDER BY l.audit_sequence"""
    ) == [
        (1, "OK", "before", 1),
        (1, "OK", "in the backup", 1),
        (1, "OK", "lost by the restore", 1),
        (2, "REPLAYED", "in the backup", 0),
        (2, "OK", "after", 1),
    ]


def test_sources_that_are_not_open_say_what_to_do(trail_of_three: Trail) -> None:
    trail = trail_of_three
    result = Relay(trail.settings, sources=("crm", "qms")).run(threading.Event(), once=True, seconds=PATIENCE)

    assert result.halted == {"qms": "no incarnation of qms is open; run `genims audit source open qms`"}


def test_a_killed_connection_is_made_again(trail_of_three: Trail) -> None:
    trail = trail_of_three
    crm = trail.sources["crm"]
    with running(trail) as relay:
        relay.wait_for(lambda: any(report.working for report in relay.reports), "no report")
        with own_account(trail).administration() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user = %s",
                (trail.settings.mysql_audit_relay_user,),
            )
            for (number,) in cursor.fetchall():
                cursor.execute(f"KILL {int(str(number))}")
        with crm.superuser() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'genims-audit-relay' "
                "AND datname = current_database()"
            )
        crm.execute(ACCOUNT, {"id": "after"})
        relay.wait_for(lambda: len(trail.ledger_events("crm")) == len(trail.queued("crm")), "not delivered")
    trail.check_complete()


def test_a_source_that_hangs_up_is_asked_again(trail_of_three: Trail) -> None:
    trail = trail_of_three
    unreachable = trail.settings.model_copy(update={"pg_crm_db": "genims_no_such_db"})
    result = Relay(unreachable, sources=("crm",)).run(threading.Event(), once=True, seconds=PATIENCE)

    assert "no such database" in result.unreachable["crm"]
    assert not result.halted


def test_locks_go_with_their_connection(trail_of_three: Trail) -> None:
    trail = trail_of_three
    first, second = Leadership(trail.ledger()), Leadership(trail.ledger())
    try:
        assert first.try_for(LEADER)
        assert not second.try_for(LEADER)
        assert second.try_for(STANDBY)
        holder = second.holder(LEADER)
        with own_account(trail).administration() as connection, connection.cursor() as cursor:
            cursor.execute(f"KILL {int(str(holder))}")
        wait_until(lambda: second.try_for(LEADER), PATIENCE, "the lock was not freed")
        wait_until(lambda: not first.holds(LEADER), PATIENCE, "the loss was not noticed")
    finally:
        first.close()
        second.close()


def test_an_empty_audit_database_says_how_to_begin(trail: Trail) -> None:
    with trail.database.administration() as connection, connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE `{trail.settings.mysql_audit_db}`.audit_sequence_manager")
    with pytest.raises(NotBegunError, match="genims audit init"):
        trail.deliver()
