"""What SCADA readings say about a machine: time and energy in each state, and pieces counted by shift.

Time is summed in whole microseconds and energy in exact decimals, so that no sum depends on the order of its rows: a
day computed alone equals the same day computed within a year.
"""

from datetime import timedelta
from typing import Literal

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.periods import Window

HOLD = timedelta(minutes=240)
"""How long a reading speaks for its machine at most; a window is read from this much before its start."""

METER_GAP = timedelta(days=30)
"""A meter's rise is counted across at most this much time without a usable reading."""


def minutes(microseconds: pl.Expr) -> pl.Expr:
    """Microseconds as minutes, Float64."""
    return microseconds / 60e6


def kwh(energy: pl.Expr) -> pl.Expr:
    """Energy in kW x microseconds as kWh, Float64."""
    return energy.cast(pl.Float64) / 3600e6


def usable_readings(readings: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Readings whose quality is not 'bad', up to the end of the window, with their UTC `day`."""
    return readings.filter(pl.col("data_quality") != "bad", pl.col("timestamp") < window.span.end).with_columns(
        machine_id=kpi.key(pl.col("machine_id")), day=kpi.day(pl.col("timestamp"))
    )


def state_intervals(usable: pl.LazyFrame, window: Window, every: Literal["1d", "1h"] = "1d") -> pl.LazyFrame:
    """The readings with the time for which each one holds, in pieces cut at midnight or at every full hour.

    A reading holds until the machine's next usable one, but at most 240 minutes and not past the end of the window;
    time that no reading covers is unobserved. Adds `since` (start of the day or hour), its `day`, `held` (microseconds
    inside it), `begins` (whether the reading itself lies inside it: true for exactly one piece of each reading) and
    `metered` (kWh by which the meter rose since the machine's previous usable reading, at most 30 days ago).
    """
    taken, machine, meter = pl.col("timestamp"), pl.col("machine_id"), pl.col("energy_consumed_kwh")
    following = pl.when(machine == machine.shift(-1)).then(taken.shift(-1))
    recent = (machine == machine.shift(1)) & (taken - taken.shift(1) <= METER_GAP)
    until = pl.min_horizontal(following, taken + HOLD, pl.lit(window.span.end))
    last_moment = pl.max_horizontal(taken, pl.col("until") - timedelta(microseconds=1))
    since = pl.col("since")
    held = pl.min_horizontal("until", since.dt.offset_by(every)) - pl.max_horizontal("timestamp", "since")
    return (
        usable.sort("machine_id", "timestamp", "scada_id")
        .with_columns(until=until, metered=pl.when(recent).then((meter - meter.shift(1)).clip(lower_bound=0)))
        .with_columns(since=pl.datetime_ranges(taken.dt.truncate(every), last_moment, every))
        .explode("since")
        .with_columns(day=kpi.day(since), held=held.dt.total_microseconds(), begins=since <= taken)
    )


def state_totals(usable: pl.LazyFrame, window: Window, every: Literal["1d", "1h"] = "1d") -> pl.LazyFrame:
    """Time and energy by machine and day (or clock hour), for machine-days with a usable reading inside.

    Columns beside `machine_id`, `since`, `day`: `readings` (count), `scada_line_id`, `scada_factory_id`; microseconds
    `observed`, `run`, `setup`, `idle`, `maintenance`, `stopped` (states fault and stopped), `busy` (planned busy time:
    neither idle nor maintenance) and `down` (busy time that is neither run nor setup); kW x microseconds `energy` and
    `run_energy`; `metered` kWh; `performance_pct`, the mean over running time; `oee_weight` and `weighted_oee` of the
    OEE that the controller reports.
    """
    held, state, begins = pl.col("held"), pl.col("machine_state"), pl.col("begins")
    energy = pl.col("power_consumption_kw") * held
    performance, reported = pl.col("performance_percentage"), pl.col("oee_percentage")
    running = pl.when(state == "running").then(held).otherwise(0)

    def in_states(*names: str) -> pl.Expr:
        return pl.when(state.is_in(names)).then(held).otherwise(0).sum()

    return (
        state_intervals(usable, window, every)
        .group_by("machine_id", "day", "since")
        .agg(
            readings=begins.sum(),
            scada_line_id=pl.when(begins).then(pl.col("line_id")).min(),
            scada_factory_id=pl.when(begins).then(pl.col("factory_id")).min(),
            observed=held.sum(),
            run=running.sum(),
            setup=in_states("setup"),
            idle=in_states("idle"),
            maintenance=in_states("maintenance"),
            stopped=in_states("fault", "stopped"),
            energy=kpi.total(energy),
            run_energy=kpi.total(pl.when(state == "running").then(energy).otherwise(energy * 0)),
            metered=kpi.total(pl.when(begins).then(pl.col("metered"))),
            performance_pct=kpi.ratio(
                (performance * running).sum(), pl.when(performance.is_not_null()).then(running).sum()
            ),
            weighted_oee=(reported * held).sum(),
            oee_weight=pl.when(reported.is_not_null()).then(held).sum(),
        )
        .filter(pl.col("readings").sum().over("machine_id", "day") > 0)
        .with_columns(pl.col("scada_line_id", "scada_factory_id").min().over("machine_id", "day"))
        .with_columns(busy=pl.col("observed") - pl.col("idle") - pl.col("maintenance"))
        .with_columns(down=pl.col("busy") - pl.col("run") - pl.col("setup"))
    )


def pieces_counted(usable: pl.LazyFrame, shifts: pl.LazyFrame) -> pl.LazyFrame:
    """`units_produced` and `units_rejected` by `machine_id` and `day`, from the counters that run through a shift.

    The highest count of a shift is its total. A reading that names a shift of another factory cannot be attributed.
    """
    counters = ("parts_produced_shift", "parts_rejected_shift")
    own_shifts = shifts.select("shift_id", "factory_id")
    return (
        usable.join(own_shifts, on=["shift_id", "factory_id"], how="semi")
        .group_by("machine_id", "day", "shift_id")
        .agg(pl.col(counters).max())
        .group_by("machine_id", "day")
        .agg(
            units_produced=kpi.total(pl.col("parts_produced_shift")),
            units_rejected=kpi.total(pl.col("parts_rejected_shift")),
        )
    )


def at_lines(machine_days: pl.LazyFrame, machines: pl.LazyFrame) -> pl.LazyFrame:
    """Adds `line_id`: the machine's line in `master.machines`, else the line that its readings name."""
    return machine_days.join(
        machines.select("machine_id", master_line_id="line_id"), on="machine_id", how="left"
    ).with_columns(line_id=kpi.key(pl.coalesce("master_line_id", "scada_line_id")))


def units_produced_by_line(
    readings: pl.LazyFrame, shifts: pl.LazyFrame, machines: pl.LazyFrame, window: Window
) -> pl.LazyFrame:
    """`machine_units` by `day` and `line_id`: pieces counted by all machines of a line, NULL if none carries a count.

    These are machine cycles, not output of the line: a piece counts once on each machine that it passes.
    """
    usable = usable_readings(readings, window)
    machine_days = usable.group_by("machine_id", "day").agg(scada_line_id=pl.col("line_id").min())
    return (
        at_lines(machine_days, machines)
        .join(pieces_counted(usable, shifts), on=["machine_id", "day"], how="left")
        .group_by("day", "line_id")
        .agg(machine_units=kpi.total(pl.col("units_produced")))
    )
