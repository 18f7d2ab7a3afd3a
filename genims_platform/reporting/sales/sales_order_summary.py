"""sales_order_summary: order intake, margin and delivery reliability per customer and order day."""

from datetime import date, timedelta
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.accounts import account_of_customer
from genims_platform.reporting.checks import Checks, Expectation, Identity, Reconciliation, sql
from genims_platform.reporting.exchange import total_inr
from genims_platform.reporting.order_lines import order_lines
from genims_platform.reporting.periods import DAY, Window
from genims_platform.reporting.sales.order_value_check import totals_in_inr
from genims_platform.reporting.sales.order_values import orders_in_inr
from genims_platform.reporting.shipments import delivered_shipments, of_shipments, valid_shipments
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between, KeyFrom, KeyIn

_ORDERED = Between("order_date")
_SHIPPED = KeyFrom("sales_order_id", "erp.sales_orders", "sales_order_id", _ORDERED)
_FULFILLED = ("delivered", "closed")

_CUSTOMERS = sql(
    "erp",
    """
    SELECT DISTINCT order_date, customer_id FROM sales_orders
    WHERE order_date >= %(first_day)s AND order_date <= %(last_day)s
    """,
)
_ORDERS = sql(
    "erp",
    """
    SELECT order_date, COUNT(*) AS order_count FROM sales_orders
    WHERE order_date >= %(first_day)s AND order_date <= %(last_day)s GROUP BY 1
    """,
)
_HEADERS = sql(
    "erp",
    """
    SELECT order_date, customer_id, order_date AS rate_day, currency, SUM(total_net_value) AS net_revenue_inr
    FROM sales_orders WHERE order_date >= %(first_day)s AND order_date <= %(last_day)s GROUP BY 1, 2, 3, 4
    """,
)
# The lines of an order are worth what its header says if they differ by no more than the rounding of each line.
_LINES = sql(
    "erp",
    """
    SELECT o.order_date, o.customer_id, o.order_date AS rate_day, o.currency,
      SUM(CASE WHEN abs(o.total_net_value - l.line_value) <= 0.005 * (l.line_count + 1) THEN o.total_net_value
        ELSE coalesce(l.line_value, 0) END) AS net_revenue_inr
    FROM sales_orders o LEFT JOIN (
      SELECT sales_order_id, COUNT(*) AS line_count,
        SUM(order_quantity * unit_price * (100 - coalesce(discount_percentage, 0)) / 100) AS line_value
      FROM sales_order_lines
      WHERE deletion_indicator IS NOT TRUE AND sales_order_id IN (
        SELECT sales_order_id FROM sales_orders WHERE order_date >= %(first_day)s AND order_date <= %(last_day)s
      )
      GROUP BY 1
    ) l USING (sales_order_id)
    WHERE o.order_date >= %(first_day)s AND o.order_date <= %(last_day)s
    GROUP BY 1, 2, 3, 4
    """,
)
_CHECKS = Checks(
    rows=_CUSTOMERS,
    reconcile=(
        Reconciliation("orders_vs_erp", _ORDERS),
        Reconciliation("orders_vs_erp", totals_in_inr(_HEADERS, ("net_revenue_inr",), rows=("customer_id",))),
        Reconciliation(
            "header_vs_lines", totals_in_inr(_LINES, ("net_revenue_inr",), rows=("customer_id",)), blocks=False
        ),
    ),
    identities=(
        Identity(
            "gross margin = net revenue - standard cost",
            pl.col("gross_margin_inr") - (pl.col("net_revenue_inr") - pl.col("standard_cost_inr")),
            tolerance=0.01,
        ),
        Identity(
            "order_count = open + delivered + cancelled",
            pl.col("order_count") - pl.sum_horizontal("open_orders", "delivered_orders", "cancelled_orders"),
        ),
    ),
    warnings=(
        Expectation("fx_missing", pl.col("net_revenue_inr").is_not_null()),
        Expectation(
            "on_time_orders <= shipped_orders <= order_count",
            (pl.col("on_time_orders") <= pl.col("shipped_orders"))
            & (pl.col("shipped_orders") <= pl.col("order_count")),
        ),
    ),
    orphans={"customer_id": "customer_name"},
)

_LATE_DAYS = 120

_DELIVERED_ORDERS = sql(
    "tms",
    """
    SELECT sales_order_id FROM shipments
    WHERE actual_delivery_date >= %(first_day)s AND actual_delivery_date <= %(last_day)s
    UNION
    SELECT sales_order_id FROM shipments
    WHERE shipment_id IN (
      SELECT shipment_id FROM proof_of_delivery
      WHERE delivery_timestamp >= %(first_day)s AND delivery_timestamp < %(last_day)s::date + 1
    )
    """,
)
_ORDER_DAYS = """
    SELECT order_date FROM sales_orders WHERE sales_order_id = ANY(%(delivered)s)
    UNION
    SELECT order_date FROM sales_orders
    WHERE requested_delivery_date >= %(due)s AND requested_delivery_date < %(last_day)s AND order_date >= %(oldest)s
      AND coalesce(order_status, '') NOT IN ('delivered', 'closed', 'cancelled')
"""


