"""customer_performance: which customers to protect, grow or collect from."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.accounts import account_of_customer, customers_of_accounts
from genims_platform.reporting.checks import Checks, Reconciliation, all_of, sql
from genims_platform.reporting.exchange import total_inr
from genims_platform.reporting.ledger import postings_of_open_documents, summed_postings, total_posted
from genims_platform.reporting.periods import DAY, Window, midnight
from genims_platform.reporting.sales.order_value_check import totals_in_inr, unconverted
from genims_platform.reporting.sales.order_values import orders_in_inr
from genims_platform.reporting.shipments import (
    delivered_in_span,
    delivered_shipments,
    of_shipments,
    valid_shipments,
)
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between, Earliest, KeyFrom, Latest, Until, YearToDate
from genims_platform.sources.summary import KeyOf

_QUARTER = DAY * 90
_SHIPPED = delivered_in_span(before=_QUARTER)
_OPEN = postings_of_open_documents("open_receivables", "1210", _QUARTER.days)
_ORDERS = Until("order_date") & (
    YearToDate("order_date")
    | Between("order_date", before=2 * _QUARTER)
    | Earliest("sales_orders", "order_date")
    | Latest("sales_orders", "order_date", "customer_id", Until("order_date"))
    | KeyFrom("sales_order_id", "tms.shipments", "sales_order_id", _SHIPPED)
    | KeyOf("sales_order_id", _OPEN, "source_document_id")
)
"""All orders of the spans that are compared; else the first of all and the last of each customer, and those that were
delivered or posted in the last 90 days, or are not paid yet: what is read stays bounded, however long the history."""

_CUSTOMERS = all_of(
    sql("master", "SELECT %(first_day)s::date AS performance_month, customer_id FROM customers"),
    sql(
        "erp",
        """
        SELECT DISTINCT %(first_day)s::date AS performance_month, customer_id FROM sales_orders
        WHERE order_date >= date_trunc('year', %(first_day)s) AND order_date <= %(last_day)s
        """,
    ),
)
_SALES = sql(
    "erp",
    """
    SELECT %(first_day)s::date AS performance_month, order_date AS rate_day, currency,
      SUM(total_net_value) AS mtd_sales_inr
    FROM sales_orders WHERE order_date >= %(first_day)s AND order_date <= %(last_day)s GROUP BY 2, 3
    """,
)
_RATINGS = sql(
    "service",
    """
    SELECT account_id, SUM(csat_rating) AS ratings, COUNT(csat_rating) AS tickets FROM service_tickets
    WHERE resolved_datetime >= %(last_day)s - 89 AND resolved_datetime < %(end)s AND csat_rating IS NOT NULL
    GROUP BY 1
    """,
)
_ACCOUNTS = sql("crm", "SELECT account_id, customer_id FROM accounts WHERE btrim(customer_id) <> ''")


def _satisfaction(sources: Sources, window: Window) -> pl.DataFrame:
    """Sum over the table's customers of the mean rating of their tickets."""
    ratings, accounts = _RATINGS(sources, window), _ACCOUNTS(sources, window)
    if ratings.is_empty() or accounts.is_empty():
        return pl.DataFrame()
    return (
        ratings.with_columns(pl.col("account_id").cast(pl.String))
        .join(accounts, on="account_id")
        .join(_CUSTOMERS(sources, window).with_columns(pl.col("customer_id").cast(pl.String)), on="customer_id")
        .group_by("performance_month", "customer_id")
        .agg(csat_avg_90d=pl.col("ratings").sum() / pl.col("tickets").sum())
        .group_by("performance_month")
        .agg(pl.col("csat_avg_90d").sum())
    )


_CHECKS = Checks(
    rows=_CUSTOMERS,
    reconcile=(
        Reconciliation("mtd_sales_vs_erp", totals_in_inr(_SALES, ("mtd_sales_inr",), rows=("currency", "rate_day"))),
        Reconciliation("csat_vs_service", _satisfaction),
    ),
    orphans={"customer_id": "customer_name"},
    left_out={"fx_missing: order days and currencies without a rate": unconverted(_SALES, "mtd_sales_inr")},
)


