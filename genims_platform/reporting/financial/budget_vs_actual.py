"""budget_vs_actual: which cost centre and account leave the budget."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.budget import budgeted
from genims_platform.reporting.checks import Checks, Expectation, Expected, Identity, Reconciliation, sql
from genims_platform.reporting.cost_centres import cost_centres_with_factory
from genims_platform.reporting.inr_check import in_inr
from genims_platform.reporting.ledger import summed_postings, sums_of_year, total_posted
from genims_platform.reporting.periods import Window
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources

_CAUTION_PCT = 5
_RISK_PCT = 10
_PAIR = ("cost_center_id", "account_id")

_IN_FORCE = """
    WITH in_force AS (
      SELECT budget_id
      FROM (
        SELECT budget_id, rank() OVER (PARTITION BY budget_type ORDER BY budget_version DESC NULLS LAST) AS place
        FROM budget_headers
        WHERE fiscal_year = extract(year FROM %(first_day)s) AND budget_status = 'active'
      ) ranked
      WHERE place = 1
    )
"""
_PAIRS = sql(
    "financial",
    f"""
    {_IN_FORCE}
    SELECT %(first_day)s AS budget_month, cost_center_id, account_id
    FROM budget_lines WHERE budget_id IN (SELECT budget_id FROM in_force)
    UNION
    SELECT %(first_day)s, l.cost_center_id, l.account_id
    FROM journal_entry_headers h JOIN journal_entry_lines l ON l.journal_entry_id = h.journal_entry_id
    WHERE h.posted AND NOT h.reversed AND h.posting_date BETWEEN %(first_day)s AND %(last_day)s
    """,  # noqa: S608
)
_ENTERED = """
    FROM budget_lines b
    CROSS JOIN LATERAL (
      SELECT SUM(period) AS amount, bool_or(period <> 0) AS any_period
      FROM (VALUES (b.period_01), (b.period_02), (b.period_03), (b.period_04), (b.period_05), (b.period_06),
        (b.period_07), (b.period_08), (b.period_09), (b.period_10), (b.period_11), (b.period_12)) p (period)
    ) entered
    WHERE b.budget_id IN (SELECT budget_id FROM in_force) AND (entered.any_period OR b.annual_total <> 0)
