"""demand_forecast_vs_actual: how good the demand plan is, and where to correct it."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Identity, Reconciliation, all_of, sql
from genims_platform.reporting.order_lines import EXACT, order_lines, with_product
from genims_platform.reporting.periods import DAY, Window, moved
from genims_platform.reporting.production_orders import completed_orders
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between, KeyIn, YearToDate

_SIGNAL_MONTHS = 6
_LEAST_SIGNAL_MONTHS = 3
_DEMAND = YearToDate("order_date") | Between("order_date", before=DAY * 31 * (_SIGNAL_MONTHS - 1))

_ORDERED_LINES = """
    FROM sales_orders o
    JOIN sales_order_lines l USING (sales_order_id)
    LEFT JOIN materials m ON m.material_id = l.material_id
    WHERE o.order_date >= %(first_day)s AND o.order_date <= %(last_day)s AND l.deletion_indicator IS NOT TRUE
"""
_ORDERED_PRODUCTS = sql(
    "erp",
    f"""
    SELECT DISTINCT %(first_day)s::date AS forecast_month,
      coalesce(nullif(btrim(l.product_id), ''), nullif(btrim(m.product_id), '')) AS product_id
    {_ORDERED_LINES}
    """,
)
_PLANNED_PRODUCTS = sql(
    "master",
    """
    SELECT DISTINCT %(first_day)s::date AS forecast_month, product_id FROM customer_product_mapping WHERE is_active
    """,
)
_DEMANDED = sql(
    "erp",
    f"SELECT %(first_day)s::date AS forecast_month, SUM(l.order_quantity) AS actual_order_qty {_ORDERED_LINES}",
)
_VOLUME = sql(
    "master",
    """
    SELECT %(first_day)s::date AS forecast_month, SUM(annual_volume) AS annual_volume
    FROM customer_product_mapping WHERE is_active
    """,
)


def _number(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Float64)


_CHECKS = Checks(
    rows=all_of(_ORDERED_PRODUCTS, _PLANNED_PRODUCTS),
    reconcile=(
        Reconciliation("demand_vs_erp", _DEMANDED),
        Reconciliation(
            "volume_vs_master", _VOLUME, measures={"annual_volume": _number("forecast_full_month_qty").sum() * 12}
        ),
    ),
    identities=(
        Identity(
            "error = actual - forecast",
            pl.col("error_qty") - (pl.col("actual_order_qty") - pl.col("forecast_qty")),
            tolerance=0.01,
        ),
        Identity(
            "accuracy = 100 - absolute percentage error, at least 0",
            _number("forecast_accuracy_pct") - (100 - _number("abs_pct_error")).clip(lower_bound=0),
            tolerance=0.02,
        ),
    ),
    orphans={"product_id": "product_name"},
)


@reporting_table(group="inventory", period="month", recompute=0, horizon=1, rolling_days=366, checks=_CHECKS)
def demand_forecast_vs_actual(
    *,
    window: Window,
    orders: Annotated[pl.LazyFrame, Read("erp.sales_orders", _DEMAND)],
    lines: Annotated[
        pl.LazyFrame,
        Read("erp.sales_order_lines", KeyIn("sales_order_id", "sales_orders", "sales_order_id", _DEMAND)),
    ],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
    products: Annotated[pl.LazyFrame, Read("master.products")],
    contracts: Annotated[pl.LazyFrame, Read("master.customer_product_mapping")],
    shipments: Annotated[pl.LazyFrame, Read("tms.shipments", Between("ship_date"))],
    shipment_lines: Annotated[
        pl.LazyFrame,
        Read("tms.shipment_lines", KeyIn("shipment_id", "shipments", "shipment_id", Between("ship_date"))),
    ],
    work_orders: Annotated[pl.LazyFrame, Read("mes.work_orders", Between("actual_end_time"))],
) -> pl.LazyFrame:
    """Demand against plan in pieces; one row a month and product that is under contract or was ordered.

    The forecast is the contracted volume of a year spread evenly over its months, cut to the elapsed days while a month
    runs; demand is what customers ordered, deleted lines left out. Absolute percentage error, bias and tracking signal
    follow Hyndman & Athanasopoulos; the signal is the sum of errors / mean absolute error of the months with any orders
    among the last six, of at least three. The year to date begins with its first month with any orders.
    """
    shipped = with_product(
        shipment_lines.join(
            shipments.filter(pl.col("ship_date").is_between(window.first, window.last_day)).select("shipment_id"),
            on="shipment_id",
        ),
        materials,
    ).group_by("product_id")
    made = completed_orders(work_orders, window).group_by(product_id=kpi.key(pl.col("product_id")))
    demand = _demand(orders, order_lines(lines, materials), window)
    actual, forecast, error = pl.col("actual_order_qty"), pl.col("forecast_qty"), pl.col("error_qty")
    ytd_actual, ytd_forecast = pl.col("ytd_actual_qty"), pl.col("ytd_forecast_qty")
    return (
        _demand_and_plan(demand, _plan(contracts), window)
        .filter((pl.col("line_count") > 0) | (pl.col("contract_count") > 0))
        .join(products.select("product_id", "product_name", "product_category"), on="product_id", how="left")
        .join(shipped.agg(actual_shipped_qty=pl.col("quantity").sum()), on="product_id", how="left")
        .join(made.agg(produced_good_qty=pl.col("good_quantity").sum()), on="product_id", how="left")
        .with_columns(
            pl.col("actual_shipped_qty", "produced_good_qty").fill_null(0),
            forecast_month=pl.lit(window.first),
            forecast_qty=_so_far(pl.col("forecast_full_month_qty"), window),
        )
        .with_columns(
            error_qty=actual - forecast,
            supply_gap_qty=pl.col("produced_good_qty") - actual,
            source_row_count=pl.col("line_count") + pl.col("contract_count"),
        )
        .with_columns(
            abs_pct_error=kpi.percent(error.abs(), actual),
            bias_pct=kpi.percent(-error, actual),
            ytd_accuracy_pct=_accuracy(kpi.percent((ytd_actual - ytd_forecast).abs(), ytd_actual)),
        )
        .with_columns(forecast_accuracy_pct=_accuracy(pl.col("abs_pct_error")))
        .drop("line_count", "contract_count")
    )


def _demand(orders: pl.LazyFrame, lines: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Ordered `quantity` and number of `lines` by `product_id` and `month` of the order."""
    dates = orders.filter(pl.col("order_date") <= window.last_day).select(
        "sales_order_id", month=pl.col("order_date").dt.month_start()
    )
    return (
        lines.join(dates, on="sales_order_id", how="inner")
        .group_by("product_id", "month")
        .agg(quantity=pl.col("order_quantity").cast(EXACT).sum(), lines=pl.len())
    )


