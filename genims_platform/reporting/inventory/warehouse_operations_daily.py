"""warehouse_operations_daily: workload, flow time and accuracy per warehouse."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expectation, Reconciliation, all_of, sql
from genims_platform.reporting.document_dates import day_in_number
from genims_platform.reporting.periods import Window
from genims_platform.reporting.table import reporting_table
from genims_platform.reporting.warehouses import plant_of_warehouse
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between, KeyIn, NumberedBetween

_COMPLETED_IN_SPAN = Between("completed_at")
_DONE = ("completed", "cancelled")

_WMS_WAREHOUSES = sql(
    "wms",
    r"""
    WITH days AS (
      SELECT day::date, to_char(day, 'YYYYMMDD') AS digits
      FROM generate_series(%(first_day)s::timestamp, %(last_day)s::timestamp, interval '1 day') day
    ), bounds AS (SELECT min(digits) AS low, to_char(max(day) + 1, 'YYYYMMDD') AS high FROM days),
    numbered AS (
      SELECT DISTINCT substring(task_number FROM '^PICK-(\d{8})-') AS digits, warehouse_id
      FROM picking_tasks, bounds WHERE task_number >= 'PICK-' || low AND task_number < 'PICK-' || high
      UNION
      SELECT DISTINCT substring(task_number FROM '^PACK-(\d{8})-'), warehouse_id
      FROM packing_tasks, bounds WHERE task_number >= 'PACK-' || low AND task_number < 'PACK-' || high
      UNION
      SELECT DISTINCT substring(task_number FROM '^SHIP-(\d{8})-'), warehouse_id
      FROM shipping_tasks, bounds WHERE task_number >= 'SHIP-' || low AND task_number < 'SHIP-' || high
      UNION
      SELECT DISTINCT substring(wave_number FROM '^WAVE-(\d{8})-'), warehouse_id
      FROM pick_waves, bounds WHERE wave_number >= 'WAVE-' || low AND wave_number < 'WAVE-' || high
    )
    SELECT day AS operation_date, warehouse_id FROM numbered JOIN days USING (digits)
    UNION
    SELECT completed_at::date, warehouse_id FROM receiving_tasks
    WHERE task_status = 'completed' AND completed_at >= %(start)s AND completed_at < %(end)s
    UNION
    SELECT completed_at::date, warehouse_id FROM putaway_tasks
    WHERE completed_at >= %(start)s AND completed_at < %(end)s
    UNION
    SELECT count_date, warehouse_id FROM cycle_count_tasks WHERE count_date BETWEEN %(first_day)s AND %(last_day)s
    """,
)
_TMS_WAREHOUSES = sql(
    "tms",
    """
    SELECT DISTINCT ship_date AS operation_date, warehouse_id FROM shipments
    WHERE ship_date BETWEEN %(first_day)s AND %(last_day)s
    """,
)
_RECEIPTS = sql(
    "wms",
    """
    SELECT completed_at::date AS operation_date, count(*) AS receipts, sum(received_quantity) AS received_qty,
      sum(expected_quantity) AS expected_qty
    FROM receiving_tasks
    WHERE task_status = 'completed' AND completed_at >= %(start)s AND completed_at < %(end)s
    GROUP BY 1
    """,
)
_PICKS = sql(
    "wms",
    r"""
    SELECT day::date AS operation_date, count(*) AS pick_tasks, sum(quantity_picked) AS picked_qty
    FROM generate_series(%(first_day)s::timestamp, %(last_day)s::timestamp, interval '1 day') day
    JOIN picking_tasks ON substring(task_number FROM '^PICK-(\d{8})-') = to_char(day, 'YYYYMMDD')
    WHERE task_number >= 'PICK-' || to_char(%(first_day)s::date, 'YYYYMMDD')
      AND task_number < 'PICK-' || to_char(%(last_day)s::date + 1, 'YYYYMMDD')
    GROUP BY 1
    """,
)
_SHIPMENTS = sql(
    "tms",
    """
    SELECT ship_date AS operation_date, count(*) AS shipments, sum(total_weight_kg) AS shipped_weight_kg
    FROM shipments WHERE ship_date BETWEEN %(first_day)s AND %(last_day)s GROUP BY 1
    """,
)
# Numbers of other shapes lie beside the range of all years, which an index finds without reading a whole table.
_UNDATED = sql(
    "wms",
    """
    SELECT (SELECT count(*) FROM picking_tasks WHERE task_number < 'PICK-19' OR task_number >= 'PICK-21')
      + (SELECT count(*) FROM packing_tasks WHERE task_number < 'PACK-19' OR task_number >= 'PACK-21')
      + (SELECT count(*) FROM shipping_tasks WHERE task_number < 'SHIP-19' OR task_number >= 'SHIP-21')
      + (SELECT count(*) FROM pick_waves WHERE wave_number < 'WAVE-19' OR wave_number >= 'WAVE-21')
    """,
)
_CHECKS = Checks(
    rows=all_of(_WMS_WAREHOUSES, _TMS_WAREHOUSES),
    reconcile=(
        Reconciliation("receipts_count_vs_wms", _RECEIPTS),
        Reconciliation("picks_vs_wms", _PICKS),
        Reconciliation("shipments_count_vs_tms", _SHIPMENTS),
    ),
    orphans={"warehouse_id": "warehouse_name"},
    left_out={"tasks and waves without a date in their number": _UNDATED},
    warnings=(Expectation("put away before it was received", pl.col("dock_to_stock_minutes") >= 0),),
)


@reporting_table(group="inventory", recompute=1, horizon=3, checks=_CHECKS)
def warehouse_operations_daily(
    *,
    window: Window,
    receipts: Annotated[pl.LazyFrame, Read("wms.receiving_tasks", _COMPLETED_IN_SPAN)],
    putaways: Annotated[pl.LazyFrame, Read("wms.putaway_tasks", _COMPLETED_IN_SPAN)],
    put_away_receipts: Annotated[
        pl.LazyFrame,
        Read(
            "wms.receiving_tasks",
            KeyIn("receiving_task_id", "putaway_tasks", "receiving_task_id", _COMPLETED_IN_SPAN),
        ),
    ],
    waves: Annotated[pl.LazyFrame, Read("wms.pick_waves", NumberedBetween("wave_number", "WAVE"))],
    picks: Annotated[pl.LazyFrame, Read("wms.picking_tasks", NumberedBetween("task_number", "PICK"))],
    packs: Annotated[pl.LazyFrame, Read("wms.packing_tasks", NumberedBetween("task_number", "PACK"))],
    ship_tasks: Annotated[pl.LazyFrame, Read("wms.shipping_tasks", NumberedBetween("task_number", "SHIP"))],
    shipments: Annotated[pl.LazyFrame, Read("tms.shipments", Between("ship_date"))],
    cycle_counts: Annotated[pl.LazyFrame, Read("wms.cycle_count_tasks", Between("count_date"))],
    warehouses: Annotated[pl.LazyFrame, Read("wms.warehouses")],
) -> pl.LazyFrame:
    """Work of a warehouse; one row a day and warehouse with any task, wave, shipment or count that day.

    Receipts and putaways count when completed, shipments when shipped, cycle counts when counted; picks, packs, ship
    tasks and waves have no other date than the day in their number. Dock to stock is the mean of minutes from receipt
    to putaway, on the day of putaway (DC Measures). Pick accuracy is the percentage of picks with exactly the quantity
    asked for; count variance is the absolute difference in percent of the expected quantity. Quantities add up units
    of measure as booked. Open picks are as of the run.
    """
    picked, wanted = pl.col("quantity_picked"), pl.col("quantity_to_pick")
    received_at = put_away_receipts.select("receiving_task_id", received_at="completed_at")
    stored = putaways.join(received_at, on="receiving_task_id", how="left").with_columns(
        minutes=(pl.col("completed_at") - pl.col("received_at")).dt.total_seconds(fractional=True) / 60
    )
    facts = [
        _completed(receipts.filter(pl.col("task_status") == "completed"), window).select(
            *_KEY, "received_quantity", "expected_quantity", receipt=pl.lit(1)
        ),
        _completed(stored, window).select(*_KEY, "minutes", putaway=pl.lit(1)),
        _numbered(waves, "wave_number", "WAVE").select(*_KEY, "total_lines", wave=pl.lit(1)),
        _numbered(picks, "task_number", "PICK").select(
            *_KEY,
            "quantity_picked",
            pick=pl.lit(1),
            accurate=picked == wanted,
            pick_open=~pl.col("task_status").is_in(_DONE).fill_null(value=False),
        ),
        _numbered(packs, "task_number", "PACK").select(*_KEY, pack=pl.lit(1)),
        _numbered(ship_tasks, "task_number", "SHIP").select(*_KEY, ship_task=pl.lit(1)),
        _dated(shipments, "ship_date", window).select(*_KEY, "total_weight_kg", shipment=pl.lit(1)),
        _dated(cycle_counts, "count_date", window).select(
            *_KEY, "variance_quantity", counted_against="expected_quantity", cycle_count=pl.lit(1)
        ),
    ]
    return (
        pl.concat(facts, how="diagonal_relaxed")
        .filter(pl.col("operation_date").is_not_null())
        .group_by(_KEY)
        .agg(
            receipts=pl.col("receipt").sum(),
            received_qty=kpi.total(pl.col("received_quantity")),
            expected_qty=kpi.total(pl.col("expected_quantity")),
            putaways=pl.col("putaway").sum(),
            dock_to_stock_minutes=pl.col("minutes").mean(),
            waves=pl.col("wave").sum(),
            wave_lines=pl.col("total_lines").sum(),
            pick_tasks=pl.col("pick").sum(),
            picked_qty=kpi.total(pl.col("quantity_picked")),
            pick_accuracy_pct=100 * pl.col("accurate").mean(),
            picks_open=pl.col("pick_open").sum(),
            pack_tasks=pl.col("pack").sum(),
            ship_tasks=pl.col("ship_task").sum(),
            shipments=pl.col("shipment").sum(),
            shipped_weight_kg=kpi.total(pl.col("total_weight_kg")),
            cycle_counts=pl.col("cycle_count").sum(),
            count_variance_pct=kpi.percent(
                kpi.total(pl.col("variance_quantity").abs()), kpi.total(pl.col("counted_against"))
            ),
            source_row_count=pl.len(),
        )
        .with_columns(receipt_fill_pct=kpi.percent(pl.col("received_qty"), pl.col("expected_qty")))
        .join(plant_of_warehouse(warehouses), on="warehouse_id", how="left")
        .join(warehouses.select("warehouse_id", "warehouse_name"), on="warehouse_id", how="left")
    )


_KEY = ("operation_date", "warehouse_id")


def _completed(tasks: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    completed = pl.col("completed_at")
    return _at_warehouse(tasks.filter(completed < window.span.end), kpi.day(completed))


def _numbered(documents: pl.LazyFrame, number: str, prefix: str) -> pl.LazyFrame:
    return _at_warehouse(documents, day_in_number(pl.col(number), prefix))


def _dated(rows: pl.LazyFrame, date: str, window: Window) -> pl.LazyFrame:
    return _at_warehouse(rows.filter(pl.col(date) <= window.last_day), pl.col(date))


def _at_warehouse(rows: pl.LazyFrame, day: pl.Expr) -> pl.LazyFrame:
    return rows.with_columns(operation_date=day, warehouse_id=kpi.key(pl.col("warehouse_id")))
