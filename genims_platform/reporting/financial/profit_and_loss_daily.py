"""profit_and_loss_daily: the daily flash result of each plant."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.budget import budgeted
from genims_platform.reporting.checks import Checks, Expectation, Expected, Identity, Reconciliation, all_of, sql
from genims_platform.reporting.cost_centres import cost_centres_with_factory
from genims_platform.reporting.exchange import inr, total_inr, with_inr_rate
from genims_platform.reporting.inr_check import in_inr
from genims_platform.reporting.ledger import postings
from genims_platform.reporting.maintenance_costs import MAINTENANCE_BY_SQL, ended_maintenance
from genims_platform.reporting.order_lines import EXACT
from genims_platform.reporting.periods import Window
from genims_platform.reporting.recognition import (
    UNDELIVERED,
    candidate_orders,
    candidate_proofs,
    candidate_shipments,
    linked_revenue_dates,
    of_candidate_orders,
    recognised_orders,
    recognised_sales,
    sold_by_sql,
)
from genims_platform.reporting.rolling import month_to_date
from genims_platform.reporting.table import reporting_table
from genims_platform.reporting.warehouses import plant_of_warehouse
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between, KeyIn

_MONTH_BEFORE = timedelta(days=30)
_KEY = ["day", "factory_id"]
_MONEY_TOLERANCE = 0.01 + 0.005 * 3  # each column of an identity is rounded by up to 0.005

_FACTORIES = sql(
    "master",
    """
    SELECT d::date AS day, factory_id
    FROM factories, generate_series(%(first_day)s::timestamp, %(last_day)s::timestamp, interval '1 day') d
    """,
)
_SALES = sold_by_sql(
    """
    SELECT day, factory_id, currency, sum(net_value) AS net_value, sum(standard_cost) AS standard_cost
    FROM sold GROUP BY 1, 2, 3
    """
)
_PAYROLL = sql(
    "hcm",
    """
    SELECT DISTINCT d::date AS day, primary_factory_id AS factory_id
    FROM generate_series(%(first_day)s::timestamp, %(last_day)s::timestamp, interval '1 day') d
    JOIN employees ON hire_date <= d AND (termination_date IS NULL OR termination_date > d)
    WHERE annual_salary IS NOT NULL
    """,
)
_NONCONFORMANCES = sql(
    "qms",
    """
    SELECT detected_date AS day, detection_location AS factory_id, sum(total_cost) AS quality_cost_inr
    FROM ncr_headers
    WHERE detected_date >= %(first_day)s AND detected_date <= %(last_day)s AND total_cost IS NOT NULL
    GROUP BY 1, 2
    """,
)
_POSTINGS = sql(
    "financial",
    """
    SELECT h.posting_date AS day, coalesce(
      nullif(btrim(l.factory_id), ''), nullif(btrim(c.factory_id), ''),
      'FAC-' || lpad(substring(c.cost_center_code from '^FAC([0-9]{2})-'), 6, '0')
    ) AS factory_id
    FROM journal_entry_headers h
    JOIN journal_entry_lines l USING (journal_entry_id)
    JOIN chart_of_accounts a USING (account_id)
    LEFT JOIN cost_centers c USING (cost_center_id)
    WHERE h.posted AND NOT h.reversed AND h.posting_date >= %(first_day)s AND h.posting_date <= %(last_day)s
      AND (a.account_code BETWEEN '5200' AND '5299'
        OR a.account_type = 'revenue' AND a.account_code NOT BETWEEN '4000' AND '4110'
        OR a.account_type = 'expense' AND a.account_name ILIKE '%%tax%%')
    GROUP BY 1, 2
    """,
)


def _freight(sources: Sources, window: Window) -> pl.DataFrame:
    shipped = sources.query(
        "tms",
        """
        SELECT ship_date AS day, warehouse_id, currency, sum(total_cost) AS total_cost
        FROM shipments
        WHERE ship_date >= %(first_day)s AND ship_date <= %(last_day)s AND total_cost IS NOT NULL
        GROUP BY 1, 2, 3
        """,
        {"first_day": window.first, "last_day": window.last_day},
    )
    if shipped.is_empty():
        return shipped
    warehouses = sources.query("wms", "SELECT DISTINCT warehouse_id, plant_id AS factory_id FROM warehouses", {})
    if warehouses.is_empty():
        return shipped.with_columns(factory_id=pl.lit(kpi.UNKNOWN))
    return shipped.join(warehouses, on="warehouse_id", how="left").with_columns(
        factory_id=kpi.key(pl.col("factory_id"))
    )


def _keys(found: Expected) -> Expected:
    def expected(sources: Sources, window: Window) -> pl.DataFrame:
        rows = found(sources, window)
        if rows.is_empty():
            return pl.DataFrame(schema={"pnl_date": pl.Date, "factory_id": pl.String})
        return rows.select(pnl_date=pl.col("day").cast(pl.Date), factory_id=kpi.key(pl.col("factory_id")))

    return expected


def _by_day(found: Expected, *, converted: Mapping[str, str] = MappingProxyType({}), **measures: str) -> Expected:
    """Totals a day of the columns that `measures` names, and of those in `converted` in INR at the rate of the day.

    A factory's amount that has no usable rate is in no total, as it is NULL in its row.
    """

    def expected(sources: Sources, window: Window) -> pl.DataFrame:
        rows = found(sources, window)
        if rows.is_empty():
            return pl.DataFrame()
        total = rows.group_by("day").agg(pl.col(column).sum().alias(name) for name, column in measures.items())
        for name, column in converted.items():
            native = rows.select(*_KEY, "currency", rate_day="day", amount=column)
            amounts = in_inr(sources, native, _KEY).group_by("day").agg(pl.col("amount").sum().alias(name))
            total = total.join(amounts, on="day", how="left")
        return total.rename({"day": "pnl_date"})

    return expected


_CHECKS = Checks(
    rows=all_of(
        *(
            _keys(found)
            for found in (_FACTORIES, _SALES, MAINTENANCE_BY_SQL, _freight, _PAYROLL, _NONCONFORMANCES, _POSTINGS)
        )
    ),
    reconcile=(
        Reconciliation(
            "revenue_vs_erp",
            _by_day(_SALES, converted={"revenue_inr": "net_value"}, cogs_std_inr="standard_cost"),
        ),
        Reconciliation("maintenance_vs_cmms", _by_day(MAINTENANCE_BY_SQL, maintenance_cost_inr="maintenance_cost")),
        Reconciliation("freight_vs_tms", _by_day(_freight, converted={"freight_cost_inr": "total_cost"})),
        Reconciliation("ncr_vs_qms", _by_day(_NONCONFORMANCES, quality_cost_inr="quality_cost_inr")),
    ),
    identities=(
        Identity(
            "gross margin = revenue - cost of sales",
            pl.col("gross_margin_inr") - (pl.col("revenue_inr") - pl.col("cogs_std_inr")),
            tolerance=_MONEY_TOLERANCE,
        ),
        Identity(
            "operating income = gross margin - operating expenses",
            pl.col("operating_income_inr") - (pl.col("gross_margin_inr") - pl.col("operating_expenses_inr")),
            tolerance=_MONEY_TOLERANCE,
        ),
    ),
    warnings=(
        Expectation(
            "fx_missing",
            pl.all_horizontal(pl.col("revenue_inr", "freight_cost_inr", "mtd_revenue_inr").is_not_null()),
        ),
    ),
    orphans={"factory_id": "factory_name"},
    left_out={"shipments on the way for a month": UNDELIVERED},
)


def _days_of_linked_orders(sources: Sources, window: Window) -> pl.DataFrame:
    """Revenue dates of orders that the window's events touch, and the later days of their months to date."""
    dates = linked_revenue_dates(sources, window)
    day = pl.col("day")
    return dates.select(pl.date_ranges(day, day.dt.month_end())).explode("day").unique().sort("day")


