"""Cash, budget, assets and ratios of the group, and what it owes."""

from datetime import date

from genims_platform_tests.reporting.sql_cases.case import Case, Figures, Query, by_key, number

GROUP = "'group'"
"""Key of tables that have one row a period."""


def cash_position(query: Query) -> Figures:
    statement = """
        SELECT 'group' AS whole, sum(functional_debit) - sum(functional_credit)
        FROM journal_entry_lines l, journal_entry_headers h, chart_of_accounts a
        WHERE l.journal_entry_id = h.journal_entry_id AND l.account_id = a.account_id
          AND posted AND reversed = FALSE AND posting_date <= %(day)s::date
          AND account_code::int BETWEEN 1110 AND 1139
        HAVING count(*) > 0
    """
    return by_key("financial", statement)(query)


def days_of_sales_outstanding(query: Query) -> Figures:
    """Receivables of the ledger over the revenue of 90 days up to the month's end or the run, order by order."""
    [(receivables, last)] = query(
        "financial",
        """
        WITH until AS (SELECT least(%(day)s + interval '1 month' - interval '1 day', %(as_of)s::date)::date AS last)
        SELECT (
          SELECT sum(functional_debit - functional_credit)
          FROM journal_entry_lines JOIN journal_entry_headers USING (journal_entry_id)
          WHERE posted AND NOT reversed AND posting_date <= last
            AND account_id = (SELECT account_id FROM chart_of_accounts WHERE account_code = '1210')
        ), last
        FROM until
        """,
    )
    assert isinstance(last, date)
    shipped: dict[object, list[tuple[date, date | None]]] = {}
    for order, left, delivered in query(
        "tms",
        """
        SELECT sales_order_id, ship_date, coalesce(
          (SELECT max(delivery_timestamp)::date FROM proof_of_delivery p WHERE p.shipment_id = s.shipment_id),
          actual_delivery_date)
        FROM shipments s WHERE ship_date IS NOT NULL
        """,
    ):
        shipped.setdefault(order, []).append((left, delivered))  # pyright: ignore[reportArgumentType]
    revenue = 0.0
    for order, ordered, requested, value in query(
        "erp",
        """
        SELECT sales_order_id, order_date, requested_delivery_date, (
          SELECT sum(order_quantity * unit_price * (100 - coalesce(discount_percentage, 0)) / 100)
          FROM sales_order_lines l WHERE l.sales_order_id = o.sales_order_id AND deletion_indicator IS NOT TRUE)
        FROM sales_orders o WHERE order_status IN ('delivered', 'closed')
        """,
    ):
        assert isinstance(ordered, date)
        valid = [delivered for left, delivered in shipped.get(order, []) if left >= ordered]
        day = max((delivered for delivered in valid if delivered), default=None) if valid else requested
        if isinstance(day, date) and 0 <= (last - day).days < 90:
            revenue += number(value) or 0
    owed = number(receivables)
    return {("group",): owed / revenue * 90 if owed is not None and revenue else None}


CASES = [
    Case(
        "accounts_payable_aging",
        "overdue_amount_inr",
        "supplier_id",
        by_key(
            "supplier",
            """
            SELECT supplier_id, sum(CASE WHEN due_date < %(day)s::date
              THEN total_amount - coalesce(paid_amount, 0) ELSE 0 END)
            FROM supplier_invoices
            WHERE NOT coalesce(payment_status = 'paid', FALSE) AND invoice_date <= %(day)s::date
            GROUP BY 1
            """,
        ),
    ),
    Case(
        "budget_vs_actual",
        "ytd_variance_inr",
        "cost_center_id, account_id",
        by_key(
            "financial",
            """
            WITH budget AS (
              SELECT cost_center_id, account_id, sum((
                SELECT sum(amount) FROM unnest(ARRAY[period_01, period_02, period_03, period_04, period_05, period_06,
                  period_07, period_08, period_09, period_10, period_11, period_12]) WITH ORDINALITY p (amount, month)
                WHERE month <= extract(month FROM %(day)s))) AS amount
              FROM budget_lines JOIN budget_headers USING (budget_id)
              WHERE fiscal_year = extract(year FROM %(day)s) AND budget_status = 'active' GROUP BY 1, 2
            ), actual AS (
              SELECT cost_center_id, account_id, sum(functional_debit - functional_credit) AS amount
              FROM journal_entry_lines JOIN journal_entry_headers USING (journal_entry_id)
              WHERE posted AND NOT reversed AND posting_date < least(%(day)s + interval '1 month', %(as_of)s)
                AND date_trunc('year', posting_date) = date_trunc('year', %(day)s) GROUP BY 1, 2
            )
            SELECT cost_center_id, account_id,
              CASE account_type WHEN 'revenue' THEN -1 ELSE 1 END * actual.amount - budget.amount
            FROM budget JOIN actual USING (cost_center_id, account_id) JOIN chart_of_accounts USING (account_id)
            """,
        ),
        where="ytd_variance_inr IS NOT NULL",
    ),
    Case(
        "capex_tracking",
        "net_book_value_usd",
        "capex_object_id",
        by_key(
            "master",
            """
            SELECT machine_id, asset_value_usd * greatest(0, 1 - (
              least(%(day)s + interval '1 month' - interval '1 day', %(as_of)s)::date - installation_date
            ) / 365.25 / expected_life_years)
            FROM machines
            WHERE installation_date <= least(%(day)s + interval '1 month' - interval '1 day', %(as_of)s)::date
            """,
        ),
        where="capex_object_type = 'machine'",
    ),
    Case("cash_flow_daily", "cash_position_inr", GROUP, cash_position),
    Case(
        "cash_flow_daily",
        "supplier_due_next_30d_inr",
        GROUP,
        by_key(
            "supplier",
            """
            SELECT 'group' AS whole, sum(total_amount) FROM supplier_invoices
            WHERE invoice_date <= %(day)s::date AND due_date - %(day)s::date BETWEEN 1 AND 30
            HAVING sum(total_amount) <> 0
            """,
        ),
        where="supplier_due_next_30d_inr <> 0",
    ),
    Case("financial_ratios", "dso_days", GROUP, days_of_sales_outstanding),
]
