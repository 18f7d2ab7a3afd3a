"""Warehouse work: receiving and putaway of what was bought, picking, packing and shipping of what was sold, counts."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from genims_platform.local.generate import draw, stock
from genims_platform.local.generate.columns import catalogued, document_numbers
from genims_platform.local.generate.plan import Plan, identifiers
from genims_platform.local.generate.purchasing import purchasing
from genims_platform.local.generate.shipping import Shipping, shipping
from genims_platform.local.generate.world import World

_SHORT_PICK_SHARE = 0.012
_WAVES_A_DAY = 4


def tables(world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the warehouse tables that reports and audit depend on."""
    shipped = shipping(world, plan)
    plants = world.warehouses.select("plant_id", "warehouse_id")
    receipts = purchasing(world, plan).receipts.join(plants, on="plant_id", how="left", maintain_order="left")
    yield "wms.warehouses", world.select("wms.warehouses")
    yield "wms.warehouse_inventory", _inventory(world, plan, shipped)
    yield "wms.receiving_tasks", _receiving(receipts)
    yield "wms.putaway_tasks", _putaway(receipts, plan)
    picks = _picks(shipped, plan)
    yield "wms.pick_waves", _waves(picks)
    yield "wms.wave_lines", _wave_lines(picks)
    yield "wms.picking_tasks", catalogued("wms.picking_tasks", picks)
    yield "wms.packing_tasks", _packing(shipped, plan)
    yield "wms.shipping_tasks", _shipping_tasks(shipped, plan)
    yield "wms.cycle_count_tasks", _cycle_counts(world, plan)


def _inventory(world: World, plan: Plan, shipped: Shipping) -> pl.DataFrame:
    """One or two lots a warehouse and material; on hand = reserved + available, close to the books."""
    rng = plan.rng("wms.warehouse_inventory")
    use = stock.daily_use(world, plan, shipped)
    held = stock.balances(world, plan, stock.planned_levels(world, use), use).filter(pl.col("on_hand") > 0)
    held = held.join(world.warehouses.select("plant_id", "warehouse_id"), on="plant_id", maintain_order="left")
    counted = (pl.col("on_hand") * pl.lit(pl.Series(rng.normal(1, 0.004, len(held))))).round().clip(1)
    share = pl.lit(pl.Series(np.where(rng.random(len(held)) < 0.5, 1.0, rng.uniform(0.3, 0.8, len(held)))))
    held = held.with_columns(counted=counted, first=(counted * share).ceil())
    lots = pl.concat(
        [
            held.select("warehouse_id", "material_id", quantity_on_hand="first"),
            held.select("warehouse_id", "material_id", quantity_on_hand=pl.col("counted") - pl.col("first")),
        ]
    ).filter(pl.col("quantity_on_hand") > 0)
    count = len(lots)
    reserved = (pl.col("quantity_on_hand") * pl.lit(pl.Series(rng.uniform(0, 0.3, count)))).floor()
    expiry = plan.end.date() + pl.duration(days=pl.lit(pl.Series(rng.integers(-25, 700, count))))
    return lots.select(
        identifiers("wms.warehouse_inventory", count),
        pl.all(),
        lot_number=pl.lit(identifiers("wms.warehouse_inventory", count).str.replace("^[A-Z]+", "LOT")),
        bin_id=pl.lit(draw.keys(rng, plan, "wms.storage_bins", count)),
        reserved_quantity=reserved,
        available_quantity=pl.col("quantity_on_hand") - reserved,
        expiry_date=expiry,
        updated_at=pl.lit(plan.end),
    )


def _receiving(receipts: pl.DataFrame) -> pl.DataFrame:
    frame = receipts.with_columns(
        task_number=pl.lit(document_numbers("RCV", receipts["received_at"])),
        expected_quantity="order_quantity",
        task_status=pl.lit("completed"),
        scheduled_date=pl.col("delivery_date").cast(pl.Datetime("us")),
        completed_at="received_at",
        created_at="received_at",
    )
    return catalogued("wms.receiving_tasks", frame)


