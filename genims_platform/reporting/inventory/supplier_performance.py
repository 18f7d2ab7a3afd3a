"""supplier_performance: which supplier to develop, keep or replace."""

from datetime import date, timedelta
from typing import Annotated

import polars as pl
from polars.lazyframe.group_by import LazyGroupBy

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expectation, Identity, Reconciliation, all_of, sql
from genims_platform.reporting.exchange import inr, total_inr, with_inr_rate
from genims_platform.reporting.periods import Window
from genims_platform.reporting.purchase_order_check import ordered_by, orders_received
from genims_platform.reporting.purchase_orders import ON_TIME, standing_lines, with_deliveries
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between, KeyFrom, KeyIn, MonthNamed, Until

_ID = "supplier_id"
_DUE = Between("delivery_date", after=timedelta(days=31))
"""Due dates of the whole month, also of those days of it that are still to come."""
_AUDIT_DAYS = 366

_ERP_SUPPLIERS = sql(
    "erp",
    """
    SELECT %(first_day)s::date AS performance_month, supplier_id FROM suppliers
    UNION
    SELECT %(first_day)s::date, supplier_id FROM purchase_orders WHERE po_date >= %(start)s AND po_date < %(end)s
    """,
)
_PORTAL_SUPPLIERS = sql(
    "supplier",
    """
    SELECT %(first_day)s::date AS performance_month, supplier_id
    FROM supplier_performance_metrics WHERE metric_period = to_char(%(first_day)s::date, 'YYYY-MM')
    UNION
    SELECT %(first_day)s::date, supplier_id
    FROM supplier_invoices WHERE invoice_date >= %(start)s AND invoice_date < %(end)s
    """,
)
_QUALITY_SUPPLIERS = sql(
    "qms",
    """
    SELECT %(first_day)s::date AS performance_month, supplier_id
    FROM supplier_quality_metrics WHERE metric_period = to_char(%(first_day)s::date, 'YYYY-MM')
    UNION
    SELECT %(first_day)s::date, supplier_id
    FROM ncr_headers WHERE detected_date >= %(start)s AND detected_date < %(end)s
    """,
)
_SCORES = sql(
    "supplier",
    """
    SELECT %(first_day)s::date AS performance_month, count(overall_score) AS scores, sum(overall_score) AS overall_score
    FROM (
      SELECT DISTINCT ON (coalesce(supplier_id, '')) overall_score
      FROM supplier_performance_metrics
      WHERE metric_period = to_char(%(first_day)s::date, 'YYYY-MM')
      ORDER BY coalesce(supplier_id, ''), metric_id COLLATE "C"
    ) portal
    """,
)


def _due_days_of_early_receipts(sources: Sources, window: Window) -> pl.DataFrame:
    """Later delivery dates of the orders whose goods came in the window; a month that is over learns nothing new."""
    return sources.query(
        "erp",
        "SELECT DISTINCT delivery_date FROM purchase_order_lines "
        "WHERE purchase_order_id = ANY(%(orders)s) AND delivery_date >= %(start)s",
        {"start": window.span.start, "orders": orders_received(sources, window)},
    )


_SHARE = pl.col("spend_share_pct")
_CHECKS = Checks(
    rows=all_of(_ERP_SUPPLIERS, _PORTAL_SUPPLIERS, _QUALITY_SUPPLIERS),
    reconcile=(
        Reconciliation("spend_vs_erp", ordered_by("month", column="performance_month", spend="spend_inr")),
        Reconciliation("score_vs_portal", _SCORES, measures={"scores": pl.col("overall_score").count()}),
    ),
    identities=(
        Identity(
            "spend shares add up to 100",
            # Each share is rounded: those of very many suppliers may add up to more or less.
            pl.when(_SHARE.count() > 0).then(
                ((_SHARE.cast(pl.Float64).sum() - 100).abs() - 0.005 * _SHARE.count()).clip(lower_bound=0)
            ),
            tolerance=0.5,
            by_period=True,
        ),
    ),
    warnings=(Expectation("fx_missing", pl.col("spend_inr").is_not_null() & pl.col("invoiced_inr").is_not_null()),),
    orphans={_ID: "supplier_name"},
)


