"""Stock, flow and backlog."""

from genims_platform.reporting.invariants.invariant import Invariant
from genims_platform.reporting.invariants.totals import CENT_A_ROW, PLANT, before_last, day_before, equal, rows_of

_BACKLOG_ROLLED_FORWARD = """
    SELECT t.service_date AS day, t.customer_id, t.backlog_open AS `left`,
      y.backlog_open + t.tickets_created AS `right`
    FROM customer_service_summary t
    JOIN customer_service_summary y
      ON y.customer_id = t.customer_id AND y.service_date = t.service_date - INTERVAL 1 DAY
    WHERE t.service_date >= %(first)s + INTERVAL 1 DAY AND t.service_date < %(end)s
      AND (t.backlog_open > y.backlog_open + t.tickets_created
        OR t.backlog_open < y.backlog_open + t.tickets_created - t.tickets_resolved - t.tickets_closed)
"""

# Only where the flow reaches back over the whole year that the analysis looks at.
_CONSUMPTION_OF_A_YEAR = """
    SELECT a.analysis_month AS month, a.material_id, a.consumption_qty_12m AS `left`, COALESCE(f.quantity, 0) AS `right`
    FROM abc_analysis a
    LEFT JOIN (
      SELECT m.analysis_month, f.material_id,
        SUM(f.shipped_qty + f.production_issue_qty - f.production_return_qty) AS quantity
      FROM (SELECT DISTINCT analysis_month FROM abc_analysis
            WHERE analysis_month >= %(first)s AND analysis_month + INTERVAL 1 MONTH <= %(end)s) m
      JOIN material_flow_daily f
        ON f.flow_date > LAST_DAY(m.analysis_month) - INTERVAL 365 DAY AND f.flow_date <= LAST_DAY(m.analysis_month)
      GROUP BY m.analysis_month, f.material_id
    ) f ON f.analysis_month = a.analysis_month AND f.material_id = a.material_id
    WHERE a.analysis_month >= %(first)s AND a.analysis_month + INTERVAL 1 MONTH <= %(end)s
      AND (SELECT MIN(flow_date) FROM material_flow_daily) <= LAST_DAY(a.analysis_month) - INTERVAL 364 DAY
      AND ABS(a.consumption_qty_12m - COALESCE(f.quantity, 0)) > 0.0001 * 365
"""

BALANCES = (
    Invariant(
        "balances_roll_forward",
        "day",
        "What a day closes with the next one opens with: work in process, stock, tickets not yet resolved.",
        ("work_in_process", "material_flow_daily", "inventory_value_summary", "customer_service_summary"),
        (
            equal(
                "day, line_id, product_id",
                before_last("work_in_process", "wip_date", "line_id, product_id", "closing_value_inr"),
                day_before("work_in_process", "wip_date", "line_id, product_id", "opening_value_inr"),
                tolerance=CENT_A_ROW,
            ),
            equal(
                "day, line_id, product_id",
                rows_of("work_in_process", "wip_date", "line_id, product_id", "closing_value_inr"),
                rows_of(
                    "work_in_process",
                    "wip_date",
                    "line_id, product_id",
                    "opening_value_inr + added_value_inr - completed_value_inr",
                ),
                tolerance=CENT_A_ROW,
            ),
            equal(
                "day, plant_id, material_id",
                before_last("material_flow_daily", "flow_date", "plant_id, material_id", "closing_qty")
                + " AND closing_qty IS NOT NULL",
                day_before("material_flow_daily", "flow_date", "plant_id, material_id", "opening_qty")
                + " AND opening_qty IS NOT NULL",
                both=True,
            ),
            equal(
                "day, plant_id, material_id",
                rows_of("material_flow_daily", "flow_date", "plant_id, material_id", "closing_qty"),
                rows_of("inventory_value_summary", "inventory_date", "plant_id, material_id", "qty_on_hand"),
            ),
            _BACKLOG_ROLLED_FORWARD,
        ),
    ),
    Invariant(
        "stock_and_receipts",
        "day",
        "Finished goods and raw material add up to the stock; warehouses and material flow received the same.",
        (
            "finished_goods_warehouse",
            "raw_material_warehouse",
            "inventory_value_summary",
            "warehouse_operations_daily",
            "material_flow_daily",
        ),
        (
            equal(
                "day, plant_id",
                rows_of("finished_goods_warehouse", "stock_date", "plant_id", "stock_value_inr")
                + " UNION ALL "
                + rows_of("raw_material_warehouse", "stock_date", "plant_id", "stock_value_inr"),
                rows_of("inventory_value_summary", "inventory_date", "plant_id", "stock_value_inr"),
                tolerance=CENT_A_ROW,
            ),
            equal(
                "day, plant_id",
                rows_of(
                    "warehouse_operations_daily",
                    "operation_date",
                    PLANT,
                    "received_qty",
                ),
                rows_of("material_flow_daily", "flow_date", "plant_id", "receipts_qty"),
            ),
        ),
    ),
    Invariant(
        "consumption_of_a_year",
        "month",
        "The consumption that ranks a material is what material flow shipped and issued in that year.",
        ("abc_analysis", "material_flow_daily"),
        (_CONSUMPTION_OF_A_YEAR,),
    ),
)
