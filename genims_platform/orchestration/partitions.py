"""The hourly partitions that all reporting assets share: one for each closed hour of the rolling window."""

from datetime import UTC, date, datetime

import dagster as dg

from genims_platform.reporting.periods import Hours, midnight
from genims_platform.rolling_window import window_start

KEY_FORMAT = "%Y-%m-%d-%H:%M"


def hourly_partitions(today: date) -> dg.HourlyPartitionsDefinition:
    """Hours from the first of the month twelve months before `today` up to the last closed hour, UTC."""
    return dg.HourlyPartitionsDefinition(
        start_date=midnight(window_start(today)).replace(tzinfo=UTC), timezone="UTC", fmt=KEY_FORMAT
    )


def hours_of(window: dg.TimeWindow) -> Hours:
    """A Dagster time window as naive UTC hours."""
    return Hours(naive_utc(window.start), naive_utc(window.end))


def key_of(hour: datetime) -> str:
    """Partition key of the hour that starts at this naive UTC instant."""
    return hour.strftime(KEY_FORMAT)


def hour_of(key: str) -> datetime:
    """Naive UTC start of a partition's hour."""
    return datetime.strptime(key, KEY_FORMAT)  # noqa: DTZ007


def naive_utc(instant: datetime) -> datetime:
    """An instant with a time zone as the sources store it: in UTC, without one."""
    return instant.astimezone(UTC).replace(tzinfo=None)
