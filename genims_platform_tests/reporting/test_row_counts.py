"""Which periods have an unusual number of rows."""

from datetime import date

from genims_platform.reporting.periods import DAY
from genims_platform.reporting.row_counts import comparable_periods, unusual_row_counts

SUNDAY = date(2026, 3, 8)
MONDAY = SUNDAY + DAY


def test_a_day_is_compared_with_its_weekday_and_a_month_with_the_months_before() -> None:
    assert comparable_periods(MONDAY, "day") == [
        date(2026, 3, 2),
        date(2026, 2, 23),
        date(2026, 2, 16),
        date(2026, 2, 9),
    ]
    assert comparable_periods(date(2026, 1, 1), "month") == [date(2025, 12, 1), date(2025, 11, 1), date(2025, 10, 1)]


def test_a_quiet_sunday_is_usual_and_a_quiet_monday_is_not() -> None:
    counts = dict.fromkeys(comparable_periods(SUNDAY, "day"), 4) | dict.fromkeys(comparable_periods(MONDAY, "day"), 100)
    found = unusual_row_counts([SUNDAY, MONDAY], counts | {SUNDAY: 4, MONDAY: 4}, "day")
    assert [(unusual.period, unusual.rows, unusual.usual) for unusual in found] == [(MONDAY, 4, 100)]


def test_a_day_without_rows_and_one_with_thrice_as_many_are_unusual() -> None:
    counts = dict.fromkeys(comparable_periods(MONDAY, "day"), 100)
    assert [unusual.rows for unusual in unusual_row_counts([MONDAY], counts, "day")] == [0]
    assert [unusual.rows for unusual in unusual_row_counts([MONDAY], counts | {MONDAY: 300}, "day")] == [300]
    assert unusual_row_counts([MONDAY], counts | {MONDAY: 190}, "day") == []


def test_a_new_table_and_a_handful_of_rows_say_nothing() -> None:
    assert unusual_row_counts([MONDAY], {MONDAY: 1000, MONDAY - 7 * DAY: 1}, "day") == []
    assert unusual_row_counts([MONDAY], dict.fromkeys(comparable_periods(MONDAY, "day"), 6), "day") == []
