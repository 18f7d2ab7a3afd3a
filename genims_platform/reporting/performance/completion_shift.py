"""The factory shift in which a production order ended, by the clock on the factory's wall."""

from zoneinfo import available_timezones

import polars as pl

PRODUCTION_SHIFTS = ("shift_a", "shift_b", "shift_c")
"""Names of the shifts that cover the 24 hours of a factory; others, such as `general`, overlap them."""


def with_completion_shift(orders: pl.LazyFrame, factories: pl.LazyFrame, shifts: pl.LazyFrame) -> pl.LazyFrame:
    """Orders with `shift`: the production shift of the order's factory that holds its `actual_end_time`.

    A shift is [start, end) in local time; one that ends at or before its start runs over midnight. `shift` is NULL
    where the factory has no known time zone or no such shift. Where shifts overlap, the first by name counts.
    """
    bounds = [
        pl.col(bound).sort_by("shift_id").filter(pl.col("shift_name").sort_by("shift_id") == name).first().alias(alias)
        for name in PRODUCTION_SHIFTS
        for bound, alias in (("start_time", f"{name}_start"), ("end_time", f"{name}_end"))
    ]
    return (
        orders.join(factories.select("factory_id", "timezone"), on="factory_id", how="left")
        .join(shifts.group_by("factory_id").agg(bounds), on="factory_id", how="left")
        .with_columns(clock=_local_clock(pl.col("actual_end_time"), pl.col("timezone")))
        .with_columns(shift=pl.coalesce(pl.when(_inside(name)).then(pl.lit(name)) for name in PRODUCTION_SHIFTS))
    )


def _inside(name: str) -> pl.Expr:
    clock, start, end = pl.col("clock"), pl.col(f"{name}_start"), pl.col(f"{name}_end")
    return pl.when(end <= start).then((clock >= start) | (clock < end)).otherwise((clock >= start) & (clock < end))


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
    # Not a select: without a known zone it would be one NULL, whatever the number of rows.
    return frame.with_columns(clock=pl.coalesce(pl.lit(None, pl.Time), *clocks)).get_column("clock")
