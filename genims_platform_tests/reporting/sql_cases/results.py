"""Results and costs of the plants, and what is in process on their lines."""

from datetime import date

from genims_platform_tests.reporting.sql_cases.case import Case, Figures, Query, by_key, number


def orders_recognised(query: Query) -> list[str]:
    """Orders delivered or closed whose last delivery by a shipment that left after the order was on the day."""
    deliveries: dict[str, list[tuple[date, date | None]]] = {}
    for order, *dates in query(
        "tms",
        """
        SELECT sales_order_id, ship_date, coalesce(max(delivery_timestamp)::date, max(actual_delivery_date))
        FROM shipments LEFT JOIN proof_of_delivery USING (shipment_id)
        WHERE ship_date IS NOT NULL GROUP BY shipment_id
        """,
    ):
        deliveries.setdefault(str(order), []).append((dates[0], dates[1]))  # pyright: ignore[reportArgumentType]
    found: list[str] = []
    for order, ordered, requested, day in query(
        "erp",
        """
        SELECT sales_order_id, order_date, requested_delivery_date, %(day)s::date FROM sales_orders
        WHERE order_status = 'delivered' OR order_status = 'closed'
        """,
    ):
        assert isinstance(ordered, date)
        valid = [delivered for shipped, delivered in deliveries.get(str(order), []) if shipped >= ordered]
        arrived = [delivered for delivered in valid if delivered]
        if (max(arrived, default=None) if valid else requested) == day:
            found.append(str(order))
    return found


def revenue_by_factory(query: Query) -> Figures:
    orders = ", ".join(f"'{order}'" for order in orders_recognised(query)) or "NULL"
    values: dict[tuple[object, ...], float] = {}
    made: dict[tuple[object, object], dict[object, float]] = {}
    for order, material, plant, quantity in query(
        "erp",
        f"""
        SELECT sales_order_id, material_id, plant_id, order_quantity FROM production_orders
        WHERE sales_order_id IN ({orders})
        """,
    ):
        plants = made.setdefault((order, material), {})
        plants[plant] = plants.get(plant, 0) + (number(quantity) or 0)
    for order, material, plant, value in query(
        "erp",
        f"""
        SELECT sales_order_id, material_id, plant_id,
          order_quantity * unit_price - order_quantity * unit_price * coalesce(discount_percentage, 0) / 100
        FROM sales_order_lines WHERE sales_order_id IN ({orders}) AND NOT coalesce(deletion_indicator, FALSE)
        """,
    ):
        makers = made.get((order, material), {plant: 1.0})
        for maker, quantity in makers.items():
            share = quantity / sum(makers.values())
            values[maker or "UNKNOWN",] = values.get((maker or "UNKNOWN",), 0) + (number(value) or 0) * share
    return dict(values)


CASES = [
    Case("profit_and_loss_daily", "revenue_inr", "factory_id", revenue_by_factory, where="recognised_orders > 0"),
    Case(
        "cost_analysis_daily",
        "coalesce(material_net_inr, 0) + coalesce(labor_cost_inr, 0)",
        "factory_id, product_id",
        by_key(
            "mes",
            """
            SELECT factory_id, product_id, sum(
              coalesce((SELECT sum(labor_cost) FROM labor_transactions l
                        WHERE l.work_order_id = w.work_order_id AND l.clock_in_time < %(as_of)s), 0)
              + coalesce((SELECT sum(total_cost) FILTER (WHERE transaction_type = 'issue')
                            - coalesce(sum(total_cost) FILTER (WHERE transaction_type = 'return'), 0)
                          FROM material_transactions m
                          WHERE m.work_order_id = w.work_order_id AND m.transaction_date < %(as_of)s), 0))
            FROM work_orders w
            WHERE status LIKE 'c%%ed' AND status <> 'cancelled'
              AND actual_end_time::date = %(day)s::date AND actual_end_time < %(as_of)s
            GROUP BY 1, 2
            """,
        ),
        where="orders_completed > 0",
    ),
    Case(
        "cost_variance_daily",
        "variance_inr",
        "factory_id, object_id",
        by_key(
            "erp",
            """
            SELECT plant_id, l.material_id, sum(order_quantity * (unit_price - standard_cost))
            FROM purchase_orders JOIN purchase_order_lines l USING (purchase_order_id)
            LEFT JOIN materials m ON m.material_id = l.material_id
            WHERE po_date = %(day)s::date GROUP BY 1, 2
            """,
        ),
        where="variance_type = 'purchase_price'",
    ),
    Case(
        "work_in_process",
        "wip_qty",
        "line_id, product_id",
        by_key(
            "mes",
            """
            SELECT line_id, product_id, sum(planned_quantity) FROM work_orders
            WHERE status <> 'cancelled'
              AND actual_start_time < least(%(day)s + interval '1 day', %(as_of)s::timestamp)
              AND NOT coalesce(status IN ('completed', 'closed')
                AND actual_end_time < least(%(day)s + interval '1 day', %(as_of)s::timestamp), FALSE)
            GROUP BY 1, 2
            """,
        ),
        where="wip_orders > 0",
    ),
]