def _putaway(receipts: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    rng, count = plan.rng("wms.putaway_tasks"), len(receipts)
    minutes = draw.skewed(rng, 95, 0.7, count).clip(10, 2_000).round().astype(np.int64)
    stored = pl.col("received_at") + pl.duration(minutes=pl.lit(pl.Series(minutes)))
    done = receipts.with_columns(completed_at=stored).filter(pl.col("completed_at") <= plan.end)
    frame = done.with_columns(
        identifiers("wms.putaway_tasks", len(done)),
        task_number=pl.lit(document_numbers("PUT", done["completed_at"])),
        quantity="received_quantity",
        task_status=pl.lit("completed"),
        created_at="received_at",
    )
    return catalogued("wms.putaway_tasks", frame)


def _picks(shipped: Shipping, plan: Plan) -> pl.DataFrame:
    """One task a shipment line, in one of the day's waves of its warehouse; columns `day` and `wave_slot` remain."""
    rng = plan.rng("wms.picking_tasks")
    lines = shipped.lines.sort("ship_date", "shipment_line_id")
    count = len(lines)
    wanted = pl.col("order_quantity")
    short = pl.lit(pl.Series(draw.true_share(rng, _SHORT_PICK_SHARE, count))) & (wanted > 1)
    fresh = pl.col("ship_date") >= plan.end.date()
    moment = pl.col("ship_date").cast(pl.Datetime("us"))
    frame = lines.with_columns(
        identifiers("wms.picking_tasks", count),
        task_number=pl.lit(document_numbers("PICK", lines["ship_date"])),
        day="ship_date",
        wave_slot=pl.lit(pl.Series(rng.integers(0, _WAVES_A_DAY, count))),
        quantity_to_pick=wanted,
        quantity_picked=pl.when(short).then(wanted - 1).otherwise(wanted),
        task_status=pl.when(fresh).then(pl.lit("pending")).otherwise(pl.lit("completed")),
        created_at=moment,
        completed_at=pl.when(~fresh).then(moment + pl.duration(hours=12)),
    )
    waves = frame.select("day", "warehouse_id", "wave_slot").unique(maintain_order=True)
    waves = waves.with_columns(identifiers("wms.pick_waves", len(waves)))
    frame = frame.join(waves, on=["day", "warehouse_id", "wave_slot"], how="left", maintain_order="left")
    return frame.with_columns(identifiers("wms.wave_lines", count))


def _waves(picks: pl.DataFrame) -> pl.DataFrame:
    waves = picks.group_by("wave_id", maintain_order=True).agg(
        pl.first("warehouse_id", "day", "created_at"),
        total_orders=pl.col("sales_order_id").n_unique(),
        total_lines=pl.len(),
        total_units=pl.col("quantity_to_pick").sum(),
        picked_lines=(pl.col("task_status") == "completed").sum(),
        picked_units=pl.col("quantity_picked").sum(),
    )
    frame = waves.with_columns(
        wave_number=pl.lit(document_numbers("WAVE", waves["day"])),
        planned_pick_date="day",
        planned_ship_date="day",
        picked_orders="total_orders",
        wave_status=pl.lit("completed"),
    )
    return catalogued("wms.pick_waves", frame)


def _wave_lines(picks: pl.DataFrame) -> pl.DataFrame:
    frame = picks.with_columns(
        ordered_quantity="quantity_to_pick",
        allocated_quantity="quantity_to_pick",
        picked_quantity="quantity_picked",
        line_status="task_status",
    )
    return catalogued("wms.wave_lines", frame)


def _packing(shipped: Shipping, plan: Plan) -> pl.DataFrame:
    """One task a package."""
    packages = shipped.shipments.select(
        "sales_order_id",
        "warehouse_id",
        "shipment_id",
        "ship_date",
        package_weight_kg=(pl.col("total_weight_kg") / pl.col("number_of_packages")).round(2),
        package=pl.int_ranges(0, pl.col("number_of_packages")),
    ).explode("package")
    return _tasks(packages, "wms.packing_tasks", "PACK", plan)


def _shipping_tasks(shipped: Shipping, plan: Plan) -> pl.DataFrame:
    frame = shipped.shipments.with_columns(actual_ship_date="ship_date", scheduled_ship_date="ship_date")
    return _tasks(frame, "wms.shipping_tasks", "SHIP", plan)


def _tasks(frame: pl.DataFrame, reference: str, prefix: str, plan: Plan) -> pl.DataFrame:
    fresh = pl.col("ship_date") >= plan.end.date()
    moment = pl.col("ship_date").cast(pl.Datetime("us"))
    tasks = frame.with_columns(
        identifiers(reference, len(frame)),
        task_number=pl.lit(document_numbers(prefix, frame["ship_date"])),
        task_status=pl.when(fresh).then(pl.lit("pending")).otherwise(pl.lit("completed")),
        created_at=moment,
        completed_at=pl.when(~fresh).then(moment + pl.duration(hours=15)),
    )
    return catalogued(reference, tasks)


def _cycle_counts(world: World, plan: Plan) -> pl.DataFrame:
    rng, count = plan.rng("wms.cycle_count_tasks"), plan.rows("wms.cycle_count_tasks")
    expected = rng.integers(50, 3_000, count)
    variance = np.where(rng.random(count) < 0.72, 0, np.rint(rng.normal(0, 0.012, count) * expected))
    moments = plan.instants(rng, count)
    return pl.DataFrame(
        {
            "cycle_count_id": identifiers("wms.cycle_count_tasks", count),
            "task_number": document_numbers("CC", pl.Series(moments)),
            "warehouse_id": draw.picks(rng, world.warehouses["warehouse_id"], count),
            "material_id": draw.picks(rng, world.materials["material_id"], count),
            "expected_quantity": expected,
            "counted_quantity": expected + variance,
            "variance_quantity": variance,
            "variance_percentage": (100 * variance / expected).round(2),
            "task_status": ["completed"] * count,
            "count_date": pl.Series(moments).dt.date(),
            "count_time": moments,
            "created_at": moments,
        }
    )
