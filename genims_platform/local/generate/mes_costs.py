"""Labour and material booked on work orders: together 86 to 114 % of the standard cost of what the order made."""

import numpy as np
import polars as pl

from genims_platform.local.generate.dimensions import LABOUR_RATE_INR
from genims_platform.local.generate.plan import Plan, identifiers
from genims_platform.local.generate.world import World

_MINUTES_A_CLOCKING = 380
_RETURN_SHARE = 0.14


def labour_and_material(world: World, plan: Plan) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Labour transactions and material transactions of all started orders, in time order."""
    orders = world.work_orders.filter("started").with_row_index("order")
    labour = _labour(world, plan, orders)
    booked = np.bincount(labour["order"].to_numpy(), labour["labor_cost"].to_numpy(), minlength=len(orders))
    material = _material(world, plan, orders, booked)
    return (
        labour.drop("order").with_columns(identifiers("mes.labor_transactions", len(labour))),
        material.with_columns(identifiers("mes.material_transactions", len(material))),
    )


def _labour(world: World, plan: Plan, orders: pl.DataFrame) -> pl.DataFrame:
    """Clockings of operators of the order's line; minutes follow the standard time of what was made."""
    rng = plan.rng("labor_transactions")
    cycle = world.products["standard_cycle_time_seconds"].to_numpy()[orders["product_index"].to_numpy()]
    standard = orders["produced_quantity"].to_numpy() * cycle / 60
    minutes = standard / rng.normal(0.93, 0.09, len(orders)).clip(0.65, 1.2)
    clockings = np.ceil(minutes / _MINUTES_A_CLOCKING).astype(np.int64).clip(1, 5)
    order = np.repeat(np.arange(len(orders)), clockings)
    turn = np.arange(len(order)) - np.repeat(np.cumsum(clockings) - clockings, clockings)
    start, end = orders["actual_start_time"].to_numpy(), orders["expected_end_time"].to_numpy()
    spacing = ((end - start).astype(np.int64) // (clockings + 1))[order].astype("timedelta64[us]")
    clock_in = start[order] + (turn * spacing) + rng.integers(0, 900, len(order)).astype("timedelta64[s]")
    duration = (minutes / clockings)[order].round().clip(5).astype(np.int64)
    rate = rng.normal(LABOUR_RATE_INR, 35, len(order)).clip(190, 430).round(2)
    frame = pl.DataFrame(
        {
            "order": order,
            "employee_id": _operators(world, orders["line_id"].gather(order), rng),
            "work_order_id": orders["work_order_id"].gather(order),
            "clock_in_time": clock_in,
            "clock_out_time": clock_in + duration.astype("timedelta64[m]"),
            "duration_minutes": duration,
            "hourly_rate": rate,
            "labor_cost": (duration / 60 * rate).round(2),
        }
    )
    return (
        frame.filter(pl.col("clock_in_time") <= plan.end)
        .with_columns(transaction_date="clock_in_time")
        .sort("clock_in_time", maintain_order=True)
    )


def _operators(world: World, lines: pl.Series, rng: np.random.Generator) -> pl.Series:
    """An operator of each line asked for."""
    pool = world.employees.filter(pl.col("role") == "operator").sort("line_id", maintain_order=True)
    homes = pool["line_id"].to_numpy()
    wanted = lines.to_numpy()
    first, last = np.searchsorted(homes, wanted, "left"), np.searchsorted(homes, wanted, "right")
    return pool["employee_id"].gather(first + (rng.random(len(wanted)) * (last - first)).astype(np.int64))


def _material(world: World, plan: Plan, orders: pl.DataFrame, booked_labour: np.ndarray) -> pl.DataFrame:
    """Issues of the bill of materials at the start, and returns of what was too much at the end."""
    rng = plan.rng("material_transactions")
    pieces = pl.when("ended").then("good_quantity").otherwise("planned_quantity")
    spend = pieces * pl.col("standard_cost") * pl.col("cost_factor") - pl.Series(booked_labour)
    bill = world.bill_of_materials.with_columns(
        share=pl.col("quantity_per")
        * pl.col("unit_cost")
        / (pl.col("quantity_per") * pl.col("unit_cost")).sum().over("product_id")
    )
    needs = orders.select(
        "work_order_id", "product_id", "actual_start_time", "expected_end_time", "ended", spend=spend.clip(100)
    ).join(bill, on="product_id", how="left", maintain_order="left_right")
    count = len(needs)
    excess = np.where(rng.random(count) < _RETURN_SHARE, rng.uniform(0.02, 0.12, count), 0.0)
    price = pl.col("unit_cost") * pl.Series(rng.normal(1, 0.03, count).clip(0.88, 1.12))
    needs = needs.with_columns(
        unit_cost=price.round(4),
        net_value=pl.col("spend") * pl.col("share"),
        excess=pl.Series(excess),
        before=pl.Series(rng.integers(0, 90, count)),
        after=pl.Series(rng.integers(5, 240, count)),
    )
    issues = _booked(
        needs,
        "issue",
        pl.col("net_value") * (1 + pl.col("excess")),
        pl.col("actual_start_time") - pl.duration(minutes="before"),
    )
    returns = _booked(
        needs.filter((pl.col("excess") > 0) & pl.col("ended")),
        "return",
        pl.col("net_value") * pl.col("excess"),
        pl.col("expected_end_time") + pl.duration(minutes="after"),
    )
    span = pl.col("transaction_date").is_between(plan.start, plan.end)
    return pl.concat([issues, returns]).filter(span).sort("transaction_date", maintain_order=True)


def _booked(needs: pl.DataFrame, kind: str, value: pl.Expr, moment: pl.Expr) -> pl.DataFrame:
    quantity = (value / pl.col("unit_cost")).round(4)
    return needs.select(
        "work_order_id",
        "material_code",
        "material_name",
        "material_type",
        "unit_cost",
        transaction_type=pl.lit(kind),
        transaction_date=moment,
        quantity=quantity,
        total_cost=(quantity * pl.col("unit_cost")).round(2),
    )
