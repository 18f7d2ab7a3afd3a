"""financial_ratios: profitability, liquidity and working capital of the group."""

from datetime import timedelta
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expectation, Identity, Reconciliation, sql
from genims_platform.reporting.exchange import inr, total_inr, with_inr_rate
from genims_platform.reporting.ledger import summed_postings, sums_of_accounts, total_posted
from genims_platform.reporting.order_lines import order_lines
from genims_platform.reporting.periods import Window
from genims_platform.reporting.recognition import (
    candidate_orders,
    candidate_proofs,
    candidate_shipments,
    linked_revenue_dates,
    of_candidate_orders,
    recognised_orders,
)
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between, LastSnapshot, Until

_TURNOVER_DAYS = 90
_BEFORE = timedelta(days=_TURNOVER_DAYS - 1)
_QUARTERS_A_YEAR = 4
_RECEIVABLES = "1210"
_EXACT = pl.Decimal(38, 10)
_FIGURES = {
    "profit_loss": ("revenue", "cost_of_goods_sold", "gross_profit", "operating_expenses", "net_income"),
    "balance_sheet": (
        "current_assets",
        "inventory",
        "total_assets",
        "current_liabilities",
        "total_liabilities",
        "equity",
    ),
    "cash_flow": ("ending_cash", "operating_cash_flow"),
}

_MONTH = sql("financial", "SELECT %(first_day)s AS ratio_month")
_STATEMENTS = sql(
    "financial",
    """
    WITH latest AS (
      SELECT DISTINCT ON (statement_type) statement_type AS kind, statement_data AS figures
      FROM financial_statements
      WHERE statement_type IN ('profit_loss', 'balance_sheet', 'cash_flow') AND end_date = (
        SELECT max(end_date) FROM financial_statements
        WHERE end_date <= %(last_day)s AND statement_type IN ('profit_loss', 'balance_sheet', 'cash_flow')
      )
      ORDER BY statement_type, generated_at DESC NULLS LAST, statement_id DESC
    ), used AS (
      SELECT (SELECT (figures ->> 'revenue')::numeric FROM latest WHERE kind = 'profit_loss') AS revenue,
        (SELECT (figures ->> 'total_assets')::numeric FROM latest WHERE kind = 'balance_sheet') AS total_assets
    )
    SELECT %(first_day)s AS ratio_month, 4 * revenue / NULLIF(total_assets, 0) AS asset_turnover FROM used
    """,
)
_SNAPSHOTS = sql(
    "reporting",
    """
    SELECT CAST(%(first_day)s AS DATE) AS ratio_month,
      (SELECT SUM(open_amount_inr) FROM accounts_payable_aging WHERE aging_date = (
        SELECT MAX(aging_date) FROM accounts_payable_aging WHERE aging_date BETWEEN %(first_day)s AND %(last_day)s
      )) AS accounts_payable_inr,
      (SELECT SUM(stock_value_inr) FROM inventory_value_summary WHERE inventory_date = (
        SELECT MAX(inventory_date) FROM inventory_value_summary
        WHERE inventory_date BETWEEN %(first_day)s AND %(last_day)s
      )) AS inventory_value_inr
    """,
)
_LINKED_STATEMENTS = sql(
    "financial",
    """
    SELECT generate_series(end_date, end_date + interval '3 months', interval '1 month')::date AS day
    FROM financial_statements WHERE generated_at >= %(start)s AND generated_at < %(end)s
    """,
)


def _linked_days(sources: Sources, window: Window) -> pl.DataFrame:
    """Days of the months that rest on statements made in the window, or on revenue that its events may have moved."""
    day, last = pl.col("day"), pl.col("day") + _BEFORE
    revenue = linked_revenue_dates(sources, window).select(
        day=pl.date_ranges(day, last, interval="1mo").list.concat(pl.concat_list(last))
    )
    statements = _LINKED_STATEMENTS(sources, window)
    days = [revenue.explode("day")]
    if statements.height:
        days.append(statements.select(pl.col("day").cast(pl.Date)))
    return pl.concat(days).drop_nulls().unique()


