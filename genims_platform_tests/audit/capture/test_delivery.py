"""Ticks, ranges and rotation, one scripted order of events at a time."""

import threading
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from psycopg2 import errors, extensions, sql

from genims_platform.audit.capture.queue import EVENTS, KEYS, event_keys, make_tick, read_events
from genims_platform.local.process import wait_until
from genims_platform_tests.audit.capture.captured import Captured

INSERT = "INSERT INTO accounts (account_id, account_number, account_name) VALUES (%(id)s, %(id)s, %(id)s)"
MANY = """
    INSERT INTO accounts (account_id, account_number, account_name)
    SELECT id, id, 'many' FROM generate_series(1, 3000) n, left(md5(n || clock_timestamp()::text), 16) id
"""
GATE = 4711


@pytest.fixture
def reader(crm: Captured) -> Generator[extensions.connection]:
    with crm.session(autocommit=True) as connection:
        yield connection


def delivered(reader: extensions.connection, after: int, upto: int) -> list[str | None]:
    return [event.pk for event in read_events(reader, event_keys(reader, after, upto))]


def test_a_number_that_commits_late_is_in_the_range_of_its_commit(crm: Captured, reader: extensions.connection) -> None:
    start, _ = make_tick(reader)
    with crm.session() as early, early.cursor() as cursor:
        cursor.execute(INSERT, {"id": "T1"})
        crm.execute(INSERT, {"id": "T2"})
        first, _ = make_tick(reader)
        seen = crm.newest_event()
        early.commit()
    second, _ = make_tick(reader)

    assert delivered(reader, start, first) == ["T2"]
    assert delivered(reader, first, second) == ["T1"]
    assert delivered(reader, start, second) == ["T1", "T2"]
    assert crm.events(seen) == []  # what a reader that goes by numbers would have found: T1 is lost to it


def test_transactions_stay_whole_and_rows_keep_the_order_of_their_versions(
    crm: Captured, reader: extensions.connection
) -> None:
    start, _ = make_tick(reader)
    crm.execute(INSERT, {"id": "V"})
    with crm.session() as slow, slow.cursor() as first, crm.session() as fast, fast.cursor() as second:
        first.execute(INSERT, {"id": "S1"})
        second.execute(INSERT, {"id": "F1"})
        first.execute("UPDATE accounts SET account_name = 'slow' WHERE account_id = 'V'")
        second.execute(INSERT, {"id": "F2"})
        fast.commit()
        first.execute(INSERT, {"id": "S2"})
        slow.commit()
        second.execute("UPDATE accounts SET account_name = 'fast' WHERE account_id = 'V'")
        fast.commit()
    end, _ = make_tick(reader)

    assert delivered(reader, start, end) == ["V", "F1", "F2", "S1", "V", "S2", "V"]


def test_idle_ticks_are_not_stored(crm: Captured, reader: extensions.connection) -> None:
    make_tick(reader)
    # Transactions of other databases, and a slow machine, would be reasons for a tick.
    crm.execute(
        "UPDATE audit.tick SET at = 'infinity', "
        "snap = format('%1$s:%1$s:', pg_snapshot_xmax(pg_current_snapshot()))::pg_snapshot"
    )
    assert [make_tick(reader)[1] for _ in range(3)] == [False, False, False]
    crm.execute(INSERT, {"id": "I1"})
    assert make_tick(reader)[1]


def test_a_commit_is_seen_at_once_though_its_event_was_written_before_the_tick(
    crm: Captured, reader: extensions.connection
) -> None:
    """Its transaction is the newest one, which no snapshot lists as running."""
    with crm.session() as writer, writer.cursor() as cursor:
        cursor.execute(INSERT, {"id": "N1"})
        before, _ = make_tick(reader)
        with reader.cursor() as own:
            own.execute("UPDATE audit.tick SET at = 'infinity' WHERE tick_id = %s", (before,))
        writer.commit()
    after, made = make_tick(reader)

    assert made
    assert delivered(reader, before, after) == ["N1"]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_tick_is_a_transaction_of_its_own(crm: Captured, level: str) -> None:
    with crm.session() as connection, connection.cursor() as cursor:
        cursor.execute(INSERT, {"id": "never"})
        with pytest.raises(errors.ActiveSqlTransaction, match="must be called in autocommit"):
            cursor.execute("SELECT audit.make_tick()")
        connection.rollback()
        cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        with pytest.raises(errors.ActiveSqlTransaction, match="READ COMMITTED"):
            cursor.execute("SELECT audit.make_tick()")


