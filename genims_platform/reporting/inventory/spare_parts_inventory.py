"""spare_parts_inventory: which spare parts endanger availability, which are dead stock."""

from datetime import timedelta
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Reconciliation, all_of, sql
from genims_platform.reporting.periods import Window
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Alike, Between, Latest, Until

_MONTH, _QUARTER = timedelta(days=30), timedelta(days=90)
_BEFORE_TODAY = timedelta(days=89)
_VITAL = ("critical", "high")
_EXACT = pl.Decimal(38, 10)
_ISSUED = Alike("transaction_type", "issued")
_KEY = ("part_register", "part_id")

_MRO_PARTS = sql(
    "cmms",
    """
    SELECT %(last_day)s::date AS stock_date, 'mro' AS part_register, mro_part_id AS part_id FROM mro_parts
    UNION
    SELECT %(last_day)s::date, 'mro', mro_part_id FROM mro_parts_transactions
    WHERE transaction_type = 'issued' AND transaction_date >= %(last_day)s::date - 89 AND transaction_date < %(end)s
    """,
)
_SERVICE_PARTS = sql(
    "service",
    """
    SELECT %(last_day)s::date AS stock_date, 'service' AS part_register, service_part_id AS part_id FROM service_parts
    UNION
    SELECT %(last_day)s::date, 'service', service_part_id FROM service_parts_usage
    WHERE usage_date BETWEEN %(last_day)s::date - 89 AND %(last_day)s
    """,
)
_MRO_VALUE = sql(
    "cmms", "SELECT %(last_day)s::date AS stock_date, sum(current_stock * standard_cost) AS mro_value FROM mro_parts"
)
_MRO_ISSUES = sql(
    "cmms",
    """
    SELECT %(last_day)s::date AS stock_date, sum(total_cost) AS mro_issues
    FROM mro_parts_transactions
    WHERE transaction_type = 'issued' AND transaction_date >= %(last_day)s::date - 89 AND transaction_date < %(end)s
    """,
)
_MRO = pl.col("part_register") == "mro"
_CHECKS = Checks(
    rows=all_of(_MRO_PARTS, _SERVICE_PARTS),
    reconcile=(
        Reconciliation(
            "mro_value_vs_cmms",
            _MRO_VALUE,
            {"mro_value": pl.col("stock_value_inr").filter(_MRO, pl.col("is_orphan") == 0).sum()},
        ),
        Reconciliation(
            "mro_issues_vs_cmms", _MRO_ISSUES, {"mro_issues": pl.col("issued_90d_value_inr").filter(_MRO).sum()}
        ),
    ),
    orphans={"part_id": "part_number"},
)


