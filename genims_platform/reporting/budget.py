"""The budget in force: which lines count in a year, and what they allow for a month."""

from datetime import date

import polars as pl

from genims_platform.reporting import kpi

PERIODS = tuple(f"period_{month:02}" for month in range(1, 13))
"""Columns of `financial.budget_lines`, January first: the fiscal year is the calendar year."""


def budgeted(headers: pl.LazyFrame, lines: pl.LazyFrame, month: date) -> pl.LazyFrame:
    """Budget in INR by `cost_center_id` and `account_id`: one row a line, and a pair may have several.

    Lines are those of the year's budgets in force, of each type the highest version that is active. `budget` is that of
    the month, `ytd_budget` that of January up to it, `annual_budget` that of the twelve periods. A line on which no
    amount differs from 0 was never entered: its budgets are NULL, not 0.

    Args:
        headers: `financial.budget_headers`
        lines: `financial.budget_lines`
        month: any day of the month
    """
    version = pl.col("budget_version")
    in_force = headers.filter(pl.col("fiscal_year") == month.year, pl.col("budget_status") == "active").filter(
        version.eq_missing(version.max().over("budget_type"))
    )
    entered = pl.any_horizontal(pl.col(*PERIODS, "annual_total").fill_null(0) != 0)

    def over(*periods: str) -> pl.Expr:
        amounts = [pl.col(period) for period in periods]
        given = pl.any_horizontal(*(amount.is_not_null() for amount in amounts))
        return pl.when(entered & given).then(pl.sum_horizontal(amounts))

    return lines.join(in_force.select("budget_id"), on="budget_id").select(
        cost_center_id=kpi.key(pl.col("cost_center_id")),
        account_id=kpi.key(pl.col("account_id")),
        budget=over(PERIODS[month.month - 1]),
        ytd_budget=over(*PERIODS[: month.month]),
        annual_budget=over(*PERIODS),
    )
