"""Sales orders whose revenue is recognised: when, and what was sold by which plant.

Revenue belongs to the day on which control of the goods passes to the customer (IFRS 15): for an order that reads
delivered or closed, the latest delivery of its valid shipments, or the requested date if it never had one. The day is
a property of the order as the sources know it now, so that an order counts on one day only. An order whose valid
shipments are all still on the way waits for their delivery.
"""

from datetime import timedelta

import polars as pl

from genims_platform.reporting.checks import Expected, sql
from genims_platform.reporting.order_lines import order_lines
from genims_platform.reporting.order_plants import by_plant
from genims_platform.reporting.periods import Window
from genims_platform.reporting.shipments import (
    delivered_in_span,
    delivered_shipments,
    of_shipments,
    of_the_same_orders,
)
from genims_platform.sources.reader import Sources
from genims_platform.sources.scope import NO_TIME, Between, KeyFrom, KeyIn, Scope

_RECOGNISED = ("delivered", "closed")


def candidate_orders(before: timedelta = NO_TIME) -> Scope:
    """Scope of `erp.sales_orders`: at least those with a revenue date in the span, or up to `before` earlier."""
    delivered = KeyFrom("sales_order_id", "tms.shipments", "sales_order_id", delivered_in_span(before))
    return Between("requested_delivery_date", before=before) | delivered


def of_candidate_orders(before: timedelta = NO_TIME) -> Scope:
    """Scope of `erp.sales_order_lines` or `erp.production_orders`: the rows of the candidate orders."""
    return KeyIn("sales_order_id", "sales_orders", "sales_order_id", candidate_orders(before))


def candidate_shipments(before: timedelta = NO_TIME) -> Scope:
    """Scope of `tms.shipments`: all shipments of the candidate orders."""
    requested = Between("requested_delivery_date", before=before)
    return of_the_same_orders(delivered_in_span(before)) | KeyFrom(
        "sales_order_id", "erp.sales_orders", "sales_order_id", requested
    )


def candidate_proofs(before: timedelta = NO_TIME) -> Scope:
    """Scope of `tms.proof_of_delivery`: all proofs of the candidate orders' shipments."""
    return of_shipments(candidate_shipments(before))


def recognised_orders(
    orders: pl.LazyFrame, shipments: pl.LazyFrame, proofs: pl.LazyFrame, window: Window
) -> pl.LazyFrame:
    """The recognised ones of `orders` with their `revenue_date`, which is not after the window's last day.

    Each order has to come with all its `shipments` and their `proofs`. The scopes above select whole orders; some of
    them are recognised on days before the window.
    """
    deliveries = delivered_shipments(shipments, proofs).select("sales_order_id", "ship_date", "delivered_date")
    # Orders are joined rather than asked for twice: each mention of a source is a query of its own.
    valid = pl.col("ship_date") >= pl.col("order_date")
    attributes = pl.exclude("sales_order_id", "ship_date", "delivered_date")
    return (
        orders.filter(pl.col("order_status").is_in(_RECOGNISED))
        .join(deliveries, on="sales_order_id", how="left")
        .group_by("sales_order_id")
        .agg(attributes.first(), shipped=valid.any(), delivered=pl.col("delivered_date").filter(valid).max())
        .with_columns(revenue_date=pl.when("shipped").then("delivered").otherwise("requested_delivery_date"))
        .filter(pl.col("revenue_date") <= window.last_day)
        .drop("delivered", "shipped")
    )


def recognised_sales(
    recognised: pl.LazyFrame, *, lines: pl.LazyFrame, production_orders: pl.LazyFrame, materials: pl.LazyFrame
) -> pl.LazyFrame:
    """What recognised orders sold: one row a line and plant that makes it, by `day` (revenue date) and `factory_id`.

    `quantity` in pieces, `net_value` in the order's `currency` and `standard_cost` in INR (NULL where the material has
    none) are split between the plants; `factory_id` and `product_id` are keys.
    """
    split = by_plant(
        order_lines(lines, materials), production_orders, split=("order_quantity", "line_value", "standard_cost")
    )
    return split.join(
        recognised.select("sales_order_id", "currency", day="revenue_date"), on="sales_order_id", how="inner"
    ).select(
        "day",
        "sales_order_id",
        "product_id",
        "currency",
        "standard_cost",
        factory_id="plant_id",
        quantity="order_quantity",
        net_value="line_value",
    )


