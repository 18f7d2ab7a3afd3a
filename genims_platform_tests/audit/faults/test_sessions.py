"""What sessions of a source do: commits out of order, transactions that stay open, values and sizes at their limits."""

import threading
from collections.abc import Generator
from contextlib import closing
from uuid import uuid4

import psycopg2
import pytest
from psycopg2 import errors, extensions

from genims_platform.local.process import wait_until
from genims_platform.sources.connection import connect
from genims_platform_tests.audit.faults.run import STALL_SECONDS
from genims_platform_tests.audit.faults.stage import ACCOUNT, MATERIALS, Stage

pytestmark = pytest.mark.fault

PROMPT = 10
"""Seconds in which an event must arrive though no other one follows it; far less on a machine that is not busy."""


@pytest.fixture
def delivering(trail: Stage) -> Generator[Stage]:
    """A trail with a relay at work; it is checked in the end."""
    relay = trail.relay()
    key = f"start {uuid4()}"
    trail.execute("crm", ACCOUNT, {"id": key})
    wait_until(lambda: arrived(trail, key), STALL_SECONDS, "the relay does not begin")
    yield trail
    assert relay.running, relay.tail()
    trail.assert_clean()


def arrived(stage: Stage, key: str) -> bool:
    rows = stage.audit("SELECT COUNT(*) FROM system_audit_log WHERE primary_key_value = %s", (key,))
    return rows[0][0] > 0


def arrives(stage: Stage, key: str) -> None:
    wait_until(lambda: arrived(stage, key), PROMPT, f"{key} did not arrive within {PROMPT} s")


def test_a_number_that_commits_late_arrives_at_once(delivering: Stage) -> None:
    with delivering.session("crm") as early, early.cursor() as cursor:
        cursor.execute(ACCOUNT, {"id": "L-1"})
        delivering.execute("crm", ACCOUNT, {"id": "L-2"})
        arrives(delivering, "L-2")
        assert not arrived(delivering, "L-1")
        early.commit()
        arrives(delivering, "L-1")


def test_each_event_arrives_though_none_follows(delivering: Stage) -> None:
    """Wherever between a tick's steps it is committed."""
    for number in range(12):
        delivering.execute("crm", ACCOUNT, {"id": f"E-{number}"})
        arrives(delivering, f"E-{number}")


def test_transactions_that_stay_open_hold_nobody_up(delivering: Stage) -> None:
    elsewhere = psycopg2.connect(delivering.postgres.superuser_dsn)
    with (
        delivering.session("crm") as writing,
        delivering.session("crm") as reading,
        delivering.session("crm") as prepared,
    ):
        reading.set_session(isolation_level=extensions.ISOLATION_LEVEL_REPEATABLE_READ)
        prepared.autocommit = True
        with writing.cursor() as one, reading.cursor() as two, prepared.cursor() as three, elsewhere.cursor() as four:
            four.execute("CREATE TEMPORARY TABLE kept AS SELECT pg_current_xact_id()")
            one.execute(ACCOUNT, {"id": "O-open"})
            one.execute("SAVEPOINT kept")
            two.execute("SELECT count(*) FROM accounts")
            three.execute("BEGIN")
            three.execute(ACCOUNT, {"id": "O-prepared"})
            three.execute("PREPARE TRANSACTION 'O-prepared'")
            for number in range(5):
                delivering.execute("crm", ACCOUNT, {"id": f"O-{number}"})
                arrives(delivering, f"O-{number}")
            assert not arrived(delivering, "O-open")
            assert not arrived(delivering, "O-prepared")
            three.execute("COMMIT PREPARED 'O-prepared'")
            arrives(delivering, "O-prepared")
            one.execute("ROLLBACK TO kept")
            writing.commit()
            arrives(delivering, "O-open")
            reading.rollback()
    elsewhere.close()


