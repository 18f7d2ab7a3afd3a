"""Maintenance events of machines, split over the days on which they lasted."""

from datetime import timedelta

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.periods import DAY, Window

_PLANNED = ("preventive", "inspection")


def maintenance_minutes(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """One row an event and day on which it starts or lasts, with `planned_minutes` and `unplanned_minutes` of that day.

    Preventive maintenance and inspections are planned, all other types are not. What lies after the window's end is
    not known yet; an event without an end lasts 0 minutes on the day of its start.
    """
    start, end, midnight = pl.col("actual_start"), pl.col("end"), pl.col("day").cast(pl.Datetime("us"))
    inside = pl.min_horizontal(end, midnight + DAY) - pl.max_horizontal(start, midnight)
    duration = inside.dt.total_microseconds() / 60e6
    planned = pl.col("maintenance_type").is_in(_PLANNED).fill_null(value=False)
    return (
        events.filter(start < window.span.end)
        .with_columns(end=pl.max_horizontal(start, pl.col("actual_end").clip(upper_bound=window.span.end)))
        .with_columns(
            machine_id=kpi.key(pl.col("machine_id")),
            day=pl.date_ranges(kpi.day(start), kpi.day(pl.max_horizontal(start, end - timedelta(microseconds=1)))),
        )
        .explode("day")
        .with_columns(
            planned_minutes=pl.when(planned).then(duration).otherwise(0.0),
            unplanned_minutes=pl.when(planned).then(0.0).otherwise(duration),
        )
    )
