"""accounts_payable_aging: whom to pay next, and how much is overdue to each supplier."""

from datetime import timedelta
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expectation, Identity, Reconciliation, sql
from genims_platform.reporting.exchange import inr, total_inr, with_inr_rate
from genims_platform.reporting.periods import DAY, Window
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between, Unlike

_INVOICED_DAYS = 90
_BUCKETS = ("overdue_1_30_inr", "overdue_31_60_inr", "overdue_61_90_inr", "overdue_over_90_inr")

_SUPPLIERS = sql(
    "supplier",
    """
    SELECT DISTINCT %(last_day)s AS aging_date, supplier_id
    FROM supplier_invoices
    WHERE invoice_date <= %(last_day)s AND payment_status IS DISTINCT FROM 'paid'
    """,
)
_UNDATED = sql(
    "supplier",
    "SELECT COUNT(*) FROM supplier_invoices WHERE invoice_date IS NULL AND payment_status IS DISTINCT FROM 'paid'",
)
_OPEN = sql(
    "supplier",
    """
    SELECT COALESCE(NULLIF(BTRIM(supplier_id), ''), 'UNKNOWN') AS supplier, currency_code AS currency,
      SUM(total_amount - COALESCE(paid_amount, 0)) AS amount, COUNT(*) AS invoices,
      COUNT(*) FILTER (WHERE invoice_status = 'paid') AS conflicts
    FROM supplier_invoices
    WHERE invoice_date <= %(last_day)s AND payment_status IS DISTINCT FROM 'paid'
    GROUP BY 1, 2
    """,
)
_CLOSING_RATES = sql(
    "financial",
    """
    SELECT DISTINCT ON (from_currency) from_currency AS currency,
      CASE WHEN exchange_rate BETWEEN low AND high THEN exchange_rate ELSE inverse_rate END AS rate
    FROM exchange_rates
    JOIN (VALUES ('USD', 50, 150), ('EUR', 50, 180), ('GBP', 60, 220)) band (code, low, high) ON code = from_currency
    WHERE to_currency = 'INR' AND rate_type = 'spot'
      AND effective_date BETWEEN %(last_day)s::date - 31 AND %(last_day)s
      AND (COALESCE(exchange_rate BETWEEN low AND high, false) <> COALESCE(inverse_rate BETWEEN low AND high, false))
    ORDER BY from_currency, effective_date DESC
    """,
)


def _payables(sources: Sources, window: Window) -> pl.DataFrame:
    """What is open to suppliers all of whose open invoices have a rate, and how many invoices are open to any."""
    totals = {"open_amount_inr": 0.0, "open_invoice_count": 0, "status_conflict_count": 0}
    rates = {None: 1.0, "INR": 1.0} | {name: float(rate) for name, rate in _CLOSING_RATES(sources, window).iter_rows()}
    amounts: dict[str, list[float | None]] = {}
    for supplier, currency, amount, invoices, conflicts in _OPEN(sources, window).iter_rows():
        rate = rates.get(currency)
        unrated = amount and rate is None
        amounts.setdefault(supplier, []).append(None if unrated else float(amount or 0) * (rate or 0))
        totals["open_invoice_count"] += invoices
        totals["status_conflict_count"] += conflicts
    complete = [[value for value in parts if value is not None] for parts in amounts.values() if None not in parts]
    totals["open_amount_inr"] = sum(map(sum, complete))
    return pl.DataFrame({"aging_date": [window.last_day], **{name: [total] for name, total in totals.items()}})


_CHECKS = Checks(
    rows=_SUPPLIERS,
    reconcile=(Reconciliation("payables_vs_supplier", _payables),),
    identities=(
        Identity(
            "open = not due + overdue",
            pl.col("open_amount_inr") - pl.sum_horizontal("not_due_inr", *_BUCKETS, ignore_nulls=False),
            tolerance=0.03,  # six columns, each rounded by up to 0.005
        ),
        Identity(
            "overdue = its four buckets",
            pl.col("overdue_amount_inr") - pl.sum_horizontal(*_BUCKETS, ignore_nulls=False),
            tolerance=0.03,
        ),
    ),
    warnings=(Expectation("fx_missing", pl.col("open_amount_inr").is_not_null()),),
    orphans={"supplier_id": "supplier_name"},
    left_out={"open invoices without a date": _UNDATED},
)


