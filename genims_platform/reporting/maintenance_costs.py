"""What maintenance cost: CMMS orders on the day they ended, by the factory of their asset."""

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import sql
from genims_platform.reporting.order_lines import EXACT
from genims_platform.reporting.periods import Window


def ended_maintenance(work_orders: pl.LazyFrame, assets: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Orders of `cmms.work_orders` that ended in the window, as a whole on the `day` of `actual_end_date`.

    `actual_cost` and `estimated_cost` in INR; `asset_id` and `factory_id` (of the asset, `UNKNOWN` for an unknown one)
    are keys, `asset_name` is NULL for an unknown asset. Dates decide, not the status of the order.
    """
    ended = pl.col("actual_end_date")
    known = assets.select("asset_id", "asset_name", "factory_id").unique("asset_id", keep="first", maintain_order=True)
    return (
        work_orders.filter(ended.is_between(window.span.start, window.span.end, closed="left"))
        .join(known, on="asset_id", how="left")
        .select(
            "asset_name",
            day=kpi.day(ended),
            asset_id=kpi.key(pl.col("asset_id")),
            factory_id=kpi.key(pl.col("factory_id")),
            actual_cost=pl.col("actual_total_cost").cast(EXACT),
            estimated_cost=pl.col("estimated_cost").cast(EXACT),
        )
    )


MAINTENANCE_BY_SQL = sql(
    "cmms",
    """
    SELECT actual_end_date::date AS day, coalesce(nullif(btrim(factory_id), ''), 'UNKNOWN') AS factory_id,
      sum(actual_total_cost) AS maintenance_cost
    FROM work_orders LEFT JOIN maintenance_assets USING (asset_id)
    WHERE actual_end_date >= %(start)s AND actual_end_date < %(end)s AND actual_total_cost IS NOT NULL
    GROUP BY 1, 2
    """,
)
"""The same cost by `day` and `factory_id`, found by SQL alone."""
