"""Transport: shipments and their delivery, freight invoices, returns."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from genims_platform.local.generate import draw
from genims_platform.local.generate.columns import catalogued
from genims_platform.local.generate.plan import Plan, identifiers
from genims_platform.local.generate.shipping import Shipping, shipping
from genims_platform.local.generate.world import World

_SERVICE_TYPES = (("express", 1, 3), ("standard", 3, 7), ("overnight", 1, 2))
_RETURN_REASONS = {"damaged": 3, "wrong_item": 2, "defective": 4, "not_needed": 1}


def tables(world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the transport tables that reports and audit depend on."""
    shipped = shipping(world, plan)
    yield "tms.carriers", world.select("tms.carriers")
    services = _services(world)
    yield "tms.carrier_services", services
    shipments = _shipments(shipped, services, plan)
    yield "tms.shipments", catalogued("tms.shipments", shipments)
    yield "tms.shipment_lines", _lines(shipped)
    yield "tms.shipment_packages", _packages(shipments)
    delivered = shipments.filter(pl.col("delivered_at").is_not_null())
    delivered = delivered.with_columns(identifiers("tms.deliveries", len(delivered)))
    yield "tms.deliveries", _deliveries(delivered)
    yield "tms.proof_of_delivery", _proofs(delivered, plan)
    yield "tms.tracking_events", _events(shipments)
    freight_lines = _freight_lines(shipments, plan)
    yield "tms.freight_invoices", catalogued("tms.freight_invoices", freight_invoices(world, plan, freight_lines))
    yield "tms.freight_invoice_lines", catalogued("tms.freight_invoice_lines", freight_lines)
    returns = _returns(delivered, plan)
    yield "tms.return_orders", catalogued("tms.return_orders", returns)
    yield "tms.return_order_lines", _return_lines(returns, shipped)


def _services(world: World) -> pl.DataFrame:
    """Three services a carrier, in the order of `_SERVICE_TYPES`."""
    kinds = pl.DataFrame(
        {
            "service_type": [kind for kind, _, _ in _SERVICE_TYPES],
            "transit_days_min": [least for _, least, _ in _SERVICE_TYPES],
            "transit_days_max": [most for _, _, most in _SERVICE_TYPES],
            "service_index": range(len(_SERVICE_TYPES)),
        }
    )
    frame = world.carriers.select("carrier_id").join(kinds, how="cross", maintain_order="left_right")
    frame = frame.insert_column(0, identifiers("tms.carrier_services", len(frame)))
    return frame.drop("service_index")


