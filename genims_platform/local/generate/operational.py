"""genims_operational_db: controller readings, sensors, production runs, machine faults, maintenance events."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from genims_platform.local.generate import master, scada
from genims_platform.local.generate.plan import Plan, identifiers
from genims_platform.local.generate.world import World


def tables(world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
    """The six tables of the database."""
    for readings in scada.readings(world, plan):
        yield "operational.scada_machine_data", readings
    yield "operational.sensor_data", _sensor_readings(world, plan, "operational.sensor_data", ["line_id", "factory_id"])
    yield "operational.sensor_health", _sensor_readings(world, plan, "operational.sensor_health", [])
    yield "operational.production_runs", _production_runs(world, plan)
    yield "operational.machine_faults", _machine_faults(world, plan)
    yield "operational.maintenance_events", _maintenance_events(world, plan)


def _sensor_readings(world: World, plan: Plan, reference: str, extra: list[str]) -> pl.DataFrame:
    rng = plan.rng(reference)
    count = plan.rows(reference)
    sensors = master.sensors(world, plan).select("sensor_id", "machine_id", *extra)
    frame = sensors[rng.integers(0, len(sensors), count)]
    return frame.with_columns(timestamp=pl.Series(plan.instants(rng, count)))


def _production_runs(world: World, plan: Plan) -> pl.DataFrame:
    """One run for some of the started work orders, on its line and product."""
    rng = plan.rng("production_runs")
    orders = world.work_orders.filter("started")
    count = min(plan.rows("operational.production_runs"), len(orders))
    picked = orders[np.sort(rng.choice(len(orders), count, replace=False))]
    availability = rng.normal(86, 5, count).clip(65, 99)
    performance = rng.normal(90, 4, count).clip(70, 104)
    produced = pl.col("produced_quantity").clip(1)
    quality = 100 * pl.col("good_quantity") / produced
    minutes = (pl.col("run_time_minutes") + pl.col("setup_time_minutes") + pl.col("downtime_minutes")).clip(30)
    end = pl.col("actual_end_time")
    return (
        picked.with_columns(
            availability_percentage=pl.Series(availability), performance_percentage=pl.Series(performance)
        )
        .with_columns(quality_percentage=quality, actual_duration_minutes=minutes)
        .select(
            identifiers("operational.production_runs", count),
            "line_id",
            "factory_id",
            "product_id",
            "customer_id",
            "rejected_quantity",
            "scrapped_quantity",
            "rework_quantity",
            "actual_duration_minutes",
            "availability_percentage",
            "performance_percentage",
            "quality_percentage",
            pl.col("quality_percentage").alias("first_pass_yield_percentage"),
            work_order_number="work_order_id",
            run_start_time="actual_start_time",
            run_end_time=end,
            planned_duration_minutes=(pl.col("actual_duration_minutes") * 0.96).round(),
            target_quantity="planned_quantity",
            actual_quantity="produced_quantity",
            defect_rate_ppm=(10_000 * (100 - pl.col("quality_percentage"))).round(),
            oee_percentage=pl.col("availability_percentage")
            * pl.col("performance_percentage")
            * pl.col("quality_percentage")
            / 10_000,
            status=pl.when(end.is_not_null())
            .then(pl.lit("completed"))
            .when(pl.col("status") == "on_hold")
            .then(pl.lit("aborted"))
            .otherwise(pl.lit("in_progress")),
        )
    )


def unreliable(world: World, rng: np.random.Generator, count: int) -> np.ndarray:
    """Row numbers of `count` machines, the unreliable ones more often."""
    weight = (1.05 - world.machines["reliability"].to_numpy()) ** 2
    return rng.choice(len(world.machines), count, p=weight / weight.sum())


def _machine_faults(world: World, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("machine_faults")
    count = plan.rows("operational.machine_faults")
    machines = world.machines.select("machine_id", "line_id", "factory_id")[unreliable(world, rng, count)]
    start = plan.instants(rng, count)
    minutes = rng.lognormal(3.6, 0.9, count).clip(3, 1_400).astype(np.int64)
    end = start + minutes.astype("timedelta64[m]")
    open_ = end > np.datetime64(plan.end)
    lasted = pl.Series(~open_)
    return machines.with_columns(
        identifiers("operational.machine_faults", count),
        fault_start_time=pl.Series(start),
        fault_end_time=pl.when(lasted).then(pl.Series(end)),
        fault_duration_seconds=pl.when(lasted).then(pl.Series(minutes * 60)),
        downtime_minutes=pl.Series(minutes),
        production_loss_units=pl.Series((minutes * rng.uniform(0.4, 2.5, count)).round().astype(np.int64)),
        fault_code=pl.format("F-{}", pl.Series(rng.integers(100, 140, count))),
        status=pl.when(lasted).then(pl.lit("closed")).otherwise(pl.lit("in_progress")),
    )


def _maintenance_events(world: World, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("maintenance_events")
    count = plan.rows("operational.maintenance_events")
    kinds = ["preventive", "inspection", "corrective", "breakdown", "replacement"]
    kind = rng.choice(len(kinds), count, p=[0.42, 0.2, 0.2, 0.13, 0.05])
    machines = world.machines.select("machine_id", "line_id", "factory_id")[unreliable(world, rng, count)]
    start = plan.instants(rng, count)
    minutes = (rng.lognormal(0, 0.6, count) * np.array([75, 40, 110, 160, 200])[kind]).clip(6, 900).astype(np.int64)
    end = start + minutes.astype("timedelta64[m]")
    done = pl.Series(end <= np.datetime64(plan.end))
    labour_hours = minutes / 60 * rng.uniform(0.8, 1.6, count)
    labour, parts = labour_hours * rng.uniform(18, 60, count), rng.gamma(1.2, 180, count) * (kind > 1)
    return machines.with_columns(
        identifiers("operational.maintenance_events", count),
        maintenance_type=pl.Series(kinds).gather(kind),
        scheduled_start=pl.Series(start - rng.integers(0, 180, count).astype("timedelta64[m]")),
        actual_start=pl.Series(start),
        actual_end=pl.when(done).then(pl.Series(end)),
        duration_minutes=pl.Series(minutes),
        labor_hours=pl.Series(labour_hours),
        labor_cost_usd=pl.Series(labour.round(2)),
        parts_cost_usd=pl.Series(parts.round(2)),
        total_cost_usd=pl.Series((labour.round(2) + parts.round(2)).round(2)),
        completion_status=pl.when(done).then(pl.lit("completed")).otherwise(pl.lit("partial")),
    )
