"""genims_mes_db: work orders, their operations, labour, materials, defects and inspections."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from genims_platform.local.generate import mes_costs
from genims_platform.local.generate.plan import Plan, identifiers, numbered
from genims_platform.local.generate.world import World

_OPERATIONS = ["Preparation", "Machining", "Assembly", "Testing", "Packing"]


def tables(world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
    """The ten tables of the database."""
    yield "mes.work_orders", _work_orders(world)
    yield "mes.production_schedule", _schedule(world)
    for operations in _operations(world):
        yield "mes.work_order_operations", operations
    labour, material = mes_costs.labour_and_material(world, plan)
    for piece in labour.iter_slices(70_000):
        yield "mes.labor_transactions", piece
    for piece in material.iter_slices(70_000):
        yield "mes.material_transactions", piece
    yield "mes.defects", _defects(world, plan)
    yield "mes.quality_inspections", _inspections(world, plan)
    yield "mes.electronic_batch_records", _batch_records(world, plan)
    yield "mes.changeover_events", _changeovers(world, plan)
    yield "mes.downtime_events", _downtime_events(world, plan)


def _work_orders(world: World) -> pl.DataFrame:
    good = 100 * pl.col("good_quantity") / pl.col("produced_quantity")
    yield_percentage = pl.when(pl.col("produced_quantity") > 0).then(good)
    pieces = pl.col("produced_quantity")
    return world.select("mes.work_orders").with_columns(
        world.work_orders["sales_order_number"],
        work_order_number=pl.col("work_order_id").str.replace("WO-", "MO-"),
        scheduled_start_time="planned_start_date",
        scheduled_end_time="planned_end_date",
        yield_percentage=yield_percentage,
        first_pass_yield_percentage=yield_percentage,
        actual_cycle_time_seconds=pl.when(pieces > 0).then((60 * pl.col("run_time_minutes") / pieces).round()),
        batch_number=pl.col("work_order_id").str.replace("WO-", "BATCH-"),
        lot_number=pl.col("work_order_id").str.replace("WO-", "LOT-"),
        unit_of_measure=pl.lit("EA"),
    )


def _schedule(world: World) -> pl.DataFrame:
    start = pl.col("planned_start_date")
    status = pl.col("status")
    return world.work_orders.select(
        identifiers("mes.production_schedule", len(world.work_orders)),
        "line_id",
        "factory_id",
        "work_order_id",
        "planned_quantity",
        schedule_date=start.dt.date(),
        schedule_week=start.dt.week(),
        planned_start_time=start,
        planned_end_time="planned_end_date",
        schedule_status=pl.when(status.is_in(["completed", "closed"])).then(status).otherwise(pl.lit("in_progress")),
    )


def _operations(world: World) -> Iterator[pl.DataFrame]:
    """Three operations an order."""
    made = 0
    for orders in world.work_orders.iter_slices(17_000):
        count = 3 * len(orders)
        step = np.tile(np.arange(1, 4), len(orders))
        rows = orders[np.repeat(np.arange(len(orders)), 3)]
        yield rows.select(
            identifiers("mes.work_order_operations", count, made + 1),
            "work_order_id",
            "planned_quantity",
            pl.Series("operation_sequence", step),
            pl.Series("operation_name", _OPERATIONS).gather(step - 1),
            operation_code=pl.Series([f"OP{n:03d}" for n in range(1, 6)]).gather(step - 1),
            planned_duration_minutes=(pl.col("run_time_minutes") / 3).round().clip(15),
            completed_quantity="produced_quantity",
            rejected_quantity=pl.lit(0),
            status=pl.when(pl.col("status").is_in(["completed", "closed"]))
            .then(pl.col("status"))
            .otherwise(pl.lit("in_progress")),
        )
        made += count


def _during(orders: pl.DataFrame, rng: np.random.Generator, plan: Plan) -> pl.Series:
    """One instant a row between the order's start and end, none after the span."""
    start = orders["actual_start_time"].to_numpy()
    length = orders["expected_end_time"].to_numpy() - start
    share = (length.astype(np.int64) * rng.random(len(orders))).astype("timedelta64[us]")
    return pl.Series(np.minimum(start + share, np.datetime64(plan.end, "us")))