@reporting_table(
    group="inventory",
    period="month",
    recompute=0,
    horizon=2,
    rolling_days=_AUDIT_DAYS,
    touched=_due_days_of_early_receipts,
    checks=_CHECKS,
)
def supplier_performance(
    *,
    window: Window,
    suppliers: Annotated[pl.LazyFrame, Read("erp.suppliers")],
    orders: Annotated[pl.LazyFrame, Read("erp.purchase_orders", Between("po_date"))],
    due_orders: Annotated[
        pl.LazyFrame,
        Read("erp.purchase_orders", KeyIn("purchase_order_id", "purchase_order_lines", "purchase_order_id", _DUE)),
    ],
    due_lines: Annotated[
        pl.LazyFrame,
        Read("erp.purchase_order_lines", KeyIn("purchase_order_id", "purchase_order_lines", "purchase_order_id", _DUE)),
    ],
    receipts: Annotated[
        pl.LazyFrame,
        Read(
            "wms.receiving_tasks", KeyFrom("purchase_order_id", "erp.purchase_order_lines", "purchase_order_id", _DUE)
        ),
    ],
    scores: Annotated[pl.LazyFrame, Read("supplier.supplier_performance_metrics", MonthNamed("metric_period"))],
    qualities: Annotated[pl.LazyFrame, Read("qms.supplier_quality_metrics", MonthNamed("metric_period"))],
    nonconformances: Annotated[pl.LazyFrame, Read("qms.ncr_headers", Between("detected_date"))],
    invoices: Annotated[pl.LazyFrame, Read("supplier.supplier_invoices", Between("invoice_date"))],
    audits: Annotated[pl.LazyFrame, Read("supplier.supplier_audits", Until("actual_date"))],
    documents: Annotated[pl.LazyFrame, Read("supplier.supplier_documents")],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """Spend, delivery, quality, audits and risk; one row a month and supplier, known to the ERP or named by a fact.

    A month shows what was known at its end. `otd_pct` is what the supplier portal states, `otd_receipts_pct` what
    receipts say: of the orders due in the month whose goods had come, those whose last receipt came by the due date.
    Spend by day of order; money in INR at the rate of the document's day, NULL if an amount has no rate. A type of
    document has expired if none of the supplier's is valid any longer.
    Risk points: on time (the portal's, else measured) below 90 % 1, below 80 % 2; acceptance below 98 % 1, below 95 %
    2; 1 each for expired documents, a last audit below 75 and nonconformances. Up to 1 is low, up to 3 medium.
    """
    month, today = f"{window.first:%Y-%m}", window.last_day
    rates = rates.cache()
    facts = [
        _spend(orders.filter(pl.col("po_date").is_between(window.first, today)), rates),
        _portal_scores(scores.filter(pl.col("metric_period") == month)),
        _quality_scores(qualities.filter(pl.col("metric_period") == month)),
        _by_supplier(nonconformances).agg(ncr_count=pl.len()),
        _invoiced(invoices, rates),
    ]
    facts = [fact.cache() for fact in facts]
    known = suppliers.unique(_ID, keep="first", maintain_order=True).select(_ID, "supplier_name", "supplier_type")
    rows = pl.concat([known.select(_ID), *(fact.select(_ID) for fact in facts)]).unique()
    attributes = [
        known,
        _measured_punctuality(due_orders, due_lines, receipts, window),
        _last_audits(audits.filter(pl.col("actual_date") <= today)),
        _expired_documents(documents, today),
    ]
    for part in (*facts, *attributes):
        rows = rows.join(part, on=_ID, how="left")
    counts = ("po_count", "ncr_count", "match_variance_count", "expired_documents")
    spend = pl.col("spend_inr")
    return (
        rows.with_columns(
            pl.lit(window.first).alias("performance_month"),
            # Nothing ordered is a spend of 0; something ordered at an unknown value is not.
            pl.when(pl.col("po_count").is_null()).then(0).otherwise(spend).alias("spend_inr"),
            pl.when(pl.col("invoice_count").is_null()).then(0).otherwise(pl.col("invoiced_inr")).alias("invoiced_inr"),
            source_row_count=pl.sum_horizontal(
                "po_count", "score_count", "quality_score_count", "ncr_count", "invoice_count"
            ),
            quality_acceptance_pct=pl.coalesce("quality_acceptance_pct", "acceptance_rate_pct"),
        )
        .with_columns(pl.col(*counts).fill_null(0))
        .with_columns(
            spend_share_pct=kpi.percent(spend, pl.when(spend.null_count() == 0).then(spend.sum())),
            risk_level=_risk(pl.coalesce("otd_pct", "otd_receipts_pct")),
        )
        .drop("score_count", "quality_score_count", "invoice_count", "acceptance_rate_pct")
    )


def _risk(on_time: pl.Expr) -> pl.Expr:
    accepted, audited = pl.col("quality_acceptance_pct"), pl.col("last_audit_score")
    expired, nonconforming = pl.col("expired_documents") > 0, pl.col("ncr_count") > 0
    points = pl.sum_horizontal(
        on_time < 90, on_time < 80, accepted < 98, accepted < 95, expired, audited < 75, nonconforming
    )
    measured = on_time.is_not_null() | accepted.is_not_null() | audited.is_not_null()
    level = pl.when(points <= 1).then(pl.lit("low")).when(points <= 3).then(pl.lit("medium")).otherwise(pl.lit("high"))
    return pl.when(measured | expired | nonconforming).then(level)


def _by_supplier(rows: pl.LazyFrame) -> LazyGroupBy:
    return rows.group_by(kpi.key(pl.col(_ID)).alias(_ID))


def _spend(orders: pl.LazyFrame, rates: pl.LazyFrame) -> pl.LazyFrame:
    value = pl.col("total_value")
    return _by_supplier(with_inr_rate(orders, rates, currency="currency", on="po_date")).agg(
        po_count=pl.len(), spend_inr=total_inr(value, inr(value))
    )


def _invoiced(invoices: pl.LazyFrame, rates: pl.LazyFrame) -> pl.LazyFrame:
    amount = pl.col("total_amount")
    return _by_supplier(with_inr_rate(invoices, rates, currency="currency_code", on="invoice_date")).agg(
        invoice_count=pl.len(),
        invoiced_inr=total_inr(amount, inr(amount)),
        match_variance_count=(pl.col("matching_status") == "variance").sum(),
    )


def _portal_scores(scores: pl.LazyFrame) -> pl.LazyFrame:
    """The scores of the supplier portal; of several for a supplier the one with the smallest id."""
    columns = {
        "otd_pct": "ontime_delivery_pct",
        "avg_lead_days": "average_lead_time_days",
        "quality_acceptance_pct": "quality_acceptance_pct",
        "response_rate_pct": "response_rate_pct",
        "overall_score": "overall_score",
        "performance_rating": "performance_rating",
    }
    return _by_supplier(scores).agg(
        *(pl.col(column).sort_by("metric_id").first().alias(name) for name, column in columns.items()),
        score_count=pl.len(),
    )


def _quality_scores(qualities: pl.LazyFrame) -> pl.LazyFrame:
    """What quality management measured; of several rows for a supplier the one with the smallest id."""
    costs = pl.col("rejection_cost", "rework_cost", "sorting_cost")
    return (
        _by_supplier(qualities)
        .agg(pl.exclude(_ID).sort_by("metric_id").first(), quality_score_count=pl.len())
        .select(
            _ID,
            "defect_ppm",
            "acceptance_rate_pct",
            "quality_score_count",
            copq_inr=pl.when(pl.any_horizontal(costs.is_not_null())).then(pl.sum_horizontal(costs)),
        )
    )


def _measured_punctuality(
    orders: pl.LazyFrame, lines: pl.LazyFrame, receipts: pl.LazyFrame, window: Window
) -> pl.LazyFrame:
    due = with_deliveries(orders, standing_lines(lines), receipts, until=window.span.end).filter(
        pl.col("due_date").is_between(window.first, window.end, closed="left"), pl.col("last_received").is_not_null()
    )
    return _by_supplier(due).agg(otd_receipts_pct=kpi.percent(ON_TIME.sum(), pl.len()))


def _last_audits(audits: pl.LazyFrame) -> pl.LazyFrame:
    return _by_supplier(audits).agg(last_audit_score=pl.col("audit_score").sort_by("actual_date", "audit_id").last())


def _expired_documents(documents: pl.LazyFrame, today: date) -> pl.LazyFrame:
    """Types of document of which a supplier holds none that is still valid; one without an end does not expire."""
    expired = (pl.col("expiry_date") < today).fill_null(value=False)
    by_type = documents.group_by(kpi.key(pl.col(_ID)).alias(_ID), "document_type").agg(expired=expired.all())
    return by_type.group_by(_ID).agg(expired_documents=pl.col("expired").sum())
