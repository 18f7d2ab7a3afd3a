"""The flow that ties the domains: customers order, plants make to the orders, goods leave the dock."""

import numpy as np
import polars as pl

from genims_platform.local.generate.plan import Plan, identifiers, numbered

_STANDARD_HOURS = (6.0, 18.0)
"""Smallest and largest work order, standard hours."""
_GOOD_SHARE = 0.925
"""Good pieces planned for, of all pieces started; includes orders cancelled or held."""
_OTHER_PLANT_SHARE = 0.15
"""Lines for which the plant of the order does not matter."""
_CANCELLED_SHARE = 0.015
_HOLD_SHARE = 0.008


def sales_orders(plan: Plan, customers: pl.DataFrame) -> pl.DataFrame:
    """Order heads without values: id, customer, day, day asked for."""
    rng = plan.rng("sales_orders")
    count = plan.rows("erp.sales_orders")
    days = plan.working_days(rng, count)
    customer = rng.choice(len(customers), count, p=customers["weight"].to_numpy())
    promised = rng.integers(8, 25, count)
    return pl.DataFrame(
        {
            "sales_order_id": identifiers("erp.sales_orders", count),
            "sales_order_number": numbered("SO", pl.int_range(1, count + 1, eager=True)),
            "customer_id": customers["customer_id"].gather(customer),
            "price_factor": customers["price_factor"].gather(customer),
            "order_date": pl.Series(days),
            "requested_delivery_date": pl.Series(days + promised.astype("timedelta64[D]")),
            "cancelled": rng.random(count) < _CANCELLED_SHARE,
        }
    )


def sales_order_lines(
    plan: Plan, orders: pl.DataFrame, products: pl.DataFrame, materials: pl.DataFrame
) -> pl.DataFrame:
    """One to five lines an order; unit prices 12 to 55 % above standard cost, INR."""
    rng = plan.rng("sales_order_lines")
    per_order = rng.integers(1, 6, len(orders))
    order = np.repeat(np.arange(len(orders)), per_order)
    count = len(order)
    popularity = plan.rng("popularity").gamma(2, 1, len(products)) + 0.3
    product = _wanted_products(rng, order, popularity / popularity.sum(), products["factory_id"].to_numpy())
    cycle = products["standard_cycle_time_seconds"].to_numpy()[product]
    hours = sum(_STANDARD_HOURS) / 2
    lines_per_work_order = plan.rows("erp.sales_order_lines") / plan.rows("mes.work_orders")
    mean_quantity = hours * 3600 / cycle / lines_per_work_order * 0.95
    quantity = (mean_quantity * rng.lognormal(-0.18, 0.6, count)).round().clip(1, 900)
    markup = plan.rng("markup").uniform(1.12, 1.5, len(products))
    cost = products["standard_cost"].to_numpy()[product]
    drift = 1 + 0.03 * np.arange(len(orders))[order] / max(1, len(orders))
    price = cost * markup[product] * orders["price_factor"].to_numpy()[order] * drift * rng.normal(1, 0.015, count)
    discount = np.where(rng.random(count) < 0.15, rng.choice([2.0, 3.0, 5.0], count), 0.0)
    return pl.DataFrame(
        {
            "sales_order_line_id": identifiers("erp.sales_order_lines", count),
            "sales_order_id": orders["sales_order_id"].gather(order),
            "order_index": order,
            "line_number": np.arange(count) - np.repeat(np.cumsum(per_order) - per_order, per_order) + 1,
            "product_index": product,
            "product_id": products["product_id"].gather(product),
            "material_id": materials["material_id"].gather(product),
            "plant_id": products["factory_id"].gather(product),
            "order_quantity": quantity.astype(np.int64),
            "unit_price": price.round(4),
            "discount_percentage": discount,
            "standard_cost": cost,
        }
    )


def _wanted_products(
    rng: np.random.Generator, order: np.ndarray, popularity: np.ndarray, factory: np.ndarray
) -> np.ndarray:
    """A product a line: customers order from one plant, except for some lines that any plant may make."""
    anywhere = rng.choice(len(popularity), len(order), p=popularity)
    leading = rng.choice(len(popularity), int(order[-1]) + 1, p=popularity)
    plant_of_line = factory[leading][order]
    wanted = anywhere.copy()
    for plant in np.unique(factory):
        made = np.flatnonzero(factory == plant)
        lines = np.flatnonzero(plant_of_line == plant)
        wanted[lines] = rng.choice(made, len(lines), p=popularity[made] / popularity[made].sum())
    return np.where(rng.random(len(order)) < _OTHER_PLANT_SHARE, anywhere, wanted)


