"""Shipments of `tms.shipments`: the day on which each was delivered, and which ones can be believed.

A shipment is delivered on the day of its proof of delivery (the last one, if its packages came apart), else on its
`actual_delivery_date`. Days decide: a delivery of today counts all day. Goods cannot leave before they are ordered, so
a shipment that left before the date of its order, or whose order is unknown, is not valid for it.
"""

from datetime import timedelta

import polars as pl

from genims_platform.reporting.periods import DAY
from genims_platform.sources.scope import NO_TIME, Between, KeyIn, Scope


def delivered_in_span(before: timedelta = NO_TIME) -> Scope:
    """Scope of `tms.shipments`: at least those delivered on the days of the span, or up to `before` earlier."""
    proven = Between("delivery_timestamp", before=before, after=DAY)
    noted = Between("actual_delivery_date", before=before)
    return of_shipments(noted) | KeyIn("shipment_id", "proof_of_delivery", "shipment_id", proven)


def of_the_same_orders(shipments: Scope) -> Scope:
    """Scope of `tms.shipments`: all shipments of the orders that the shipments in the given scope serve."""
    return KeyIn("sales_order_id", "shipments", "sales_order_id", shipments)


def of_shipments(shipments: Scope) -> Scope:
    """Scope of `tms.proof_of_delivery` or `tms.shipment_lines`: the rows of the shipments in the given scope."""
    return KeyIn("shipment_id", "shipments", "shipment_id", shipments)


def delivered_shipments(shipments: pl.LazyFrame, proofs: pl.LazyFrame) -> pl.LazyFrame:
    """All `shipments` with `delivered_date`, which may lie in the future; NULL if there is none.

    `proofs` holds every row of `tms.proof_of_delivery` for them.
    """
    proven = proofs.group_by("shipment_id").agg(proven_date=pl.col("delivery_timestamp").max().dt.date())
    return (
        shipments.join(proven, on="shipment_id", how="left")
        .with_columns(delivered_date=pl.coalesce("proven_date", "actual_delivery_date"))
        .drop("proven_date")
    )


def valid_shipments(shipments: pl.LazyFrame, orders: pl.LazyFrame) -> pl.LazyFrame:
    """Those of `shipments` that left on or after the order date of their order in `orders` (`erp.sales_orders`)."""
    dates = orders.select("sales_order_id", ordered="order_date")
    return (
        shipments.join(dates, on="sales_order_id", how="inner")
        .filter(pl.col("ship_date") >= pl.col("ordered"))
        .drop("ordered")
    )
