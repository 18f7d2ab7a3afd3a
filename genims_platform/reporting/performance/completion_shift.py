"""The factory shift in which a production order ended, by the clock on the factory's wall."""

from zoneinfo import available_timezones

import polars as pl

PRODUCTION_SHIFTS = ("shift_a", "shift_b", "shift_c")
"""Names of the shifts that cover the 24 hours of a factory; others, such as `general`, overlap them."""


def completion_shifts(orders: pl.LazyFrame, factories: pl.LazyFrame, shifts: pl.LazyFrame) -> pl.LazyFrame:
    """`shift` by `work_order_id`: the production shift of the order's factory that holds its `actual_end_time`.

    A shift is [start, end) in local time; one that ends at or before its start runs over midnight. Orders whose factory
    has no known time zone, or no such shift, have no row. Where shifts overlap, the first by name counts.
    """
    clock, starts, ends = pl.col("clock"), pl.col("start_time"), pl.col("end_time")
    overnight = ends <= starts
    inside = pl.when(overnight).then((clock >= starts) | (clock < ends)).otherwise((clock >= starts) & (clock < ends))
    return (
        orders.join(factories.select("factory_id", "timezone"), on="factory_id")
        .select("work_order_id", "factory_id", clock=_local_clock(pl.col("actual_end_time"), pl.col("timezone")))
        .join(shifts.select("factory_id", "shift_name", "start_time", "end_time"), on="factory_id")
        .filter(pl.col("shift_name").is_in(PRODUCTION_SHIFTS), inside)
        .group_by("work_order_id")
        .agg(shift=pl.col("shift_name").min())
    )


def _local_clock(instant: pl.Expr, zone: pl.Expr) -> pl.Expr:
    """Time of day of a UTC instant in a zone that differs from row to row; NULL for an unknown zone."""
    return pl.struct(instant=instant, zone=zone).map_batches(_convert, return_dtype=pl.Time)


def _convert(rows: pl.Series) -> pl.Series:
    # Polars converts to one zone at a time, so there is one branch for each of the few zones present.
    frame = rows.struct.unnest()
    utc = pl.col("instant").dt.replace_time_zone("UTC")
    clocks = [
        pl.when(pl.col("zone") == zone).then(utc.dt.convert_time_zone(zone).dt.time())
        for zone in sorted(set(frame["zone"].drop_nulls()) & available_timezones())
    ]
    return frame.select(clock=pl.coalesce(pl.lit(None, pl.Time), *clocks)).to_series()