_LINKED_SHIPMENTS = """
    SELECT s.sales_order_id, s.ship_date, s.actual_delivery_date, p.delivery_timestamp::date AS proven_date
    FROM shipments s LEFT JOIN proof_of_delivery p ON p.shipment_id = s.shipment_id
    WHERE s.sales_order_id IN (
      SELECT sales_order_id FROM shipments WHERE ship_date >= %(start)s AND ship_date < %(end)s
      UNION
      SELECT sales_order_id FROM shipments WHERE actual_delivery_date >= %(start)s AND actual_delivery_date < %(end)s
      UNION
      SELECT moved.sales_order_id FROM proof_of_delivery q JOIN shipments moved ON moved.shipment_id = q.shipment_id
      WHERE q.delivery_timestamp >= %(start)s AND q.delivery_timestamp < %(end)s
    )
"""
_LINKED_ORDERS = """
    SELECT sales_order_id, order_date, requested_delivery_date FROM sales_orders
    WHERE sales_order_id = ANY(%(orders)s) OR (order_date >= %(start)s AND order_date < %(end)s)
"""


def linked_revenue_dates(sources: Sources, window: Window) -> pl.DataFrame:
    """Every date (column `day`) on which an order that the window's events touch counts, or may have counted before.

    Events are orders, shipments and their deliveries. A shipment moves its order from the requested date, or from an
    earlier delivery, to its own.
    """
    span = {"start": window.span.start, "end": window.span.end}
    shipped = sources.query("tms", _LINKED_SHIPMENTS, span)
    ids = shipped["sales_order_id"].unique().to_list() if shipped.width else []
    orders = sources.query("erp", _LINKED_ORDERS, span | {"orders": ids})
    if orders.is_empty():
        return pl.DataFrame(schema={"day": pl.Date})
    dates = [orders.select(day=pl.col("requested_delivery_date").cast(pl.Date))]
    if shipped.height:
        valid = shipped.join(orders, on="sales_order_id").filter(
            pl.col("ship_date").cast(pl.Date) >= pl.col("order_date").cast(pl.Date)
        )
        dates += [valid.select(day=pl.col(name).cast(pl.Date)) for name in ("actual_delivery_date", "proven_date")]
    return pl.concat(dates).drop_nulls().unique().sort("day")


_REQUESTED = """
    SELECT sales_order_id FROM sales_orders
    WHERE requested_delivery_date BETWEEN %(first_day)s AND %(last_day)s AND order_status IN ('delivered', 'closed')
"""
_DELIVERIES = """
    WITH delivered AS (
      SELECT s.sales_order_id, s.ship_date,
        coalesce((SELECT max(p.delivery_timestamp)::date FROM proof_of_delivery p WHERE p.shipment_id = s.shipment_id),
                 s.actual_delivery_date) AS delivered_date
      FROM shipments s
      WHERE s.sales_order_id = ANY(%(orders)s) OR s.sales_order_id IN (
        SELECT sales_order_id FROM shipments WHERE actual_delivery_date BETWEEN %(first_day)s AND %(last_day)s
        UNION
        SELECT t.sales_order_id FROM shipments t JOIN proof_of_delivery p ON p.shipment_id = t.shipment_id
        WHERE p.delivery_timestamp >= %(first_day)s AND p.delivery_timestamp < %(last_day)s::date + 1
      )
    )
    SELECT sales_order_id, ship_date, max(delivered_date) AS delivered_date
    FROM delivered WHERE sales_order_id IS NOT NULL GROUP BY 1, 2
"""