_CHECKS = Checks(
    rows=_MONTH,
    reconcile=(
        Reconciliation("statement_vs_financial", _STATEMENTS),
        Reconciliation("working_capital_vs_snapshots", _SNAPSHOTS),
    ),
    identities=(
        Identity(
            "cash conversion = DSO + DIO - DPO",
            pl.col("cash_conversion_days") - (pl.col("dso_days") + pl.col("dio_days") - pl.col("dpo_days")),
            tolerance=0.0003,
        ),
    ),
    warnings=(
        Expectation(
            "gross profit of the statement = revenue - cost of goods sold", pl.col("gross_profit_gap_inr") == 0
        ),
        Expectation("the balance sheet of the statement balances", pl.col("balance_gap_inr") == 0),
    ),
)


@reporting_table(
    group="financial",
    period="month",
    recompute=0,
    horizon=3,
    rolling_days=366,  # receivables rest on every posting before them
    touched=_linked_days,
    checks=_CHECKS,
)
def financial_ratios(
    *,
    window: Window,
    statements: Annotated[pl.LazyFrame, Read("financial.financial_statements", Until("end_date"))],
    payables: Annotated[
        pl.LazyFrame, Read("reporting.accounts_payable_aging", LastSnapshot("accounts_payable_aging", "aging_date"))
    ],
    stock: Annotated[
        pl.LazyFrame,
        Read("reporting.inventory_value_summary", LastSnapshot("inventory_value_summary", "inventory_date")),
    ],
    receivables: Annotated[
        pl.LazyFrame, sums_of_accounts("receivables_by_month", _RECEIVABLES, _RECEIVABLES, by="month")
    ],
    orders: Annotated[pl.LazyFrame, Read("erp.sales_orders", candidate_orders(_BEFORE))],
    shipments: Annotated[pl.LazyFrame, Read("tms.shipments", candidate_shipments(_BEFORE))],
    proofs: Annotated[pl.LazyFrame, Read("tms.proof_of_delivery", candidate_proofs(_BEFORE))],
    lines: Annotated[pl.LazyFrame, Read("erp.sales_order_lines", of_candidate_orders(_BEFORE))],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
    purchase_orders: Annotated[pl.LazyFrame, Read("erp.purchase_orders", Between("po_date", before=_BEFORE))],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """One row a month for the whole group.

    Margins, liquidity and leverage come from the latest quarter whose statements ended by the month's end (or today);
    returns and turnover are annualised (x 4). The gaps show where a statement contradicts itself. Payables and stock
    are those of the month's last snapshot, in INR. Days are those of working-capital management, over 90 days: DSO is
    the ledger's receivables / recognised revenue (IFRS 15), DPO payables / released purchase orders, DIO stock / cost
    of sales at standard; the cash conversion cycle is DSO + DIO - DPO.
    """
    recognised = recognised_orders(orders, shipments, proofs, window)
    row = pl.concat(
        [
            _statement_figures(statements, window),
            payables.select(accounts_payable_inr=kpi.total(pl.col("open_amount_inr"))),
            stock.select(inventory_value_inr=kpi.total(pl.col("stock_value_inr"))),
            # What customers owe by the ledger.
            summed_postings(receivables, rates).select(receivables=total_posted(pl.col("expense"))),
            _sales(recognised, lines, materials, rates, window),
            _purchases(purchase_orders, rates, window),
        ],
        how="horizontal",
    )
    figure = {name: pl.col(name) for names in _FIGURES.values() for name in names}
    revenue, income, assets = figure["revenue"], figure["net_income"], figure["total_assets"]
    gross = revenue - figure["cost_of_goods_sold"]
    return row.select(
        "statement_quarter",
        "accounts_payable_inr",
        "inventory_value_inr",
        "source_row_count",
        ratio_month=pl.lit(window.first),
        gross_margin_pct=kpi.percent(gross, revenue),
        operating_margin_pct=kpi.percent(gross - figure["operating_expenses"], revenue),
        net_margin_pct=kpi.percent(income, revenue),
        roa_pct=_QUARTERS_A_YEAR * kpi.percent(income, assets),
        roe_pct=_QUARTERS_A_YEAR * kpi.percent(income, figure["equity"]),
        current_ratio=kpi.ratio(figure["current_assets"], figure["current_liabilities"]),
        quick_ratio=kpi.ratio(figure["current_assets"] - figure["inventory"], figure["current_liabilities"]),
        cash_ratio=kpi.ratio(figure["ending_cash"], figure["current_liabilities"]),
        debt_to_equity=kpi.ratio(figure["total_liabilities"], figure["equity"]),
        equity_ratio_pct=kpi.percent(figure["equity"], assets),
        asset_turnover=_QUARTERS_A_YEAR * kpi.ratio(revenue, assets),
        operating_cash_ratio=kpi.ratio(figure["operating_cash_flow"], figure["current_liabilities"]),
        dso_days=_days(pl.col("receivables"), pl.col("sold")),
        dpo_days=_days(pl.col("accounts_payable_inr"), pl.col("purchased")),
        dio_days=_days(pl.col("inventory_value_inr"), pl.col("cost_of_sales")),
        gross_profit_gap_inr=figure["gross_profit"] - gross,
        balance_gap_inr=assets - figure["total_liabilities"] - figure["equity"],
    ).with_columns(cash_conversion_days=pl.col("dso_days") + pl.col("dio_days") - pl.col("dpo_days"))


def _days(balance: pl.Expr, flow: pl.Expr) -> pl.Expr:
    """For how many days the flow of the last 90 days would make up the balance."""
    return _TURNOVER_DAYS * kpi.ratio(balance, flow)


def _statement_figures(statements: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """One row: the figures of the latest quarter's statements, NULL where a statement or one of its keys is missing."""
    kind, data = pl.col("statement_type"), pl.col("statement_data")
    quarter = (
        statements.filter(kind.is_in(list(_FIGURES)), pl.col("end_date") <= window.last_day)
        .filter(pl.col("end_date") == pl.col("end_date").max())
        .sort("generated_at", "statement_id")
    )
    texts = quarter.select(
        statement_quarter=pl.format("{}-Q{}", "fiscal_year", "fiscal_period").last(),
        source_row_count=kind.n_unique(),
        **{name: data.filter(kind == name).last() for name in _FIGURES},
    )
    return texts.select(
        "statement_quarter",
        "source_row_count",
        **{
            figure: pl.col(name).str.json_path_match(f"$.{figure}").cast(_EXACT, strict=False)
            for name, figures in _FIGURES.items()
            for figure in figures
        },
    )


def _sales(
    recognised: pl.LazyFrame, lines: pl.LazyFrame, materials: pl.LazyFrame, rates: pl.LazyFrame, window: Window
) -> pl.LazyFrame:
    """One row: revenue and cost of sales at standard of the last 90 days, in INR."""
    recent = recognised.filter(pl.col("revenue_date") >= window.last_day - _BEFORE)
    rated = with_inr_rate(
        recent.select("sales_order_id", "currency", "revenue_date"), rates, currency="currency", on="revenue_date"
    )
    value = pl.col("line_value")
    return (
        order_lines(lines, materials)
        .join(rated, on="sales_order_id")
        .select(sold=total_inr(value, inr(value)), cost_of_sales=kpi.total(pl.col("standard_cost")))
    )


def _purchases(orders: pl.LazyFrame, rates: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """One row: what was ordered from suppliers in the last 90 days, in INR."""
    released = orders.filter(
        pl.col("po_status") == "released",
        pl.col("po_date").is_between(window.last_day - _BEFORE, window.last_day),
    )
    value = pl.col("total_value")
    return with_inr_rate(released, rates, currency="currency", on="po_date").select(
        purchased=total_inr(value, inr(value))
    )