def _order_days(sources: Sources, window: Window) -> pl.DataFrame:
    """Order days of orders delivered in the window, and of open ones that became overdue in it."""
    delivered = _DELIVERED_ORDERS(sources, window)
    return sources.query(
        "erp",
        _ORDER_DAYS,
        {
            "delivered": delivered.to_series().drop_nulls().to_list() if delivered.width else [],
            "due": window.first - DAY,
            "last_day": window.last_day,
            "oldest": window.first - DAY * (_LATE_DAYS + 1),
        },
    )


@reporting_table(group="sales", recompute=1, horizon=_LATE_DAYS, touched=_order_days, checks=_CHECKS)
def sales_order_summary(
    *,
    window: Window,
    orders: Annotated[pl.LazyFrame, Read("erp.sales_orders", _ORDERED)],
    lines: Annotated[
        pl.LazyFrame,
        Read("erp.sales_order_lines", KeyIn("sales_order_id", "sales_orders", "sales_order_id", _ORDERED)),
    ],
    shipments: Annotated[pl.LazyFrame, Read("tms.shipments", _SHIPPED)],
    proofs: Annotated[pl.LazyFrame, Read("tms.proof_of_delivery", of_shipments(_SHIPPED))],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
    customers: Annotated[pl.LazyFrame, Read("master.customers")],
    accounts: Annotated[pl.LazyFrame, Read("crm.accounts")],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """Orders taken; one row a day and customer with an order on it, whatever became of the order.

    A cohort of the order day: what was delivered, is open or overdue is told as of the run, so that it fills up later.
    Net revenue is before tax, gross value with tax, both in INR at the rate of the order date. Margin is against the
    standard cost of the materials ordered, deleted lines left out. An order is shipped once a valid shipment of it is
    delivered, on time if the latest delivery is no later than requested (on time of OTIF, SCOR RL.2.2). The order book
    counts here, not revenue recognised (IFRS 15).
    """
    today = (window.as_of - timedelta.resolution).date()
    ordered = orders_in_inr(orders, rates)
    booked = ordered.join(
        _deliveries(delivered_shipments(shipments, proofs), ordered, today), on="sales_order_id", how="left"
    )
    status = pl.col("order_status").fill_null("")
    fulfilled, cancelled = status.is_in(_FULFILLED), status == "cancelled"
    is_open = ~(fulfilled | cancelled)
    requested, shipped = pl.col("requested_delivery_date"), pl.col("last_delivered").is_not_null()
    key = ("order_date", "customer_id")
    contents = (
        order_lines(lines, materials)
        .join(ordered.select("sales_order_id", *key), on="sales_order_id")
        .group_by(key)
        .agg(
            line_count=pl.len(),
            order_qty=kpi.total(pl.col("order_quantity")),
            standard_cost_inr=kpi.total(pl.col("standard_cost")),
        )
    )
    return (
        booked.group_by(key)
        .agg(
            order_count=pl.len(),
            net_revenue_inr=total_inr(pl.col("net_value"), pl.col("net_inr")),
            gross_value_inr=total_inr(pl.col("gross_value"), pl.col("gross_inr")),
            open_orders=is_open.sum(),
            delivered_orders=fulfilled.sum(),
            cancelled_orders=cancelled.sum(),
            shipped_orders=shipped.sum(),
            on_time_orders=(shipped & (pl.col("last_delivered") <= requested)).sum(),
            overdue_orders=(is_open & (requested < today)).sum(),
            avg_promised_days=(requested - pl.col("order_date")).dt.total_days().mean(),
            source_row_count=pl.len(),
        )
        .join(contents, on=key, how="left")
        .join(customers.select("customer_id", "customer_name", "region"), on="customer_id", how="left")
        .join(account_of_customer(accounts).select("customer_id", "sales_rep_id"), on="customer_id", how="left")
        .with_columns(
            line_count=pl.col("line_count").fill_null(0),
            avg_order_value_inr=kpi.ratio(pl.col("net_revenue_inr"), pl.col("order_count")),
            gross_margin_inr=pl.col("net_revenue_inr") - pl.col("standard_cost_inr"),
            on_time_pct=kpi.percent(pl.col("on_time_orders"), pl.col("shipped_orders")),
        )
        .with_columns(gross_margin_pct=kpi.percent(pl.col("gross_margin_inr"), pl.col("net_revenue_inr")))
    )


def _deliveries(shipments: pl.LazyFrame, orders: pl.LazyFrame, today: date) -> pl.LazyFrame:
    """`last_delivered` by `sales_order_id`: the latest day on which a valid shipment was delivered so far."""
    return (
        valid_shipments(shipments, orders)
        .filter(pl.col("delivered_date") <= today)
        .group_by("sales_order_id")
        .agg(last_delivered=pl.col("delivered_date").max())
    )
