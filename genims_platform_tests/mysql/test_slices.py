import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from genims_platform.mysql.connection import Database
from genims_platform.mysql.contract import ContractError, TableContract
from genims_platform.mysql.errors import TransientError
from genims_platform.mysql.locks import LockTimeoutError, lock_name
from genims_platform.mysql.slices import LoadError, Published, exclusive_writer, stored_rows
from genims_platform.settings import PROJECT_ROOT
from genims_platform_tests.mysql import loading_process
from genims_platform_tests.mysql.conftest import CONTRACTS, DAY, NEXT_DAY, kill, rows

TABLE = "sample_daily"
POLL_SECONDS = 0.02


@pytest.fixture(params=["file", "insert"])
def loader(request: pytest.FixtureRequest, database: Database) -> Database:
    """The database once with LOAD DATA and once as if the server did not allow it."""
    assert database.loads_files
    if request.param == "insert":
        database.__dict__["loads_files"] = False
    return database


def replace(
    database: Database, frame: pl.DataFrame, end: date = NEXT_DAY, *, first: date = DAY, only_changed: bool = False
) -> Published:
    with exclusive_writer(database, TABLE, timeout=5) as writer:
        return writer.replace(CONTRACTS[TABLE], frame, [(first, end)], period_column="day", only_changed=only_changed)


def content(database: Database, contract: TableContract = CONTRACTS[TABLE]) -> pl.DataFrame:
    with database.connection() as connection:
        return stored_rows(connection, contract, "1 = 1").sort(contract.primary_key)


def test_a_slice_is_replaced_and_its_neighbours_stay(loader: Database):
    neighbour = rows({"a": 9}, day=NEXT_DAY)
    replace(loader, neighbour, NEXT_DAY + timedelta(days=1), first=NEXT_DAY)
    first = replace(loader, rows({"a": 1, "b": 2, "c": 3, "d": 4}))
    assert (first.rows_written, first.rows_deleted, first.periods_changed) == (4, 0, (DAY,))
    second = replace(loader, rows({"b": 5}))
    assert (second.rows_written, second.rows_deleted) == (1, 4)
    assert_frame_equal(content(loader), pl.concat([rows({"b": 5}), neighbour]))
    emptied = replace(loader, rows({}))
    assert (emptied.rows_written, emptied.rows_deleted, emptied.periods_changed) == (0, 1, (DAY,))
    assert_frame_equal(content(loader), neighbour)
    assert loader.read("SELECT COUNT(*) FROM sample_daily WHERE last_updated_at > UTC_TIMESTAMP(6)").item() == 0


def test_all_rows_of_one_call_get_one_instant(loader: Database):
    replace(loader, rows({str(number): number for number in range(10)}))
    assert loader.read("SELECT COUNT(DISTINCT last_updated_at) FROM sample_daily").item() == 1


