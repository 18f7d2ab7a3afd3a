"""capex_tracking: what the machines are still worth, and which capital requests are on their way."""

from datetime import date
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.budget import budgeted
from genims_platform.reporting.checks import Checks, Expectation, Identity, Reconciliation, all_of, sql
from genims_platform.reporting.cost_centres import cost_centres_with_factory
from genims_platform.reporting.exchange import inr, with_inr_rate
from genims_platform.reporting.periods import DAY, Window
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Alike, KeyFrom

_DAYS_A_YEAR = 365.25
_CAPITAL_ACCOUNTS = (pl.lit("1500"), pl.lit("1519"))
_EXACT = pl.Decimal(38, 10)
_CAPITAL = Alike("requisition_type", "capital")

_MACHINES = sql(
    "master",
    """
    SELECT %(first_day)s AS capex_month, 'machine' AS capex_object_type, machine_id AS capex_object_id
    FROM machines WHERE installation_date <= %(last_day)s
    """,
)
_REQUISITIONS = sql(
    "supplier",
    """
    SELECT %(first_day)s AS capex_month, 'requisition' AS capex_object_type, requisition_id AS capex_object_id
    FROM purchase_requisitions
    WHERE requisition_type = 'capital' AND requisition_date <= %(last_day)s
      AND (requisition_status IS DISTINCT FROM 'rejected' OR requisition_date >= %(first_day)s)
    """,
)
_ASSET_VALUE = sql(
    "master",
    """
    SELECT %(first_day)s AS capex_month, SUM(asset_value_usd) AS acquisition_value_usd
    FROM machines WHERE installation_date <= %(last_day)s
    """,
)
_REQUESTED = sql(
    "supplier",
    """
    SELECT %(first_day)s AS capex_month, SUM(estimated_total) AS requested_inr
    FROM purchase_requisitions
    WHERE requisition_type = 'capital' AND requisition_date <= %(last_day)s
      AND (requisition_status IS DISTINCT FROM 'rejected' OR requisition_date >= %(first_day)s)
    """,
)
_NOT_INSTALLED = sql("master", "SELECT COUNT(*) FROM machines WHERE installation_date IS NULL")
_NOT_DATED = sql(
    "supplier",
    "SELECT COUNT(*) FROM purchase_requisitions WHERE requisition_type = 'capital' AND requisition_date IS NULL",
)

_CHECKS = Checks(
    rows=all_of(_MACHINES, _REQUISITIONS),
    reconcile=(
        Reconciliation("asset_value_vs_master", _ASSET_VALUE),
        Reconciliation("capex_requests_vs_supplier", _REQUESTED),
    ),
    identities=(
        Identity(
            "net book value = acquisition value - accumulated depreciation",
            pl.col("net_book_value_usd") - (pl.col("acquisition_value_usd") - pl.col("accumulated_depreciation_usd")),
            tolerance=0.01,
        ),
    ),
    warnings=(
        Expectation("fx_missing", pl.col("net_book_value_usd").is_null() | pl.col("net_book_value_inr").is_not_null()),
        Expectation("factory of the machine or requester unknown", pl.col("factory_id").is_not_null()),
    ),
    left_out={"machines without an installation date": _NOT_INSTALLED, "capital requests without a date": _NOT_DATED},
)


