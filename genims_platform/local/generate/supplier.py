"""Supplier portal: invoices, contracts and prices, monthly scores, requisitions, audits, documents."""

from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
import polars as pl

from genims_platform.local.generate import draw
from genims_platform.local.generate.columns import catalogued
from genims_platform.local.generate.plan import Plan, identifiers
from genims_platform.local.generate.purchasing import Purchasing, purchasing
from genims_platform.local.generate.world import World

_AUDITS_A_YEAR = 60
_DOCUMENT_TYPES = ("iso_9001", "business_license", "tax_certificate", "bank_statement")
_REQUISITION_TYPES = {"standard": 80, "urgent": 13, "capital": 7}
_REQUISITION_STATUS = {"approved": 45, "converted_to_rfq": 25, "submitted": 15, "draft": 8, "rejected": 7}


def tables(world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the supplier portal tables that reports and audit depend on."""
    bought = purchasing(world, plan)
    yield "supplier.supplier_invoices", _invoices(bought)
    yield "supplier.supplier_invoice_lines", _invoice_lines(bought)
    scores = _monthly_scores(world, plan, bought)
    yield "supplier.supplier_performance_metrics", scores
    yield "supplier.supplier_scorecards", _scorecards(scores)
    contracts, prices = _contracts(plan, bought)
    yield "supplier.supplier_contracts", contracts
    yield "supplier.contract_pricing", prices
    requisitions = _requisitions(world, plan)
    yield "supplier.purchase_requisitions", requisitions
    yield "supplier.purchase_requisition_lines", _requisition_lines(world, plan, requisitions)
    yield "supplier.supplier_audits", _audits(world, plan)
    yield "supplier.supplier_documents", _documents(world, plan)


def _invoices(bought: Purchasing) -> pl.DataFrame:
    count = len(bought.invoices)
    matched = pl.col("matching_status") == "matched"
    frame = bought.invoices.with_columns(
        invoice_number=pl.lit(identifiers("supplier.supplier_invoices", count).str.replace("INVO", "SINV")),
        currency_code=pl.lit("INR"),
        exchange_rate=1.0,
        po_match=True,
        receipt_match=True,
        price_match=matched,
        quantity_match=matched,
        gl_posted=True,
        created_at=pl.col("invoice_date").cast(pl.Datetime("us")),
    )
    return catalogued("supplier.supplier_invoices", frame)


def _invoice_lines(bought: Purchasing) -> pl.DataFrame:
    lines = bought.lines.join(
        bought.invoices.select("purchase_order_id", "invoice_id", "invoice_date"), on="purchase_order_id"
    ).sort("invoice_id", "line_number")
    frame = lines.with_columns(
        identifiers("supplier.supplier_invoice_lines", len(lines)),
        invoiced_quantity="received_quantity",
        line_total=(pl.col("received_quantity") * pl.col("unit_price")).round(2),
        po_quantity="order_quantity",
        po_unit_price="unit_price",
        match_status=pl.lit("matched"),
        created_at=pl.col("invoice_date").cast(pl.Datetime("us")),
    )
    return catalogued("supplier.supplier_invoice_lines", frame)


def _monthly_scores(world: World, plan: Plan, bought: Purchasing) -> pl.DataFrame:
    """A row a supplier and month of the span; punctuality as the month's receipts had it, else as the supplier is."""
    rng = plan.rng("supplier.supplier_performance_metrics")
    months = pl.Series("metric_period", [month.strftime("%Y-%m") for month in plan.months_of_span()]).to_frame()
    month = pl.col("po_date").dt.strftime("%Y-%m")
    measured = (
        bought.receipts.group_by("supplier_id", metric_period=month)
        .agg(
            received=pl.len(),
            on_time=(pl.col("received_at").dt.date() <= pl.col("delivery_date")).sum(),
            average_lead_time_days=(pl.col("received_at").dt.date() - pl.col("po_date")).dt.total_days().mean(),
            total_quantity_received=pl.col("received_quantity").sum(),
        )
        .rename({"received": "total_pos_issued", "on_time": "pos_delivered_ontime"})
    )
    spent = bought.orders.group_by("supplier_id", metric_period=month).agg(total_spend=pl.col("total_value").sum())
    frame = (
        months.join(world.suppliers.select("supplier_id", "reliability"), how="cross", maintain_order="left_right")
        .join(measured, on=["supplier_id", "metric_period"], how="left", maintain_order="left")
        .join(spent, on=["supplier_id", "metric_period"], how="left", maintain_order="left")
    )
    count = len(frame)
    quality = np.clip(rng.normal(98.6, 1.2, count), 90, 100).round(2)
    accepted = (pl.col("total_quantity_received").fill_null(0) * pl.lit(pl.Series(quality)) / 100).round()
    punctual = (100 * pl.col("pos_delivered_ontime") / pl.col("total_pos_issued")).fill_null(
        (pl.col("reliability") * 100).round(2)
    )
    frame = frame.with_columns(
        pl.col("total_pos_issued", "pos_delivered_ontime", "total_quantity_received", "total_spend").fill_null(0),
        pl.col("average_lead_time_days").fill_null(18.0).round(1),
        ontime_delivery_pct=punctual.round(2),
        quality_acceptance_pct=pl.lit(pl.Series(quality)),
        quantity_accepted=accepted,
        quantity_rejected=pl.col("total_quantity_received").fill_null(0) - accepted,
        response_rate_pct=pl.lit(pl.Series(rng.uniform(70, 100, count).round(2))),
    ).with_columns(
        overall_score=(
            0.45 * pl.col("ontime_delivery_pct")
            + 0.4 * pl.col("quality_acceptance_pct")
            + 0.15 * pl.col("response_rate_pct")
        ).round(2)
    )
    rating = (
        pl.when(pl.col("overall_score") >= 93)
        .then(pl.lit("excellent"))
        .when(pl.col("overall_score") >= 85)
        .then(pl.lit("good"))
        .otherwise(pl.lit("acceptable"))
    )
    frame = frame.with_columns(identifiers("supplier.supplier_performance_metrics", count), performance_rating=rating)
    return catalogued("supplier.supplier_performance_metrics", frame)


def _scorecards(scores: pl.DataFrame) -> pl.DataFrame:
    return scores.select(
        identifiers("supplier.supplier_scorecards", len(scores)),
        "supplier_id",
        "overall_score",
        scorecard_period="metric_period",
        delivery_score="ontime_delivery_pct",
        quality_score="quality_acceptance_pct",
        responsiveness_score="response_rate_pct",
        supplier_rating="performance_rating",
    )


def _contracts(plan: Plan, bought: Purchasing) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Contracts of the suppliers with most spend, and agreed prices of the materials bought from them."""
    rng, count = plan.rng("supplier.supplier_contracts"), plan.rows("supplier.supplier_contracts")
    spend = bought.lines.group_by("supplier_id").agg(spend=pl.col("line_value").sum(), orders=pl.len())
    spend = spend.sort("spend", "supplier_id", descending=[True, False]).head(count)
    starts = [plan.start.date() - timedelta(days=int(days)) for days in rng.integers(30, 400, len(spend))]
    contracts = spend.select(
        identifiers("supplier.supplier_contracts", len(spend)),
        "supplier_id",
        start_date=pl.lit(pl.Series(starts)),
        end_date=pl.lit(plan.end.date()) + pl.duration(days=pl.lit(pl.Series(rng.integers(-20, 700, len(spend))))),
        committed_annual_value=(pl.col("spend") * 0.8).round(2),
        actual_spend_to_date=pl.col("spend").round(2),
        orders_placed="orders",
    )
    agreed = bought.lines.select("supplier_id", "material_id", "standard_cost").unique(maintain_order=True)
    prices = agreed.join(contracts.select("supplier_id", "contract_id", "start_date", "end_date"), on="supplier_id")
    prices = prices.filter(pl.Series(draw.true_share(rng, 0.7, len(prices)))).sort("contract_id", "material_id")
    level = pl.lit(pl.Series(rng.normal(1.0, 0.02, len(prices))))
    return contracts, prices.select(
        identifiers("supplier.contract_pricing", len(prices)),
        "contract_id",
        "material_id",
        unit_price=(pl.col("standard_cost") * level).round(4),
        effective_from="start_date",
        effective_to="end_date",
        is_active=pl.lit(pl.Series(draw.true_share(rng, 0.95, len(prices)))),
    )


def _requisitions(world: World, plan: Plan) -> pl.DataFrame:
    rng, count = plan.rng("supplier.purchase_requisitions"), plan.rows("supplier.purchase_requisitions")
    kind = draw.codes(rng, _REQUISITION_TYPES, count)
    days = plan.working_days(rng, count)
    median = np.where((kind == "capital").to_numpy(), 2_400_000, 140_000)
    return pl.DataFrame(
        {
            "requisition_id": identifiers("supplier.purchase_requisitions", count),
            "requested_by": draw.picks(rng, world.employees["employee_id"], count),
            "requisition_date": days,
            "required_by_date": days + rng.integers(10, 60, count).astype("timedelta64[D]"),
            "requisition_type": kind,
            "estimated_total": draw.skewed(rng, median, 0.6, count).round(2),
            "requisition_status": draw.codes(rng, _REQUISITION_STATUS, count),
            "created_at": days.astype("datetime64[us]"),
        }
    )


def _requisition_lines(world: World, plan: Plan, requisitions: pl.DataFrame) -> pl.DataFrame:
    """Three lines a requisition that add up to its estimate."""
    rng = plan.rng("supplier.purchase_requisition_lines")
    of_requisition = np.repeat(np.arange(len(requisitions)), 3)
    lines = requisitions[of_requisition]
    number = np.tile([1, 2, 3], len(requisitions))
    share = np.tile([0.5, 0.3, 0.2], len(requisitions))
    amount = (pl.col("estimated_total") * pl.lit(pl.Series(share))).round(2)
    quantity = pl.lit(pl.Series(rng.integers(100, 1_000, len(lines))))
    return lines.select(
        identifiers("supplier.purchase_requisition_lines", len(lines)),
        "requisition_id",
        "required_by_date",
        "created_at",
        line_number=pl.lit(pl.Series(number)),
        material_id=pl.lit(draw.picks(rng, world.materials["material_id"], len(lines))),
        quantity=quantity,
        estimated_unit_price=(amount / quantity).round(4),
        estimated_total=amount,
    )


def _audits(world: World, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("supplier.supplier_audits")
    count = max(plan.rows("supplier.supplier_audits"), round(_AUDITS_A_YEAR * plan.months / 12))
    days = plan.working_days(rng, count)
    score = np.clip(rng.normal(83, 8, count), 55, 99).round(2)
    return pl.DataFrame(
        {
            "audit_id": identifiers("supplier.supplier_audits", count),
            "supplier_id": draw.picks(rng, world.suppliers["supplier_id"], count),
            "planned_date": days - np.timedelta64(5, "D"),
            "actual_date": days,
            "audit_score": score,
            "audit_rating": pl.Series(np.where(score < 78, "needs_improvement", "satisfactory"), dtype=pl.String),
            "major_findings": rng.poisson(np.clip((85 - score) / 8, 0.1, 4)),
            "minor_findings": rng.integers(0, 6, count),
        }
    )


def _documents(world: World, plan: Plan) -> pl.DataFrame:
    """Certificates of the suppliers; one in seven has run out."""
    rng = plan.rng("supplier.supplier_documents")
    count = max(plan.rows("supplier.supplier_documents"), 2 * len(world.suppliers))
    left = np.where(rng.random(count) < 0.14, rng.integers(-160, 0, count), rng.integers(1, 600, count))
    expiry = [plan.end.date() + timedelta(days=int(days)) for days in left]
    return pl.DataFrame(
        {
            "document_id": identifiers("supplier.supplier_documents", count),
            "supplier_id": draw.picks(rng, world.suppliers["supplier_id"], count),
            "document_type": draw.picks(rng, _DOCUMENT_TYPES, count),
            "issue_date": pl.Series([date(day.year - 2, day.month, min(day.day, 28)) for day in expiry]),
            "expiry_date": pl.Series(expiry),
            "verified": left >= 0,
            "document_status": pl.Series(np.where(left < 0, "expired", "verified"), dtype=pl.String),
            "days_to_expiry": left,
        }
    )
