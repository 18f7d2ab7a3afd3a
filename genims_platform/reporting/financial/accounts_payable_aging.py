"""accounts_payable_aging: whom to pay next, and how much is overdue to each supplier."""

from datetime import timedelta
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expectation, Identity, Reconciliation, sql
from genims_platform.reporting.exchange import inr, total_inr, with_inr_rate
from genims_platform.reporting.inr_check import in_inr
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


def _payables(sources: Sources, window: Window) -> pl.DataFrame:
    """What is open to suppliers all of whose open invoices can be converted, and how many invoices are open to any."""
    found = _OPEN(sources, window)
    if found.is_empty():
        return pl.DataFrame(schema={"aging_date": pl.Date})
    amounts = in_inr(sources, found.with_columns(rate_day=pl.lit(window.last_day)), ["supplier"])
    return found.select(
        aging_date=pl.lit(window.last_day),
        open_amount_inr=pl.lit(amounts["amount"].sum()),
        open_invoice_count=pl.col("invoices").sum(),
        status_conflict_count=pl.col("conflicts").sum(),
    ).head(1)


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
