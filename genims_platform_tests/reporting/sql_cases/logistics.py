"""Deliveries, the sales pipeline, customer service, warehouses and spare parts."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import date

from genims_platform_tests.reporting.sql_cases.case import Case, Figures, Query, by_key, number

DELIVERED = """
    SELECT warehouse_id, carrier_id, sales_order_id, ship_date, delivered, pieces
    FROM (
      SELECT s.*, coalesce(
          (SELECT max(delivery_timestamp)::date FROM proof_of_delivery p WHERE p.shipment_id = s.shipment_id),
          actual_delivery_date
        ) AS delivered,
        (SELECT sum(quantity) FROM shipment_lines l WHERE l.shipment_id = s.shipment_id) AS pieces
      FROM shipments s
    ) dated
    WHERE delivered <= %(day)s::date
"""
ORDERED = """
    SELECT sales_order_id, order_date, requested_delivery_date,
      (SELECT sum(order_quantity) FROM sales_order_lines l
       WHERE l.sales_order_id = o.sales_order_id AND deletion_indicator IS NOT TRUE)
    FROM sales_orders o
"""


def on_time_in_full(query: Query) -> Figures:
    """Deliveries of the day that were promised for it or later and complete their order."""
    orders = {order: (ordered, requested, pieces) for order, ordered, requested, pieces in query("erp", ORDERED)}
    delivered: defaultdict[object, float] = defaultdict(float)
    todays: list[tuple[object, object, object]] = []
    [(day,)] = query("tms", "SELECT %(day)s::date")
    for warehouse, carrier, order, shipped, arrived, pieces in query("tms", DELIVERED):
        if order in orders and _as_date(shipped) >= _as_date(orders[order][0]):
            delivered[order] += number(pieces) or 0
            if arrived == day:
                todays.append((warehouse, carrier, order))
    complete = Counter(
        (warehouse, carrier)
        for warehouse, carrier, order in todays
        if _as_date(day) <= _as_date(orders[order][1]) and delivered[order] >= (number(orders[order][2]) or 1e99)
    )
    return _floats(complete)


def backlog(query: Query) -> Figures:
    """Tickets created and not ended at the end of the day, or at the refresh, by customer."""
    named = {account: customer for account, customer in query("crm", "SELECT account_id, customer_id FROM accounts")}  # noqa: C416
    customers: Counter[tuple[object, ...]] = Counter()
    statement = """
        SELECT account_id FROM service_tickets
        WHERE created_at < least(%(day)s + interval '1 day', %(as_of)s)
          AND coalesce(least(resolved_datetime, closed_datetime), 'infinity')
            >= least(%(day)s + interval '1 day', %(as_of)s)
    """
    for (account,) in query("service", statement):
        customers[named.get(account) or account,] += 1
    return _floats(customers)


def _as_date(value: object) -> date:
    assert isinstance(value, date)
    return value


def _floats(counts: Mapping[tuple[object, ...], int]) -> Figures:
    return {key: float(count) for key, count in counts.items()}


CASES = [
    Case("delivery_performance", "otif_count", "warehouse_id, carrier_id", on_time_in_full, where="otif_count > 0"),
    Case(
        "sales_pipeline_summary",
        "amount_inr",
        "record_type, stage",
        by_key(
            "crm",
            """
            SELECT 'opportunity', stage, sum(amount) FROM opportunities GROUP BY stage
            UNION ALL
            SELECT 'lead', lead_status, sum(estimated_deal_value) FROM leads GROUP BY lead_status
            """,
        ),
        where="record_type <> 'quotation'",
    ),
    Case("customer_service_summary", "backlog_open", "customer_id", backlog, where="backlog_open > 0"),
    Case(
        "warehouse_operations_daily",
        "dock_to_stock_minutes",
        "warehouse_id",
        by_key(
            "wms",
            """
            SELECT p.warehouse_id, extract(epoch FROM avg(p.completed_at - r.completed_at)) / 60
            FROM putaway_tasks p JOIN receiving_tasks r USING (receiving_task_id)
            WHERE p.completed_at::date = %(day)s::date AND p.completed_at < %(as_of)s GROUP BY 1
            """,
        ),
        where="dock_to_stock_minutes IS NOT NULL",
    ),
    Case(
        "warehouse_operations_daily",
        "picked_qty",
        "warehouse_id",
        by_key(
            "wms",
            """
            SELECT warehouse_id, sum(quantity_picked) FROM picking_tasks
            WHERE task_number LIKE 'PICK-' || to_char(%(day)s::date, 'YYYYMMDD') || '-%%' GROUP BY 1
            """,
        ),
        where="pick_tasks > 0",
    ),
    Case(
        "spare_parts_inventory",
        "issued_90d_value_inr",
        "part_id",
        by_key(
            "cmms",
            """
            SELECT mro_part_id, sum(total_cost) FROM mro_parts_transactions
            WHERE transaction_type = 'issued' AND transaction_date < %(as_of)s
              AND transaction_date >= %(day)s - interval '89 days'
            GROUP BY 1
            """,
        ),
        where="part_register = 'mro' AND issued_90d_qty > 0",
    ),
]
