"""What must hold for material_flow_daily, found by SQL on the systems that execute each flow."""

import polars as pl

from genims_platform.reporting.checks import Checks, Expectation, Identity, Reconciliation, sql
from genims_platform.reporting.periods import Window
from genims_platform.sources.reader import Sources

_RECEIVED = sql(
    "wms",
    """
    SELECT completed_at::date AS flow_date, plant_id, material_id
    FROM receiving_tasks r LEFT JOIN warehouses w ON w.warehouse_id = r.warehouse_id
    WHERE task_status = 'completed' AND completed_at >= %(start)s AND completed_at < %(end)s GROUP BY 1, 2, 3
    """,
)
_BOOKED = sql(
    "mes",
    """
    SELECT transaction_date::date AS flow_date, factory_id AS plant_id, material_code AS code, 'code' AS kind
    FROM material_transactions t LEFT JOIN work_orders o ON o.work_order_id = t.work_order_id
    WHERE transaction_type IN ('issue', 'return') AND transaction_date >= %(start)s AND transaction_date < %(end)s
    UNION
    SELECT actual_end_time::date, factory_id, product_id, 'product' FROM work_orders
    WHERE status IN ('completed', 'closed') AND actual_end_time >= %(start)s AND actual_end_time < %(end)s
    """,
)
_MOVED = sql(
    "tms",
    """
    SELECT ship_date AS flow_date, warehouse_id, material_id
    FROM shipments s JOIN shipment_lines l ON l.shipment_id = s.shipment_id
    WHERE ship_date >= %(start)s AND ship_date < %(end)s
    UNION
    SELECT o.created_at::date, return_to_warehouse_id, l.material_id
    FROM return_orders o JOIN return_order_lines l ON l.return_order_id = o.return_order_id
    WHERE o.created_at >= %(start)s AND o.created_at < %(end)s
    """,
)
_ADJUSTED = sql(
    "erp",
    """
    SELECT posting_date AS flow_date, plant_id, material_id FROM inventory_transactions
    WHERE transaction_type = 'adjustment' AND cancelled IS NOT TRUE AND reversal_indicator IS NOT TRUE
      AND posting_date >= %(start)s AND posting_date < %(end)s
    GROUP BY 1, 2, 3
    """,
)
_HELD = sql(
    "reporting",
    """
    SELECT inventory_date AS flow_date, plant_id, material_id FROM inventory_value_summary
    WHERE inventory_date >= %(start)s AND inventory_date < %(end)s
    UNION
    SELECT inventory_date + INTERVAL 1 DAY, plant_id, material_id FROM inventory_value_summary
    WHERE inventory_date + INTERVAL 1 DAY >= %(start)s AND inventory_date + INTERVAL 1 DAY < %(end)s
    """,
)
_WAREHOUSES = sql("wms", "SELECT warehouse_id, plant_id FROM warehouses")
_IDS = sql(
    "erp",
    """
    SELECT 'code' AS kind, material_code AS code, min(material_id COLLATE "C") AS material_id
    FROM materials WHERE material_code <> '' GROUP BY 2
    UNION ALL
    SELECT 'product', product_id, min(material_id COLLATE "C") FROM materials WHERE product_id <> '' GROUP BY 2
    """,
)
_KEYS = ("flow_date", "plant_id", "material_id")


def _moved_or_held(sources: Sources, window: Window) -> pl.DataFrame:
    received, booked, moved, adjusted, held = (
        rule(sources, window) for rule in (_RECEIVED, _BOOKED, _MOVED, _ADJUSTED, _HELD)
    )
    parts = [frame.select(_KEYS) for frame in (received, adjusted, held) if frame.height]
    if booked.height:
        ids = _filled(_IDS(sources, window), "kind", "code", "material_id")
        named = booked.join(ids, on=["kind", "code"], how="left")
        parts.append(named.with_columns(pl.coalesce("material_id", "code").alias("material_id")).select(_KEYS))
    if moved.height:
        plants = _filled(_WAREHOUSES(sources, window), "warehouse_id", "plant_id")
        parts.append(
            moved.with_columns(pl.col("warehouse_id").cast(pl.String))
            .join(plants, on="warehouse_id", how="left")
            .select(_KEYS)
        )
    texts = pl.col("plant_id", "material_id").cast(pl.String)
    return pl.concat([part.with_columns(texts) for part in parts]) if parts else pl.DataFrame()