@reporting_table(group="financial", period="month", recompute=0, horizon=1, rolling_days=366, checks=_CHECKS)
def capex_tracking(
    *,
    window: Window,
    machines: Annotated[pl.LazyFrame, Read("master.machines")],
    assets: Annotated[pl.LazyFrame, Read("cmms.maintenance_assets")],
    requisitions: Annotated[pl.LazyFrame, Read("supplier.purchase_requisitions", _CAPITAL)],
    employees: Annotated[
        pl.LazyFrame,
        Read("master.employees", KeyFrom("employee_id", "supplier.purchase_requisitions", "requested_by", _CAPITAL)),
    ],
    budget_headers: Annotated[pl.LazyFrame, Read("financial.budget_headers")],
    budget_lines: Annotated[pl.LazyFrame, Read("financial.budget_lines")],
    accounts: Annotated[pl.LazyFrame, Read("financial.chart_of_accounts")],
    cost_centres: Annotated[pl.LazyFrame, Read("financial.cost_centers")],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """One row a month and machine installed by its end (or today), and a month and capital request made by then.

    Machines depreciate straight-line to no residual value (IAS 16), by the days since installation / (365.25 x life).
    A month's depreciation runs from the close of the month before, so months add up to what is accumulated. Values
    are USD as bought; the INR book value is at the closing rate. Requests are INR and show their present status; a
    rejected one appears in the month of its request only. Their budget is the factory's for capital accounts in that
    month, the same on each of its requests.
    """
    capital = accounts.filter(pl.col("account_code").is_between(*_CAPITAL_ACCOUNTS)).select("account_id")
    budgets = (
        budgeted(budget_headers, budget_lines, window.first)
        .join(capital, on="account_id", how="semi")
        .join(cost_centres_with_factory(cost_centres), on="cost_center_id")
        .group_by("factory_id")
        .agg(budget_inr=kpi.total(pl.col("budget")))
    )
    rows = [_machines(machines, assets, rates, window), _requisitions(requisitions, employees, budgets, window)]
    return pl.concat(rows, how="diagonal_relaxed").with_columns(capex_month=pl.lit(window.first))


def _machines(machines: pl.LazyFrame, assets: pl.LazyFrame, rates: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    value, share = pl.col("acquisition_value_usd"), pl.col("share")
    months_end = window.last_day
    known = assets.sort("asset_id").unique("machine_id", keep="first", maintain_order=True)
    valued = (
        machines.filter(pl.col("installation_date") <= months_end)
        .join(
            known.select(
                "machine_id", "asset_id", purchase_cost_inr="purchase_cost", replacement_cost_inr="replacement_cost"
            ),
            on="machine_id",
            how="left",
        )
        .select(
            "factory_id",
            "line_id",
            "purchase_cost_inr",
            "replacement_cost_inr",
            capex_object_type=pl.lit("machine"),
            capex_object_id="machine_id",
            object_name="machine_name",
            acquisition_date="installation_date",
            acquisition_value_usd="asset_value_usd",
            useful_life_years="expected_life_years",
            source_row_count=1 + pl.col("asset_id").is_not_null(),
            currency=pl.lit("USD"),
            closing=pl.lit(months_end),
            share=_share(months_end),
            share_before=_share(window.first - DAY),
        )
        .with_columns(
            remaining_life_years=(pl.col("useful_life_years") - _age(months_end)).clip(lower_bound=0),
            depreciation_month_usd=value.cast(pl.Float64) * (share - pl.col("share_before")),
            accumulated_depreciation_usd=(value.cast(pl.Float64) * share).cast(_EXACT),
            addition_usd=pl.when(pl.col("acquisition_date") >= window.first).then(value).otherwise(0),
        )
        .with_columns(net_book_value_usd=value - pl.col("accumulated_depreciation_usd"))
    )
    return (
        with_inr_rate(valued, rates, currency="currency", on="closing")
        .with_columns(net_book_value_inr=inr(pl.col("net_book_value_usd")))
        .select(pl.exclude("currency", "closing", "effective_date", "inr_rate", "share", "share_before"))
    )


def _age(day: date, installed: str = "acquisition_date") -> pl.Expr:
    """Years from installation to the close of a day; negative before it."""
    return (pl.lit(day) - pl.col(installed)).dt.total_days() / _DAYS_A_YEAR


def _share(day: date) -> pl.Expr:
    """The share of a machine's value that is depreciated at the close of a day; NULL without a useful life."""
    life = pl.col("expected_life_years")
    return kpi.ratio(_age(day, "installation_date"), life).clip(0, 1)


def _requisitions(
    requisitions: pl.LazyFrame, employees: pl.LazyFrame, budgets: pl.LazyFrame, window: Window
) -> pl.LazyFrame:
    requested = pl.col("requisition_date")
    standing = pl.col("requisition_status").ne_missing("rejected") | (requested >= window.first)
    return (
        requisitions.filter(pl.col("requisition_type") == "capital", requested <= window.last_day, standing)
        .join(employees.select("employee_id", "factory_id"), left_on="requested_by", right_on="employee_id", how="left")
        .join(budgets, on="factory_id", how="left")
        .select(
            "factory_id",
            "requisition_status",
            "budget_inr",
            capex_object_type=pl.lit("requisition"),
            capex_object_id="requisition_id",
            object_name="requisition_number",
            acquisition_date=requested,
            requested_inr="estimated_total",
            source_row_count=pl.lit(1),
        )
    )
