"""Ledger, budget, statements and fiscal calendar."""

import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

import numpy as np
import polars as pl

from genims_platform.local.generate import draw
from genims_platform.local.generate.columns import catalogued
from genims_platform.local.generate.ledger import cost_centres, postings
from genims_platform.local.generate.plan import Plan, identifiers
from genims_platform.local.generate.purchasing import purchasing
from genims_platform.local.generate.world import World

_DRAFT_SHARE = 0.004
_REVERSED_SHARE = 0.002
_STATEMENT_QUARTERS = 8
_CAPITAL_ACCOUNT = "1500"


def tables(world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the finance tables that reports and audit depend on."""
    lines = postings(world, plan, purchasing(world, plan)).join(
        world.chart_of_accounts.select("account_id", "account_code", "account_type"),
        on="account_code",
        how="left",
        maintain_order="left",
    )
    years = list(range(plan.start.year, plan.end.year + 1))
    yield "financial.chart_of_accounts", world.select("financial.chart_of_accounts")
    yield "financial.exchange_rates", world.select("financial.exchange_rates")
    yield "financial.cost_centers", catalogued("financial.cost_centers", _cost_centers(world))
    yield "financial.fiscal_years", _fiscal_years(years)
    yield "financial.fiscal_periods", _fiscal_periods(years)
    headers = _headers(lines, plan)
    yield "financial.journal_entry_headers", headers.drop("entry")
    yield "financial.journal_entry_lines", _lines(lines, headers, plan)
    yield "financial.account_balances", _account_balances(lines)
    budgets = _budget_headers(years)
    yield "financial.budget_headers", budgets
    yield "financial.budget_lines", _budget_lines(world, plan, lines, budgets)
    yield "financial.financial_statements", _statements(plan, lines)


def _cost_centers(world: World) -> pl.DataFrame:
    return cost_centres(world).drop("factory_id")


def _fiscal_years(years: list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "fiscal_year_id": identifiers("financial.fiscal_years", len(years)),
            "fiscal_year": years,
            "start_date": [date(year, 1, 1) for year in years],
            "end_date": [date(year, 12, 31) for year in years],
        }
    )


def _fiscal_periods(years: list[int]) -> pl.DataFrame:
    starts = [date(year, month, 1) for year in years for month in range(1, 13)]
    frame = pl.DataFrame({"start_date": starts}).with_columns(end_date=pl.col("start_date").dt.month_end())
    return frame.with_columns(
        identifiers("financial.fiscal_periods", len(starts)),
        fiscal_year=pl.col("start_date").dt.year(),
        period_number=pl.col("start_date").dt.month(),
        period_name=pl.col("start_date").dt.strftime("%B %Y"),
    )


def _headers(lines: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """One row an entry; column `entry` remains to number the lines by."""
    rng = plan.rng("financial.journal_entry_headers")
    entries = lines.group_by("entry", maintain_order=True).agg(
        pl.first("posting_date", "source_type", "source_document_id"),
        total_debit=pl.col("debit").sum().round(2),
        total_credit=pl.col("credit").sum().round(2),
    )
    count = len(entries)
    opening = pl.col("source_type") == "opening"
    posted = pl.lit(pl.Series(~draw.true_share(rng, _DRAFT_SHARE, count))) | opening
    moment = pl.col("posting_date").cast(pl.Datetime("us")) + pl.duration(hours=18)
    return entries.with_columns(
        identifiers("financial.journal_entry_headers", count),
        entry_type=pl.when(pl.col("source_type").is_in(["accrual", "settlement", "opening"]))
        .then(pl.lit("manual"))
        .otherwise(pl.lit("automatic")),
        fiscal_year=pl.col("posting_date").dt.year(),
        fiscal_period=pl.col("posting_date").dt.month(),
        currency_code=pl.lit("INR"),
        exchange_rate=1.0,
        functional_currency_code=pl.lit("INR"),
        posted=posted,
        entry_status=pl.when(posted).then(pl.lit("posted")).otherwise(pl.lit("draft")),
        posted_at=pl.when(posted).then(moment),
        reversed=pl.lit(pl.Series(draw.true_share(rng, _REVERSED_SHARE, count))) & ~opening,
        reversed_date=pl.lit(None, dtype=pl.Date),
        created_at=moment,
        updated_at=moment,
    )


def _lines(lines: pl.DataFrame, headers: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("financial.journal_entry_lines")
    numbered = lines.join(headers.select("entry", "journal_entry_id"), on="entry", how="left", maintain_order="left")
    # Some bookkeepers leave the plant to the cost centre.
    unsaid = pl.lit(pl.Series(draw.true_share(rng, 0.05, len(lines)))) & pl.col("cost_center_id").is_not_null()
    return numbered.select(
        identifiers("financial.journal_entry_lines", len(numbered)),
        "journal_entry_id",
        "account_id",
        "cost_center_id",
        line_number=pl.int_range(1, pl.len() + 1).over("journal_entry_id"),
        debit_amount="debit",
        credit_amount="credit",
        currency_code=pl.lit("INR"),
        exchange_rate=1.0,
        functional_debit="debit",
        functional_credit="credit",
        factory_id=pl.when(~unsaid).then("factory_id"),
        created_at=pl.col("posting_date").cast(pl.Datetime("us")),
    )


def _account_balances(lines: pl.DataFrame) -> pl.DataFrame:
    """Movement and running balance an account, cost centre and month."""
    keys = ["account_id", "cost_center_id"]
    months = (
        lines.group_by(*keys, month=pl.col("posting_date").dt.truncate("1mo"))
        .agg(period_debit=pl.col("debit").sum().round(2), period_credit=pl.col("credit").sum().round(2))
        .sort(*keys, "month")
    )
    ending = (pl.col("period_debit") - pl.col("period_credit")).cum_sum().over(keys).round(2)
    return months.select(
        identifiers("financial.account_balances", len(months)),
        *keys,
        "period_debit",
        "period_credit",
        fiscal_year=pl.col("month").dt.year(),
        fiscal_period=pl.col("month").dt.month(),
        ending_balance=ending,
        beginning_balance=(ending - pl.col("period_debit") + pl.col("period_credit")).round(2),
    )


def _budget_headers(years: list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "budget_id": identifiers("financial.budget_headers", len(years)),
            "budget_code": [f"BUDGET-{year}" for year in years],
            "budget_name": [f"Operating budget {year}" for year in years],
            "fiscal_year": years,
            "budget_type": ["operating"] * len(years),
            "budget_version": [1] * len(years),
            "budget_status": ["active"] * len(years),
            "is_approved": [True] * len(years),
        }
    )


def _budget_lines(world: World, plan: Plan, lines: pl.DataFrame, budgets: pl.DataFrame) -> pl.DataFrame:
    """Each cost centre's accounts, and its plant's capital spending, in twelve periods; a pair comes in two lines."""
    rng = plan.rng("financial.budget_lines")
    sign = pl.when(pl.col("account_type") == "revenue").then(-1).otherwise(1)
    usual = (
        lines.filter(pl.col("cost_center_id").is_not_null())
        .group_by("cost_center_id", "account_id")
        .agg(month=((pl.col("debit") - pl.col("credit")) * sign).sum() / len(plan.days) * 30.4)
    )
    capital = world.chart_of_accounts.filter(pl.col("account_code") == _CAPITAL_ACCOUNT)["account_id"][0]
    engineering = cost_centres(world).filter(pl.col("function") == "ENG")
    total = float(lines.filter(pl.col("account_code") == "4100")["credit"].sum()) / len(plan.days) * 30.4
    planned = engineering.select("cost_center_id", account_id=pl.lit(capital), month=pl.lit(total * 0.008))
    pairs = pl.concat([usual, planned]).sort("cost_center_id", "account_id")
    parts = pl.DataFrame({"part": [0.65, 0.35]})
    frame = budgets.select("budget_id").join(pairs, how="cross", maintain_order="left_right")
    frame = frame.with_columns(level=pl.lit(pl.Series(rng.normal(1.02, 0.06, len(frame)))))
    frame = frame.join(parts, how="cross", maintain_order="left_right")
    periods = {
        f"period_{month:02}": (
            pl.col("month") * pl.col("level") * pl.col("part") * (1 + 0.1 * np.sin(2 * np.pi * (month - 3) / 12))
        ).round(0)
        for month in range(1, 13)
    }
    return frame.select(
        identifiers("financial.budget_lines", len(frame)), "budget_id", "account_id", "cost_center_id", **periods
    ).with_columns(annual_total=pl.sum_horizontal(list(periods)))


def _statements(plan: Plan, lines: pl.DataFrame) -> pl.DataFrame:
    """Profit and loss, balance sheet and cash flow of the last eight closed quarters."""
    current = plan.end.year * 4 + (plan.end.month - 1) // 3
    starts = [date(n // 4, n % 4 * 3 + 1, 1) for n in range(current - _STATEMENT_QUARTERS, current)]
    rng = plan.rng("financial.financial_statements")
    rows: list[dict[str, object]] = []
    revenue = float(lines.filter(pl.col("account_code") == "4100")["credit"].sum()) / len(plan.days) * 91.3
    cost = float(lines.filter(pl.col("account_code") == "5110")["debit"].sum()) / len(plan.days) * 91.3
    expenses = float(lines.filter(pl.col("account_code").str.starts_with("52"))["debit"].sum()) / len(plan.days) * 91.3
    for index, start in enumerate(starts):
        factor = (0.9 + 0.1 * index / _STATEMENT_QUARTERS) * rng.normal(1, 0.02)
        content = _figures(revenue * factor, cost * factor * rng.normal(1, 0.01), expenses * factor, index)
        end = (start + timedelta(days=100)).replace(day=1) - timedelta(days=1)
        generated = datetime.combine(end, time(6)) + timedelta(days=9)
        for kind, figures in content.items():
            rows.append(
                {
                    "statement_type": kind,
                    "fiscal_year": start.year,
                    "fiscal_period": (start.month - 1) // 3 + 1,
                    "start_date": start,
                    "end_date": end,
                    "generated_at": generated,
                    "statement_status": "finalized",
                    "statement_data": json.dumps(figures),
                    "created_at": generated,
                }
            )
    frame = pl.DataFrame(rows)
    return frame.insert_column(0, identifiers("financial.financial_statements", len(frame)))


def _figures(revenue: float, cost: float, expenses: float, quarter: int) -> dict[str, dict[str, float]]:
    """Statement keys and values, rounded to rupees; totals follow from their parts."""
    revenue, cost, expenses = round(revenue), round(cost), round(expenses)
    income = revenue - cost - expenses
    interest_and_tax = round(income * 0.3)
    net = income - interest_and_tax
    cash, inventory, receivables = round(revenue * (0.42 + 0.02 * quarter)), round(cost * 0.45), round(revenue * 0.6)
    current_assets = cash + inventory + receivables
    fixed_assets = round(revenue * 2.3)
    current_liabilities = round(revenue * 0.62)
    liabilities = current_liabilities + round(revenue * 1.15)
    return {
        "profit_loss": {
            "revenue": revenue,
            "cost_of_goods_sold": cost,
            "gross_profit": revenue - cost,
            "operating_expenses": expenses,
            "operating_income": income,
            "net_income": net,
        },
        "balance_sheet": {
            "current_assets": current_assets,
            "inventory": inventory,
            "fixed_assets": fixed_assets,
            "total_assets": current_assets + fixed_assets,
            "current_liabilities": current_liabilities,
            "total_liabilities": liabilities,
            "equity": current_assets + fixed_assets - liabilities,
        },
        "cash_flow": {
            "operating_cash_flow": net + round(revenue * 0.03),
            "investing_cash_flow": -round(revenue * 0.03),
            "financing_cash_flow": -round(revenue * 0.01),
            "ending_cash": cash,
        },
    }