ODD_COLUMNS = {
    "x_bigint": ("bigint", "-9223372036854775808"),
    "x_numeric": ("numeric", "NaN"),
    "x_infinite": ("numeric", "-Infinity"),
    "x_huge": ("numeric", "1" + "0" * 400),
    "x_tiny": ("numeric", "0." + "0" * 300 + "1"),
    "x_float": ("double precision", "Infinity"),
    "x_real": ("real", "NaN"),
    "x_money": ("money", "-12.34"),
    "x_bytea": ("bytea", "\\x00ff"),
    "x_time": ("time with time zone", "24:00:00+05:30"),
    "x_timestamptz": ("timestamptz", "infinity"),
    "x_old": ("timestamptz", "0044-03-15 12:00:00+00 BC"),
    "x_date": ("date", "5874897-12-31"),
    "x_interval": ("interval", "1 year -3 days 04:05:06.000001"),
    "x_json": ("json", '{"b": 1.10, "a": [null, 1e400, "\\u00e9"], "b2": {}}'),
    "x_jsonb": ("jsonb", '{"b": 1.10, "a": [null, 1e300, "é"], "b2": {}}'),
    "x_xml": ("xml", "<a>&amp;</a>"),
    "x_uuid": ("uuid", "00000000-0000-0000-0000-00000000000f"),
    "x_inet": ("inet", "fe80::1/64"),
    "x_bits": ("bit varying", "10110"),
    "x_point": ("point", "(1,2)"),
    "x_array": ("text[]", '{"a,b",NULL,"c\\"d",{}}'.replace(",{}", "")),
    "x_range": ("tstzrange", "[2020-01-01,)"),
    "x_tsvector": ("tsvector", "'a':1 'b':2"),
    "x_char": ("char(5)", "ab"),
    "x_emoji": ("text", "👩‍🏭 \u202e \U0001f3ed ÿ"),
    "x_control": ("text", "tab\t line\r\n \x01 \x7f"),
    "x_empty": ("text", ""),
    "x_bool": ("boolean", "t"),
}


def test_values_of_every_type_arrive_as_they_are(delivering: Stage) -> None:
    added = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {kind}" for name, (kind, _) in ODD_COLUMNS.items())
    delivering.execute("crm", f"ALTER TABLE accounts {added}")
    delivering.execute("crm", "DELETE FROM accounts WHERE account_id = 'T-1'")
    delivering.execute("crm", ACCOUNT, {"id": "T-1"})
    values = {name: value for name, (_, value) in ODD_COLUMNS.items()}
    setting = ", ".join(f"{name} = %({name})s" for name in values)
    cleared = ", ".join(f"{name} = NULL" for name in values)
    delivering.execute("crm", f"UPDATE accounts SET {setting} WHERE account_id = 'T-1'", values)
    delivering.execute("crm", f"UPDATE accounts SET {cleared} WHERE account_id = 'T-1'")
    delivering.execute("crm", f"UPDATE accounts SET {setting} WHERE account_id = 'T-1'", values)
    delivering.execute("crm", "DELETE FROM accounts WHERE account_id = 'T-1'")
    delivering.execute("crm", ACCOUNT, {"id": "T-2"})
    arrives(delivering, "T-2")


def test_the_relays_account_only_reads_the_queue(delivering: Stage) -> None:
    settings = delivering.settings.audit_relay("crm")
    with closing(connect(settings, autocommit=True)) as connection:
        for statement in (
            "SELECT * FROM accounts",
            "UPDATE accounts SET notes = ''",
            "INSERT INTO audit.queue (kind, op) VALUES ('ROW', 'INSERT')",
            "UPDATE audit.queue SET op = 'X'",
            "DELETE FROM audit.queue",
            "TRUNCATE audit.queue_00",
            "INSERT INTO audit.tick (snap, seq_hint) VALUES (pg_current_snapshot(), 0)",
            "DELETE FROM audit.tick",
            "UPDATE audit.state SET value = 'x'",
            "UPDATE audit.policy SET class = 'operational'",
            "ALTER TABLE accounts DISABLE TRIGGER ALL",
            "SET session_replication_role = replica",
            "SELECT setval('audit.queue_event_id_seq', 1)",
            "SELECT audit.log_security('X', 'LOW', 'x')",
            "SET ROLE genims_audit_owner",
        ):
            with connection.cursor() as cursor, pytest.raises((errors.InsufficientPrivilege, errors.UndefinedTable)):
                cursor.execute(statement)


def test_a_value_of_20_megabytes_arrives_whole(delivering: Stage) -> None:
    text = "repeat('Straße 🏭 ' || md5('x'), 20 << 20 >> 6) || 'end'"
    delivering.execute("crm", ACCOUNT, {"id": "B-1"})
    delivering.execute("crm", f"UPDATE accounts SET description = {text} WHERE account_id = 'B-1'")
    delivering.execute("crm", "UPDATE accounts SET description = 'short' WHERE account_id = 'B-1'")
    arrives(delivering, "B-1")


def test_a_large_transaction_holds_no_other_source_up(delivering: Stage) -> None:
    large = threading.Thread(target=delivering.execute, args=("erp", MATERIALS, {"id": "M-", "rows": 15_000}))
    large.start()
    large.join()
    for number in range(4):
        delivering.execute("crm", ACCOUNT, {"id": f"S-{number}"})
        arrives(delivering, f"S-{number}")
