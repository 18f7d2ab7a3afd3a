"""sales_pipeline_summary: is the pipeline big and fresh enough."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expectation, Reconciliation, sql
from genims_platform.reporting.document_dates import day_in_number
from genims_platform.reporting.exchange import inr, total_inr, with_inr_rate
from genims_platform.reporting.inr_check import in_inr
from genims_platform.reporting.periods import Window
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources

_CLOSED_STAGES = {"opportunity": ("closed_won", "closed_lost"), "lead": ("converted", "unqualified")}
_STAGE_WEIGHTS = {
    "prospecting": Decimal("0.10"),
    "qualification": Decimal("0.25"),
    "proposal": Decimal("0.50"),
    "negotiation": Decimal("0.75"),
    "closed_won": Decimal("1.00"),
    "closed_lost": Decimal("0.00"),
}
_HOT_LEAD_SCORE = 70
_MONTH = timedelta(days=30)
_EXACT = pl.Decimal(38, 10)

_RECORDS = sql(
    "crm",
    """
    SELECT %(last_day)s::date AS pipeline_date, record_type, coalesce(nullif(btrim(stage), ''), 'UNKNOWN') AS stage,
      currency, rate_day, count(*) AS records, sum(amount) AS amount
    FROM (
      SELECT 'opportunity' AS record_type, stage, amount, NULL AS currency, NULL::date AS rate_day FROM opportunities
      UNION ALL
      SELECT 'lead', lead_status, estimated_deal_value, NULL, NULL FROM leads
      UNION ALL
      SELECT 'quotation', quotation_status, total_amount, currency, quotation_date FROM quotations
    ) records
    GROUP BY 1, 2, 3, 4, 5
    """,
)
_UNDATED_LEADS = sql("crm", r"SELECT count(*) FROM leads WHERE lead_number !~ '^LEAD-\d{8}-'")
_RECORD_TYPES = ("opportunity", "lead", "quotation")


def _counts_and_amounts(sources: Sources, window: Window) -> pl.DataFrame:
    groups = _RECORDS(sources, window)
    amounts = in_inr(sources, groups, by=["pipeline_date", "record_type", "stage"])
    totals = [groups.filter(record_type=name)["records"].sum() for name in _RECORD_TYPES]
    totals += [amounts.filter(record_type=name)["amount"].sum() for name in _RECORD_TYPES]
    return pl.DataFrame([[window.last_day, *totals]], schema=["pipeline_date", *_TOTALS], orient="row")


_TOTALS = {
    f"{measure} of type {name}": pl.col(measure).filter(pl.col("record_type") == name).sum()
    for measure in ("record_count", "amount_inr")
    for name in _RECORD_TYPES
}
_CHECKS = Checks(
    rows=_RECORDS,
    reconcile=(Reconciliation("pipeline_vs_crm", _counts_and_amounts, _TOTALS),),
    left_out={"leads without a date in their number": _UNDATED_LEADS},
    warnings=(Expectation("fx_missing", pl.col("amount_inr").is_not_null() | (pl.col("record_type") == "lead")),),
)


@reporting_table(group="sales", period="snapshot", recompute=0, horizon=0, checks=_CHECKS)
def sales_pipeline_summary(
    *,
    window: Window,
    opportunities: Annotated[pl.LazyFrame, Read("crm.opportunities")],
    leads: Annotated[pl.LazyFrame, Read("crm.leads")],
    quotations: Annotated[pl.LazyFrame, Read("crm.quotations")],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """Present pipeline; one row a type of record (opportunity, lead, quotation) and stage that has a record.

    Stages are present state, so only today's rows are ever written and earlier days stay as they were. A record dates
    from its creation, a lead from the day in its number, a quotation from its own date; age in whole days up to today.
    Amounts in INR, quotations at the rate of their date. Weighted value is expected value: the amount at the
    probability that the seller reported, or at a fixed weight of its stage. The last and next 30 days include today.
    """
    today = window.last_day
    record_date, close_date, amount = pl.col("record_date"), pl.col("close_date"), pl.col("amount")
    open_deal = pl.col("close_date").is_not_null() & pl.col("is_open")
    records = pl.concat(
        [_opportunities(opportunities), _leads(leads), _quotations(quotations, window)], how="diagonal_relaxed"
    )
    return (
        with_inr_rate(records, rates, currency="currency", on="record_date")
        .with_columns(age=(pl.lit(today) - record_date).dt.total_days())
        .group_by("record_type", stage=kpi.key(pl.col("stage")))
        .agg(
            is_open=pl.col("is_open").any(),
            record_count=pl.len(),
            account_count=_distinct(kpi.present(pl.col("account_id"))),
            amount_inr=total_inr(amount, inr(amount)),
            reported_weighted_inr=kpi.total(amount.cast(_EXACT) * pl.col("probability_pct") / 100),
            avg_age_days=pl.col("age").mean(),
            oldest_age_days=pl.col("age").max(),
            new_30d_count=((record_date > today - _MONTH) & (record_date <= today)).sum(),
            overdue_close_count=(open_deal & (close_date < today)).sum(),
            closing_30d_amount_inr=amount.filter(
                open_deal & (close_date >= today) & (close_date < today + _MONTH)
            ).sum(),
            hot_lead_count=(pl.col("lead_score") >= _HOT_LEAD_SCORE).sum(),
            source_row_count=pl.len(),
        )
        .with_columns(
            pipeline_date=pl.lit(today),
            avg_amount_inr=kpi.ratio(pl.col("amount_inr"), pl.col("record_count")),
            stage_weighted_inr=pl.when(pl.col("record_type") == "opportunity").then(
                pl.col("amount_inr").cast(_EXACT)
                * pl.col("stage").replace_strict(_STAGE_WEIGHTS, default=None, return_dtype=_EXACT)
            ),
        )
    )


def _opportunities(opportunities: pl.LazyFrame) -> pl.LazyFrame:
    return opportunities.select(
        "stage",
        "account_id",
        "amount",
        "close_date",
        "probability_pct",
        record_type=pl.lit("opportunity"),
        is_open=_open_stage("opportunity", pl.col("stage")),
        record_date=kpi.day(pl.col("created_at")),
    )


def _leads(leads: pl.LazyFrame) -> pl.LazyFrame:
    return leads.select(
        "lead_score",
        record_type=pl.lit("lead"),
        stage="lead_status",
        amount="estimated_deal_value",
        is_open=_open_stage("lead", pl.col("lead_status")),
        record_date=day_in_number(pl.col("lead_number"), "LEAD"),
    )


def _quotations(quotations: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Quotations that wait for an answer are open while they are valid."""
    unconverted = ~pl.col("converted").fill_null(value=False)
    return quotations.select(
        "account_id",
        "currency",
        record_type=pl.lit("quotation"),
        stage="quotation_status",
        amount="total_amount",
        is_open=unconverted & (pl.col("valid_until_date") >= window.last_day).fill_null(value=False),
        record_date="quotation_date",
    )


def _open_stage(record_type: str, stage: pl.Expr) -> pl.Expr:
    return ~stage.is_in(_CLOSED_STAGES[record_type]).fill_null(value=False)


def _distinct(value: pl.Expr) -> pl.Expr:
    """Number of different values present; NULL if there is none."""
    return pl.when(value.count() > 0).then(value.drop_nulls().n_unique())
