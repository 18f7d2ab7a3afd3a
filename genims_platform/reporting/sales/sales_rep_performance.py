"""sales_rep_performance: quota attainment and coaching of the sales representatives."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.accounts import account_of_customer, with_sales_rep
from genims_platform.reporting.checks import Checks, Expectation, Reconciliation, sql
from genims_platform.reporting.order_lines import EXACT
from genims_platform.reporting.periods import Window
from genims_platform.reporting.sales.order_value_check import totals_in_inr, unconverted
from genims_platform.reporting.sales.order_values import orders_in_inr
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between, YearToDate

_ORDERING_CUSTOMERS = sql(
    "erp",
    """
    SELECT DISTINCT customer_id FROM sales_orders
    WHERE order_date >= date_trunc('year', %(first_day)s) AND order_date <= %(last_day)s
    """,
)
_REPS = """
    SELECT %(month)s::date AS performance_month, sales_rep_id FROM sales_reps
    UNION
    SELECT %(month)s::date, owners.account_owner
    FROM unnest(%(customers)s::text[]) AS ordering (customer_id) LEFT JOIN (
      SELECT DISTINCT ON (customer_id) customer_id, account_owner FROM accounts
      ORDER BY customer_id, account_id COLLATE "C"
    ) owners USING (customer_id)
    UNION
    SELECT %(month)s::date, coalesce(nullif(btrim(o.opportunity_owner), ''), a.account_owner)
    FROM opportunities o LEFT JOIN accounts a USING (account_id)
    WHERE (o.created_at >= %(start)s AND o.created_at < %(end)s)
      OR (o.stage IN ('closed_won', 'closed_lost') AND o.close_date >= %(start)s AND o.close_date < %(end)s)