NASTY = st.one_of(
    st.none(),
    st.sampled_from(
        ["NULL", "null", "", "\\N", "\\", '"', '""', '",', "a\nb", "\r\n", "\t", "'", "%s", "é😀", "\0", " x "]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
)


@given(names=st.lists(NASTY, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives_both_ways_of_loading(database: Database, names: list[str | None]):
    frame = rows({f"{number:02}": number for number in range(len(names))}).with_columns(
        item_name=pl.Series(names, dtype=pl.String),
        pieces=pl.Series([None if name is None else 1 for name in names], dtype=pl.Int32),
    )
    for allowed in (True, False):
        database.__dict__["loads_files"] = allowed
        replace(database, frame)
        assert_frame_equal(content(database), frame)


def test_only_changed_days_are_rewritten(loader: Database):
    days = [DAY + timedelta(days=number) for number in range(4)]
    end = days[-1] + timedelta(days=1)
    before = pl.concat([rows({"a": 1, "b": 2}, day=day) for day in days])
    replace(loader, before, end)
    instants = loader.read("SELECT day, MAX(last_updated_at) AS at FROM sample_daily GROUP BY day")
    assert replace(loader, before, end, only_changed=True).periods_changed == ()
    after = pl.concat(
        [rows({"a": 1, "b": 2}, day=days[0]), rows({"a": 1, "b": 3}, day=days[1]), rows({"b": 2}, day=days[2])]
    )
    published = replace(loader, after, end, only_changed=True)
    assert (published.periods_changed, published.rows_written, published.rows_deleted) == (tuple(days[1:]), 3, 6)
    assert_frame_equal(content(loader), after)
    unchanged = pl.col("day") == days[0]
    still = loader.read("SELECT day, MAX(last_updated_at) AS at FROM sample_daily GROUP BY day")
    assert_frame_equal(still.filter(unchanged), instants.filter(unchanged))


def test_rows_the_server_would_mend_are_refused(loader: Database):
    old = rows({"a": 1, "b": 2})
    replace(loader, old)
    wrong = {
        "Duplicate entry": rows({"x": 1, "y": 2}).with_columns(item_id=pl.lit("x")),
        "source_row_count": rows({"x": 1}).with_columns(source_row_count=pl.lit(None, pl.Int32)),
        "item_name": rows({"x": 1}).with_columns(item_name=pl.lit("x" * 201)),
    }
    for cause, frame in wrong.items():
        with pytest.raises(LoadError, match=cause):
            replace(loader, frame)
        assert_frame_equal(content(loader), old)
    assert list(loader.spool.iterdir()) == []


def test_a_frame_that_cannot_be_meant_is_refused_before_anything_is_touched(database: Database):
    old = rows({"a": 1})
    replace(database, old)
    with pytest.raises(ContractError, match=r"1 rows lie outside the periods.* day = 2026-11-02"):
        replace(database, pl.concat([old, rows({"a": 1}, day=NEXT_DAY)]))
    with pytest.raises(ContractError, match=r"1 rows lie outside the periods.* day = None"):
        replace(database, old.with_columns(day=pl.lit(None, pl.Date)))
    with pytest.raises(ContractError, match="through cast"):
        replace(database, old.with_columns(pieces=pl.lit(1.0)))
    with pytest.raises(ContractError, match="non-empty half-open ranges"):
        replace(database, old, DAY)
    assert_frame_equal(content(database), old)


def test_a_reader_never_sees_part_of_a_slice(database: Database):
    sizes = (200, 300)
    versions = [rows({str(item): version for item in range(sizes[version % 2])}) for version in range(51)]
    replace(database, versions[0])
    stop, seen = threading.Event(), set[tuple[int, int, int]]()

    def read() -> None:
        while not stop.is_set():
            statement = "SELECT COUNT(*), MIN(pieces), MAX(pieces) FROM sample_daily WHERE day = %s"
            seen.add(database.read(statement, [DAY]).row(0))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for version in versions[1:]:
            replace(database, version)
    finally:
        stop.set()
        reader.join()
    assert len(seen) > 2
    assert all(low == high and count == sizes[low % 2] for count, low, high in seen)


def test_a_second_writer_waits_and_then_sees_the_first(database: Database):
    entered, order = threading.Event(), list[str]()

    def second() -> None:
        entered.set()
        with exclusive_writer(database, TABLE, timeout=30):
            order.append("second")

    with exclusive_writer(database, TABLE, timeout=1):
        holder = database.read("SELECT IS_USED_LOCK(%s)", [lock_name(database, TABLE)]).item()
        with (
            pytest.raises(LockTimeoutError, match=f"held by connection {holder} "),
            exclusive_writer(database, TABLE, timeout=0),
        ):
            pass
        with exclusive_writer(database, "coded_daily", timeout=0):
            pass
        other = threading.Thread(target=second)
        other.start()
        entered.wait()
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_a_writer_that_lost_its_lock_cannot_publish(database: Database):
    newer = rows({"a": 2})

    def publish_after_losing_the_lock() -> None:
        with exclusive_writer(database, TABLE, timeout=1) as writer:
            kill(database, database.read("SELECT IS_USED_LOCK(%s)", [lock_name(database, TABLE)]).item())
            replace(database, newer)
            writer.replace(CONTRACTS[TABLE], rows({"a": 1}), [(DAY, NEXT_DAY)], period_column="day")

    with pytest.raises(TransientError, match="code 20"):
        publish_after_losing_the_lock()
    assert_frame_equal(content(database), newer)


def test_a_process_killed_while_it_loads_leaves_the_old_slice(database: Database, tmp_path: Path):
    contract = CONTRACTS["coded_daily"]
    old = contract.cast(pl.DataFrame({"code": [1, 2, 3]}).with_columns(day=pl.lit(DAY)))[0]
    with exclusive_writer(database, contract.name, timeout=1) as writer:
        writer.replace(contract, old, [(DAY, NEXT_DAY)], period_column="day")
    with database.connection() as connection, connection.cursor() as cursor:
        # The loader deletes, loads codes 4 and 5 and then waits for this row, whose code is unique.
        cursor.execute("INSERT INTO coded_daily VALUES (%s, 6, UTC_TIMESTAMP(6))", (DAY - timedelta(days=30),))
        with _loading_process(database, tmp_path) as process:
            loading = "SELECT id FROM information_schema.processlist WHERE db = %s AND info LIKE %s"
            parameters = [database.server.database, "LOAD DATA%"]
            _until(lambda: process.poll() is not None or not database.read(loading, parameters).is_empty())
            assert process.poll() is None
            process.kill()
        connection.rollback()
    assert_frame_equal(content(database, contract), old)
    with exclusive_writer(database, contract.name, timeout=30) as writer:
        writer.replace(contract, old.head(1), [(DAY, NEXT_DAY)], period_column="day")


@contextmanager
def _loading_process(database: Database, spool: Path) -> Generator[subprocess.Popen[bytes]]:
    address = asdict(database.server)
    environment = os.environ | {"TMPDIR": str(spool)}
    command = [sys.executable, "-m", loading_process.__name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=PROJECT_ROOT, env=environment) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(address).encode())
        process.stdin.close()
        try:
            yield process
        finally:
            process.kill()


def _until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(POLL_SECONDS)
