"""Sales and purchases of a month."""

from genims_platform.reporting.invariants.invariant import Invariant
from genims_platform.reporting.invariants.totals import CENT_A_ROW, EXACT, closed_months, equal

TRADE = (
    Invariant(
        "sales_of_a_month",
        "month",
        "A month's sales are the same by order, customer, representative and product.",
        ("sales_order_summary", "customer_performance", "sales_rep_performance", "product_sales_performance"),
        (
            equal(
                "month, customer_id",
                closed_months("sales_order_summary", "order_date", "customer_id", "net_revenue_inr"),
                closed_months("customer_performance", "performance_month", "customer_id", "mtd_sales_inr"),
                tolerance=CENT_A_ROW,
            ),
            equal(
                "month",
                closed_months("customer_performance", "performance_month", "", "mtd_sales_inr"),
                closed_months("sales_rep_performance", "performance_month", "", "booked_revenue_inr"),
                tolerance=CENT_A_ROW,
            ),
            equal(
                "month",
                closed_months("sales_order_summary", "order_date", "", "net_revenue_inr"),
                closed_months("product_sales_performance", "sales_month", "", "revenue_inr"),
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
            equal(
                "month, supplier_id",
                closed_months("purchase_order_performance", "po_date", "supplier_id", by_order),
                closed_months("supplier_performance", "performance_month", "supplier_id", by_supplier),
                tolerance=tolerance,
            )
            for by_order, by_supplier, tolerance in (
                ("po_value_inr", "spend_inr", CENT_A_ROW),
                ("po_count", "po_count", EXACT),
            )
        ),
    ),
)
