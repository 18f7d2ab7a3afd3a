"""The trail against a real queue: equal, with an event missing, invented, altered and repeated."""

import json
import secrets
from collections.abc import Generator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from psycopg2 import sql
from pydantic import SecretStr
from typer.testing import CliRunner

from genims_platform.audit.accounts import ensure_accounts
from genims_platform.audit.capture.queue import event_keys, make_tick, read_events
from genims_platform.audit.database import audit_database
from genims_platform.audit.ledger.entries import Entry
from genims_platform.audit.reconcile.comparison import Comparison
from genims_platform.audit.reconcile.source import reconcile_days, reconcile_hour, reconcile_sequence
from genims_platform.cli import app
from genims_platform.commands import audit_reconcile
from genims_platform.local.servers import Engine, LocalServers
from genims_platform.mysql.append_only import LEDGER
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import Settings
from genims_platform.sources.connection import connect
from genims_platform_tests.audit.capture.captured import Captured, captured_source
from genims_platform_tests.audit.conftest import drop, with_accounts
from genims_platform_tests.audit.verify.attacker import Attacker
from genims_platform_tests.audit.verify.trail import INSTANCE, START, Trail


class Delivered:
    """A source of which some ranges are delivered, ledger rows only."""

    def __init__(self, source: Captured, trail: Trail) -> None:
        self.source, self.trail = source, trail
        self.tick = 1

    def deliver(self, recorded_at: datetime) -> list[int]:
        """Deliver what is in the queue as one batch and return the numbers of its events in the queue."""
        with connect(self.source.settings.audit_relay("crm"), autocommit=True) as connection:
            upto, _ = make_tick(connection)
            keys = event_keys(connection, self.tick, upto)
            events = read_events(connection, keys)
        entries = [
            Entry(
                {
                    "event_id": event.event_id,
                    "audit_timestamp": START,
                    "event_kind": event.kind,
                    "operation_type": event.op,
                    "table_name": event.table_name,
                    "status": "OK",
                    "event_digest": event.digest,
                }
            )
            for event in events
        ]
        self.trail.stream("crm", [], entries=entries, recorded_at=recorded_at, upto=upto)
        self.tick = upto
        return [event.event_id for event in events]


@pytest.fixture(scope="module")
def delivered(
    settings: Settings, engine: Engine, servers: LocalServers, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Delivered]:
    login = f"g{secrets.token_hex(4)}_relay"
    relay = {"audit_pg_relay_user": login, "audit_pg_relay_password": SecretStr(secrets.token_hex(8))}
    reader = settings.model_copy(update=relay)
    source = captured_source(reader, "crm", "reconcile", servers.postgres_superuser_dsn)
    own = with_accounts(source.settings, engine, f"{settings.mysql_audit_db}_reconcile")
    database = audit_database(own)
    now = database_time(own)
    deploy(database, "audit", today=now.date())
    ensure_accounts(database, own)
    home: Path = tmp_path_factory.mktemp("reconcile")
    made = Delivered(source, Trail(own, home))
    made.trail.control(
        "GENESIS", "MARK", "GENESIS", payload={"instance": INSTANCE}, recorded_at=now - timedelta(hours=3)
    )
    made.trail.stream("crm", [], kind="OPEN", recorded_at=now - timedelta(hours=3))
    made.deliver(now - timedelta(hours=2))
    for number in range(4):
        names = "territory_id, territory_code, territory_name"
        source.execute(f"INSERT INTO sales_territories ({names}) VALUES ('T{number}', 'C{number}', 'N')")
    source.execute("UPDATE sales_territories SET territory_name = 'Z'")
    made.deliver(now - timedelta(minutes=10))
    yield made
    made.trail.ledger.close()
    drop(database, own)
    with source.superuser() as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))


def database_time(settings: Settings) -> datetime:
    database = audit_database(settings)
    with database.administration() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT UTC_TIMESTAMP(6)")
        ((now,),) = cursor.fetchall()  # pyright: ignore
    return now  # pyright: ignore


@pytest.fixture
def attacker(delivered: Delivered) -> Generator[Attacker]:
    made = Attacker(delivered.trail)
    made.unfence((LEDGER,))
    yield made
    made.restore((LEDGER,), rebuild=False)
    made.fence((LEDGER,))
    made.close()


def hour(delivered: Delivered) -> Comparison:
    (found,) = reconcile_hour(delivered.trail.settings, "crm")
    return found