"""
_BOOKED = sql(
    "erp",
    """
    SELECT %(first_day)s::date AS performance_month, order_date AS rate_day, currency,
      SUM(total_net_value) AS booked_revenue_inr
    FROM sales_orders WHERE order_date >= %(first_day)s AND order_date <= %(last_day)s GROUP BY 2, 3
    """,
)
_WON = sql(
    "crm",
    """
    SELECT %(first_day)s::date AS performance_month, COUNT(*) AS opp_won_count,
      coalesce(SUM(amount), 0) AS opp_won_amount_inr
    FROM opportunities WHERE stage = 'closed_won' AND close_date >= %(first_day)s AND close_date <= %(last_day)s
    """,
)


def _reps(sources: Sources, window: Window) -> pl.DataFrame:
    """Every representative, and whoever else owns customers that ordered this year or an opportunity of the month."""
    customers = _ORDERING_CUSTOMERS(sources, window)
    ordering = [name and name.strip() for name in customers.to_series()] if customers.width else []
    span = {"month": window.first, "start": window.span.start, "end": window.span.end}
    return sources.query("crm", _REPS, span | {"customers": ordering})


_CHECKS = Checks(
    rows=_reps,
    reconcile=(
        Reconciliation(
            "rep_revenue_vs_erp", totals_in_inr(_BOOKED, ("booked_revenue_inr",), rows=("currency", "rate_day"))
        ),
        Reconciliation("won_vs_crm", _WON),
    ),
    warnings=(
        Expectation("ytd_revenue_inr >= booked_revenue_inr", pl.col("ytd_revenue_inr") >= pl.col("booked_revenue_inr")),
    ),
    orphans={"sales_rep_id": "rep_code"},
    left_out={"fx_missing: order days and currencies without a rate": unconverted(_BOOKED, "booked_revenue_inr")},
)


@reporting_table(group="sales", period="month", recompute=0, horizon=1, rolling_days=366, checks=_CHECKS)
def sales_rep_performance(
    *,
    window: Window,
    orders: Annotated[pl.LazyFrame, Read("erp.sales_orders", YearToDate("order_date"))],
    opportunities: Annotated[pl.LazyFrame, Read("crm.opportunities", Between("created_at") | Between("close_date"))],
    reps: Annotated[pl.LazyFrame, Read("crm.sales_reps")],
    accounts: Annotated[pl.LazyFrame, Read("crm.accounts")],
    quotas: Annotated[pl.LazyFrame, Read("crm.sales_forecasts")],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """Bookings and deals against quota; one row a month and representative, and one for whoever else sold.

    Orders belong to the owner of the customer's account, opportunities to their own owner, else that of their account;
    `UNKNOWN` has what nobody owns. Booked revenue is the net value of orders taken (INR), the month's quota a third of
    the quarter's. Win rate is won / (won + lost) in percent by day of closing. Attainment in percent may be far over
    100. Amounts without an exchange rate are left out and counted by a check.
    """
    this_month = pl.col("order_date") >= window.first
    booked = (
        orders_in_inr(orders, rates)
        .filter(pl.col("order_date").is_between(window.first.replace(month=1, day=1), window.last_day))
        .join(account_of_customer(accounts).select("customer_id", "sales_rep_id"), on="customer_id", how="left")
        .group_by(sales_rep_id=kpi.key(pl.col("sales_rep_id")))
        .agg(
            order_count=this_month.sum(),
            booked_revenue_inr=pl.col("net_inr").filter(this_month).sum(),
            ytd_revenue_inr=pl.col("net_inr").sum(),
        )
    )
    deals = _deals(with_sales_rep(opportunities, accounts), window)
    owned = accounts.group_by(sales_rep_id=kpi.present(pl.col("account_owner"))).agg(account_count=pl.len())
    selling = pl.concat([frame.select("sales_rep_id") for frame in (reps, booked, deals)]).unique()
    won, lost = pl.col("opp_won_count"), pl.col("opp_lost_count")
    return (
        selling.join(
            reps.select("sales_rep_id", "rep_code", "sales_role", "territory_id", reported_win_rate_pct="win_rate_pct"),
            on="sales_rep_id",
            how="left",
        )
        .join(owned, on="sales_rep_id", how="left")
        .join(booked, on="sales_rep_id", how="left")
        .join(deals, on="sales_rep_id", how="left")
        .join(_quotas_of_the_year(quotas, window), on="sales_rep_id", how="left")
        .with_columns(pl.col(_TRUE_ZEROS).fill_null(0), performance_month=pl.lit(window.first))
        .with_columns(
            quota_attainment_pct=kpi.percent(pl.col("booked_revenue_inr"), pl.col("quota_month_inr")),
            ytd_attainment_pct=kpi.percent(pl.col("ytd_revenue_inr"), pl.col("ytd_quota_inr")),
            win_rate_pct=kpi.percent(won, won + lost),
            avg_deal_inr=kpi.ratio(pl.col("opp_won_amount_inr"), won),
            source_row_count=pl.col("order_count") + pl.col("opportunity_count"),
        )
        .drop("opportunity_count")
    )


_TRUE_ZEROS = (
    "account_count",
    "order_count",
    "booked_revenue_inr",
    "ytd_revenue_inr",
    "opp_created_count",
    "opp_created_amount_inr",
    "opp_won_count",
    "opp_won_amount_inr",
    "opp_lost_count",
    "opportunity_count",
)


def _deals(opportunities: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Opportunities created, won and lost in the month by `sales_rep_id`; `opportunity_count` counts each once."""
    closed_now = pl.col("close_date").is_between(window.first, window.last_day)
    return (
        opportunities.with_columns(
            created=pl.col("created_at").is_between(window.span.start, window.span.end, closed="left"),
            won=closed_now & (pl.col("stage") == "closed_won"),
            lost=closed_now & (pl.col("stage") == "closed_lost"),
        )
        .filter(pl.any_horizontal("created", "won", "lost"))
        .group_by("sales_rep_id")
        .agg(
            opp_created_count=pl.col("created").sum(),
            opp_created_amount_inr=pl.col("amount").filter(pl.col("created")).sum(),
            opp_won_count=pl.col("won").sum(),
            opp_won_amount_inr=pl.col("amount").filter(pl.col("won")).sum(),
            opp_lost_count=pl.col("lost").sum(),
            opportunity_count=pl.len(),
        )
    )


def _quotas_of_the_year(forecasts: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """`quota_month_inr` and `ytd_quota_inr` by `sales_rep_id`: a third of the quarter's quota for each month to date.

    Where a representative has several forecasts of a quarter, the one with the smallest id counts.
    """
    quarter, this_quarter = pl.col("forecast_quarter"), (window.first.month + 2) // 3
    months_into_quarter = window.first.month - 3 * (this_quarter - 1)
    months = pl.when(quarter == this_quarter).then(months_into_quarter).otherwise(3)
    quota = pl.col("quota_amount").cast(EXACT)
    return (
        forecasts.filter(
            pl.col("forecast_period") == "quarterly",
            pl.col("forecast_year") == window.first.year,
            quarter.is_between(1, this_quarter),
        )
        .group_by("sales_rep_id", "forecast_quarter")
        .agg(quota.sort_by("forecast_id").first())
        .group_by("sales_rep_id")
        .agg(
            quota_month_inr=pl.col("quota_amount").filter(quarter == this_quarter).first() / 3,
            ytd_quota_inr=kpi.total(pl.col("quota_amount") * months) / 3,
        )
    )