def _plan(contracts: pl.LazyFrame) -> pl.LazyFrame:
    """A month's share of the yearly volume under active contracts by `product_id`."""
    return (
        contracts.filter(pl.col("is_active"))
        .group_by(product_id=kpi.key(pl.col("product_id")))
        .agg(
            customer_count=kpi.key(pl.col("customer_id")).n_unique(),
            forecast_full_month_qty=kpi.total(pl.col("annual_volume").cast(EXACT)) / 12,
            contract_count=pl.len(),
        )
    )


def _so_far(full_month: pl.Expr, window: Window) -> pl.Expr:
    """The share of a month's quantity that falls on the days of the window's month that have begun."""
    days = (moved(window.first, 1, "month") - window.first).days
    return full_month * ((window.last_day - window.first).days + 1) / days


def _demand_and_plan(demand: pl.LazyFrame, plan: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """By `product_id`: the plan, what was ordered in the window's month, the year to date and the tracking signal."""
    back = max(_SIGNAL_MONTHS, window.first.month)
    calendar = pl.LazyFrame({"month": [moved(window.first, -ago, "month") for ago in range(back)]})
    month, full_month = pl.col("month"), pl.col("forecast_full_month_qty")
    this_month, in_year = month == window.first, month >= window.first.replace(month=1)
    covered = pl.col("lines").is_not_null().any().over("month")
    signal = pl.col("covered") & (month >= moved(window.first, 1 - _SIGNAL_MONTHS, "month"))
    error = (pl.col("quantity") - pl.col("forecast")).filter(signal)
    year_to_date = month >= pl.col("year_begin")
    return (
        plan.join(calendar, how="cross")
        .join(demand, on=["product_id", "month"], how="full", coalesce=True)
        .with_columns(covered=covered)
        .with_columns(
            pl.col("quantity").fill_null(0),
            forecast=pl.when(this_month).then(_so_far(full_month, window)).otherwise(full_month),
            year_begin=month.filter(pl.col("covered") & in_year).min(),
        )
        .group_by("product_id")
        .agg(
            pl.col("customer_count", "contract_count").max().fill_null(0),
            full_month.max(),
            actual_order_qty=pl.col("quantity").filter(this_month).sum(),
            line_count=pl.col("lines").filter(this_month).sum(),
            tracking_signal=pl.when(error.count() >= _LEAST_SIGNAL_MONTHS).then(
                kpi.ratio(error.sum(), error.abs().mean())
            ),
            ytd_forecast_qty=kpi.total(pl.col("forecast").filter(year_to_date)),
            ytd_actual_qty=pl.col("quantity").filter(year_to_date).sum(),
        )
    )


def _accuracy(abs_pct_error: pl.Expr) -> pl.Expr:
    return (100 - abs_pct_error).clip(lower_bound=0)
