"""Breakdowns of machines, from the maintenance orders of the CMMS."""

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.periods import Window

_MEASURES = ("downtime_minutes", "actual_duration_hours", "failure_code", "downtime_cost_per_hour")


def breakdowns(orders: pl.LazyFrame, assets: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Breakdown orders started by the end of the window: `day`, `machine_id` and what the order and its asset state.

    The machine is the asset's; an asset that is unknown or has none stands under its own id. The start decides, not the
    order's status.
    """
    started = pl.col("actual_start_date")
    asset_machines = assets.select("asset_id", "downtime_cost_per_hour", asset_machine_id="machine_id")
    return (
        orders.filter(pl.col("wo_type") == "breakdown", started < window.span.end)
        .join(asset_machines, on="asset_id", how="left")
        .select(
            *_MEASURES,
            day=kpi.day(started),
            machine_id=kpi.key(kpi.present(pl.col("asset_machine_id")).fill_null(pl.col("asset_id"))),
        )
    )