"""


def _annual_budget(amount: str) -> Expected:
    total = f"SELECT %(first_day)s AS budget_month, SUM({amount}) AS annual_budget_inr"
    return sql("financial", _IN_FORCE + total + _ENTERED)


_POSTED = sql(
    "financial",
    """
    SELECT COALESCE(NULLIF(BTRIM(l.cost_center_id), ''), 'UNKNOWN') AS centre,
      COALESCE(NULLIF(BTRIM(l.account_id), ''), 'UNKNOWN') AS account,
      side.sign, side.currency, CASE WHEN side.currency <> 'INR' THEN h.posting_date END AS rate_day,
      SUM(side.amount * side.sign * CASE WHEN a.account_type = 'revenue' THEN -1 ELSE 1 END) AS amount
    FROM (SELECT journal_entry_id, posting_date, posted, reversed FROM journal_entry_headers) h
    JOIN journal_entry_lines l USING (journal_entry_id)
    LEFT JOIN (SELECT account_id, account_type FROM chart_of_accounts) a ON a.account_id = l.account_id
    CROSS JOIN LATERAL (
      VALUES
        (1, COALESCE(functional_debit, debit_amount, 0), CASE WHEN functional_debit IS NULL THEN currency_code END),
        (-1, COALESCE(functional_credit, credit_amount, 0), CASE WHEN functional_credit IS NULL THEN currency_code END)
    ) side (sign, amount, currency)
    WHERE h.posted AND NOT h.reversed AND h.posting_date BETWEEN %(first_day)s AND %(last_day)s
    GROUP BY 1, 2, 3, 4, 5
    """,
)


def _actual(sources: Sources, window: Window) -> pl.DataFrame:
    posted = _POSTED(sources, window)
    if posted.is_empty():
        return pl.DataFrame(schema={"budget_month": pl.Date})
    total = in_inr(sources, posted, ["centre", "account"])["amount"].sum()
    return pl.DataFrame({"budget_month": [window.first], "actual_inr": [total]})


_CHECKS = Checks(
    rows=_PAIRS,
    reconcile=(
        Reconciliation("budget_vs_lines", _annual_budget("entered.amount")),
        Reconciliation(
            "periods_vs_annual_total", _annual_budget("COALESCE(b.annual_total, entered.amount)"), blocks=False
        ),
        Reconciliation("actual_vs_ledger", _actual),
    ),
    identities=(
        Identity(
            "variance = actual - budget",
            pl.col("variance_inr") - (pl.col("actual_inr") - pl.col("budget_inr")),
            tolerance=0.01,
        ),
        Identity(
            "ytd variance = ytd actual - ytd budget",
            pl.col("ytd_variance_inr") - (pl.col("ytd_actual_inr") - pl.col("ytd_budget_inr")),
            tolerance=0.01,
        ),
    ),
    warnings=(Expectation("fx_missing", pl.col("actual_inr").is_null() | pl.col("ytd_actual_inr").is_not_null()),),
    orphans={"cost_center_id": "cost_center_name", "account_id": "account_name"},
)


@reporting_table(group="financial", period="month", recompute=0, horizon=2, rolling_days=366, checks=_CHECKS)
def budget_vs_actual(
    *,
    window: Window,
    budget_headers: Annotated[pl.LazyFrame, Read("financial.budget_headers")],
    budget_lines: Annotated[pl.LazyFrame, Read("financial.budget_lines")],
    sums: Annotated[pl.LazyFrame, sums_of_year("sums_of_year", *_PAIR)],
    accounts: Annotated[pl.LazyFrame, Read("financial.chart_of_accounts")],
    cost_centres: Annotated[pl.LazyFrame, Read("financial.cost_centers")],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """Actual against budget in INR; one row a month, cost centre and account budgeted for the year or posted to.

    Budget is the year's in force; a line without any amount was not entered and leaves its budget NULL. Actual is what
    was posted and not reversed: credit - debit for revenue, debit - credit for any other account, NULL without a
    posting. Variance is actual - budget, favourable if expense stays within or revenue reaches it. The forecast runs
    the year to date on: ytd actual / months begun x 12. Status rests on the unfavourable share of the budget to date.
    """
    amount = pl.when(pl.col("account_type") == "revenue").then(-pl.col("expense")).otherwise(pl.col("expense"))
    known = accounts.select("account_id", "account_type").unique("account_id", keep="first", maintain_order=True)
    posted = (
        summed_postings(sums, rates, *_PAIR, "lines")
        .join(known, on="account_id", how="left")
        .select("day", "lines", *(kpi.key(pl.col(name)).alias(name) for name in _PAIR), amount=amount)
    )
    in_month = pl.col("day") >= window.first
    actual = posted.group_by(_PAIR).agg(
        actual_inr=total_posted(pl.col("amount"), in_month),
        ytd_actual_inr=total_posted(pl.col("amount")),
        posting_count=pl.col("lines").filter(in_month).sum(),
    )
    budget = (
        budgeted(budget_headers, budget_lines, window.first)
        .group_by(_PAIR)
        .agg(
            budget_inr=kpi.total(pl.col("budget")),
            ytd_budget_inr=kpi.total(pl.col("ytd_budget")),
            annual_budget_inr=kpi.total(pl.col("annual_budget")),
            line_count=pl.len(),
        )
    )
    return (
        budget.join(actual, on=_PAIR, how="full", coalesce=True)
        .filter((pl.col("line_count") > 0) | (pl.col("posting_count") > 0))
        .join(cost_centres_with_factory(cost_centres), on="cost_center_id", how="left")
        .join(
            accounts.select("account_id", "account_code", "account_name", "account_type"), on="account_id", how="left"
        )
        .with_columns(
            variance_inr=pl.col("actual_inr") - pl.col("budget_inr"),
            ytd_variance_inr=pl.col("ytd_actual_inr") - pl.col("ytd_budget_inr"),
        )
        .with_columns(
            variance_pct=kpi.percent(pl.col("variance_inr"), pl.col("budget_inr")),
            ytd_variance_pct=kpi.percent(pl.col("ytd_variance_inr"), pl.col("ytd_budget_inr")),
        )
        .select(
            *_PAIR,
            "cost_center_name",
            "cost_center_type",
            "factory_id",
            "account_code",
            "account_name",
            "account_type",
            "budget_inr",
            "actual_inr",
            "variance_inr",
            "variance_pct",
            "ytd_budget_inr",
            "ytd_actual_inr",
            "ytd_variance_inr",
            "ytd_variance_pct",
            "annual_budget_inr",
            budget_month=pl.lit(window.first),
            is_favourable=_unfavourable(pl.col("variance_inr")) <= 0,
            full_year_forecast_inr=pl.col("ytd_actual_inr") * 12 / window.first.month,
            status=_status(_unfavourable(pl.col("ytd_variance_pct"))),
            source_row_count=pl.sum_horizontal("line_count", "posting_count"),
        )
    )


def _unfavourable(variance: pl.Expr) -> pl.Expr:
    """A variance with the sign that makes it bad news if positive; only expense and revenue have one."""
    kind = pl.col("account_type")
    return pl.when(kind == "expense").then(variance).when(kind == "revenue").then(-variance)


def _status(overrun_pct: pl.Expr) -> pl.Expr:
    return (
        pl.when(overrun_pct < _CAUTION_PCT)
        .then(pl.lit("on_track"))
        .when(overrun_pct < _RISK_PCT)
        .then(pl.lit("caution"))
        .when(overrun_pct >= _RISK_PCT)
        .then(pl.lit("risk"))
    )