_SOLD = """
    WITH shipped AS (
      SELECT * FROM unnest(%(order_ids)s::text[], %(ship_dates)s::date[], %(delivered_dates)s::date[])
        AS s (sales_order_id, ship_date, delivered_date)
    ), dated AS (
      SELECT o.sales_order_id, o.currency,
        CASE WHEN count(s.ship_date) = 0 THEN o.requested_delivery_date ELSE max(s.delivered_date) END AS day
      FROM sales_orders o
      LEFT JOIN shipped s ON s.sales_order_id = o.sales_order_id AND s.ship_date >= o.order_date
      WHERE o.order_status IN ('delivered', 'closed')
        AND (o.sales_order_id = ANY(%(order_ids)s) OR o.requested_delivery_date BETWEEN %(first_day)s AND %(last_day)s)
      GROUP BY o.sales_order_id
    ), recognised AS (
      SELECT * FROM dated WHERE day BETWEEN %(first_day)s AND %(last_day)s
    ), makers AS (
      SELECT sales_order_id, material_id, coalesce(nullif(btrim(plant_id), ''), 'UNKNOWN') AS plant_id,
        sum(greatest(order_quantity, 0)) AS made, sum(sum(greatest(order_quantity, 0))) OVER goods AS made_in_all,
        count(*) OVER goods AS plants
      FROM production_orders WHERE sales_order_id IN (SELECT sales_order_id FROM recognised)
      GROUP BY 1, 2, 3
      WINDOW goods AS (PARTITION BY sales_order_id, material_id)
    ), sold AS (
      SELECT day, sales_order_id, currency,
        coalesce(k.plant_id, nullif(btrim(l.plant_id), ''), 'UNKNOWN') AS factory_id,
        coalesce(nullif(btrim(l.product_id), ''), nullif(btrim(m.product_id), ''), 'UNKNOWN') AS product_id,
        (l.order_quantity * share)::float8 AS quantity,
        (l.order_quantity * share * m.standard_cost)::float8 AS standard_cost,
        (l.order_quantity * l.unit_price * (1 - coalesce(l.discount_percentage, 0) / 100) * share)::float8 AS net_value
      FROM recognised
      JOIN sales_order_lines l USING (sales_order_id)
      LEFT JOIN makers k USING (sales_order_id, material_id)
      LEFT JOIN materials m USING (material_id)
      CROSS JOIN LATERAL (
        SELECT CASE WHEN k.made_in_all > 0 THEN k.made / k.made_in_all ELSE 1.0 / coalesce(k.plants, 1) END AS share
      ) s
      WHERE l.deletion_indicator IS NOT TRUE
    )
"""
_SHIPPED = {"sales_order_id": "order_ids", "ship_date": "ship_dates", "delivered_date": "delivered_dates"}


def sold_by_sql(statement: str) -> Expected:
    """A statement on what was recognised in the window, found by SQL alone.

    It selects from `sold`: a row a line and plant, with `day`, `sales_order_id`, `currency`, `factory_id`,
    `product_id`, `quantity`, `net_value` and `standard_cost`.
    """

    def expected(sources: Sources, window: Window) -> pl.DataFrame:
        days = {"first_day": window.first, "last_day": window.last_day}
        requested = sources.query("erp", _REQUESTED, days)
        ids = requested["sales_order_id"].to_list() if requested.width else []
        shipped = sources.query("tms", _DELIVERIES, days | {"orders": ids})
        columns = {bound: shipped[name].to_list() if shipped.width else [] for name, bound in _SHIPPED.items()}
        return sources.query("erp", _SOLD + statement, days | columns)

    return expected


UNDELIVERED = sql(
    "tms",
    """
    SELECT count(*) FROM shipments
    WHERE actual_delivery_date IS NULL AND ship_date < %(end)s::timestamp - interval '31 days'
      AND NOT EXISTS (SELECT FROM proof_of_delivery p WHERE p.shipment_id = shipments.shipment_id)
    """,
)
"""Shipments on the way for more than a month: the revenue of their orders waits for them."""
