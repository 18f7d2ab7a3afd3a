"""Purchasing and the age of stock."""

from genims_platform_tests.reporting.sql_cases.case import Case, by_key

CASES = [
    Case(
        "stock_aging_summary",
        "qty_0_30 + qty_31_60",
        "warehouse_id, material_id",
        # Receipts of 60 days lie on top; what is on hand is theirs as far as it reaches.
        by_key(
            "wms",
            """
            SELECT warehouse_id, material_id, least(greatest(on_hand, 0), coalesce(received, 0))
            FROM (
              SELECT warehouse_id, material_id, sum(quantity_on_hand) AS on_hand FROM warehouse_inventory GROUP BY 1, 2
            ) stock
            LEFT JOIN (
              SELECT warehouse_id, material_id, sum(received_quantity) AS received
              FROM receiving_tasks
              WHERE task_status = 'completed' AND completed_at < %(as_of)s
                AND completed_at >= %(day)s - interval '60 days'
              GROUP BY 1, 2
            ) receipts USING (warehouse_id, material_id)
            """,
        ),
    ),
    Case(
        "purchase_order_performance",
        "ppv_inr",
        "supplier_id",
        by_key(
            "erp",
            """
            SELECT supplier_id, sum(order_quantity * (unit_price - standard_cost))
            FROM purchase_orders JOIN purchase_order_lines USING (purchase_order_id) JOIN materials USING (material_id)
            WHERE po_date = %(day)s::date AND po_date < %(as_of)s
            GROUP BY 1
            """,
        ),
        where="ppv_inr IS NOT NULL",
    ),
    Case(
        "supplier_performance",
        "spend_share_pct",
        "supplier_id",
        by_key(
            "erp",
            """
            SELECT supplier_id, 100 * sum(total_value) / sum(sum(total_value)) OVER ()
            FROM purchase_orders
            WHERE date_trunc('month', po_date) = %(day)s AND po_date < %(as_of)s
            GROUP BY 1
            """,
        ),
        where="po_count > 0",
    ),
]
