"""Cost, result and ratios."""

from genims_platform.reporting.invariants.invariant import Invariant
from genims_platform.reporting.invariants.totals import CENT_A_ROW, FACTORY, equal, rows_of

# Overhead is absorbed by what was completed, so on a day without a completed order maintenance may exceed it.
_OVERHEAD_ABSORBED = """
    SELECT p.pnl_date AS day, p.factory_id, p.maintenance_cost_inr AS `left`, SUM(c.overhead_cost_inr) AS `right`
    FROM profit_and_loss_daily p
    LEFT JOIN cost_analysis_daily c ON c.cost_date = p.pnl_date AND c.factory_id = p.factory_id
    WHERE p.pnl_date >= %(first)s AND p.pnl_date < %(end)s
    GROUP BY p.pnl_date, p.factory_id, p.maintenance_cost_inr
    HAVING COALESCE(SUM(c.overhead_cost_inr), 0) - p.maintenance_cost_inr > 0.01 * COUNT(*)
      OR (SUM(c.orders_completed) > 0
        AND ABS(COALESCE(SUM(c.overhead_cost_inr), 0) - p.maintenance_cost_inr) > 0.01 * COUNT(*))
"""

_PRODUCTION_VARIANCE = """
    SELECT c.cost_date AS day, c.factory_id, c.product_id, c.variance_inr AS `left`, v.variance_inr AS `right`
    FROM cost_analysis_daily c
    LEFT JOIN cost_variance_daily v ON v.variance_type = 'production_cost' AND v.variance_date = c.cost_date
      AND v.factory_id = c.factory_id AND v.object_id = c.product_id
    WHERE c.cost_date >= %(first)s AND c.cost_date < %(end)s AND c.orders_completed > 0
      AND NOT (c.variance_inr <=> v.variance_inr) AND COALESCE(ABS(c.variance_inr - v.variance_inr), 1) > 0.01
"""


def _ratio_of_last_snapshot(measure: str, table: str, period: str, amount: str) -> str:
    return f"""
        SELECT f.ratio_month AS month, f.{measure} AS `left`, SUM(s.{amount}) AS `right`
        FROM financial_ratios f
        JOIN {table} s ON s.{period} = (
          SELECT MAX({period}) FROM {table}
          WHERE {period} >= f.ratio_month AND {period} < f.ratio_month + INTERVAL 1 MONTH)
        WHERE f.ratio_month >= %(first)s - INTERVAL DAYOFMONTH(%(first)s) - 1 DAY AND f.ratio_month < %(end)s
        GROUP BY f.ratio_month, f.{measure}
        HAVING NOT (f.{measure} <=> SUM(s.{amount})) AND COALESCE(ABS(f.{measure} - SUM(s.{amount})), 1) > {CENT_A_ROW}
    """  # noqa: S608


RESULTS = (
    Invariant(
        "cost_of_completed_orders",
        "day",
        "Cost of the orders completed in a factory is the same in production, cost analysis and work in process.",
        ("production_summary_daily", "cost_analysis_daily", "work_in_process"),
        (
            equal(
                "day, factory_id",
                rows_of("production_summary_daily", "production_date", FACTORY, "actual_cost_inr"),
                rows_of(
                    "cost_analysis_daily",
                    "cost_date",
                    "factory_id",
                    "COALESCE(material_net_inr, 0) + COALESCE(labor_cost_inr, 0)",
                ),
                tolerance=CENT_A_ROW,
            ),
            equal(
                "day, factory_id",
                rows_of("production_summary_daily", "production_date", FACTORY, "actual_cost_inr"),
                rows_of("work_in_process", "wip_date", FACTORY, "completed_value_inr"),
                tolerance=CENT_A_ROW,
            ),
        ),
    ),
    Invariant(
        "cost_of_sales_and_overhead",
        "day",
        "Profit and loss and cost analysis agree on cost of sales at standard; overhead absorbed is maintenance cost.",
        ("profit_and_loss_daily", "cost_analysis_daily"),
        (
            equal(
                "day, factory_id",
                rows_of("profit_and_loss_daily", "pnl_date", "factory_id", "cogs_std_inr"),
                rows_of("cost_analysis_daily", "cost_date", "factory_id", "cost_of_sales_std_inr"),
                tolerance=CENT_A_ROW,
            ),
            _OVERHEAD_ABSORBED,
        ),
    ),
    Invariant(
        "variances_and_snapshots",
        "day",
        "Production cost variances equal the cost analysis; the group's ratios rest on the month's last snapshots.",
        (
            "cost_variance_daily",
            "cost_analysis_daily",
            "financial_ratios",
            "accounts_payable_aging",
            "inventory_value_summary",
        ),
        (
            _PRODUCTION_VARIANCE,
            _ratio_of_last_snapshot("accounts_payable_inr", "accounts_payable_aging", "aging_date", "open_amount_inr"),
            _ratio_of_last_snapshot(
                "inventory_value_inr", "inventory_value_summary", "inventory_date", "stock_value_inr"
            ),
        ),
    ),
)
