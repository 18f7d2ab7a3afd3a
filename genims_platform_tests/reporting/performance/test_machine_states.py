"""Machine states held between readings, against intervals worked out by hand."""

from datetime import timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from genims_platform.reporting.performance.machine_states import (
    pieces_counted,
    state_totals,
    units_produced_by_line,
    usable_readings,
)
from genims_platform.reporting.periods import DAY, Window, midnight
from genims_platform.sources.catalogue import source_table
from genims_platform_tests.reporting.frames import MONDAY, TUESDAY, at
from genims_platform_tests.reporting.performance.plant import reading

LATER = at(MONDAY + 30 * DAY, 0)


def frame(table: str, rows: list[dict[str, object]]) -> pl.LazyFrame:
    return pl.LazyFrame(rows, schema=source_table(table).polars_schema, strict=False)


def totals(rows: list[dict[str, object]], window: Window) -> pl.DataFrame:
    usable = usable_readings(frame("operational.scada_machine_data", rows), window)
    days = pl.col("day").is_between(window.first, window.end, closed="left")
    return state_totals(usable, window).filter(days).sort("machine_id", "day").collect()


def in_minutes(row: dict[str, int], *states: str) -> list[float]:
    return [row[state] / 60e6 for state in states]


def test_a_state_is_cut_at_midnight_and_held_for_240_minutes_at_most() -> None:
    rows = [reading(1, at(MONDAY, 22)), reading(2, at(TUESDAY, 1), "stopped")]
    monday, tuesday = totals(rows, Window(MONDAY, TUESDAY + DAY, LATER)).rows(named=True)
    assert in_minutes(monday, "observed", "run", "stopped") == [120, 120, 0]
    assert in_minutes(tuesday, "observed", "run", "stopped", "down", "busy") == [300, 60, 240, 240, 300]
    assert (monday["readings"], tuesday["readings"]) == (1, 1)


def test_bad_readings_do_not_count_and_uncertain_ones_do() -> None:
    rows = [
        reading(1, at(MONDAY, 8)),
        reading(2, at(MONDAY, 9), "fault", data_quality="bad"),
        reading(3, at(MONDAY, 9), "fault", data_quality=None),
        reading(4, at(MONDAY, 10), "warp", data_quality="uncertain"),
        reading(5, at(MONDAY, 11), "idle"),
        reading(6, at(MONDAY, 11, 30), "maintenance"),
        reading(7, at(MONDAY, 12), "setup"),
        reading(8, at(MONDAY, 12, 15), "idle"),
    ]
    (row,) = totals(rows, Window(MONDAY, TUESDAY, at(MONDAY, 12, 45))).rows(named=True)
    names = ("run", "down", "stopped", "idle", "maintenance", "setup", "busy", "observed")
    assert in_minutes(row, *names) == [120, 60, 0, 60, 30, 15, 195, 285]
    assert row["readings"] == 6


def test_of_readings_at_one_instant_the_one_with_the_highest_id_holds() -> None:
    rows = [reading(9, at(MONDAY, 0), "idle"), reading(8, at(MONDAY, 0)), reading(10, at(MONDAY, 1), "fault")]
    (row,) = totals(rows, Window(MONDAY, TUESDAY, LATER)).rows(named=True)
    assert in_minutes(row, "run", "idle", "down") == [0, 60, 240]
    assert row["readings"] == 3


def test_a_day_without_a_usable_reading_is_not_observed() -> None:
    rows = [reading(1, at(MONDAY, 23)), reading(2, at(TUESDAY, 6), data_quality="bad")]
    assert totals(rows, Window(TUESDAY, TUESDAY + DAY, LATER)).is_empty()


def test_what_the_run_cannot_know_yet_is_left_out() -> None:
    rows = [reading(1, at(MONDAY, 8)), reading(2, at(MONDAY, 9, 30), "fault")]
    (row,) = totals(rows, Window(MONDAY, TUESDAY, at(MONDAY, 9))).rows(named=True)
    assert in_minutes(row, "observed", "run", "down") == [60, 60, 0]
    assert row["readings"] == 1


def test_energy_and_performance_are_weighted_by_the_time_held() -> None:
    rows = [
        reading(1, at(MONDAY, 0), power_consumption_kw=10, performance_percentage=90, oee_percentage=80),
        reading(2, at(MONDAY, 3), power_consumption_kw=30, performance_percentage=98, oee_percentage=None),
        reading(3, at(MONDAY, 4), "idle", power_consumption_kw=2, performance_percentage=50),
    ]
    (row,) = totals(rows, Window(MONDAY, TUESDAY, at(MONDAY, 6))).rows(named=True)
    assert float(row["energy"]) / 3600e6 == 64
    assert float(row["run_energy"]) / 3600e6 == 60
    assert row["performance_pct"] == 92
    assert float(row["weighted_oee"]) / row["oee_weight"] == 80


def test_shift_counters_count_their_maximum_on_shifts_of_the_own_factory() -> None:
    shifts = frame(
        "master.shifts",
        [{"shift_id": f"SH-{n}", "factory_id": f"FAC-{factory}"} for n, factory in ((1, 1), (2, 1), (3, 2))],
    )
    counts = [("SH-1", 100, 3), ("SH-1", 250, 2), ("SH-2", 50, None), ("SH-3", 900, 9), (None, 800, 8)]
    rows = [
        reading(n, at(MONDAY, n), shift_id=shift, parts_produced_shift=made, parts_rejected_shift=rejected)
        for n, (shift, made, rejected) in enumerate(counts)
    ]
    readings = frame("operational.scada_machine_data", rows)
    window = Window(MONDAY, TUESDAY, LATER)
    (row,) = pieces_counted(usable_readings(readings, window), shifts).collect().rows(named=True)
    assert row == {"machine_id": "MCH-1", "day": MONDAY, "units_produced": 300, "units_rejected": 3}
    machines = frame("master.machines", [{"machine_id": "MCH-1", "line_id": "LINE-7"}])
    by_line = units_produced_by_line(readings, shifts, machines, window).collect().rows(named=True)
    assert by_line == [{"day": MONDAY, "line_id": "LINE-7", "machine_units": 300}]


MINUTES = st.integers(0, 3 * 1440 - 1)
READINGS = st.lists(
    st.tuples(MINUTES, st.sampled_from(["running", "idle", "fault", "setup"]), st.sampled_from(["good", "bad"])),
    max_size=25,
)


@given(READINGS)
def test_days_computed_alone_equal_days_computed_together(events: list[tuple[int, str, str]]) -> None:
    rows = [
        reading(n, midnight(MONDAY) + timedelta(minutes=minute), state, data_quality=quality, power_consumption_kw=7.31)
        for n, (minute, state, quality) in enumerate(events)
    ]
    together = totals(rows, Window(MONDAY, MONDAY + 3 * DAY, LATER))
    days = [totals(rows, Window(day, day + DAY, LATER)) for day in (MONDAY, TUESDAY, TUESDAY + DAY)]
    assert_frame_equal(pl.concat(days).sort("machine_id", "day"), together)
    assert together.filter(pl.col("observed") > 1440 * 60_000_000).is_empty()
