"""The rolling window that the reporting database covers: whole months, from twelve months back."""

from datetime import date

WINDOW_MONTHS = 12


def add_months(day: date, months: int) -> date:
    """First day of the month that lies `months` after that of `day`."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, 1)


def window_start(today: date) -> date:
    """First day of the window: the first of the month twelve months before `today`."""
    return add_months(today, -WINDOW_MONTHS)