@reporting_table(
    group="financial", recompute=1, horizon=120, rolling_days=31, touched=_days_of_linked_orders, checks=_CHECKS
)
def profit_and_loss_daily(
    *,
    window: Window,
    orders: Annotated[pl.LazyFrame, Read("erp.sales_orders", candidate_orders(_MONTH_BEFORE))],
    lines: Annotated[pl.LazyFrame, Read("erp.sales_order_lines", of_candidate_orders(_MONTH_BEFORE))],
    production_orders: Annotated[pl.LazyFrame, Read("erp.production_orders", of_candidate_orders(_MONTH_BEFORE))],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
    order_shipments: Annotated[pl.LazyFrame, Read("tms.shipments", candidate_shipments(_MONTH_BEFORE))],
    proofs: Annotated[pl.LazyFrame, Read("tms.proof_of_delivery", candidate_proofs(_MONTH_BEFORE))],
    shipments: Annotated[pl.LazyFrame, Read("tms.shipments", Between("ship_date"))],
    maintenance_orders: Annotated[pl.LazyFrame, Read("cmms.work_orders", Between("actual_end_date"))],
    assets: Annotated[pl.LazyFrame, Read("cmms.maintenance_assets")],
    employees: Annotated[pl.LazyFrame, Read("hcm.employees")],
    nonconformances: Annotated[pl.LazyFrame, Read("qms.ncr_headers", Between("detected_date"))],
    journal_headers: Annotated[pl.LazyFrame, Read("financial.journal_entry_headers", Between("posting_date"))],
    journal_lines: Annotated[
        pl.LazyFrame,
        Read(
            "financial.journal_entry_lines",
            KeyIn("journal_entry_id", "journal_entry_headers", "journal_entry_id", Between("posting_date")),
        ),
    ],
    accounts: Annotated[pl.LazyFrame, Read("financial.chart_of_accounts")],
    cost_centres: Annotated[pl.LazyFrame, Read("financial.cost_centers")],
    budget_headers: Annotated[pl.LazyFrame, Read("financial.budget_headers")],
    budget_lines: Annotated[pl.LazyFrame, Read("financial.budget_lines")],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
    warehouses: Annotated[pl.LazyFrame, Read("wms.warehouses")],
    factories: Annotated[pl.LazyFrame, Read("master.factories")],
) -> pl.LazyFrame:
    """Revenue, cost of sales and operating income; one row a day and factory, also without any event.

    Accrual basis, INR. Revenue (IFRS 15, at a point in time) and cost of sales at standard count on the day the order
    is recognised, at the plant that makes the goods; maintenance on the day the order ended, freight on the ship date,
    payroll a day's share of annual salaries of those employed, quality cost (nonconformances) on the day of detection.
    Operating expenses are the ledger's where it holds any for the factory and day, else the sum of these four.
    Production variances are not part of the result. A day without sales or freight has 0 of it; NULL means that an
    amount is missing or cannot be converted. Values outside the master's factories have their own rows.
    """
    sales = with_inr_rate(
        recognised_sales(
            recognised_orders(orders, order_shipments, proofs, window),
            lines=lines,
            production_orders=production_orders,
            materials=materials,
        ),
        rates,
        currency="currency",
        on="day",
    )
    revenue = (
        sales.with_columns(net_value_inr=inr(pl.col("net_value")))
        .group_by(_KEY)
        .agg(
            recognised_orders=pl.col("sales_order_id").n_unique(),
            revenue_inr=total_inr(pl.col("net_value"), pl.col("net_value_inr")),
            unconverted=(pl.col("net_value").is_not_null() & pl.col("net_value_inr").is_null()).sum(),
            cogs_std_inr=pl.col("standard_cost").sum(),
            source_row_count=pl.len(),
        )
    )
    maintenance = (
        ended_maintenance(maintenance_orders, assets, window)
        .filter(pl.col("actual_cost").is_not_null())
        .group_by(_KEY)
        .agg(maintenance_cost_inr=pl.col("actual_cost").sum())
    )
    freight = _freight_costs(shipments, warehouses, rates, window)
    payroll = _payroll(employees, window)
    quality = (
        nonconformances.filter(pl.col("total_cost").is_not_null())
        .group_by(day="detected_date", factory_id=kpi.key(pl.col("detection_location")))
        .agg(quality_cost_inr=pl.col("total_cost").cast(EXACT).sum())
    )
    ledger = _ledger(postings(journal_headers, journal_lines, accounts, rates, window), cost_centres)
    days = pl.LazyFrame({"day": window.days}, schema={"day": pl.Date}).filter(pl.col("day") <= window.last_day)
    keys = pl.concat(
        [
            factories.join(days, how="cross").select("day", kpi.key(pl.col("factory_id"))),
            freight.filter(pl.col("freight_amounts") > 0).select(_KEY),
            *(facts.select(_KEY) for facts in (revenue, maintenance, payroll, quality, ledger)),
        ]
    ).unique()
    rows = keys
    for facts in (revenue, maintenance, freight, payroll, quality, ledger, _month_to_date(revenue)):
        rows = rows.join(facts, on=_KEY, how="left")
    return (
        rows.join(_names(factories), on="factory_id", how="left")
        .join(
            _revenue_budgets(budgeted(budget_headers, budget_lines, window.first), accounts, cost_centres),
            on="factory_id",
            how="left",
        )
        .with_columns(
            # Without a row there was no event: a true zero, unlike the NULL of an amount that cannot be converted.
            revenue_inr=pl.when(pl.col("source_row_count").is_null()).then(0).otherwise("revenue_inr"),
            freight_cost_inr=pl.when(pl.col("freight_amounts").is_null()).then(0).otherwise("freight_cost_inr"),
            mtd_revenue_inr=pl.when(pl.col("sales_days").is_null()).then(0).otherwise("mtd_revenue_inr"),
            budget_revenue_inr=pl.col("month_budget") / pl.col("day").dt.days_in_month(),
        )
        .with_columns(
            pl.col(
                "recognised_orders",
                "cogs_std_inr",
                "maintenance_cost_inr",
                "payroll_cost_inr",
                "quality_cost_inr",
                "source_row_count",
            ).fill_null(0)
        )
        .with_columns(
            gross_margin_inr=pl.col("revenue_inr") - pl.col("cogs_std_inr"),
            opex_basis=pl.when(pl.col("ledger_opex_inr").is_null())
            .then(pl.lit("operational"))
            .otherwise(pl.lit("ledger")),
            operating_expenses_inr=pl.coalesce(
                "ledger_opex_inr",
                pl.col("maintenance_cost_inr")
                + pl.col("freight_cost_inr")
                + pl.col("payroll_cost_inr")
                + pl.col("quality_cost_inr"),
            ),
            revenue_vs_budget_inr=pl.col("revenue_inr") - pl.col("budget_revenue_inr"),
        )
        .with_columns(operating_income_inr=pl.col("gross_margin_inr") - pl.col("operating_expenses_inr"))
        .with_columns(
            gross_margin_pct=kpi.percent(pl.col("gross_margin_inr"), pl.col("revenue_inr")),
            operating_margin_pct=kpi.percent(pl.col("operating_income_inr"), pl.col("revenue_inr")),
            net_income_inr=pl.col("operating_income_inr") + pl.col("other_income_inr").fill_null(0) - pl.col("tax_inr"),
        )
        .rename({"day": "pnl_date"})
        .drop("unconverted", "freight_amounts", "sales_days", "month_budget")
    )