@reporting_table(group="financial", period="snapshot", recompute=0, horizon=0, checks=_CHECKS)
def accounts_payable_aging(
    *,
    window: Window,
    invoices: Annotated[
        pl.LazyFrame,
        Read(
            "supplier.supplier_invoices",
            Unlike("payment_status", "paid") | Between("invoice_date", before=(_INVOICED_DAYS - 1) * DAY),
        ),
    ],
    suppliers: Annotated[pl.LazyFrame, Read("erp.suppliers")],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """What is owed to each supplier today, by days overdue; one row a supplier with an open invoice.

    An invoice is open if its payment status is not `paid`, whatever its invoice status says. Only the present state
    of invoices is known, so rows of earlier days are kept as they were written. Amounts are INR: open ones at the
    closing rate of the day (IAS 21), invoiced ones at the rate of the invoice date. Buckets of the ageing report count
    days past the due date; an invoice without one is not due. DPO is open / invoiced in the last 90 days x 90.
    """
    today = window.last_day
    dated = invoices.filter(pl.col("invoice_date") <= today).with_columns(supplier_id=kpi.key(pl.col("supplier_id")))
    open_invoices = dated.filter(pl.col("payment_status").ne_missing("paid")).select(
        "supplier_id",
        "due_date",
        "currency_code",
        today=pl.lit(today),
        amount=pl.col("total_amount") - pl.col("paid_amount").fill_null(0),
        overdue_days=(pl.lit(today) - pl.col("due_date")).dt.total_days(),
        varies=(pl.col("matching_status") == "variance").fill_null(value=False),
        conflicts=(pl.col("invoice_status") == "paid").fill_null(value=False),
    )
    late = pl.col("overdue_days").fill_null(0)
    due_in = -late
    return (
        with_inr_rate(open_invoices, rates, currency="currency_code", on="today")
        .with_columns(amount_inr=inr(pl.col("amount")))
        .group_by("supplier_id")
        .agg(
            _sum_of(late <= 0).alias("not_due_inr"),
            *(
                _sum_of(late.is_between(30 * n + 1, 30 * n + 30) if n < len(_BUCKETS) - 1 else late > 30 * n).alias(
                    name
                )
                for n, name in enumerate(_BUCKETS)
            ),
            open_invoice_count=pl.len(),
            open_amount_inr=total_inr(pl.col("amount"), pl.col("amount_inr")),
            overdue_amount_inr=_sum_of(late > 0),
            oldest_overdue_days=late.filter(late > 0).max(),
            mean_overdue_days=kpi.weighted_mean(pl.col("overdue_days"), pl.col("amount_inr")),
            due_next_7d_inr=_sum_of(due_in.is_between(1, 7)),
            due_next_30d_inr=_sum_of(due_in.is_between(1, 30)),
            match_variance_inr=_sum_of(pl.col("varies")),
            status_conflict_count=pl.col("conflicts").sum(),
            source_row_count=pl.len(),
        )
        .join(_invoiced(dated, rates, window), on="supplier_id", how="left")
        .join(suppliers.select("supplier_id", "supplier_name", "payment_terms"), on="supplier_id", how="left")
        .with_columns(
            aging_date=pl.lit(today),
            overdue_pct=kpi.percent(pl.col("overdue_amount_inr"), pl.col("open_amount_inr")),
            weighted_overdue_days=pl.when(pl.col("open_amount_inr").is_not_null()).then(pl.col("mean_overdue_days")),
            dpo_days=_INVOICED_DAYS * kpi.ratio(pl.col("open_amount_inr"), pl.col("invoiced_90d_inr")),
        )
        .drop("mean_overdue_days")
    )


def _sum_of(condition: pl.Expr) -> pl.Expr:
    """Open amount of the invoices that meet a condition: 0 if none does, NULL if one of them has no rate."""
    amounts = total_inr(pl.col("amount").filter(condition), pl.col("amount_inr").filter(condition))
    return pl.when(condition.any()).then(amounts).otherwise(0)


def _invoiced(dated: pl.LazyFrame, rates: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """INR invoiced by each supplier in the last 90 days, paid or not."""
    since = window.last_day - timedelta(days=_INVOICED_DAYS - 1)
    recent = dated.filter(pl.col("invoice_date") >= since)
    rated = with_inr_rate(recent, rates, currency="currency_code", on="invoice_date")
    return rated.group_by("supplier_id").agg(
        invoiced_90d_inr=total_inr(pl.col("total_amount"), inr(pl.col("total_amount")))
    )
