"""Stock, its flows and its consumption."""

from collections import defaultdict
from collections.abc import Iterable

from genims_platform_tests.reporting.sql_cases.case import Case, Figures, Query, by_key, number

ISSUES = """
    SELECT factory_id, material_code, sum(CASE transaction_type WHEN 'issue' THEN quantity ELSE 0 END) AS issued,
      sum(CASE transaction_type WHEN 'issue' THEN quantity ELSE -quantity END) AS net
    FROM material_transactions LEFT JOIN work_orders USING (work_order_id)
    WHERE transaction_type IN ('issue', 'return') AND transaction_date < %(as_of)s
      AND transaction_date >= {first} AND transaction_date < {end} GROUP BY 1, 2
"""
SHIPMENTS = """
    SELECT warehouse_id, material_id, sum(quantity) FROM shipment_lines JOIN shipments USING (shipment_id)
    WHERE ship_date >= {first} AND ship_date < {end} AND ship_date <= %(as_of)s GROUP BY 1, 2
"""


def issued(query: Query) -> Figures:
    """Issues of the day to the orders of each factory, by material; a code of no material stays."""
    ids = _materials_by_code(query)
    return _summed(
        ((factory, ids.get(code, code)), quantity)
        for factory, code, quantity, _net in query(
            "mes", ISSUES.format(first="%(day)s", end="%(day)s + interval '1 day'")
        )
    )


def consumed_in_a_year(query: Query) -> Figures:
    """Net issues and shipments of the 365 days up to the last known day of the month, of materials of the master."""
    year = {
        "first": "least(%(day)s + interval '1 month', date_trunc('day', %(as_of)s) + interval '1 day')"
        " - interval '365 days'",
        "end": "%(day)s + interval '1 month'",
    }
    ids = _materials_by_code(query)
    totals: defaultdict[object, float] = defaultdict(float, dict.fromkeys(ids.values(), 0.0))
    for _factory, code, _issued, net in query("mes", ISSUES.format(**year)):
        totals[ids.get(code, code)] += number(net) or 0
    for _warehouse, material, quantity in query("tms", SHIPMENTS.format(**year)):
        totals[material] += number(quantity) or 0
    return {(material,): total for material, total in totals.items()}


def used_in_thirty_days(query: Query) -> Figures:
    """Net issues and shipments of the 30 days up to today, of what each plant holds but does not sell."""
    days = {"first": "%(day)s - interval '29 days'", "end": "%(day)s + interval '1 day'"}
    ids = _materials_by_code(query)
    plants = {warehouse: plant for warehouse, plant in query("wms", "SELECT warehouse_id, plant_id FROM warehouses")}  # noqa: C416
    used: defaultdict[tuple[object, object], float] = defaultdict(float)
    for factory, code, _issued, net in query("mes", ISSUES.format(**days)):
        used[factory, ids.get(code, code)] += number(net) or 0
    for warehouse, material, quantity in query("tms", SHIPMENTS.format(**days)):
        used[plants[warehouse], material] += number(quantity) or 0
    held = query(
        "erp",
        """
        SELECT plant_id, material_id FROM inventory_balances LEFT JOIN materials USING (material_id)
        WHERE material_type IS NULL OR material_type <> 'finished_good'
        """,
    )
    return {(plant, material): used[plant, material] for plant, material in held}


def _materials_by_code(query: Query) -> dict[object, object]:
    rows = query("erp", "SELECT material_code, material_id FROM materials ORDER BY material_id DESC")
    return {code: material for code, material in rows}  # noqa: C416


def _summed(parts: Iterable[tuple[tuple[object, ...], object]]) -> Figures:
    totals: defaultdict[tuple[object, ...], float] = defaultdict(float)
    for key, quantity in parts:
        totals[key] += number(quantity) or 0
    return {key: total for key, total in totals.items() if total > 0}


CASES = [
    Case(
        "inventory_value_summary",
        "stock_value_inr",
        "plant_id, storage_location, material_id",
        by_key(
            "erp",
            "SELECT plant_id, storage_location, material_id, sum(stock_value) FROM inventory_balances GROUP BY 1, 2, 3",
        ),
    ),
    Case("material_flow_daily", "production_issue_qty", "plant_id, material_id", issued, "production_issue_qty > 0"),
    Case("abc_analysis", "consumption_qty_12m", "material_id", consumed_in_a_year),
    Case(
        "finished_goods_warehouse",
        "open_order_qty",
        "plant_id, material_id",
        by_key(
            "erp",
            """
            SELECT p.plant_id, l.material_id, sum(
              l.order_quantity * p.order_quantity / (
                SELECT sum(order_quantity) FROM production_orders q
                WHERE q.sales_order_id = l.sales_order_id AND q.material_id = l.material_id
              )
            )
            FROM sales_orders o
            JOIN sales_order_lines l USING (sales_order_id)
            JOIN production_orders p ON p.sales_order_id = l.sales_order_id AND p.material_id = l.material_id
            WHERE order_status <> 'delivered' AND order_status <> 'closed' AND order_status <> 'cancelled'
              AND EXISTS (
                SELECT FROM inventory_balances b WHERE b.plant_id = p.plant_id AND b.material_id = p.material_id
              )
            GROUP BY 1, 2
            """,
        ),
        where="open_order_qty > 0",
    ),
    Case("raw_material_warehouse", "issued_30d_qty", "plant_id, material_id", used_in_thirty_days),
]
