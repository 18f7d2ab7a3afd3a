from dataclasses import replace
from datetime import date

import polars as pl

from genims_platform.mysql.connection import Database
from genims_platform.mysql.deploy import deploy_contracts
from genims_platform.mysql.retention import TableRetention, apply_retention
from genims_platform.mysql.slices import exclusive_writer
from genims_platform.rolling_window import window_start
from genims_platform_tests.mysql.conftest import CONTRACTS, TODAY, rows

LATER = date(2027, 1, 31)
LAST_OUTSIDE, FIRST_INSIDE = date(2025, 12, 31), date(2026, 1, 1)
LEFT = (
    TableRetention("sample_daily", 3, ("p202511", "p202512"), ("p202703", "p202704")),
    TableRetention("coded_daily", 2),
)


def fill(database: Database) -> None:
    """Rows around the first day of the window of LATER, in the partitioned table and in the plain one."""
    days = [date(2025, 10, 31), date(2025, 11, 30), LAST_OUTSIDE, FIRST_INSIDE, date(2026, 11, 1)]
    with exclusive_writer(database, "sample_daily", timeout=1) as writer:
        frame = pl.concat([rows({"a": 1}, day=day) for day in days])
        writer.replace(CONTRACTS["sample_daily"], frame, [(days[0], TODAY)], period_column="day")
    coded = pl.DataFrame({"day": days[1:], "code": range(4)})
    with exclusive_writer(database, "coded_daily", timeout=1) as writer:
        frame = CONTRACTS["coded_daily"].cast(coded)[0]
        writer.replace(CONTRACTS["coded_daily"], frame, [(days[0], TODAY)], period_column="day")


def first_days(database: Database) -> list[tuple[date, int]]:
    return [database.read(f"SELECT MIN(day), COUNT(*) FROM {name}").row(0) for name in ("sample_daily", "coded_daily")]


def test_what_left_the_window_goes_and_the_first_day_inside_stays(database: Database) -> None:
    fill(database)
    assert window_start(LATER) == FIRST_INSIDE
    planned = apply_retention(database, today=LATER, tables=CONTRACTS, dry_run=True)
    assert (planned.window_start, planned.dry_run, planned.tables) == (FIRST_INSIDE, True, LEFT)
    assert first_days(database) == [(date(2025, 10, 31), 5), (date(2025, 11, 30), 4)]

    done = apply_retention(database, today=LATER, tables=CONTRACTS)
    assert done.tables == LEFT
    assert (done.rows_dropped, done.partitions_dropped, done.partitions_created, done.problems) == (5, 2, 2, ())
    assert first_days(database) == [(FIRST_INSIDE, 2), (FIRST_INSIDE, 2)]

    again = apply_retention(database, today=LATER, tables=CONTRACTS)
    assert (again.rows_dropped, again.partitions_dropped, again.partitions_created) == (0, 0, 0)
    assert deploy_contracts(database, CONTRACTS, today=LATER) == []


def test_within_a_month_nothing_is_dropped(database: Database) -> None:
    fill(database)
    with exclusive_writer(database, "sample_daily", timeout=1) as writer:
        frame = rows({"a": 1}, day=date(2025, 11, 1))
        first = [(date(2025, 10, 1), date(2025, 11, 2))]
        writer.replace(CONTRACTS["sample_daily"], frame, first, period_column="day")
    for today in (TODAY, TODAY.replace(day=1), TODAY.replace(day=30)):
        assert apply_retention(database, today=today, tables=CONTRACTS).rows_dropped == 0
    assert first_days(database)[0] == (date(2025, 11, 1), 5)


def test_rows_older_than_every_partition_are_deleted_though_their_partition_stays(database: Database) -> None:
    fill(database)
    done = apply_retention(database, today=TODAY, tables=CONTRACTS)
    assert done.tables == (TableRetention("sample_daily", 1), TableRetention("coded_daily", 0))
    assert first_days(database)[0] == (date(2025, 11, 30), 4)


def test_a_table_that_is_being_written_or_missing_does_not_stop_the_others(database: Database) -> None:
    fill(database)
    tables = {**CONTRACTS, "absent_daily": replace(CONTRACTS["coded_daily"], name="absent_daily")}
    with exclusive_writer(database, "sample_daily", timeout=1):
        done = apply_retention(database, today=LATER, tables=tables, lock_timeout=0)
    assert [table.rows_dropped for table in done.tables] == [0, 2, 0]
    busy, absent = done.problems
    assert busy.startswith("sample_daily: is busy, try again: lock genims:")
    assert absent == "absent_daily: is not deployed; run `genims schema deploy`"


def test_a_long_query_delays_a_drop_for_moments_only_and_is_named(database: Database) -> None:
    fill(database)
    with database.connection() as reader, reader.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM sample_daily")
        cursor.fetchall()
        done = apply_retention(database, today=LATER, tables=CONTRACTS)
    (problem,) = done.problems
    assert "sample_daily: is busy" in problem
    assert "1205" in problem
    assert apply_retention(database, today=LATER, tables=CONTRACTS).tables[0] == LEFT[0]
