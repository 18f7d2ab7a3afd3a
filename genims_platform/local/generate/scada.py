"""Readings of machine controllers: states, counters that run up within a shift, power and a cumulative meter.

A reading's state holds until the next one; pieces and energy of that stretch appear in the counters of the next.
"""

from collections.abc import Iterator
from math import ceil

import numpy as np
import polars as pl

from genims_platform.local.generate.plan import Plan
from genims_platform.local.generate.world import World

_STATES = ["running", "setup", "idle", "maintenance", "fault", "stopped"]
_RUNNING, _IDLE = 0, 2
# Share of the machine's rated power drawn in each state; `running` has the machine's own load instead.
_STATE_LOAD = np.array([1.0, 0.3, 0.14, 0.05, 0.08, 0.06])
_WEEKEND_COVERAGE = {6: 0.55, 7: 0.2}
"""Share of machines read on Saturday and Sunday."""
_READINGS_A_SHIFT = 2
_LAST_MINUTE = 475
"""The last reading of an eight-hour shift lies this many minutes into it."""
_BAD, _UNCERTAIN, _FOREIGN_SHIFT = 0.02, 0.01, 0.004


def readings(world: World, plan: Plan) -> Iterator[pl.DataFrame]:
    """All readings in time order, a month at a time."""
    core = _core(world, plan)
    offset = 0
    for month in plan.months_of_span():
        rows = core.filter(pl.col("timestamp").dt.truncate("1mo") == month)
        if len(rows):
            yield _wide(world, rows, offset)
        offset += len(rows)