@reporting_table(group="sales", period="month", recompute=0, horizon=1, rolling_days=366, checks=_CHECKS)
def customer_performance(
    *,
    window: Window,
    customers: Annotated[pl.LazyFrame, Read("master.customers")],
    crm_accounts: Annotated[pl.LazyFrame, Read("crm.accounts")],
    orders: Annotated[pl.LazyFrame, Read("erp.sales_orders", _ORDERS)],
    shipments: Annotated[pl.LazyFrame, Read("tms.shipments", _SHIPPED)],
    proofs: Annotated[pl.LazyFrame, Read("tms.proof_of_delivery", of_shipments(_SHIPPED))],
    returns: Annotated[pl.LazyFrame, Read("tms.return_orders", Between("created_at"))],
    tickets: Annotated[
        pl.LazyFrame,
        Read(
            "service.service_tickets",
            Between("resolved_datetime", before=_QUARTER) | Between("created_at", before=_QUARTER),
        ),
    ],
    surveys: Annotated[pl.LazyFrame, Read("service.survey_responses", Between("responded_at", before=_QUARTER))],
    receivables: Annotated[pl.LazyFrame, _OPEN],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """Value, service and risk of a customer; one row a month and customer, and one for others who ordered this year.

    Measures of 90 days end on the month's last day, or today while it runs. Sales are net order values in INR at the
    rate of the order date; amounts without a rate are left out and counted by a check. The churn score adds recency
    (0..40), frequency (0..30) and decline of sales (0..30); it is NULL for a customer who never ordered, and where the
    order history begins after the 180 days it compares. Who did not order in those is fully at risk, who ordered only
    in the latter half is growing. On time is of valid shipments against the requested date; NPS after Reichheld.
    Payment days run from the receivable's first debit to each credit of the last 90 days. Who never ordered has no
    receivable, NULL; who ordered and has nothing to pay owes 0.
    """
    last = window.last_day
    booked = _bookings(orders_in_inr(orders, rates), window)
    known = customers.select(
        "customer_id", "customer_name", sla_on_time_pct="sla_on_time_delivery_percentage", is_known=pl.lit(value=True)
    )
    owners = customers_of_accounts(crm_accounts)
    ordered = orders.select(
        "sales_order_id", "order_date", "requested_delivery_date", ordering_id=kpi.key(pl.col("customer_id"))
    )
    delivered = delivered_shipments(shipments, proofs).filter(pl.col("delivered_date") <= last)
    return (
        known.join(booked, on="customer_id", how="full", coalesce=True)
        .filter(pl.col("is_known") | (pl.col("ytd_orders") > 0))
        .join(
            account_of_customer(crm_accounts).select("customer_id", "account_tier", "sales_rep_id"),
            on="customer_id",
            how="left",
        )
        .join(_punctuality(delivered, ordered, last), on="customer_id", how="left")
        .join(_returns(returns, delivered, window), on="customer_id", how="left")
        .join(_satisfaction_of(tickets.join(owners, on="account_id"), window), on="customer_id", how="left")
        .join(_promoters(surveys.join(owners, on="account_id"), window), on="customer_id", how="left")
        .join(
            _collections(summed_postings(receivables, rates, "source_document_id"), ordered, last),
            on="customer_id",
            how="left",
        )
        .with_columns(
            pl.col(_TRUE_ZEROS).fill_null(0),
            performance_month=pl.lit(window.first),
            # Orders that are paid have no postings here.
            open_receivable_inr=pl.when(pl.col("last_order_date").is_not_null() & pl.col("posted").is_null())
            .then(0)
            .otherwise("open_receivable_inr"),
            days_since_last_order=(pl.lit(last) - pl.col("last_order_date")).dt.total_days(),
        )
        .with_columns(sales_change_pct=kpi.percent(pl.col("sales_90d"), pl.col("sales_before")) - 100)
        .with_columns(churn_risk_score=_churn_score(last))
        .with_columns(churn_risk_band=_band(pl.col("churn_risk_score")), source_row_count=pl.col("ytd_orders"))
        .drop("is_known", "posted", "first_order", "orders_before", "sales_90d", "sales_before")
    )


_TRUE_ZEROS = ("mtd_orders", "mtd_sales_inr", "ytd_orders", "ytd_sales_inr", "orders_90d", "complaint_tickets_90d")


def _bookings(orders: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Orders and sales by `customer_id` over the spans that are compared; `first_order` is that of all customers."""
    day, last = pl.col("order_date"), window.last_day
    month, year = day >= window.first, day >= window.first.replace(month=1)
    quarter, before = day > last - _QUARTER, day.is_between(last - 2 * _QUARTER + DAY, last - _QUARTER)

    def sales(where: pl.Expr) -> pl.Expr:
        value = total_inr(pl.col("net_value").filter(where), pl.col("net_inr").filter(where))
        return pl.when(where.any()).then(value).otherwise(0)

    return (
        orders.filter(day <= last)
        .group_by("customer_id")
        .agg(
            mtd_orders=month.sum(),
            mtd_sales_inr=pl.col("net_inr").filter(month).sum(),
            ytd_orders=year.sum(),
            ytd_sales_inr=pl.col("net_inr").filter(year).sum(),
            first_order=day.min(),
            last_order_date=day.max(),
            orders_90d=quarter.sum(),
            orders_before=before.sum(),
            sales_90d=sales(quarter),
            sales_before=sales(before),
        )
        .with_columns(pl.col("first_order").min())
    )


def _punctuality(delivered: pl.LazyFrame, orders: pl.LazyFrame, last: date) -> pl.LazyFrame:
    """`on_time_pct_90d` by `customer_id` of the order."""
    on_time = pl.col("delivered_date") <= pl.col("requested_delivery_date")
    return (
        valid_shipments(delivered.filter(pl.col("delivered_date") > last - _QUARTER), orders)
        .join(orders.select("sales_order_id", "requested_delivery_date", "ordering_id"), on="sales_order_id")
        .group_by(customer_id="ordering_id")
        .agg(on_time_pct_90d=kpi.percent(on_time.sum(), pl.len()))
    )


def _returns(returns: pl.LazyFrame, delivered: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """`return_rate_pct` of the month by `customer_id`, both of returns and of shipments."""
    returned = returns.filter(_within(pl.col("created_at"), window.first, window))
    shipped = delivered.filter(pl.col("delivered_date") >= window.first)
    return (
        pl.concat(
            [
                returned.select("customer_id", returned=pl.lit(1), shipped=pl.lit(0)),
                shipped.select("customer_id", returned=pl.lit(0), shipped=pl.lit(1)),
            ]
        )
        .group_by(customer_id=kpi.key(pl.col("customer_id")))
        .agg(return_rate_pct=kpi.percent(pl.col("returned").sum(), pl.col("shipped").sum()))
    )


def _satisfaction_of(tickets: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """`csat_avg_90d` and `complaint_tickets_90d` by `customer_id`."""
    since = window.last_day - _QUARTER + DAY
    resolved, created = (_within(pl.col(name), since, window) for name in ("resolved_datetime", "created_at"))
    return tickets.group_by("customer_id").agg(
        csat_avg_90d=pl.col("csat_rating").filter(resolved).mean(),
        complaint_tickets_90d=(created & (pl.col("ticket_type") == "complaint")).sum(),
    )


def _promoters(surveys: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """`nps_score` by `customer_id`: the share of promoters (9 and 10) less that of detractors (0 to 6)."""
    score = pl.col("nps_score")
    return (
        surveys.filter(_within(pl.col("responded_at"), window.last_day - _QUARTER + DAY, window))
        .group_by("customer_id")
        .agg(nps_score=kpi.percent((score >= 9).sum() - (score <= 6).sum().cast(pl.Int64), score.count()))
    )


def _collections(receivables: pl.LazyFrame, orders: pl.LazyFrame, last: date) -> pl.LazyFrame:
    """`payment_days_avg` and `open_receivable_inr` by `customer_id` of the order that a posting names."""
    day, credited = pl.col("day"), pl.col("credit") > 0
    billed = day.filter(pl.col("debit") > 0).min().over("source_document_id")
    paid = credited & (day > last - _QUARTER)
    return (
        receivables.with_columns(payment_days=pl.when(paid).then((day - billed).dt.total_days()))
        .join(orders.select("sales_order_id", "ordering_id"), left_on="source_document_id", right_on="sales_order_id")
        .group_by(customer_id="ordering_id")
        .agg(
            payment_days_avg=pl.col("payment_days").mean(),
            open_receivable_inr=total_posted(pl.col("expense")),
            posted=True,
        )
    )


def _within(instant: pl.Expr, since: date, window: Window) -> pl.Expr:
    return instant.is_between(midnight(since), window.span.end, closed="left")


def _churn_score(last: date) -> pl.Expr:
    """Points for recency, frequency and decline; NULL where one is not known."""
    orders, before = pl.col("orders_90d"), pl.col("orders_before")
    recency = _points(-pl.col("days_since_last_order"), ((-30, 0), (-60, 20), (-90, 30)), 40)
    frequency = _points(kpi.ratio(orders, before), ((0.95, 0), (0.75, 10), (0.5, 20)), 30)
    decline = _points(pl.col("sales_change_pct"), ((-5, 0), (-15, 10), (-30, 20)), 30)
    without_before = pl.when(orders > 0).then(0).otherwise(60)
    compared = pl.when(before == 0).then(without_before).otherwise(frequency + decline)
    return pl.when(pl.col("first_order") <= last - 2 * _QUARTER + DAY).then(recency + compared)


def _points(value: pl.Expr, steps: Sequence[tuple[float, int]], otherwise: int) -> pl.Expr:
    """Points of the first step that `value` reaches; NULL if there is no value."""
    points = pl.lit(otherwise)
    for least, reached in reversed(steps):
        points = pl.when(value >= least).then(reached).otherwise(points)
    return pl.when(value.is_not_null()).then(points)


def _band(score: pl.Expr) -> pl.Expr:
    low, medium = score < 30, score < 60
    return pl.when(low).then(pl.lit("low")).when(medium).then(pl.lit("medium")).when(score >= 60).then(pl.lit("high"))