@reporting_table(group="inventory", period="snapshot", recompute=0, horizon=0, checks=_CHECKS)
def spare_parts_inventory(
    *,
    window: Window,
    mro_parts: Annotated[pl.LazyFrame, Read("cmms.mro_parts")],
    mro_issues: Annotated[
        pl.LazyFrame,
        Read("cmms.mro_parts_transactions", Between("transaction_date", before=_BEFORE_TODAY) & _ISSUED),
    ],
    last_mro_issues: Annotated[
        pl.LazyFrame,
        Read(
            "cmms.mro_parts_transactions",
            Latest("mro_parts_transactions", "transaction_date", "mro_part_id", Until("transaction_date") & _ISSUED),
        ),
    ],
    service_parts: Annotated[pl.LazyFrame, Read("service.service_parts")],
    service_usage: Annotated[
        pl.LazyFrame, Read("service.service_parts_usage", Between("usage_date", before=_BEFORE_TODAY))
    ],
    last_service_usage: Annotated[
        pl.LazyFrame,
        Read(
            "service.service_parts_usage",
            Latest("service_parts_usage", "usage_date", "service_part_id", Until("usage_date")),
        ),
    ],
) -> pl.LazyFrame:
    """Stock, usage and risk of spare parts; one row a part of the two registers (mro, service), or used in 90 days.

    Stock is present state, so only today's rows are ever written and earlier days stay as they were. The last 30 and 90
    days include today; days of cover are stock over the mean daily usage of 90 days. Risk after the reorder point
    method: high if a critical or highly critical part is at its reorder point, or the cover is shorter than the lead
    time; watch if another part is at its reorder point. Values in INR at standard cost, usage as booked. A part id that
    no register knows has usage only, at the mean cost of its issues.
    """
    parts = pl.concat([_mro_parts(mro_parts), _service_parts(service_parts)], how="diagonal_relaxed")
    recent = pl.concat([_mro_usage(mro_issues, window), _service_usage(service_usage, window)])
    ever = pl.concat([_mro_usage(last_mro_issues, window), _service_usage(last_service_usage, window)])
    today, day, quantity = window.last_day, pl.col("day"), pl.col("quantity")
    usage = (
        recent.filter(day > today - _QUARTER)
        .group_by(_KEY)
        .agg(
            issued_30d_qty=quantity.filter(day > today - _MONTH).sum(),
            issued_90d_qty=quantity.sum(),
            issued_90d_value_inr=pl.col("value").sum(),
            mean_cost=pl.col("unit_cost").cast(pl.Float64).mean(),
            usage_rows=pl.len(),
        )
    )
    stock, cover = pl.col("on_hand_qty"), pl.col("days_of_cover")
    reached = (stock <= pl.col("reorder_point")).fill_null(value=False)
    endangered = reached & pl.col("criticality").is_in(_VITAL).fill_null(value=False) | (
        cover < pl.col("lead_time_days")
    ).fill_null(value=False)
    counts = ("issued_30d_qty", "issued_90d_qty", "issued_90d_value_inr", "usage_rows")
    return (
        parts.join(usage, on=_KEY, how="full", coalesce=True)
        .join(ever.group_by(_KEY).agg(last_issue_date=day.max()), on=_KEY, how="left")
        .with_columns(
            pl.col(counts).fill_null(0),
            stock_date=pl.lit(today),
            is_orphan=pl.col("registered").is_null(),
            unit_cost_inr=pl.when(pl.col("registered"))
            .then(pl.col("standard_cost").cast(_EXACT))
            .otherwise(pl.col("mean_cost").cast(_EXACT)),
        )
        .with_columns(
            stock_value_inr=stock.cast(_EXACT) * pl.col("standard_cost"),
            stock_status=pl.when(stock <= 0)
            .then(pl.lit("out"))
            .when(stock < pl.col("min_stock"))
            .then(pl.lit("below_min"))
            .when(reached)
            .then(pl.lit("below_reorder"))
            .when(stock.is_not_null())
            .then(pl.lit("ok")),
            days_of_cover=kpi.ratio(stock, pl.col("issued_90d_qty").cast(pl.Float64) / _QUARTER.days),
            source_row_count=pl.col("usage_rows") + (~pl.col("is_orphan")).cast(pl.Int64),
        )
        .with_columns(
            stockout_risk=pl.when(stock.is_null())
            .then(None)
            .when(endangered)
            .then(pl.lit("high"))
            .when(reached)
            .then(pl.lit("watch"))
            .otherwise(pl.lit("none"))
        )
        .drop("registered", "standard_cost", "mean_cost", "usage_rows")
    )


def _mro_parts(parts: pl.LazyFrame) -> pl.LazyFrame:
    return parts.select(
        "part_number",
        "part_name",
        "part_category",
        "criticality",
        "warehouse_id",
        "reorder_point",
        "standard_cost",
        "lead_time_days",
        part_register=pl.lit("mro"),
        part_id=kpi.key(pl.col("mro_part_id")),
        on_hand_qty="current_stock",
        min_stock="min_stock_level",
        reorder_qty="reorder_quantity",
        registered=pl.lit(value=True),
    )


def _service_parts(parts: pl.LazyFrame) -> pl.LazyFrame:
    return parts.select(
        "part_number",
        "part_name",
        "part_category",
        "reorder_point",
        "standard_cost",
        part_register=pl.lit("service"),
        part_id=kpi.key(pl.col("service_part_id")),
        on_hand_qty="current_stock",
        min_stock="min_stock_level",
        registered=pl.lit(value=True),
    )


def _mro_usage(transactions: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    at = pl.col("transaction_date")
    return transactions.filter(pl.col("transaction_type") == "issued", at < window.span.end).select(
        part_register=pl.lit("mro"),
        part_id=kpi.key(pl.col("mro_part_id")),
        day=kpi.day(at),
        quantity="quantity",
        unit_cost="unit_cost",
        value=pl.col("total_cost").cast(_EXACT),
    )


def _service_usage(usage: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    return usage.filter(pl.col("usage_date") <= window.last_day).select(
        part_register=pl.lit("service"),
        part_id=kpi.key(pl.col("service_part_id")),
        day=pl.col("usage_date"),
        quantity=pl.col("quantity_used"),
        unit_cost=pl.col("unit_cost"),
        value=pl.col("quantity_used").cast(_EXACT) * pl.col("unit_cost"),
    )