def _defects(world: World, plan: Plan) -> pl.DataFrame:
    """Defects of orders that made bad pieces, the worse orders more often; never more pieces than were bad."""
    rng = plan.rng("defects")
    orders = world.work_orders.filter("started")
    bad = (orders["produced_quantity"] - orders["good_quantity"]).to_numpy()
    count = plan.rows("mes.defects")
    found = rng.poisson(count * bad / max(1, bad.sum())).clip(0, bad)
    rows = orders[np.repeat(np.arange(len(orders)), found)]
    room = np.repeat(np.where(found > 0, bad // found.clip(1), 1), found)
    count = len(rows)
    severity = pl.Series(["critical", "major", "minor"]).gather(rng.choice(3, count, p=[0.04, 0.28, 0.68]))
    frame = rows.select(
        "work_order_id",
        detected_date=_during(rows, rng, plan),
        quantity_affected=pl.Series(np.minimum(rng.geometric(0.75, count), room)),
        defect_severity=severity,
        defect_code=pl.format("DEF-{}", pl.Series(rng.integers(1, 25, count))),
        status=pl.lit("open"),
    ).sort("detected_date", maintain_order=True)
    return frame.with_columns(identifiers("mes.defects", count))


def _inspections(world: World, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("quality_inspections")
    orders = world.work_orders.filter("started")
    rows = orders[np.sort(rng.permutation(len(orders))[: plan.rows("mes.quality_inspections")])]
    count = len(rows)
    result = rng.choice(3, count, p=[0.95, 0.035, 0.015])
    major = np.where(result > 0, rng.integers(0, 3, count), 0)
    minor = np.where(result > 0, rng.integers(1, 4, count), 0)
    frame = rows.select(
        "work_order_id",
        inspection_date=_during(rows, rng, plan),
        lot_number=pl.col("work_order_id").str.replace("WO-", "LOT-"),
        inspection_result=pl.Series(["pass", "fail", "conditional"]).gather(result),
        defects_found=pl.Series(major + minor),
        critical_defects=pl.lit(0),
        major_defects=pl.Series(major),
        minor_defects=pl.Series(minor),
    ).sort("inspection_date", maintain_order=True)
    return frame.with_columns(identifiers("mes.quality_inspections", count))


def _batch_records(world: World, plan: Plan) -> pl.DataFrame:
    orders = world.work_orders.filter("ended").head(plan.rows("mes.electronic_batch_records"))
    return orders.select(
        identifiers("mes.electronic_batch_records", len(orders)),
        "product_id",
        "work_order_id",
        "factory_id",
        batch_number=pl.col("work_order_id").str.replace("WO-", "BATCH-"),
        batch_size=pl.col("produced_quantity"),
        manufacturing_date=pl.col("actual_end_time").dt.date(),
        prepared_at="actual_start_time",
        reviewed_at="actual_end_time",
        approved_at="actual_end_time",
        released_at="actual_end_time",
    )


def _changeovers(world: World, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("changeover_events")
    orders = world.work_orders.filter("started")
    rows = orders[np.sort(rng.permutation(len(orders))[: plan.rows("mes.changeover_events")])]
    minutes = rng.integers(13, 125, len(rows))
    return rows.select(
        identifiers("mes.changeover_events", len(rows)),
        "line_id",
        to_product_id="product_id",
        to_work_order_id="work_order_id",
        changeover_start="actual_start_time",
        changeover_end=pl.col("actual_start_time") + pl.duration(minutes=pl.lit(pl.Series(minutes))),
        actual_duration_minutes=pl.Series(minutes),
    )


def _downtime_events(world: World, plan: Plan) -> pl.DataFrame:
    """Line stops; their machine ids follow the terminals' numbering, which the master does not know."""
    rng = plan.rng("downtime_events")
    count = plan.rows("mes.downtime_events")
    home = world.lines.select("line_id", "factory_id")[rng.integers(0, len(world.lines), count)]
    start, minutes = plan.instants(rng, count), rng.lognormal(3.7, 0.7, count).clip(5, 435).astype(np.int64)
    over = pl.Series(start + minutes.astype("timedelta64[m]"))
    return home.with_columns(
        identifiers("mes.downtime_events", count),
        machine_id=numbered("M", pl.Series(rng.integers(1, 60, count)), 3),
        downtime_start=pl.Series(start),
        downtime_end=over,
        duration_minutes=pl.Series(minutes),
        status=pl.lit("resolved"),
    )
