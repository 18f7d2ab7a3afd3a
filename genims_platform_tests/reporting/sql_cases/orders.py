"""Orders, customers, products, representatives and demand."""

from datetime import date

from genims_platform_tests.reporting.sql_cases.case import Case, Figures, Query, number

# Days of the period that have begun by the refresh end before this one.
UNTIL = "least(%(as_of)s - interval '1 microsecond' + interval '1 day', %(day)s + interval '1 month')::date"
IN_MONTH = f"order_date >= %(day)s AND order_date < {UNTIL}"
SOLD = """
    sales_orders o JOIN sales_order_lines l USING (sales_order_id)
    LEFT JOIN materials m ON m.material_id = l.material_id
"""
PRODUCT = "coalesce(l.product_id, m.product_id, 'UNKNOWN')"


def on_time_orders(query: Query) -> Figures:
    delivered: dict[object, list[tuple[date, date]]] = {}
    for order_id, *dates in query(
        "tms",
        """
        SELECT s.sales_order_id, s.ship_date, coalesce(max(p.delivery_timestamp)::date, s.actual_delivery_date)
        FROM shipments s LEFT JOIN proof_of_delivery p USING (shipment_id)
        GROUP BY s.shipment_id
        HAVING coalesce(max(p.delivery_timestamp)::date, s.actual_delivery_date)
          <= (%(as_of)s - interval '1 microsecond')::date
        """,
    ):
        delivered.setdefault(order_id, []).append((dates[0], dates[1]))  # pyright: ignore[reportArgumentType]
    figures: Figures = {}
    for order_id, customer, ordered, requested in query(
        "erp",
        """
        SELECT sales_order_id, coalesce(nullif(btrim(customer_id), ''), 'UNKNOWN'), order_date, requested_delivery_date
        FROM sales_orders WHERE order_date = %(day)s::date AND order_date < %(as_of)s
        """,
    ):
        assert isinstance(ordered, date)
        valid = [arrived for shipped, arrived in delivered.get(order_id, []) if shipped >= ordered]
        on_time = bool(valid) and isinstance(requested, date) and max(valid) <= requested
        figures[customer,] = (figures.get((customer,)) or 0) + on_time
    return figures


def open_receivables(query: Query) -> Figures:
    orders = query("erp", f"SELECT sales_order_id, customer_id, order_date < {UNTIL} FROM sales_orders")
    customer_of = {order: customer for order, customer, _ in orders}
    # Who has ordered and was not billed yet owes nothing.
    figures: Figures = {(customer,): 0.0 for _, customer, ordered in orders if ordered}
    for order_id, owed in query(
        "financial",
        f"""
        SELECT h.source_document_id, sum(l.functional_debit - l.functional_credit)
        FROM journal_entry_headers h JOIN journal_entry_lines l USING (journal_entry_id)
        JOIN chart_of_accounts c USING (account_id)
        WHERE c.account_code = '1210' AND h.posted AND NOT h.reversed AND h.posting_date < {UNTIL}
        GROUP BY 1
        """,
    ):
        if order_id in customer_of:
            key = (customer_of[order_id],)
            figures[key] = (figures.get(key) or 0) + (number(owed) or 0)
    return figures


def growth_of_products(query: Query) -> Figures:
    statement = f"""
        SELECT {PRODUCT}, sum(l.order_quantity * l.unit_price * (1 - coalesce(l.discount_percentage, 0) / 100))
        FROM {SOLD} WHERE %s GROUP BY 1
    """
    # As many days of the month before as have begun, or all of it.
    before = f"""
        order_date >= %(day)s - interval '1 month'
        AND order_date < least(%(day)s, CASE WHEN %(as_of)s < %(day)s + interval '1 month'
          THEN %(day)s - interval '1 month' + ({UNTIL} - %(day)s::date) * interval '1 day' ELSE %(day)s END)
    """
    earlier = {product: number(revenue) for product, revenue in query("erp", statement.replace("%s", before))}
    figures: Figures = {}
    for product, revenue in query("erp", statement.replace("%s", IN_MONTH)):
        base = earlier.get(product)
        if base:
            figures[product,] = 100 * ((number(revenue) or 0) / base - 1)
    return figures


def attainment(query: Query) -> Figures:
    sales = {
        customer: number(net) or 0
        for customer, net in query(
            "erp", f"SELECT customer_id, sum(total_net_value) FROM sales_orders WHERE {IN_MONTH} GROUP BY 1"
        )
    }
    booked: dict[object, float] = {}
    for customer, owner in query(
        "crm",
        "SELECT DISTINCT ON (customer_id) customer_id, account_owner FROM accounts ORDER BY customer_id, account_id",
    ):
        booked[owner] = booked.get(owner, 0) + sales.get(customer, 0)
    quotas = query(
        "crm",
        """
        SELECT sales_rep_id, quota_amount / 3 FROM sales_forecasts
        WHERE forecast_period = 'quarterly' AND forecast_year = extract(year FROM %(day)s)
          AND forecast_quarter = extract(quarter FROM %(day)s) AND quota_amount > 0
        """,
    )
    return {(rep,): 100 * booked.get(rep, 0) / (number(quota) or 0) for rep, quota in quotas}


def forecast_accuracy(query: Query) -> Figures:
    planned = query(
        "master",
        f"""
        SELECT product_id, sum(annual_volume) / 12.0 * ({UNTIL} - %(day)s::date)
          / extract(day FROM %(day)s + interval '1 month' - interval '1 day')
        FROM customer_product_mapping WHERE is_active GROUP BY 1
        """,
    )
    forecast = {product: number(quantity) or 0 for product, quantity in planned}
    ordered = query("erp", f"SELECT {PRODUCT}, sum(l.order_quantity) FROM {SOLD} WHERE {IN_MONTH} GROUP BY 1")
    return {
        (product,): max(0, 100 - 100 * abs(actual - forecast[product]) / actual)
        for product, quantity in ordered
        if product in forecast and (actual := number(quantity) or 0)
    }


CASES = [
    Case("sales_order_summary", "on_time_orders", "customer_id", on_time_orders),
    Case(
        "customer_performance",
        "open_receivable_inr",
        "customer_id",
        open_receivables,
        where="open_receivable_inr IS NOT NULL",
    ),
    Case(
        "product_sales_performance",
        "mom_growth_pct",
        "product_id",
        growth_of_products,
        where="mom_growth_pct IS NOT NULL",
    ),
    Case(
        "sales_rep_performance",
        "quota_attainment_pct",
        "sales_rep_id",
        attainment,
        where="quota_attainment_pct IS NOT NULL",
    ),
    Case(
        "demand_forecast_vs_actual",
        "forecast_accuracy_pct",
        "product_id",
        forecast_accuracy,
        where="forecast_accuracy_pct IS NOT NULL",
    ),
]