def _shipments(shipped: Shipping, services: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    rng, count = plan.rng("tms.freight"), len(shipped.shipments)
    per_kilo = pl.lit(pl.Series(rng.uniform(1.2, 2.4, count)))
    freight = (450 + pl.col("total_weight_kg") * per_kilo).round(2)
    fuel = (freight * 0.12).round(2)
    by_carrier = services.select("carrier_id", "service_id", service_index=pl.int_range(pl.len()).over("carrier_id"))
    return (
        shipped.shipments.join(by_carrier, on=["carrier_id", "service_index"], how="left", maintain_order="left")
        .with_columns(freight_cost=freight, fuel_surcharge=fuel, total_cost=freight + fuel)
        .with_columns(
            currency=pl.lit("INR"),
            shipping_task_id=pl.lit(identifiers("wms.shipping_tasks", count)),
            actual_pickup_date="ship_date",
            shipment_status=pl.when(pl.col("delivered_at").is_not_null())
            .then(pl.lit("delivered"))
            .otherwise(pl.lit("in_transit")),
            invoiced=True,
            created_at=pl.col("ship_date").cast(pl.Datetime("us")),
            updated_at=pl.col("delivered_at").fill_null(pl.col("ship_date").cast(pl.Datetime("us"))),
        )
    )


def _lines(shipped: Shipping) -> pl.DataFrame:
    frame = shipped.lines.with_columns(
        line_number=pl.int_range(1, pl.len() + 1).over("shipment_id"),
        quantity="order_quantity",
        created_at=pl.col("ship_date").cast(pl.Datetime("us")),
    )
    return catalogued("tms.shipment_lines", frame)


def _packages(shipments: pl.DataFrame) -> pl.DataFrame:
    packages = shipments.select(
        "shipment_id",
        "created_at",
        weight_kg=(pl.col("total_weight_kg") / pl.col("number_of_packages")).round(2),
        package_number=pl.int_ranges(1, pl.col("number_of_packages") + 1),
    ).explode("package_number")
    return packages.insert_column(0, identifiers("tms.shipment_packages", len(packages)))


def _deliveries(delivered: pl.DataFrame) -> pl.DataFrame:
    frame = delivered.with_columns(
        scheduled_delivery_date="estimated_delivery_date",
        delivery_status=pl.lit("completed"),
        created_at="delivered_at",
    )
    return catalogued("tms.deliveries", frame)


def _proofs(delivered: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """A signed proof for nearly every delivery."""
    rng, count = plan.rng("tms.proof_of_delivery"), len(delivered)
    condition = draw.codes(rng, {"good": 975, "damaged": 18, "partial": 7}, count)
    signed = delivered.select(
        "delivery_id",
        "shipment_id",
        packages_delivered="number_of_packages",
        packages_condition=pl.lit(condition),
        delivery_timestamp="delivered_at",
        created_at="delivered_at",
    ).filter(pl.Series(draw.true_share(rng, 0.985, count)))
    return signed.insert_column(0, identifiers("tms.proof_of_delivery", len(signed)))


def _events(shipments: pl.DataFrame) -> pl.DataFrame:
    left = shipments.select(
        "shipment_id",
        event_type=pl.lit("picked_up"),
        event_timestamp=pl.col("created_at") + pl.duration(hours=16),
        location_city="origin_city",
    )
    came = shipments.filter(pl.col("delivered_at").is_not_null()).select(
        "shipment_id",
        event_type=pl.lit("delivered"),
        event_timestamp="delivered_at",
        location_city=pl.lit("Customer site"),
    )
    events = pl.concat([left, came]).sort("event_timestamp", "shipment_id", maintain_order=True)
    return events.select(
        identifiers("tms.tracking_events", len(events)),
        pl.all(),
        event_description=pl.col("event_type").str.replace("_", " ").str.to_titlecase(),
        created_at="event_timestamp",
    )


def _freight_lines(shipments: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Charges of a carrier's week, in USD, against what was expected; `invoice_id` groups them."""
    rng = plan.rng("tms.freight_invoice_lines")
    weeks = (
        shipments.group_by("carrier_id", week=pl.col("ship_date").dt.truncate("1w"))
        .agg(freight=pl.col("freight_cost").sum() / 83, fuel=pl.col("fuel_surcharge").sum() / 83)
        .sort("week", "carrier_id")
        .with_columns(invoice_date=pl.col("week") + pl.duration(days=9))
        .filter(pl.col("invoice_date") <= plan.end.date())
    )
    weeks = weeks.with_columns(identifiers("tms.freight_invoices", len(weeks)))
    parts = [
        weeks.select(
            "invoice_id", "carrier_id", "invoice_date", charge_type=pl.lit(kind), expected_amount=amount.round(2)
        )
        for kind, amount in (
            ("transportation", pl.col("freight") * 0.93),
            ("handling", pl.col("freight") * 0.07),
            ("fuel", pl.col("fuel")),
        )
    ]
    lines = pl.concat(parts).sort("invoice_id", "charge_type", maintain_order=True)
    overcharge = pl.lit(pl.Series(rng.normal(1.012, 0.03, len(lines))))
    return lines.select(
        identifiers("tms.freight_invoice_lines", len(lines)),
        pl.all(),
        line_number=pl.int_range(1, pl.len() + 1).over("invoice_id"),
        charge_amount=(pl.col("expected_amount") * overcharge).round(2),
        created_at=pl.col("invoice_date").cast(pl.Datetime("us")),
    ).with_columns(variance_amount=pl.col("charge_amount") - pl.col("expected_amount"))


def freight_invoices(world: World, plan: Plan, lines: pl.DataFrame | None = None) -> pl.DataFrame:
    """One invoice a carrier and week, the sum of its lines in USD, paid after 30 days more or less."""
    if lines is None:
        shipped = shipping(world, plan)
        lines = _freight_lines(_shipments(shipped, _services(world), plan), plan)
    rng = plan.rng("tms.freight_invoices")
    amount = pl.col("charge_amount")
    invoices = lines.group_by("invoice_id", maintain_order=True).agg(
        pl.first("carrier_id", "invoice_date", "created_at"),
        total_amount=amount.sum().round(2),
        freight_charges=amount.filter(pl.col("charge_type") != "fuel").sum().round(2),
        fuel_surcharge=amount.filter(pl.col("charge_type") == "fuel").sum().round(2),
    )
    days = pl.lit(pl.Series(rng.integers(24, 41, len(invoices))))
    payment = pl.col("invoice_date") + pl.duration(days=days)
    return invoices.with_columns(
        due_date=pl.col("invoice_date") + pl.duration(days=30),
        currency=pl.lit("USD"),
        payment_date=pl.when(payment <= plan.end.date()).then(payment),
    ).with_columns(
        paid=pl.col("payment_date").is_not_null(),
        invoice_status=pl.when(pl.col("payment_date").is_not_null()).then(pl.lit("paid")).otherwise(pl.lit("approved")),
    )


def _returns(delivered: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("tms.return_orders")
    count = min(plan.rows("tms.return_orders"), len(delivered))
    sent = delivered[np.sort(rng.choice(len(delivered), count, replace=False))]
    created = pl.col("delivered_at") + pl.duration(days=pl.lit(pl.Series(rng.integers(1, 21, count))))
    processed = (plan.end - pl.col("created_at")).dt.total_days() > 12
    returned = pl.lit(pl.Series(rng.uniform(0.05, 0.6, count)))
    return (
        sent.select(
            identifiers("tms.return_orders", count),
            "sales_order_id",
            "customer_id",
            original_shipment_id="shipment_id",
            return_to_warehouse_id="warehouse_id",
            refund_amount=(pl.col("declared_value") * returned).round(2),
            return_reason=pl.lit(draw.codes(rng, _RETURN_REASONS, count)),
            returned_share=returned,
            created_at=pl.min_horizontal(created, pl.lit(plan.end)),
        )
        .with_columns(refund_processed=processed)
        .with_columns(
            return_status=pl.when("refund_processed").then(pl.lit("processed")).otherwise(pl.lit("in_transit")),
            updated_at="created_at",
        )
    )


def _return_lines(returns: pl.DataFrame, shipped: Shipping) -> pl.DataFrame:
    lines = returns.join(
        shipped.lines.select("shipment_id", "sales_order_line_id", "material_id", "order_quantity"),
        left_on="original_shipment_id",
        right_on="shipment_id",
    ).sort("return_order_id", "sales_order_line_id")
    quantity = (pl.col("order_quantity") * pl.col("returned_share")).ceil()
    return lines.select(
        identifiers("tms.return_order_lines", len(lines)),
        "return_order_id",
        "sales_order_line_id",
        "material_id",
        "created_at",
        line_number=pl.int_range(1, pl.len() + 1).over("return_order_id"),
        quantity_to_return=quantity,
        quantity_received=pl.when("refund_processed").then(quantity).otherwise(0),
    )