def _names(factories: pl.LazyFrame) -> pl.LazyFrame:
    return factories.select("factory_id", "factory_name").unique("factory_id", keep="first", maintain_order=True)


def _month_to_date(revenue: pl.LazyFrame) -> pl.LazyFrame:
    """`mtd_revenue_inr`, NULL from the first day on whose revenue lacks a rate."""
    complete = pl.col("unconverted").sum() == 0
    return (
        month_to_date(revenue.select(*_KEY, "revenue_inr", "unconverted"))
        .group_by(_KEY)
        .agg(mtd_revenue_inr=pl.when(complete).then(kpi.total(pl.col("revenue_inr"))), sales_days=pl.len())
    )


def _freight_costs(
    shipments: pl.LazyFrame, warehouses: pl.LazyFrame, rates: pl.LazyFrame, window: Window
) -> pl.LazyFrame:
    amount = pl.col("total_cost").cast(EXACT)
    shipped = shipments.filter(pl.col("ship_date") <= window.last_day)
    return (
        with_inr_rate(shipped, rates, currency="currency", on="ship_date")
        .join(plant_of_warehouse(warehouses), on="warehouse_id", how="left")
        .group_by(day="ship_date", factory_id=kpi.key(pl.col("plant_id")))
        .agg(freight_cost_inr=total_inr(amount, inr(amount)), freight_amounts=amount.count())
    )