def _core(world: World, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("scada")
    grid = _grid(world, plan)
    count = len(grid)
    machine = grid["machine"].to_numpy()
    state = _states(grid, world, rng)
    capacity = world.machines["design_capacity_units_per_hour"].to_numpy()[machine]
    rating = world.machines["power_rating_kw"].to_numpy()[machine]
    load = world.machines["load"].to_numpy()[machine]
    pace = plan.rng("scada.pace").normal(92, 2.5, len(world.machines))
    performance = (pace[machine] + rng.normal(0, 3, count)).clip(76, 103)
    share = np.where(state == _RUNNING, load, _STATE_LOAD[state]) * rng.normal(1, 0.06, count).clip(0.8, 1.2)
    hours = (grid["timestamp"].diff().dt.total_seconds().fill_null(0).to_numpy().clip(0, 4 * 3600) / 3600) * np.append(
        False, machine[1:] == machine[:-1]
    )
    before = np.append(0, np.arange(count - 1))
    produced = np.where(state[before] == _RUNNING, capacity * performance[before] / 100 * hours, 0).round()
    rejected = rng.binomial(produced.astype(np.int64), rng.uniform(0.008, 0.04, count))
    energy = (rating * share)[before] * hours * rng.normal(1, 0.02, count)
    shift = ["machine", "shift_day", "shift"]
    frame = grid.with_columns(
        state=pl.Series(state),
        performance=pl.Series(performance),
        power=pl.Series((rating * share).round(2)),
        produced=pl.Series(produced).cast(pl.Int64),
        rejected=pl.Series(rejected),
        up=pl.Series((state[before] == _RUNNING) * hours * 3600),
        energy=pl.Series(energy),
    ).with_columns(
        parts_produced_cumulative=pl.col("produced").cum_sum().over("machine") + 10_000,
        parts_produced_shift=pl.col("produced").cum_sum().over(shift),
        parts_rejected_shift=pl.col("rejected").cum_sum().over(shift),
        uptime=pl.col("up").cum_sum().over(shift),
        # A meter that wraps was read long before the span began, so machines start at different values.
        meter=pl.col("energy").cum_sum().over("machine") + 5_000 + 37 * pl.col("machine"),
    )
    foreign = rng.random(count) < _FOREIGN_SHIFT
    quality = rng.random(count)
    return frame.with_columns(
        named_shift=pl.when(pl.Series(foreign)).then((pl.col("shift") + 6) % len(world.shifts)).otherwise("shift"),
        data_quality=pl.when(pl.Series(quality < _BAD))
        .then(pl.lit("bad"))
        .when(pl.Series(quality < _BAD + _UNCERTAIN))
        .then(pl.lit("uncertain"))
        .otherwise(pl.lit("good")),
    ).sort("timestamp", "machine")


def _grid(world: World, plan: Plan) -> pl.DataFrame:
    """Machine, reading time (UTC) and shift by the factory's local clock, ordered by machine and time."""
    rng = plan.rng("scada.grid")
    total = len(world.machines)
    read = np.unique(np.linspace(0, total - 1, ceil(total * min(1, plan.scale))).astype(np.int64))
    a_shift = max(_READINGS_A_SHIFT, round(_READINGS_A_SHIFT * plan.scale))
    minutes = np.linspace(_LAST_MINUTE / a_shift, _LAST_MINUTE, a_shift)
    slots = np.concatenate([480 * shift + minutes for shift in range(3)])
    days = plan.days.to_numpy().astype("datetime64[D]")
    machine, day, slot = (
        axis.ravel() for axis in np.meshgrid(read, np.arange(len(days)), np.arange(len(slots)), indexing="ij")
    )
    weekday = plan.days.dt.weekday().to_numpy()[day]
    coverage = np.where(weekday == 6, _WEEKEND_COVERAGE[6], np.where(weekday == 7, _WEEKEND_COVERAGE[7], 1))
    # One draw a machine and day, so that a machine is read for whole days or not at all.
    worked = np.repeat(rng.random(len(read) * len(days)), len(slots)) < coverage
    machine, day, slot = machine[worked], day[worked], slot[worked]
    jitter = rng.uniform(-4, 4, len(machine))
    local = days[day].astype("datetime64[s]") + ((360 + slots[slot] + jitter) * 60).astype("timedelta64[s]")
    factory = world.machines["factory_id"].gather(machine)
    homes = world.factories["factory_id"].to_list()
    frame = pl.DataFrame(
        {
            "machine": machine,
            "factory": factory.replace_strict(homes, range(len(homes)), return_dtype=pl.Int64),
            "shift_day": day,
            "shift": slot // a_shift,
            "elapsed": (slots[slot] + jitter) % 480,
            "timestamp": local.astype("datetime64[us]"),
        }
    ).with_columns(pl.col("shift") + 6 * pl.col("factory"))
    zones = world.factories["timezone"].to_list()
    utc = (
        pl.col("timestamp")
        .dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        .dt.convert_time_zone("UTC")
        .dt.replace_time_zone(None)
        for zone in zones
    )
    moments = pl.coalesce(pl.when(pl.col("factory") == i).then(moment) for i, moment in enumerate(utc))
    return (
        frame.with_columns(moments.alias("timestamp"))
        .filter(pl.col("timestamp").is_between(plan.start, plan.end))
        .sort("machine", "timestamp")
    )


def _states(grid: pl.DataFrame, world: World, rng: np.random.Generator) -> np.ndarray:
    """One state a reading: reliable machines run more, weekends idle more, bad days and bad weeks of a line last."""
    machine = grid["machine"].to_numpy()
    reliability = world.machines["reliability"].to_numpy()[machine]
    weekend = grid["timestamp"].dt.weekday().to_numpy() >= 6
    day_key = machine * 10_000 + grid["shift_day"].to_numpy()
    _, first = np.unique(day_key, return_inverse=True)
    mood = rng.beta(5, 2, first.max() + 1)[first] if len(first) else np.zeros(0)
    weeks = grid["shift_day"].to_numpy() // 7
    season = rng.normal(0, 0.035, (len(world.lines), weeks.max(initial=0) + 1))
    homes = world.machines["line_id"].cast(pl.Enum(world.lines["line_id"])).to_physical().to_numpy()
    learning = 0.0006 * weeks
    trouble = 0.32 - 0.2 * reliability - 0.12 * mood + season[homes[machine], weeks] - learning
    idle = np.where(weekend, 0.22, 0.06)
    weights = np.column_stack(
        [
            1 - idle - 1.35 * trouble.clip(0.02) - 0.085,
            np.full(len(machine), 0.055),
            idle,
            np.full(len(machine), 0.03),
            0.55 * trouble.clip(0.02),
            0.8 * trouble.clip(0.02),
        ]
    )
    limits = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    return (rng.random(len(machine))[:, None] > limits[:, :-1]).sum(axis=1)


def _wide(world: World, rows: pl.DataFrame, offset: int) -> pl.DataFrame:
    machines = world.machines[rows["machine"]]
    running = pl.col("state") == _RUNNING
    down = pl.col("state") == _STATES.index("fault")
    quality = 100 - 100 * pl.col("parts_rejected_shift") / pl.col("parts_produced_shift").clip(1)
    availability = (pl.col("uptime") / 60 / pl.col("elapsed") * 100).clip(0, 99)
    target = 3600 / machines["design_capacity_units_per_hour"]
    fault = pl.format("F-{}", pl.col("machine") % 40 + 100)
    return rows.select(
        pl.int_range(offset + 1, offset + len(rows) + 1, dtype=pl.Int64).alias("scada_id"),
        machines["machine_id"],
        machines["line_id"],
        machines["factory_id"],
        "timestamp",
        pl.Series(_STATES).gather(rows["state"]).alias("machine_state"),
        pl.when(down).then(fault).alias("fault_code"),
        pl.when(down).then(pl.lit("Controller reports a fault")).alias("fault_description"),
        "parts_produced_cumulative",
        "parts_produced_shift",
        "parts_rejected_shift",
        target.round().alias("target_cycle_time_seconds"),
        (target / pl.col("performance") * 100).alias("actual_cycle_time_seconds"),
        availability.alias("availability_percentage"),
        pl.when(running).then("performance").otherwise(pl.col("performance") * 0.97).alias("performance_percentage"),
        quality.alias("quality_percentage"),
        (availability * pl.col("performance") * quality / 10_000).alias("oee_percentage"),
        pl.col("power").alias("power_consumption_kw"),
        pl.col("meter").alias("energy_consumed_kwh"),
        pl.col("uptime").round().cast(pl.Int64).alias("uptime_seconds_shift"),
        (28_800 - pl.col("uptime")).clip(0, 28_800).round().cast(pl.Int64).alias("downtime_seconds_shift"),
        world.shifts["shift_id"].gather(rows["named_shift"]).alias("shift_id"),
        "data_quality",
        pl.col("timestamp").alias("created_at"),
    )