@pytest.mark.parametrize(("sequence_first", "made"), [(True, True), (False, False)])
def test_the_sequence_is_read_before_the_snapshot(
    crm: Captured, reader: extensions.connection, sequence_first: bool, made: bool
) -> None:
    """Between the two another transaction commits; read in the other order, its event is not delivered by itself."""
    name = gated_tick(crm, sequence_first=sequence_first)
    start, _ = make_tick(reader)
    key = f"G{sequence_first}"
    crm.execute(INSERT, {"id": f"before {key}"})
    with crm.session(autocommit=True) as gate, gate.cursor() as cursor, crm.session(autocommit=True) as other:
        cursor.execute("SELECT pg_advisory_lock(%s)", (GATE,))
        tick = threading.Thread(target=call, args=(other, name))
        tick.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %(gate)s AND NOT granted"
        wait_until(lambda: crm.value(waiting, {"gate": GATE}) == 1, 60, "the tick did not come to the gate")
        crm.execute(INSERT, {"id": key})
        cursor.execute("SELECT pg_advisory_unlock(%s)", (GATE,))
        tick.join()
        gated = int(crm.value("SELECT max(tick_id) FROM audit.tick"))
        seen = delivered(reader, start, gated)
        call(other, name)
        again = int(crm.value("SELECT max(tick_id) FROM audit.tick"))

    assert (key in seen) == sequence_first
    assert (again > gated) == made
    assert (key in delivered(reader, start, again)) == sequence_first


def gated_tick(crm: Captured, *, sequence_first: bool) -> str:
    """A copy of make_tick that waits between sequence and snapshot, without what makes up for mistakes."""
    name = "tick_first" if sequence_first else "tick_last"
    text = str(crm.value("SELECT pg_get_functiondef('audit.make_tick()'::regprocedure)"))
    gate = f"PERFORM pg_advisory_xact_lock({GATE});"
    text = text.replace("FUNCTION audit.make_tick()", f"FUNCTION public.{name}()").replace("'2 s'", "'1 day'")
    text = text.replace("OR EXISTS (SELECT", "OR false AND EXISTS (SELECT")
    text = text.replace("h bigint;", "h bigint; s pg_snapshot;").replace(
        "SELECT pg_current_snapshot(), h", "SELECT s, h"
    )
    sequence = "SELECT last_value INTO h FROM audit.queue_event_id_seq;"
    snapshot = "s := pg_current_snapshot();"
    steps = (sequence, gate, snapshot) if sequence_first else (snapshot, gate, sequence)
    assert sequence in text
    crm.execute(text.replace(sequence, " ".join(steps)))
    return name


def call(connection: extensions.connection, function: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT * FROM {}()").format(sql.Identifier(function)))


def age(crm: Captured, slot: int, days: int) -> None:
    """An event in this slot that happened so many days ago."""
    crm.execute(
        "INSERT INTO audit.queue (slot, occurred_at, kind, op, pk) "
        "VALUES (%(slot)s, now() - make_interval(days => %(days)s), 'ROW', 'INSERT', %(pk)s)",
        {"slot": slot, "days": days, "pk": f"aged{slot}"},
    )


def today(crm: Captured) -> int:
    return int(crm.value("SELECT (floor(extract(epoch FROM now()) / 86400))::bigint % 32"))


def rotate(reader: extensions.connection, tick: int) -> list[str]:
    with reader.cursor() as cursor:
        cursor.execute("SELECT audit.rotate(%s, 14)", (tick,))
        (found,) = cursor.fetchall()
        return found[0]


def test_rotation_drops_only_what_is_old_and_delivered(crm: Captured, reader: extensions.connection) -> None:
    old, other, young, locked = ((today(crm) + offset) % 32 for offset in (10, 12, 14, 16))
    age(crm, old, 20)
    age(crm, locked, 20)
    age(crm, young, 13)
    with crm.session() as running, running.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit.queue (slot, occurred_at, kind, op) "
            "VALUES (%s, now() - interval '20 days', 'ROW', 'INSERT')",
            (other,),
        )
        age(crm, other, 20)
        delivered_tick, _ = make_tick(reader)
        running.commit()
    before = int(crm.value("SELECT min(tick_id) FROM audit.tick"))
    crm.execute("UPDATE audit.tick SET at = now() - interval '20 days' WHERE tick_id <= %(t)s", {"t": delivered_tick})
    newer, _ = make_tick(reader)

    with crm.session() as writer, writer.cursor() as cursor:
        cursor.execute(
            sql.SQL("LOCK TABLE audit.{} IN ROW EXCLUSIVE MODE").format(sql.Identifier(f"queue_{locked:02}"))
        )
        assert rotate(reader, 1 if before == 1 else before) == []
        assert rotate(reader, delivered_tick) == [str(old)]
        writer.rollback()
    assert rotate(reader, delivered_tick) == [str(locked)]
    assert crm.value("SELECT min(tick_id) FROM audit.tick") == delivered_tick
    assert sorted(rotate(reader, newer)) == [str(other)]
    assert crm.value("SELECT count(*) FROM audit.queue WHERE pk LIKE 'aged%'") == 1


