"""Equations between reporting tables, as SQL on the reporting database that finds the rows that break them.

Each compares what two tables, computed from the same sources by different models, say of the same thing. A total that
only one side has counts as 0 on the other. Money and energy may differ by 0.01 for each row summed, for rounding at
load; counts are exact. Statements take `%(first)s` and `%(end)s`, a half-open range of days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import polars as pl

from genims_platform.mysql.connection import Database

# Attributes that are NULL for a key without master data count as one value on both sides.
_LINE = "COALESCE(line_id, 'UNKNOWN') AS line_id"
_FACTORY = "COALESCE(factory_id, 'UNKNOWN') AS factory_id"
_PLANT = "COALESCE(plant_id, 'UNKNOWN') AS plant_id"

CENT_A_ROW = "0.01 * COUNT(*)"
EXACT = "0"

SAMPLES = 3


@dataclass(frozen=True)
class Invariant:
    """An equation that holds between `tables` for every day, or every closed month, of the window.

    Each statement returns the totals that break it: the keys, then both sides.
    """

    name: str
    grain: Literal["day", "month"]
    description: str
    tables: tuple[str, ...]
    statements: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """Whether an invariant holds; `findings` name some totals that break it, `broken` counts them."""

    invariant: Invariant
    broken: int
    findings: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """No total breaks it."""
        return self.broken == 0


def verify(database: Database, invariants: Sequence[Invariant], first: date, end: date) -> list[Verdict]:
    """Check invariants over the days [first, end); those by month over the months that lie in it as a whole."""
    return [_verdict(database, invariant, {"first": first, "end": end}) for invariant in invariants]


def _verdict(database: Database, invariant: Invariant, days: Mapping[str, date]) -> Verdict:
    broken = [database.read(statement, days) for statement in invariant.statements]
    findings = [finding for rows in broken for finding in _sentences(rows)]
    return Verdict(invariant, sum(rows.height for rows in broken), tuple(findings))


def _sentences(rows: pl.DataFrame) -> list[str]:
    *keys, left, right = rows.columns
    return [
        f"{', '.join(str(row[key]) for key in keys)}: {left} is {row[left]}, {right} is {row[right]}"
        for row in rows.head(SAMPLES).iter_rows(named=True)
    ]


def _equal(by: str, left: str, right: str, *, tolerance: str = EXACT, both: bool = False) -> str:
    """Totals of `amount` by `by` that differ between two SELECTs; with `both`, only where both have rows."""
    return f"""
        SELECT {by}, SUM(l) AS `left`, SUM(r) AS `right`
        FROM (SELECT {by}, COALESCE(amount, 0) AS l, 0 AS r, 1 AS in_left, 0 AS in_right FROM ({left}) AS a
              UNION ALL SELECT {by}, 0, COALESCE(amount, 0), 0, 1 FROM ({right}) AS b) AS sides
        GROUP BY {by}
        HAVING ABS(SUM(l) - SUM(r)) > {tolerance} {"AND SUM(in_left) > 0 AND SUM(in_right) > 0" if both else ""}
    """  # noqa: S608


def _of(table: str, period: str, columns: str, amount: str, where: str = "TRUE") -> str:
    """Rows of one table in the range, with the period named `day` and the measure `amount`."""
    keys = f", {columns}" if columns else ""
    return (
        f"SELECT {period} AS day{keys}, {amount} AS amount FROM {table} "  # noqa: S608
        f"WHERE {period} >= %(first)s AND {period} < %(end)s AND ({where})"
    )


def _before_last(table: str, period: str, columns: str, amount: str) -> str:
    """Rows of all days of the range but the last."""
    return (
        f"SELECT {period} AS day, {columns}, {amount} AS amount FROM {table} "  # noqa: S608
        f"WHERE {period} >= %(first)s AND {period} < %(end)s - INTERVAL 1 DAY"
    )


def _day_before(table: str, period: str, columns: str, amount: str) -> str:
    """Rows of all days of the range but the first, as of the day before."""
    return (
        f"SELECT {period} - INTERVAL 1 DAY AS day, {columns}, {amount} AS amount FROM {table} "  # noqa: S608
        f"WHERE {period} >= %(first)s + INTERVAL 1 DAY AND {period} < %(end)s"
    )


def _closed_months(table: str, period: str, columns: str, amount: str) -> str:
    """Rows by month, of the months that lie in the range as a whole."""
    month = f"CAST(DATE_FORMAT({period}, '%%Y-%%m-01') AS DATE)"
    keys = f", {columns}" if columns else ""
    return (
        f"SELECT {month} AS month{keys}, {amount} AS amount FROM {table} "  # noqa: S608
        f"WHERE {period} >= %(first)s AND {period} < %(end)s "
        f"AND {month} >= %(first)s AND {month} + INTERVAL 1 MONTH <= %(end)s"
    )


_UNIT_COLUMNS = ("units_produced", "units_good", "units_rejected", "units_scrapped", "units_rework")

# Machine figures rolled up to the line as ISO 22400 says: times add up, performance is weighted by run time.
_OEE_ROLL_UP = """
    SELECT o.oee_date AS day, o.line_id,
      CONCAT_WS(' / ', o.run_minutes, o.planned_busy_minutes, o.availability_pct, o.performance_pct, o.quality_pct,
        o.oee_pct) AS `left`,
      CONCAT_WS(' / ', m.run, m.busy, ROUND(m.availability, 2), ROUND(m.performance, 2), ROUND(m.quality, 2),
        ROUND(m.availability * m.performance * m.quality / 10000, 2)) AS `right`
    FROM oee_summary_daily o
    JOIN (
      SELECT performance_date, line_id, COUNT(*) AS machines, SUM(run_minutes) AS run,
        SUM(planned_busy_minutes) AS busy,
        100 * SUM(run_minutes) / NULLIF(SUM(planned_busy_minutes), 0) AS availability,
        SUM(performance_pct * run_minutes) / NULLIF(SUM(IF(performance_pct IS NULL, 0, run_minutes)), 0) AS performance,
        100 * (SUM(units_produced) - SUM(units_rejected)) / NULLIF(SUM(units_produced), 0) AS quality
      FROM machine_performance_daily
      WHERE performance_date >= %(first)s AND performance_date < %(end)s
      GROUP BY performance_date, line_id
    ) m ON m.performance_date = o.oee_date AND m.line_id = o.line_id
    WHERE o.oee_date >= %(first)s AND o.oee_date < %(end)s AND o.oee_basis = 'machine'
      AND (ABS(o.run_minutes - m.run) > 0.01 * m.machines OR ABS(o.planned_busy_minutes - m.busy) > 0.01 * m.machines
        OR ABS(o.availability_pct - m.availability) > 0.02 OR ABS(o.performance_pct - m.performance) > 0.02
        OR ABS(o.quality_pct - m.quality) > 0.02
        OR ABS(o.oee_pct - m.availability * m.performance * m.quality / 10000) > 0.02)
