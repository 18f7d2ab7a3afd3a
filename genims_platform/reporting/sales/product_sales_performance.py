"""product_sales_performance: product mix, price and growth."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expectation, Identity, Reconciliation, sql
from genims_platform.reporting.exchange import inr, total_inr, with_inr_rate
from genims_platform.reporting.order_lines import EXACT, with_product
from genims_platform.reporting.periods import DAY, Window, midnight, moved
from genims_platform.reporting.production_orders import completed_orders
from genims_platform.reporting.sales.order_value_check import totals_in_inr
from genims_platform.reporting.sales.order_values import order_lines_in_inr
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between, KeyIn

# A negative `after` ends the span a year early; a day more on both sides allows for leap years.
_COMPARED = Between("order_date", before=DAY * 31) | Between("order_date", before=DAY * 366, after=-DAY * 364)

_SOLD_LINES = """
    FROM sales_orders o
    JOIN sales_order_lines l USING (sales_order_id)
    LEFT JOIN materials m ON m.material_id = l.material_id
    WHERE o.order_date >= %(first_day)s AND o.order_date <= %(last_day)s AND l.deletion_indicator IS NOT TRUE
"""
_PRODUCT = "coalesce(nullif(btrim(l.product_id), ''), nullif(btrim(m.product_id), ''))"
_PRODUCTS = sql("erp", f"SELECT DISTINCT %(first_day)s::date AS sales_month, {_PRODUCT} AS product_id {_SOLD_LINES}")
_REVENUE = sql(
    "erp",
    f"""
    SELECT %(first_day)s::date AS sales_month, {_PRODUCT} AS product_id, o.order_date AS rate_day, o.currency,
      SUM(l.order_quantity * l.unit_price * (100 - coalesce(l.discount_percentage, 0)) / 100) AS revenue_inr
    {_SOLD_LINES}
    GROUP BY 2, 3, 4
    """,
)
_SHARES = pl.col("revenue_share_pct").cast(pl.Float64)
_CHECKS = Checks(
    rows=_PRODUCTS,
    reconcile=(
        Reconciliation("product_revenue_vs_erp", totals_in_inr(_REVENUE, ("revenue_inr",), rows=("product_id",))),
    ),
    identities=(
        Identity(
            "shares add up to 100",
            pl.when(_SHARES.count() > 0).then(_SHARES.sum() - 100),
            tolerance=0.5,
            by_period=True,
        ),
        Identity(
            "gross margin = revenue - standard cost",
            pl.col("gross_margin_inr") - (pl.col("revenue_inr") - pl.col("standard_cost_inr")),
            tolerance=0.01,
        ),
    ),
    warnings=(
        Expectation("fx_missing", pl.col("revenue_inr").is_not_null()),
        Expectation(
            "fx_missing: contract price",
            pl.col("contract_price_usd").is_null() | pl.col("contract_price_inr").is_not_null(),
        ),
    ),
    orphans={"product_id": "product_name"},
)


@reporting_table(group="sales", period="month", recompute=0, horizon=1, rolling_days=396, checks=_CHECKS)
def product_sales_performance(
    *,
    window: Window,
    orders: Annotated[pl.LazyFrame, Read("erp.sales_orders", _COMPARED)],
    lines: Annotated[
        pl.LazyFrame,
        Read("erp.sales_order_lines", KeyIn("sales_order_id", "sales_orders", "sales_order_id", _COMPARED)),
    ],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
    products: Annotated[pl.LazyFrame, Read("master.products")],
    contracts: Annotated[pl.LazyFrame, Read("master.customer_product_mapping")],
    returns: Annotated[pl.LazyFrame, Read("tms.return_orders", Between("created_at"))],
    return_lines: Annotated[
        pl.LazyFrame,
        Read(
            "tms.return_order_lines",
            KeyIn("return_order_id", "return_orders", "return_order_id", Between("created_at")),
        ),
    ],
    work_orders: Annotated[pl.LazyFrame, Read("mes.work_orders", Between("actual_end_time"))],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """Sales by product; one row a month and product with an order line in it, whatever became of the order.

    Revenue is quantity x price less discount in INR at the rate of the order date, deleted lines left out. Price
    realisation sets the average price against the mean contract price (USD, at the rate of the last day) in percent.
    Growth is in percent against the previous month and the same month a year before; while a month runs, against as
    many days of those. Shares and growth are NULL where a revenue they rest on lacks an exchange rate.
    """
    revenue = pl.col("revenue_inr")
    now, month_before, year_before = (_elapsed_days_of(window, months_ago) for months_ago in (0, 1, 12))
    returned = with_product(
        return_lines.join(
            returns.filter(pl.col("created_at").is_between(window.span.start, window.span.end, closed="left")).select(
                "return_order_id"
            ),
            on="return_order_id",
        ),
        materials,
    )
    made = completed_orders(work_orders, window).group_by(product_id=kpi.key(pl.col("product_id")))
    return (
        order_lines_in_inr(lines, orders, materials, rates)
        .group_by("product_id")
        .agg(
            order_count=pl.col("sales_order_id").filter(now).n_unique(),
            customer_count=pl.col("customer_id").filter(now).n_unique(),
            units_ordered=kpi.total(pl.col("order_quantity").filter(now)),
            revenue_inr=_revenue(now),
            month_before=_revenue(month_before),
            year_before=_revenue(year_before),
            standard_cost_inr=kpi.total(pl.col("standard_cost").filter(now)),
            source_row_count=now.sum(),
        )
        .filter(pl.col("source_row_count") > 0)
        .join(products.select("product_id", "product_name", "product_category"), on="product_id", how="left")
        .join(_contract_prices(contracts, rates, window), on="product_id", how="left")
        .join(returned.group_by("product_id").agg(return_line_count=pl.len()), on="product_id", how="left")
        .join(made.agg(units_produced_good=pl.col("good_quantity").sum()), on="product_id", how="left")
        .sort("product_id")  # the ordinal rank of equal revenues is that of their order
        .with_columns(
            pl.col("return_line_count", "units_produced_good").fill_null(0),
            sales_month=pl.lit(window.first),
            avg_unit_price_inr=kpi.ratio(revenue, pl.col("units_ordered")),
            gross_margin_inr=revenue - pl.col("standard_cost_inr"),
            revenue_share_pct=kpi.percent(revenue, total_inr(pl.lit(1), revenue)),
            revenue_rank=revenue.rank("ordinal", descending=True),
            mom_growth_pct=kpi.percent(revenue, pl.col("month_before")) - 100,
            yoy_growth_pct=kpi.percent(revenue, pl.col("year_before")) - 100,
        )
        .with_columns(
            price_realization_pct=kpi.percent(pl.col("avg_unit_price_inr"), pl.col("contract_price_inr")),
            gross_margin_pct=kpi.percent(pl.col("gross_margin_inr"), revenue),
            return_rate_pct=kpi.percent(pl.col("return_line_count"), pl.col("source_row_count")),
        )
        .drop("month_before", "year_before")
    )


def _elapsed_days_of(window: Window, months_ago: int) -> pl.Expr:
    """Whether a line was ordered in the month so long ago; while the window's month runs, in as many days of that."""
    month = moved(window.first, -months_ago, "month")
    last = moved(month, 1, "month") - DAY
    if window.as_of < midnight(window.end):
        last = min(last, month + (window.last_day - window.first))
    return pl.col("order_date").is_between(month, last)


def _revenue(where: pl.Expr) -> pl.Expr:
    return total_inr(pl.col("line_value").filter(where), pl.col("line_value_inr").filter(where))


def _contract_prices(contracts: pl.LazyFrame, rates: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Mean `contract_price_usd` and `contract_price_inr` of the active mappings by `product_id`."""
    prices = (
        contracts.filter(pl.col("is_active"))
        .group_by("product_id")
        .agg(contract_price_usd=pl.col("unit_price_usd").cast(EXACT).mean())
        .with_columns(currency=pl.lit("USD"), day=pl.lit(window.last_day))
    )
    return with_inr_rate(prices, rates, currency="currency", on="day").select(
        "product_id", "contract_price_usd", contract_price_inr=inr(pl.col("contract_price_usd"))
    )