def newest_events(attacker: Attacker) -> list[int]:
    return [event for (event,) in attacker.rows(f"SELECT event_id FROM {LEDGER} WHERE batch_no = 3 ORDER BY event_id")]


def test_a_whole_trail_agrees(delivered: Delivered) -> None:
    found = hour(delivered)
    assert (found.status, found.gap_found, found.actual[0]) == ("OK", False, 8)
    assert found.expected == found.actual
    days = reconcile_days(delivered.trail.settings, "crm")
    assert {day.status for day in days} == {"OK"}
    # 4 inserts, 4 updates, and the count of rows when capture was installed; midnight may lie between them.
    assert sum(day.actual[0] for day in days if day.table == "sales_territories") == 9
    whole = reconcile_sequence(delivered.trail.settings)
    assert whole
    assert (whole.status, whole.source) == ("OK", "*")
    assert reconcile_hour(delivered.trail.settings, "mes") == []


def test_a_missing_event_is_named(delivered: Delivered, attacker: Attacker) -> None:
    events = newest_events(attacker)
    attacker.run(f"DELETE FROM {LEDGER} WHERE source_db = 'crm' AND event_id = {events[3]}")
    found = hour(delivered)
    assert (found.status, found.difference.missing, found.difference.unexpected) == ("GAP", (events[3],), ())
    whole = reconcile_sequence(delivered.trail.settings)
    assert whole
    assert (whole.status, whole.broken) == (
        "GAP",
        {"numbers_missing_or_twice": 1, "numbers_not_unique": 0, "events_twice": 0},
    )


def test_a_phantom_is_named(delivered: Delivered, attacker: Attacker) -> None:
    attacker.copy(
        LEDGER,
        {"event_id": "4711", "recorded_at": "recorded_at + INTERVAL 1 YEAR"},
        f"source_db = 'crm' AND event_id = {newest_events(attacker)[2]}",
    )
    found = hour(delivered)
    assert (found.status, found.difference.missing, found.difference.unexpected) == ("GAP", (), (4711,))


def test_an_event_that_is_there_twice_is_named(delivered: Delivered, attacker: Attacker) -> None:
    event = newest_events(attacker)[0]
    attacker.copy(LEDGER, {"recorded_at": "recorded_at + INTERVAL 1 YEAR"}, f"source_db = 'crm' AND event_id = {event}")
    found = hour(delivered)
    assert (found.status, found.difference.duplicate) == ("GAP", (event,))


def test_an_event_with_another_digest_is_named(delivered: Delivered, attacker: Attacker) -> None:
    event = newest_events(attacker)[1]
    attacker.run(
        f"UPDATE {LEDGER} SET event_digest = UNHEX(SHA2('x', 256)) WHERE source_db = 'crm' AND event_id = {event}"
    )
    found = hour(delivered)
    assert (found.status, found.difference.altered) == ("MISMATCH", (event,))


def test_the_command_records_and_fails_on_a_gap(delivered: Delivered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_reconcile, "current_settings", lambda: delivered.trail.settings)
    runner = CliRunner()
    done = runner.invoke(app, ["audit", "reconcile", "--source", "crm", "--json"])
    assert done.exit_code == 0, done.output
    assert [row["status"] for row in json.loads(done.stdout)["comparisons"]] == ["OK", "OK"]
    database = audit_database(delivered.trail.settings)
    rows = database.read("SELECT check_type, checked_source, status, gap_found FROM audit_trail_completeness")
    assert rows.rows() == [("HOURLY", "crm", "OK", 0), ("SEQUENCE", "*", "OK", 0)]
    attacker = Attacker(delivered.trail)
    attacker.unfence((LEDGER,))
    attacker.run(f"DELETE FROM {LEDGER} WHERE source_db = 'crm' AND event_id = {newest_events(attacker)[4]}")
    attacker.fence((LEDGER,))
    attacker.close()
    for _ in range(2):
        done = runner.invoke(app, ["audit", "reconcile", "--source", "crm"])
        assert done.exit_code == 1
        assert "missing: " in done.output
    cases = database.read("SELECT object_ref, severity FROM compliance_violations ORDER BY object_ref").rows()
    assert cases == [("HOURLY crm", "CRITICAL"), ("SEQUENCE *", "CRITICAL")]
    database.close()


def test_a_source_that_is_no_source() -> None:
    assert CliRunner().invoke(app, ["audit", "reconcile", "--source", "sap"]).exit_code == 2