def work_orders(
    plan: Plan, orders: pl.DataFrame, lines: pl.DataFrame, products: pl.DataFrame
) -> tuple[pl.DataFrame, pl.Series]:
    """Work orders that make what the lines ask for, and the work order (row number) that supplies each line."""
    rng = plan.rng("work_orders")
    product = lines["product_index"].to_numpy()
    quantity = lines["order_quantity"].to_numpy()
    order_day = orders["order_date"].to_numpy().astype("datetime64[D]")[lines["order_index"].to_numpy()]
    supplied_by = np.zeros(len(lines), dtype=np.int64)
    sizes: list[np.ndarray] = []
    wanted: list[np.ndarray] = []
    first_line: list[np.ndarray] = []
    total = 0
    for index, cycle in enumerate(products["standard_cycle_time_seconds"]):
        rows = np.flatnonzero(product == index)
        if not len(rows):
            continue
        cumulative = np.cumsum(quantity[rows])
        most = int(cumulative[-1] * cycle / 3600 / _STANDARD_HOURS[0]) + 2
        size = (rng.uniform(*_STANDARD_HOURS, most) * 3600 / cycle).round().clip(40, 600).astype(np.int64)
        supply = np.cumsum(size * _GOOD_SHARE)
        size = size[: np.searchsorted(supply, cumulative[-1]) + 1]
        supply = supply[: len(size)]
        supplied_by[rows] = total + np.searchsorted(supply, cumulative).clip(max=len(size) - 1)
        first = rows[np.searchsorted(cumulative, np.append(0, supply[:-1]), side="right").clip(max=len(rows) - 1)]
        sizes.append(np.column_stack([np.full(len(size), index), size]))
        wanted.append(order_day[first])
        first_line.append(first)
        total += len(size)
    made, day, line = np.concatenate(sizes), np.concatenate(wanted), np.concatenate(first_line)
    start = _after_sunday(day + rng.integers(1, 4, total).astype("timedelta64[D]")).astype("datetime64[s]")
    start += rng.integers(0, 86_400, total).astype("timedelta64[s]")
    by_start = np.argsort(start, kind="stable")
    position = np.empty(total, dtype=np.int64)
    position[by_start] = np.arange(total)
    frame = _executed(plan, products, made[by_start, 0], made[by_start, 1], start[by_start])
    order = lines["order_index"].gather(line[by_start])
    frame = frame.with_columns(
        customer_id=orders["customer_id"].gather(order), sales_order_number=orders["sales_order_number"].gather(order)
    )
    return frame, pl.Series("work_order_index", position[supplied_by])


def _after_sunday(days: np.ndarray) -> np.ndarray:
    weekday = (days.astype("datetime64[D]").astype(np.int64) + 3) % 7
    return days + (weekday == 6).astype("timedelta64[D]")