def _filled(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """The columns as text, also where nothing says so because there are no rows or only NULLs."""
    rows = frame if frame.height else pl.DataFrame({column: [] for column in columns})
    return rows.select(pl.col(columns).cast(pl.String))


_RECEIPTS = sql(
    "wms",
    """
    SELECT completed_at::date AS flow_date, SUM(received_quantity) AS receipts_qty FROM receiving_tasks
    WHERE task_status = 'completed' AND completed_at >= %(start)s AND completed_at < %(end)s GROUP BY 1
    """,
)
_DELIVERIES = sql(
    "tms",
    """
    SELECT flow_date, SUM(shipped) AS shipped_qty, SUM(returned) AS customer_return_qty
    FROM (
      SELECT ship_date AS flow_date, quantity AS shipped, 0 AS returned
      FROM shipment_lines JOIN shipments USING (shipment_id)
      WHERE ship_date >= %(start)s AND ship_date < %(end)s
      UNION ALL
      SELECT o.created_at::date, 0, quantity_received
      FROM return_order_lines JOIN return_orders o USING (return_order_id)
      WHERE o.created_at >= %(start)s AND o.created_at < %(end)s
    ) flows GROUP BY 1
    """,
)
_PRODUCTION = sql(
    "mes",
    """
    SELECT flow_date, SUM(issued) AS production_issue_qty, SUM(returned) AS production_return_qty,
      SUM(good) AS production_in_qty
    FROM (
      SELECT transaction_date::date AS flow_date, 0 AS good,
        CASE transaction_type WHEN 'issue' THEN quantity ELSE 0 END AS issued,
        CASE transaction_type WHEN 'return' THEN quantity ELSE 0 END AS returned
      FROM material_transactions
      WHERE transaction_type IN ('issue', 'return') AND transaction_date >= %(start)s AND transaction_date < %(end)s
      UNION ALL
      SELECT actual_end_time::date, good_quantity, 0, 0 FROM work_orders
      WHERE status IN ('completed', 'closed') AND actual_end_time >= %(start)s AND actual_end_time < %(end)s
    ) flows GROUP BY 1
    """,
)
_ADJUSTMENTS = sql(
    "erp",
    """
    SELECT posting_date AS flow_date, SUM(quantity) AS adjustment_qty FROM inventory_transactions
    WHERE transaction_type = 'adjustment' AND cancelled IS NOT TRUE AND reversal_indicator IS NOT TRUE
      AND posting_date >= %(start)s AND posting_date < %(end)s
    GROUP BY 1
    """,
)


def _of_the_row_before(column: str) -> pl.Expr:
    return pl.col(column).shift().over("plant_id", "material_id", order_by="flow_date")


_NEXT_DAY = pl.col("flow_date").dt.offset_by("-1d") == _of_the_row_before("flow_date")

CHECKS = Checks(
    rows=_moved_or_held,
    reconcile=(
        Reconciliation("receipts_vs_wms", _RECEIPTS),
        Reconciliation("shipments_vs_tms", _DELIVERIES),
        Reconciliation("issues_vs_mes, output_vs_mes", _PRODUCTION),
        Reconciliation("adjustments_vs_erp", _ADJUSTMENTS),
    ),
    identities=(
        Identity(
            "net flow = receipts + output - issues + returns - shipments + customer returns + adjustments",
            pl.col("net_flow_qty")
            - pl.sum_horizontal("receipts_qty", "production_in_qty", "production_return_qty")
            - pl.sum_horizontal("customer_return_qty", "adjustment_qty")
            + pl.sum_horizontal("production_issue_qty", "shipped_qty"),
            tolerance=0.0001,
        ),
        Identity(
            "opening = closing of the day before",
            pl.when(_NEXT_DAY).then(pl.col("opening_qty") - _of_the_row_before("closing_qty")),
        ),
    ),
    warnings=(Expectation("stock follows the flows (unexplained is 0)", pl.col("unexplained_qty") == 0),),
    orphans={"material_id": "unit_cost_inr"},
)
