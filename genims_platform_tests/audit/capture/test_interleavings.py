"""Any interleaving of transactions, ticks and reads delivers every committed event once, whole and in order."""

from collections.abc import Generator
from contextlib import ExitStack
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import extensions

from genims_platform.audit.capture.queue import event_keys, make_tick
from genims_platform_tests.audit.capture.captured import Captured

WRITERS = 4
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "write", "commit", "commit", "rollback", "partial rollback", "read"]),
        st.integers(0, WRITERS - 1),
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def writers(crm: Captured) -> Generator[list[extensions.connection]]:
    crm.add_table("interleaved", "id bigserial PRIMARY KEY, writer int", {"class": "operational", "key": "id"})
    with ExitStack() as stack:
        yield [stack.enter_context(crm.session()) for _ in range(WRITERS)]


@pytest.fixture(scope="module")
def reader(crm: Captured) -> Generator[extensions.connection]:
    with crm.session(autocommit=True) as connection:
        yield connection


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
def test_every_committed_event_is_read_once(
    steps: list[tuple[str, int]], writers: list[extensions.connection], reader: extensions.connection
) -> None:
    by_range, _, committed = play(steps, writers, reader)

    assert sorted(number for number, _ in by_range) == sorted(committed)
    transactions = [xid for _, xid in by_range]
    changes = sum(1 for before, after in pairwise(transactions) if before != after)
    assert changes == max(len(set(transactions)) - 1, 0), "a transaction was split"


def test_a_reader_that_goes_by_numbers_loses_events(
    writers: list[extensions.connection], reader: extensions.connection
) -> None:
    """The negative control: the same steps, where the range loses nothing."""
    steps = [("write", 0), ("write", 1), ("commit", 1), ("read", 0), ("write", 2), ("commit", 0), ("commit", 2)]
    by_range, by_number, committed = play(steps, writers, reader)

    assert sorted(number for number, _ in by_range) == sorted(committed)
    assert set(committed) - set(by_number) == {committed[1]}


def play(
    steps: list[tuple[str, int]], writers: list[extensions.connection], reader: extensions.connection
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """(number, transaction) as read by ranges, numbers as read by a cursor on numbers, numbers that were committed."""
    tick, _ = make_tick(reader)
    by_range: list[tuple[int, int]] = []
    by_number: list[int] = []
    last = newest(reader)
    committed: list[int] = []
    open_events: list[list[int]] = [[] for _ in writers]

    def read() -> None:
        nonlocal tick, last
        upto, _ = make_tick(reader)
        by_range.extend((key.event_id, key.xid) for key in event_keys(reader, tick, upto))
        tick = upto
        with reader.cursor() as cursor:
            cursor.execute("SELECT event_id FROM audit.queue WHERE event_id > %s ORDER BY event_id", (last,))
            found = [number for (number,) in cursor.fetchall()]
        by_number.extend(found)
        last = max([last, *found])

    for step, number in steps:
        writer, events = writers[number], open_events[number]
        if step == "write":
            events.append(write(writer, number))
        elif step == "partial rollback":
            with writer.cursor() as cursor:
                cursor.execute("SAVEPOINT part")
                write(writer, number)
                cursor.execute("ROLLBACK TO SAVEPOINT part")
        elif step == "commit":
            writer.commit()
            committed.extend(events)
            events.clear()
        elif step == "rollback":
            writer.rollback()
            events.clear()
        else:
            read()
    for writer, events in zip(writers, open_events, strict=True):
        writer.commit()
        committed.extend(events)
    read()
    return by_range, by_number, committed


def write(writer: extensions.connection, number: int) -> int:
    with writer.cursor() as cursor:
        cursor.execute("INSERT INTO interleaved (writer) VALUES (%s)", (number,))
        cursor.execute("SELECT currval('audit.queue_event_id_seq')")
        (event,) = cursor.fetchall()
        return int(event[0])


def newest(reader: extensions.connection) -> int:
    with reader.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(event_id), 0) FROM audit.queue")
        (found,) = cursor.fetchall()
        return int(found[0])