def _executed(
    plan: Plan, products: pl.DataFrame, product: np.ndarray, size: np.ndarray, start: np.ndarray
) -> pl.DataFrame:
    """Planned and actual times, piece counts and status; produced = good + rejected + scrapped + rework."""
    rng = plan.rng("work_orders.execution")
    count = len(product)
    until = np.datetime64(plan.end, "s")
    cycle = products["standard_cycle_time_seconds"].to_numpy()[product]
    standard_minutes = size * cycle / 60
    setup = rng.integers(25, 91, count)
    run = (standard_minutes / rng.normal(0.92, 0.06, count).clip(0.7, 1.08)).round()
    downtime = (rng.exponential(0.06, count) * standard_minutes).round().clip(0, 600)
    planned_end = start + (standard_minutes * 1.12 + 60 + rng.integers(0, 420, count)).astype("timedelta64[m]")
    actual_start = start + rng.normal(15, 75, count).clip(-120, 600).astype("timedelta64[m]")
    actual_end = actual_start + (setup + run + downtime).astype("timedelta64[m]")
    fate = rng.random(count)
    cancelled = fate < _CANCELLED_SHARE
    held = (fate < _CANCELLED_SHARE + _HOLD_SHARE) & ~cancelled
    started = (actual_start <= until) & ~cancelled
    held |= ~started & ~cancelled
    ended = (actual_end <= until) & started & ~held
    elapsed = (until - actual_start) / (actual_end - actual_start)
    progress = np.where(ended, 1.0, np.where(started, elapsed.clip(0, 0.95), 0.0)) * np.where(held, 0.4, 1)
    produced = (size * progress * rng.normal(0.995, 0.012, count).clip(0.95, 1.03)).round().astype(np.int64)
    first_pass = (products["line_yield"].to_numpy()[product] + rng.normal(0, 0.012, count)).clip(0.85, 0.999)
    bad = rng.binomial(produced, 1 - first_pass)
    rejected = rng.binomial(bad, 0.5)
    scrapped = rng.binomial(bad - rejected, 0.45)
    recent = actual_end > until - np.timedelta64(14, "D")
    closed = ended & ~recent & (rng.random(count) < 0.55)
    status = np.select([cancelled, closed, ended, held], ["cancelled", "closed", "completed", "on_hold"], "in_progress")
    frame = pl.DataFrame(
        {
            "work_order_id": identifiers("mes.work_orders", count),
            "product_id": products["product_id"].gather(product),
            "product_index": product,
            "factory_id": products["factory_id"].gather(product),
            "line_id": products["line_id"].gather(product),
            "planned_quantity": size,
            "planned_start_date": start.astype("datetime64[us]"),
            "planned_end_date": planned_end.astype("datetime64[us]"),
            "actual_start_time": actual_start.astype("datetime64[us]"),
            "actual_end_time": actual_end.astype("datetime64[us]"),
            "expected_end_time": actual_end.astype("datetime64[us]"),
            "produced_quantity": produced,
            "good_quantity": produced - bad,
            "rejected_quantity": rejected,
            "scrapped_quantity": scrapped,
            "rework_quantity": bad - rejected - scrapped,
            "setup_time_minutes": setup,
            "run_time_minutes": (run * progress).round().astype(np.int64),
            "downtime_minutes": (downtime * progress).round().astype(np.int64),
            "status": pl.Series(status, dtype=pl.String),
            "standard_cost": products["standard_cost"].gather(product),
            "cost_factor": rng.normal(1, 0.055, count).clip(0.86, 1.14),
            "started": started,
            "ended": ended,
        }
    )
    return frame.with_columns(
        actual_start_time=pl.when("started").then("actual_start_time"),
        actual_end_time=pl.when("ended").then("actual_end_time"),
    )


def fulfil(
    plan: Plan, orders: pl.DataFrame, lines: pl.DataFrame, made: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Orders with values, status and dates of shipping and delivery, and lines with their work order.

    `planned_ship_date` and `planned_delivery_date` are what happens sooner or later; `ship_date` and `delivery_date`
    are NULL while they lie after `until`.
    """
    rng = plan.rng("fulfil")
    lines = lines.with_columns(
        work_order_id=made["work_order_id"].gather(lines["work_order_index"]),
        ready_time=made["expected_end_time"].gather(lines["work_order_index"]),
        net_value=(pl.col("order_quantity") * pl.col("unit_price") * (1 - pl.col("discount_percentage") / 100)),
    )
    sums = lines.group_by("sales_order_id", maintain_order=True).agg(
        total_net_value=pl.col("net_value").sum().round(2),
        total_quantity=pl.col("order_quantity").sum(),
        ready_time=pl.col("ready_time").max(),
    )
    count = len(orders)
    waits, transit = rng.integers(1, 5, count), rng.integers(1, 8, count)
    today = plan.end.date()
    orders = (
        orders.join(sums, on="sales_order_id", how="left", maintain_order="left")
        .with_columns(wait_days=pl.Series(waits), transit_days=pl.Series(transit))
        .with_columns(
            planned_ship_date=pl.max_horizontal(pl.col("ready_time").dt.date(), "order_date")
            + pl.duration(days="wait_days"),
        )
        .with_columns(planned_delivery_date=pl.col("planned_ship_date") + pl.duration(days="transit_days"))
        .with_columns(
            ship_date=pl.when(~pl.col("cancelled") & (pl.col("planned_ship_date") <= today)).then("planned_ship_date"),
            delivery_date=pl.when(~pl.col("cancelled") & (pl.col("planned_delivery_date") <= today)).then(
                "planned_delivery_date"
            ),
            total_value=(pl.col("total_net_value") * 1.18).round(2),
        )
        .with_columns(
            order_status=pl.when("cancelled")
            .then(pl.lit("cancelled"))
            .when(pl.col("delivery_date") <= today - pl.duration(days=20))
            .then(pl.lit("closed"))
            .when(pl.col("delivery_date").is_not_null())
            .then(pl.lit("delivered"))
            .otherwise(pl.lit("open"))
        )
    )
    return orders, lines
