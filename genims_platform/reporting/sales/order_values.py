"""Sales orders and their lines in INR."""

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.exchange import inr, with_inr_rate
from genims_platform.reporting.order_lines import EXACT, order_lines


def orders_in_inr(orders: pl.LazyFrame, rates: pl.LazyFrame) -> pl.LazyFrame:
    """Orders of `erp.sales_orders` with `net_value` (before tax) and `gross_value` (with tax) as ordered and in INR.

    `net_inr` and `gross_inr` are at the rate of the order date, NULL where there is no usable one. The key
    `customer_id` is `UNKNOWN` where the order names no customer.
    """
    net, gross = pl.col("total_net_value").cast(EXACT), pl.col("total_value").cast(EXACT)
    return with_inr_rate(orders, rates, currency="currency", on="order_date").with_columns(
        customer_id=kpi.key(pl.col("customer_id")),
        net_value=net,
        gross_value=gross,
        net_inr=inr(net),
        gross_inr=inr(gross),
    )


def order_lines_in_inr(
    lines: pl.LazyFrame, orders: pl.LazyFrame, materials: pl.LazyFrame, rates: pl.LazyFrame
) -> pl.LazyFrame:
    """Lines (as `order_lines`) of the given orders with `customer_id`, `order_date` and `line_value_inr`.

    They are converted at the rate of the order date; NULL where there is no usable one.
    """
    dated = with_inr_rate(orders, rates, currency="currency", on="order_date").select(
        "sales_order_id", "order_date", "inr_rate", customer_id=kpi.key(pl.col("customer_id"))
    )
    return (
        order_lines(lines, materials)
        .join(dated, on="sales_order_id", how="inner")
        .with_columns(line_value_inr=inr(pl.col("line_value")))
    )