def _payroll(employees: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """A day's share of the annual salaries of the people employed on it."""
    day = pl.col("day")
    first = pl.max_horizontal("hire_date", pl.lit(window.first))
    last = pl.min_horizontal(pl.col("termination_date") - timedelta(days=1), pl.lit(window.last_day))
    days_of_year = pl.when(day.dt.is_leap_year()).then(366).otherwise(365).cast(EXACT)
    return (
        employees.filter(pl.col("annual_salary").is_not_null(), pl.col("hire_date").is_not_null(), first <= last)
        .select(
            factory_id=kpi.key(pl.col("primary_factory_id")),
            salary=pl.col("annual_salary").cast(EXACT),
            day=pl.date_ranges(first, last),
        )
        .explode("day")
        .group_by(_KEY)
        .agg(pl.col("salary").sum())
        .select(*_KEY, payroll_cost_inr=pl.col("salary") / days_of_year)
    )


def _ledger(entries: pl.LazyFrame, cost_centres: pl.LazyFrame) -> pl.LazyFrame:
    """Operating expenses, other income and tax as posted; NULL where one is not posted or lacks a rate."""
    account, kind = pl.col("account_code"), pl.col("account_type")
    opex = account.is_between(pl.lit("5200"), pl.lit("5299"))
    other_income = (kind == "revenue") & ~account.is_between(pl.lit("4000"), pl.lit("4110"))
    tax = (kind == "expense") & pl.col("account_name").str.to_lowercase().str.contains("tax", literal=True)
    centres = cost_centres_with_factory(cost_centres).select("cost_center_id", centre_factory_id="factory_id")

    def posted(condition: pl.Expr, amount: pl.Expr) -> pl.Expr:
        amounts = amount.filter(condition)
        return pl.when(amounts.null_count() == 0).then(kpi.total(amounts))

    return (
        entries.filter(opex | other_income | tax)
        .join(centres.unique("cost_center_id", keep="first"), on="cost_center_id", how="left")
        .group_by("day", factory_id=kpi.key(pl.coalesce(kpi.present(pl.col("factory_id")), "centre_factory_id")))
        .agg(
            ledger_opex_inr=posted(opex, pl.col("expense")),
            other_income_inr=posted(other_income, -pl.col("expense")),
            tax_inr=posted(tax, pl.col("expense")),
        )
    )


def _revenue_budgets(budget: pl.LazyFrame, accounts: pl.LazyFrame, cost_centres: pl.LazyFrame) -> pl.LazyFrame:
    """`month_budget` of revenue by factory; NULL where none was entered."""
    centres = cost_centres_with_factory(cost_centres).unique("cost_center_id", keep="first")
    revenue = accounts.filter(pl.col("account_type") == "revenue").select("account_id").unique()
    return (
        budget.join(revenue, on="account_id", how="inner")
        .join(centres, on="cost_center_id", how="left")
        .group_by(factory_id=kpi.key(pl.col("factory_id")))
        .agg(month_budget=kpi.total(pl.col("budget").cast(EXACT)))
    )
