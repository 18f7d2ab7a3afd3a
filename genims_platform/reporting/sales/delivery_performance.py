"""delivery_performance: which carrier and warehouse deliver on time and in full, at what freight cost."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expectation, Identity, Reconciliation, sql
from genims_platform.reporting.exchange import inr, total_inr, with_inr_rate
from genims_platform.reporting.inr_check import in_inr
from genims_platform.reporting.periods import Window
from genims_platform.reporting.shipments import (
    delivered_in_span,
    delivered_shipments,
    of_shipments,
    of_the_same_orders,
    valid_shipments,
)
from genims_platform.reporting.table import reporting_table
from genims_platform.reporting.warehouses import plant_of_warehouse
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import KeyFrom, KeyIn

_WITH_SAME_ORDERS = delivered_in_span() | of_shipments(of_the_same_orders(delivered_in_span()))
_OF_DELIVERED_ORDERS = KeyFrom("sales_order_id", "tms.shipments", "sales_order_id", delivered_in_span())

_SHIPMENT = (
    "shipment_id",
    "sales_order_id",
    "warehouse_id",
    "carrier_id",
    "service_id",
    "ship_date",
    "estimated_delivery_date",
    "actual_delivery_date",
    "number_of_packages",
    "total_weight_kg",
    "total_cost",
    "currency",
)

_DELIVERED = sql(
    "tms",
    """
    WITH delivered AS (
      SELECT DISTINCT ON (s.shipment_id) s.*,
        coalesce(p.delivery_timestamp::date, s.actual_delivery_date) AS delivery_date
      FROM shipments s LEFT JOIN proof_of_delivery p ON p.shipment_id = s.shipment_id
      WHERE s.shipment_id IN (
        SELECT shipment_id FROM shipments WHERE actual_delivery_date BETWEEN %(first_day)s AND %(last_day)s
        UNION ALL
        SELECT shipment_id FROM proof_of_delivery
        WHERE delivery_timestamp >= %(first_day)s AND delivery_timestamp < %(last_day)s::date + 1
      )
      ORDER BY s.shipment_id, p.delivery_timestamp DESC NULLS LAST
    )
    SELECT delivery_date, coalesce(nullif(btrim(warehouse_id), ''), 'UNKNOWN') AS warehouse_id,
      coalesce(nullif(btrim(carrier_id), ''), 'UNKNOWN') AS carrier_id, currency, ship_date AS rate_day,
      count(*) AS shipment_count, sum(total_cost) AS amount
    FROM delivered
    WHERE delivery_date BETWEEN %(first_day)s AND %(last_day)s
    GROUP BY 1, 2, 3, 4, 5
    """,
)
_DAYS_OF_LINKED_SHIPMENTS = sql(
    "tms",
    """
    WITH changed AS (
      SELECT shipment_id FROM shipments WHERE actual_delivery_date >= %(start)s AND actual_delivery_date < %(end)s
      UNION
      SELECT shipment_id FROM proof_of_delivery
      WHERE delivery_timestamp >= %(start)s AND delivery_timestamp < %(end)s
      UNION
      SELECT original_shipment_id FROM return_orders WHERE created_at >= %(start)s AND created_at < %(end)s
    ), linked AS (
      SELECT shipment_id FROM changed
      UNION
      SELECT shipment_id FROM shipments
      WHERE sales_order_id IN (SELECT sales_order_id FROM shipments JOIN changed USING (shipment_id))
    )
    SELECT actual_delivery_date FROM shipments JOIN linked USING (shipment_id)
    UNION
    SELECT delivery_timestamp::date FROM proof_of_delivery JOIN linked USING (shipment_id)
    """,
)


def _counts_and_freight(sources: Sources, window: Window) -> pl.DataFrame:
    groups = _DELIVERED(sources, window)
    freight = in_inr(sources, groups, by=["delivery_date", "warehouse_id", "carrier_id"])
    counts = groups.select("delivery_date", "shipment_count", freight_cost_inr=pl.lit(None))
    totals = freight.select("delivery_date", shipment_count=pl.lit(None), freight_cost_inr="amount")
    return pl.concat([counts, totals], how="vertical_relaxed").group_by("delivery_date").sum()


def _at_most(part: str, whole: str) -> Identity:
    return Identity(f"{part} <= {whole}", (pl.col(part) - pl.col(whole)).clip(lower_bound=0))


_CHECKS = Checks(
    rows=_DELIVERED,
    reconcile=(Reconciliation("deliveries_vs_tms", _counts_and_freight),),
    identities=(
        _at_most("otif_count", "on_time_request_count"),
        _at_most("otif_count", "in_full_count"),
        _at_most("on_time_request_count", "valid_shipments"),
        _at_most("in_full_count", "valid_shipments"),
        _at_most("valid_shipments", "shipment_count"),
    ),
    orphans={"warehouse_id": "factory_id", "carrier_id": "carrier_name"},
    warnings=(Expectation("fx_missing", pl.col("freight_cost_inr").is_not_null()),),
)


@reporting_table(group="sales", recompute=1, horizon=35, touched=_DAYS_OF_LINKED_SHIPMENTS, checks=_CHECKS)
def delivery_performance(
    *,
    window: Window,
    shipments: Annotated[pl.LazyFrame, Read("tms.shipments", _WITH_SAME_ORDERS)],
    proofs: Annotated[pl.LazyFrame, Read("tms.proof_of_delivery", of_shipments(_WITH_SAME_ORDERS))],
    shipment_lines: Annotated[
        pl.LazyFrame, Read("tms.shipment_lines", of_shipments(of_the_same_orders(delivered_in_span())))
    ],
    orders: Annotated[pl.LazyFrame, Read("erp.sales_orders", _OF_DELIVERED_ORDERS)],
    order_lines: Annotated[pl.LazyFrame, Read("erp.sales_order_lines", _OF_DELIVERED_ORDERS)],
    returns: Annotated[
        pl.LazyFrame,
        Read("tms.return_orders", KeyIn("original_shipment_id", "shipments", "shipment_id", delivered_in_span())),
    ],
    carriers: Annotated[pl.LazyFrame, Read("tms.carriers")],
    services: Annotated[pl.LazyFrame, Read("tms.carrier_services")],
    warehouses: Annotated[pl.LazyFrame, Read("wms.warehouses")],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """Punctuality, completeness and freight; one row a day, warehouse and carrier with a shipment delivered that day.

    On time in full after SCOR (perfect order fulfilment): a valid shipment, one that left on or after the date of its
    order, is on time if delivered by the requested date, and in full if with it the order's valid shipments reach the
    ordered pieces. In full is judged by order: shipment lines name no order line. Against the carrier's estimate and
    the service's longest transit time all shipments count that have one. Freight in INR at the rate of the ship date.
    Returns count up to the run, so that a shipment may become a returned one weeks after its delivery.
    """
    proofs = proofs.select("shipment_id", "delivery_timestamp", "packages_condition").cache()
    orders = orders.select("sales_order_id", "order_date", "requested_delivery_date").cache()
    known = delivered_shipments(shipments.select(*_SHIPMENT), proofs).cache()
    delivered = (
        known.filter(pl.col("delivered_date").is_between(window.first, window.last_day))
        .join(services.select("service_id", "transit_days_max"), on="service_id", how="left")
        .with_columns(transit_days=(pl.col("delivered_date") - pl.col("ship_date")).dt.total_days())
    )
    filled = _orders_filled(known, shipment_lines, orders, order_lines)
    valid = (
        valid_shipments(delivered, orders)
        .join(orders.select("sales_order_id", "requested_delivery_date"), on="sales_order_id", how="left")
        .join(filled, on=["sales_order_id", "delivered_date"], how="left")
        .select(
            "shipment_id",
            "in_full",
            valid=pl.lit(value=True),
            on_time=pl.col("delivered_date") <= pl.col("requested_delivery_date"),
        )
    )
    damaged = proofs.group_by("shipment_id").agg(damaged=(pl.col("packages_condition") != "good").any())
    returned = returns.filter(pl.col("created_at") < window.as_of).select(shipment_id="original_shipment_id")
    names = carriers.select("carrier_id", "carrier_name", carrier_reported_otd_pct="on_time_delivery_pct")
    return (
        with_inr_rate(delivered, rates, currency="currency", on="ship_date")
        .join(valid, on="shipment_id", how="left")
        .join(damaged, on="shipment_id", how="left")
        .join(returned.unique().with_columns(returned=True), on="shipment_id", how="left")
        .group_by(
            delivery_date="delivered_date",
            warehouse_id=kpi.key(pl.col("warehouse_id")),
            carrier_id=kpi.key(pl.col("carrier_id")),
        )
        .agg(
            shipment_count=pl.len(),
            package_count=kpi.total(pl.col("number_of_packages")),
            weight_kg=kpi.total(pl.col("total_weight_kg")),
            on_time_estimate_pct=100 * (pl.col("delivered_date") <= pl.col("estimated_delivery_date")).mean(),
            on_time_transit_pct=100 * (pl.col("transit_days") <= pl.col("transit_days_max")).mean(),
            valid_shipments=pl.col("valid").sum(),
            on_time_request_count=pl.col("on_time").sum(),
            in_full_count=pl.col("in_full").sum(),
            otif_count=(pl.col("on_time") & pl.col("in_full")).sum(),
            avg_transit_days=pl.col("transit_days").mean(),
            freight_cost_inr=total_inr(pl.col("total_cost"), inr(pl.col("total_cost"))),
            damaged_count=pl.col("damaged").sum(),
            returned_shipments=pl.col("returned").sum(),
            source_row_count=pl.len(),
        )
        .with_columns(
            on_time_request_pct=kpi.percent(pl.col("on_time_request_count"), pl.col("valid_shipments")),
            otif_pct=kpi.percent(pl.col("otif_count"), pl.col("valid_shipments")),
            cost_per_kg_inr=kpi.ratio(pl.col("freight_cost_inr"), pl.col("weight_kg")),
        )
        .join(plant_of_warehouse(warehouses).rename({"plant_id": "factory_id"}), on="warehouse_id", how="left")
        .join(names, on="carrier_id", how="left")
    )


def _orders_filled(
    shipments: pl.LazyFrame, shipment_lines: pl.LazyFrame, orders: pl.LazyFrame, order_lines: pl.LazyFrame
) -> pl.LazyFrame:
    """`in_full` by `sales_order_id` and `delivered_date`: are the pieces delivered up to then those of the order."""
    pieces = shipment_lines.group_by("shipment_id").agg(pl.col("quantity").sum())
    wanted = (
        order_lines.filter(~pl.col("deletion_indicator").fill_null(value=False))
        .group_by("sales_order_id")
        .agg(ordered=kpi.total(pl.col("order_quantity")))
    )
    return (
        valid_shipments(shipments, orders)
        .filter(pl.col("delivered_date").is_not_null())
        .join(pieces, on="shipment_id", how="left")
        .group_by("sales_order_id", "delivered_date")
        .agg(pl.col("quantity").sum())
        .sort("delivered_date")
        .with_columns(delivered=pl.col("quantity").cum_sum().over("sales_order_id"))
        .join(wanted, on="sales_order_id", how="left")
        .select("sales_order_id", "delivered_date", in_full=pl.col("delivered") >= pl.col("ordered"))
    )