def test_rotation_needs_a_known_tick(crm: Captured, reader: extensions.connection) -> None:
    assert crm.newest_event()
    with pytest.raises(errors.NoDataFound):
        rotate(reader, 10**9)


def test_an_event_that_left_the_queue_is_an_error(crm: Captured, reader: extensions.connection) -> None:
    crm.execute(INSERT, {"id": "E1"})
    start, _ = make_tick(reader)
    crm.execute(INSERT, {"id": "E2"})
    end, _ = make_tick(reader)
    keys = event_keys(reader, start, end)
    crm.execute("DELETE FROM audit.queue WHERE event_id = %(id)s", {"id": keys[0].event_id})

    with pytest.raises(LookupError, match="holds no event"):
        read_events(reader, keys)


def test_the_digest_covers_every_field(crm: Captured, reader: extensions.connection) -> None:
    start, _ = make_tick(reader)
    crm.execute(INSERT, {"id": "D1"})
    end, _ = make_tick(reader)
    keys = event_keys(reader, start, end)
    (event,) = read_events(reader, keys)
    for change in (
        "kind = 'X'",
        "pk = 'X'",
        "new = new || '{\"a\": 1}'",
        "ctx = '{}'",
        "detail = '{}'",
        "db_user = 'x'",
        "nonce = gen_random_uuid()",
        "occurred_at = occurred_at + interval '1 us'",
    ):
        with crm.session() as connection, connection.cursor() as cursor:
            cursor.execute(f"UPDATE audit.queue SET {change} WHERE event_id = %s", (event.event_id,))
            (altered,) = read_events(connection, keys)
            assert altered.digest != event.digest, change
    assert read_events(reader, keys) == [event]


def test_a_plan_from_before_the_day_filled_its_slot_reads_no_more_than_it_needs(
    crm: Captured, reader: extensions.connection
) -> None:
    def scanned(statement: str) -> float:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE {statement}")
        (((plan,),),) = cursor.fetchall()
        return sum(
            (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            for node in nodes(plan["Plan"])
            if node.get("Relation Name", "").startswith("queue_")
        )

    def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield node
        for child in node.get("Plans", ()):
            yield from nodes(child)

    with crm.superuser() as connection, connection.cursor() as superuser:
        superuser.execute("TRUNCATE audit.queue")
    with reader.cursor() as cursor:
        cursor.execute("SET plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE events (smallint, bigint[]) AS {EVENTS % {'slot': '$1', 'ids': '$2'}}")
        cursor.execute(f"PREPARE keys (bigint, bigint) AS {KEYS % {'after': '$1', 'upto': '$2'}}")
        start, _ = make_tick(reader)
        assert scanned("events (1, '{1}')") == scanned(f"keys ({start}, {start})") == 0
        crm.execute(MANY)
        filled, _ = make_tick(reader)
        crm.execute(INSERT, {"id": "LAST"})
        end, _ = make_tick(reader)
        (key,) = event_keys(reader, filled, end)

        assert scanned(f"events ({key.slot}, '{{{key.event_id}}}')") == 1
        assert scanned(f"keys ({filled}, {end})") == 1


def test_a_look_that_finds_nothing_never_reads_the_queue(crm: Captured, reader: extensions.connection) -> None:
    def read_in_order() -> int:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables WHERE relname LIKE 'queue_%'")
        ((found,),) = cursor.fetchall()
        return found

    with crm.superuser() as connection, connection.cursor() as superuser:
        superuser.execute("TRUNCATE audit.queue")
    with reader.cursor() as cursor:
        cursor.execute("SET plan_cache_mode = force_generic_plan")
        make_tick(reader)
        make_tick(reader)
        crm.execute(MANY)
        make_tick(reader)
        before = read_in_order()

        assert make_tick(reader)[1] is False
        assert read_in_order() == before
