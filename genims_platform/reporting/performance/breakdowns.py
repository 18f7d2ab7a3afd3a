"""Breakdowns of machines, from the maintenance orders of the CMMS."""

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.periods import Window


def breakdowns(orders: pl.LazyFrame, assets: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Breakdown orders started by the end of the window, with `day`, `machine_id` and `downtime_cost_per_hour`.

    The machine is the asset's; an asset that is unknown or has none stands under its own id. The start decides, not the
    order's status.
    """
    started = pl.col("actual_start_date")
    return (
        orders.filter(pl.col("wo_type") == "breakdown", started < window.span.end)
        .join(assets.select("asset_id", "machine_id", "downtime_cost_per_hour"), on="asset_id", how="left")
        .with_columns(
            day=kpi.day(started),
            machine_id=kpi.key(kpi.present(pl.col("machine_id")).fill_null(pl.col("asset_id"))),
        )
    )
