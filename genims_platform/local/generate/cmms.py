"""genims_cmms_db: maintenance assets, maintenance orders and their cost, spare parts."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from genims_platform.local.generate.operational import unreliable
from genims_platform.local.generate.plan import Plan, identifiers, numbered
from genims_platform.local.generate.world import World

_FAILURES = pl.DataFrame(
    {
        "failure_code": [f"FC-{n:03d}" for n in range(1, 11)],
        "failure_class": [
            *("mechanical", "mechanical", "mechanical", "electrical", "electrical"),
            *("hydraulic", "hydraulic", "pneumatic", "software", "operator_error"),
        ],
        "failure_description": [
            *("Bearing worn", "Shaft misaligned", "Tool holder broken", "Drive overheated", "Short circuit"),
            *("Hydraulic leak", "Pump pressure lost", "Valve stuck", "Controller stopped", "Wrong setting"),
        ],
    }
)
_KINDS = ["preventive", "inspection", "corrective", "breakdown"]
_KIND_SHARE = [0.48, 0.14, 0.2, 0.18]


def tables(world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
    """The tables around assets, orders and parts."""
    yield "cmms.maintenance_assets", _assets(world)
    yield "cmms.failure_codes", _FAILURES.select(_failure_ids(), pl.all())
    parts = _parts(world, plan)
    yield "cmms.mro_parts", parts
    orders = _work_orders(world, plan)
    yield "cmms.work_orders", orders
    yield "cmms.work_order_tasks", _tasks(orders)
    yield "cmms.labor_time_entries", _labour(world, plan, orders)
    yield "cmms.maintenance_costs", _costs(orders, plan)
    yield "cmms.maintenance_history", _history(orders)
    yield "cmms.mro_parts_transactions", _part_issues(plan, orders, parts)


def _failure_ids() -> pl.Series:
    # Codes and ids are numbered apart, so that a join on the wrong column matches nothing.
    return numbered("FAIL", pl.int_range(1, len(_FAILURES) + 1, eager=True)).alias("failure_code_id")


def _assets(world: World) -> pl.DataFrame:
    return world.select("cmms.maintenance_assets").with_columns(
        world.machines["installation_date"], asset_number=pl.col("asset_id").str.replace(r"^[A-Z]+-", "ASSET-")
    )


def _work_orders(world: World, plan: Plan) -> pl.DataFrame:
    """Maintenance orders in time order; breakdowns stop the unreliable machines more often and longer."""
    rng = plan.rng("cmms.work_orders")
    count = plan.rows("cmms.work_orders")
    assets = world.maintenance_assets.select("asset_id")[unreliable(world, rng, count)]
    kind = rng.choice(len(_KINDS), count, p=_KIND_SHARE)
    breakdown = kind == _KINDS.index("breakdown")
    start = plan.instants(rng, count)
    hours = (rng.lognormal(0, 0.45, count) * np.array([2.2, 1.2, 3.0, 3.4])[kind]).clip(0.3, 20).round(2)
    end = start + (hours * 3600).astype("timedelta64[s]")
    done = end <= np.datetime64(plan.end)
    downtime = np.where(breakdown, hours * 60 * rng.uniform(0.5, 1.2, count), hours * 60 * 0.2 * (kind == 2)).round()
    failure = _FAILURES["failure_code"].gather(
        rng.choice(10, count, p=[0.18, 0.12, 0.1, 0.14, 0.1, 0.1, 0.07, 0.08, 0.06, 0.05])
    )
    estimate = (hours * rng.normal(1_400, 250, count).clip(600) + rng.gamma(1.5, 2_200, count)).round(2)
    total = (estimate * rng.normal(1.04, 0.16, count).clip(0.6, 1.7)).round(2)
    labour = (total * rng.uniform(0.3, 0.6, count)).round(2)
    permit = pl.Series(rng.random(count) < 0.22)
    finished = pl.Series(done)
    return assets.with_columns(
        identifiers("cmms.work_orders", count),
        work_order_number=numbered("MWO", pl.int_range(1, count + 1, eager=True)),
        wo_type=pl.Series(_KINDS).gather(kind),
        priority=pl.Series(["medium", "low", "high", "emergency"]).gather(kind),
        failure_code=failure,
        description=pl.Series(
            ["Planned service", "Inspection round", "Repair of a known fault", "Machine stopped"]
        ).gather(kind),
        requested_date=pl.Series(start).dt.date(),
        scheduled_start_date=pl.Series(start).dt.date(),
        scheduled_end_date=pl.Series(end).dt.date(),
        estimated_duration_hours=pl.Series((hours * rng.normal(0.95, 0.1, count)).clip(0.3)),
        actual_start_date=pl.Series(start),
        actual_end_date=pl.when(finished).then(pl.Series(end)),
        actual_duration_hours=pl.when(finished).then(pl.Series(hours)),
        # A few finished orders are never closed in the system.
        wo_status=pl.when(finished & pl.Series(rng.random(count) > 0.02))
        .then(pl.lit("completed"))
        .otherwise(pl.lit("in_progress")),
        assigned_to=world.keys("cmms.maintenance_technicians").gather(rng.integers(0, 160, count)),
        safety_permit_required=permit,
        lockout_tagout_required=pl.Series(rng.random(count) < 0.18),
        confined_space=pl.Series(rng.random(count) < 0.02),
        hot_work_permit=pl.Series(rng.random(count) < 0.05),
        estimated_cost=pl.Series(estimate),
        actual_labor_cost=pl.when(finished).then(pl.Series(labour)),
        actual_parts_cost=pl.when(finished).then(pl.Series((total - labour).round(2))),
        actual_total_cost=pl.when(finished).then(pl.Series(total)),
        downtime_minutes=pl.Series(downtime.clip(0, 1_200)),
    )


def _tasks(orders: pl.DataFrame) -> pl.DataFrame:
    """Two to five tasks an order."""
    per_order = 2 + orders.select(pl.int_range(pl.len()) * 7 % 4).to_series().to_numpy()
    rows = orders[np.repeat(np.arange(len(orders)), per_order)]
    sequence = np.arange(len(rows)) - np.repeat(np.cumsum(per_order) - per_order, per_order) + 1
    ended = pl.col("actual_end_date").is_not_null()
    minutes = (pl.col("actual_duration_hours").fill_null(1) * 60 / pl.Series(np.repeat(per_order, per_order))).round()
    return rows.select(
        identifiers("cmms.work_order_tasks", len(rows)),
        "work_order_id",
        task_sequence=pl.Series(sequence),
        task_description=pl.format("Step {}", pl.Series(sequence)),
        task_status=pl.when(ended).then(pl.lit("completed")).otherwise(pl.lit("pending")),
        estimated_duration_minutes=minutes,
        actual_duration_minutes=minutes,
    )


def _labour(world: World, plan: Plan, orders: pl.DataFrame) -> pl.DataFrame:
    """Two technicians an order."""
    rng = plan.rng("cmms.labor_time_entries")
    rows = orders[np.repeat(np.arange(len(orders)), 2)]
    return rows.select(
        identifiers("cmms.labor_time_entries", len(rows)),
        "work_order_id",
        technician_id=world.keys("cmms.maintenance_technicians").gather(rng.integers(0, 160, len(rows))),
        start_time="actual_start_date",
        end_time="actual_end_date",
        duration_hours="actual_duration_hours",
        labor_cost=pl.col("actual_labor_cost") / 2,
    )


def _costs(orders: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """The whole cost of a finished order as one booking."""
    rng = plan.rng("cmms.maintenance_costs")
    done = orders.filter(pl.col("actual_end_date").is_not_null())
    kinds = pl.Series(["labor", "parts", "contractor", "equipment_rental", "other"])
    return done.select(
        identifiers("cmms.maintenance_costs", len(done)),
        "work_order_id",
        "asset_id",
        cost_type=kinds.gather(rng.choice(5, len(done), p=[0.5, 0.3, 0.12, 0.05, 0.03])),
        cost_amount="actual_total_cost",
        cost_date=pl.col("actual_end_date").dt.date(),
    )


def _history(orders: pl.DataFrame) -> pl.DataFrame:
    done = orders.filter(pl.col("actual_end_date").is_not_null())
    return done.select(
        identifiers("cmms.maintenance_history", len(done)),
        "asset_id",
        "work_order_id",
        "failure_code",
        event_date="actual_end_date",
        downtime_hours=pl.col("downtime_minutes") / 60,
        total_cost="actual_total_cost",
    )


def _parts(world: World, plan: Plan) -> pl.DataFrame:
    """800 spare parts; nine in ten above their reorder point."""
    rng = plan.rng("cmms.mro_parts")
    count = plan.rows("cmms.mro_parts")
    reorder = rng.integers(10, 31, count)
    stock = np.where(rng.random(count) < 0.1, rng.integers(0, 12, count), reorder + rng.integers(1, 80, count))
    names = ["Bearing", "Belt", "Filter", "Fuse", "Gearbox", "Hose", "Motor", "Relay", "Seal kit", "Valve"]
    cost = rng.lognormal(6.3, 0.9, count).clip(60, 9_800).round(4)
    return pl.DataFrame(
        {
            "mro_part_id": identifiers("cmms.mro_parts", count),
            "part_number": numbered("MRO", pl.int_range(1, count + 1, eager=True)),
            "part_name": [f"{names[i % 10]} {i + 1:03d}" for i in range(count)],
            "current_stock": stock,
            "min_stock_level": (reorder * 0.5).round(),
            "max_stock_level": reorder + 100,
            "reorder_point": reorder,
            "standard_cost": cost,
            "total_stock_value": (stock * cost).round(2),
            "warehouse_id": world.warehouses["warehouse_id"].gather(rng.integers(0, 4, count)),
            "reorder_quantity": rng.integers(20, 51, count),
        }
    )


def _part_issues(plan: Plan, orders: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Parts issued to orders on the day they start; cheap parts more often."""
    rng = plan.rng("cmms.mro_parts_transactions")
    count = plan.rows("cmms.mro_parts_transactions")
    weight = 1 / parts["standard_cost"].to_numpy()
    part = parts[rng.choice(len(parts), count, p=weight / weight.sum())]
    order = orders[np.sort(rng.integers(0, len(orders), count))]
    quantity = rng.geometric(0.6, count).clip(1, 5)
    price = (part["standard_cost"].to_numpy() * rng.normal(1, 0.04, count).clip(0.85, 1.15)).round(4)
    return order.select(
        identifiers("cmms.mro_parts_transactions", count),
        "work_order_id",
        transaction_number=numbered("MTX", pl.int_range(1, count + 1, eager=True)),
        mro_part_id=part["mro_part_id"],
        transaction_type=pl.lit("issued"),
        transaction_date="actual_start_date",
        quantity=pl.Series(quantity),
        unit_cost=pl.Series(price),
        total_cost=pl.Series((quantity * price).round(2)),
    )
