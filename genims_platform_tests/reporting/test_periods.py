"""Which days a span of hours touches."""

from datetime import date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from genims_platform.reporting.periods import (
    DAY,
    LATE_DAYS,
    Hours,
    Window,
    affected_periods,
    periods_looking_back,
    slices,
    without_gaps,
)
from genims_platform.rolling_window import window_start

AS_OF = datetime(2026, 3, 10, 14, 30)
EARLIEST = date(2025, 3, 1)


def test_the_window_starts_on_the_first_of_the_month_twelve_months_back() -> None:
    assert window_start(date(2026, 11, 22)) == date(2025, 11, 1)
    assert window_start(date(2026, 1, 31)) == date(2025, 1, 1)
    assert window_start(date(2024, 2, 29)) == date(2023, 2, 1)


def test_an_hour_affects_its_day_and_the_days_before_that_are_repeated() -> None:
    hours = Hours(datetime(2026, 3, 1, 23), datetime(2026, 3, 2))
    found = affected_periods(hours, period="day", recompute=1, touched=[], earliest=EARLIEST, as_of=AS_OF)
    assert found == {date(2026, 2, 28), date(2026, 3, 1)}


def test_days_after_an_hour_look_back_at_it_for_as_long_as_facts_may_be_late() -> None:
    hours = Hours(datetime(2026, 3, 1, 23), datetime(2026, 3, 2))
    week = periods_looking_back(hours, period="day", rolling_days=7, as_of=AS_OF)
    assert (min(week), max(week), len(week)) == (date(2026, 3, 2), date(2026, 3, 7), 6)
    assert max(periods_looking_back(hours, period="day", rolling_days=30, as_of=AS_OF)) == AS_OF.date()
    assert len(periods_looking_back(hours, period="day", rolling_days=400, as_of=datetime(2027, 3, 1))) == LATE_DAYS
    assert not periods_looking_back(hours, period="day", rolling_days=1, as_of=AS_OF)


def test_nothing_after_the_present_or_before_the_window_is_affected() -> None:
    hours = Hours(datetime(2026, 3, 10, 13), datetime(2026, 3, 10, 14))
    touched = [date(2020, 1, 1), date(2026, 2, 2), date(2026, 3, 11)]
    found = affected_periods(hours, period="day", recompute=1, touched=touched, earliest=EARLIEST, as_of=AS_OF)
    assert found == {date(2026, 2, 2), date(2026, 3, 9), date(2026, 3, 10)}


@given(st.sets(st.dates(date(2025, 12, 1), date(2026, 3, 1))))
def test_slices_cover_the_days_exactly_and_stay_within_a_month(wanted: set[date]) -> None:
    ranges = slices(wanted, "day")
    covered = [first + n * DAY for first, end in ranges for n in range((end - first).days)]
    assert covered == sorted(wanted)
    assert all(first.month == (end - timedelta(days=1)).month for first, end in ranges)


def test_a_month_is_computed_as_a_whole_and_known_until_its_last_day_or_the_present() -> None:
    hours = Hours(datetime(2026, 3, 1, 3), datetime(2026, 3, 1, 4))
    touched = [date(2025, 12, 24)]
    found = affected_periods(hours, period="month", recompute=1, touched=touched, earliest=EARLIEST, as_of=AS_OF)
    assert found == {date(2025, 12, 1), date(2026, 2, 1), date(2026, 3, 1)}
    assert slices(found, "month") == [
        (date(2025, 12, 1), date(2026, 1, 1)),
        (date(2026, 2, 1), date(2026, 3, 1)),
        (date(2026, 3, 1), date(2026, 4, 1)),
    ]
    assert Window(date(2026, 2, 1), date(2026, 3, 1), AS_OF).last_day == date(2026, 2, 28)
    assert Window(date(2026, 3, 1), date(2026, 4, 1), AS_OF).last_day == AS_OF.date()


def test_months_after_an_hour_look_back_at_it() -> None:
    hours = Hours(datetime(2026, 2, 20), datetime(2026, 2, 21))
    assert periods_looking_back(hours, period="month", rolling_days=90, as_of=AS_OF) == {
        date(2026, 2, 1),
        date(2026, 3, 1),
    }
    assert periods_looking_back(hours, period="month", rolling_days=1, as_of=AS_OF) == set()


def test_a_snapshot_is_taken_of_the_present_day_only() -> None:
    def affected(hours: Hours) -> frozenset[date]:
        return affected_periods(hours, period="snapshot", recompute=0, touched=[], earliest=EARLIEST, as_of=AS_OF)

    assert affected(Hours(datetime(2026, 1, 1), AS_OF)) == {AS_OF.date()}
    assert affected(Hours(datetime(2026, 3, 9), datetime(2026, 3, 10))) == set()


def test_days_between_days_are_added_where_they_are_few() -> None:
    assert without_gaps([]) == set()
    found = without_gaps([date(2026, 1, 1), date(2026, 1, 4), date(2026, 1, 15), date(2026, 1, 25)])
    assert found == {date(2026, 1, day) for day in (1, 2, 3, 4, *range(15, 26))}