"""

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


def _ratio_of_last_snapshot(measure: str, table: str, period: str, amount: str) -> str:
    return f"""
        SELECT f.ratio_month AS month, f.{measure} AS `left`, SUM(s.{amount}) AS `right`
        FROM financial_ratios f
        JOIN {table} s ON s.{period} = (
          SELECT MAX({period}) FROM {table}
          WHERE {period} >= f.ratio_month AND {period} < f.ratio_month + INTERVAL 1 MONTH)
        WHERE f.ratio_month >= CAST(DATE_FORMAT(%(first)s, '%%Y-%%m-01') AS DATE) AND f.ratio_month < %(end)s
        GROUP BY f.ratio_month, f.{measure}
        HAVING NOT (f.{measure} <=> SUM(s.{amount})) AND COALESCE(ABS(f.{measure} - SUM(s.{amount})), 1) > {CENT_A_ROW}
    """  # noqa: S608


INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        "machine_units_of_a_line",
        "day",
        "Units counted by the machines of a line are the same in machine performance and in the production summary.",
        ("machine_performance_daily", "production_summary_daily"),
        (
            _equal(
                "day, line_id",
                _of("machine_performance_daily", "performance_date", _LINE, "units_produced"),
                _of(
                    "production_summary_daily",
                    "production_date",
                    "line_id",
                    "machine_units_counted",
                    "machine_units_counted IS NOT NULL",
                ),
                both=True,
            ),
        ),
    ),
    Invariant(
        "oee_rolls_up",
        "day",
        "A line's OEE and its factors follow from its machines: times add up, factors are weighted means.",
        ("machine_performance_daily", "oee_summary_daily"),
        (_OEE_ROLL_UP,),
    ),
    Invariant(
        "energy_of_a_line",
        "day",
        "Energy of the machines of a line adds up to the line's.",
        ("machine_performance_daily", "energy_consumption_daily"),
        (
            _equal(
                "day, line_id",
                _of("machine_performance_daily", "performance_date", _LINE, "energy_kwh"),
                _of("energy_consumption_daily", "energy_date", _LINE, "total_kwh"),
                tolerance=CENT_A_ROW,
            ),
        ),
    ),
    Invariant(
        "breakdowns_of_a_machine",
        "day",
        "Machine performance and downtime summary count the same breakdowns.",
        ("machine_performance_daily", "downtime_summary_daily"),
        (
            _equal(
                "day, machine_id",
                _of("machine_performance_daily", "performance_date", "machine_id", "breakdown_count"),
                _of("downtime_summary_daily", "downtime_date", "machine_id", "breakdown_count"),
            ),
        ),
    ),
    Invariant(
        "units_of_a_factory",
        "day",
        "Output of completed orders is the same by line, by product and in the cost analysis.",
        ("production_summary_daily", "quality_summary_daily", "cost_analysis_daily"),
        (
            *(
                _equal(
                    "day, factory_id",
                    _of("production_summary_daily", "production_date", _FACTORY, units),
                    _of("quality_summary_daily", "quality_date", "factory_id", units),
                )
                for units in _UNIT_COLUMNS
            ),
            _equal(
                "day, factory_id",
                _of("production_summary_daily", "production_date", _FACTORY, "units_good"),
                _of("cost_analysis_daily", "cost_date", "factory_id", "units_good"),
            ),
        ),
    ),
    Invariant(
        "cost_of_completed_orders",
        "day",
        "Cost of the orders completed in a factory is the same in production, cost analysis and work in process.",
        ("production_summary_daily", "cost_analysis_daily", "work_in_process"),
        (
            _equal(
                "day, factory_id",
                _of("production_summary_daily", "production_date", _FACTORY, "actual_cost_inr"),
                _of(
                    "cost_analysis_daily",
                    "cost_date",
                    "factory_id",
                    "COALESCE(material_net_inr, 0) + COALESCE(labor_cost_inr, 0)",
                ),
                tolerance=CENT_A_ROW,
            ),
            _equal(
                "day, factory_id",
                _of("production_summary_daily", "production_date", _FACTORY, "actual_cost_inr"),
                _of("work_in_process", "wip_date", _FACTORY, "completed_value_inr"),
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
            _equal(
                "day, factory_id",
                _of("profit_and_loss_daily", "pnl_date", "factory_id", "cogs_std_inr"),
                _of("cost_analysis_daily", "cost_date", "factory_id", "cost_of_sales_std_inr"),
                tolerance=CENT_A_ROW,
            ),
            _OVERHEAD_ABSORBED,
        ),
    ),
    Invariant(
        "balances_roll_forward",
        "day",
        "What a day closes with the next one opens with: work in process, stock, tickets not yet resolved.",
        ("work_in_process", "material_flow_daily", "inventory_value_summary", "customer_service_summary"),
        (
            _equal(
                "day, line_id, product_id",
                _before_last("work_in_process", "wip_date", "line_id, product_id", "closing_value_inr"),
                _day_before("work_in_process", "wip_date", "line_id, product_id", "opening_value_inr"),
                tolerance=CENT_A_ROW,
            ),
            _equal(
                "day, line_id, product_id",
                _of("work_in_process", "wip_date", "line_id, product_id", "closing_value_inr"),
                _of(
                    "work_in_process",
                    "wip_date",
                    "line_id, product_id",
                    "opening_value_inr + added_value_inr - completed_value_inr",
                ),
                tolerance=CENT_A_ROW,
            ),
            _equal(
                "day, plant_id, material_id",
                _before_last("material_flow_daily", "flow_date", "plant_id, material_id", "closing_qty")
                + " AND closing_qty IS NOT NULL",
                _day_before("material_flow_daily", "flow_date", "plant_id, material_id", "opening_qty")
                + " AND opening_qty IS NOT NULL",
                both=True,
            ),
            _equal(
                "day, plant_id, material_id",
                _of("material_flow_daily", "flow_date", "plant_id, material_id", "closing_qty"),
                _of("inventory_value_summary", "inventory_date", "plant_id, material_id", "qty_on_hand"),
            ),
            _BACKLOG_ROLLED_FORWARD,
        ),
    ),
    Invariant(
        "sales_of_a_month",
        "month",
        "A month's sales are the same by order, customer, representative and product.",
        ("sales_order_summary", "customer_performance", "sales_rep_performance", "product_sales_performance"),
        (
            _equal(
                "month, customer_id",
                _closed_months("sales_order_summary", "order_date", "customer_id", "net_revenue_inr"),
                _closed_months("customer_performance", "performance_month", "customer_id", "mtd_sales_inr"),
                tolerance=CENT_A_ROW,
            ),
            _equal(
                "month",
                _closed_months("customer_performance", "performance_month", "", "mtd_sales_inr"),
                _closed_months("sales_rep_performance", "performance_month", "", "booked_revenue_inr"),
                tolerance=CENT_A_ROW,
            ),
            _equal(
                "month",
                _closed_months("sales_order_summary", "order_date", "", "net_revenue_inr"),
                _closed_months("product_sales_performance", "sales_month", "", "revenue_inr"),
                # Each order is rounded on its own, and an order has several lines.
                tolerance=f"4 * {CENT_A_ROW}",
            ),
        ),
    ),
    Invariant(
        "purchases_of_a_month",
        "month",
        "A month's purchase orders and their value are the same by order and by supplier.",
        ("purchase_order_performance", "supplier_performance"),
        tuple(
            _equal(
                "month, supplier_id",
                _closed_months("purchase_order_performance", "po_date", "supplier_id", by_order),
                _closed_months("supplier_performance", "performance_month", "supplier_id", by_supplier),
                tolerance=tolerance,
            )
            for by_order, by_supplier, tolerance in (
                ("po_value_inr", "spend_inr", CENT_A_ROW),
                ("po_count", "po_count", EXACT),
            )
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
            _equal(
                "day, plant_id",
                _of("finished_goods_warehouse", "stock_date", "plant_id", "stock_value_inr")
                + " UNION ALL "
                + _of("raw_material_warehouse", "stock_date", "plant_id", "stock_value_inr"),
                _of("inventory_value_summary", "inventory_date", "plant_id", "stock_value_inr"),
                tolerance=CENT_A_ROW,
            ),
            _equal(
                "day, plant_id",
                _of(
                    "warehouse_operations_daily",
                    "operation_date",
                    _PLANT,
                    "received_qty",
                ),
                _of("material_flow_daily", "flow_date", "plant_id", "receipts_qty"),
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
