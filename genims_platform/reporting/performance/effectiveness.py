"""Overall equipment effectiveness of machines (ISO 22400-2), from what SCADA observed."""

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Identity
from genims_platform.reporting.performance.machine_states import pieces_counted, state_totals, usable_readings
from genims_platform.reporting.periods import Window

_FACTORS = ("availability_pct", "performance_pct", "quality_pct")

# The four columns are rounded one by one, each by up to 0.005, and performance may reach 150 %.
OEE_IS_THE_PRODUCT = Identity(
    "oee_pct = availability x performance x quality",
    pl.col("oee_pct").cast(pl.Float64) - kpi.oee(*(pl.col(factor).cast(pl.Float64) for factor in _FACTORS)),
    tolerance=0.03,
)


def machine_effectiveness(readings: pl.LazyFrame, shifts: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """`state_totals` by machine and day, with the pieces counted and OEE and its factors in percent.

    Availability = run / planned busy time, performance as the controller rates it while running, quality = pieces not
    rejected / pieces counted.
    """
    # Used twice; without cache() Polars may read it twice.
    usable = usable_readings(readings, window).cache()
    produced, rejected = pl.col("units_produced"), pl.col("units_rejected")
    return (
        state_totals(usable, window)
        .join(pieces_counted(usable, shifts), on=["machine_id", "day"], how="left")
        .with_columns(
            availability_pct=kpi.percent(pl.col("run"), pl.col("busy")),
            quality_pct=kpi.percent(produced - rejected, produced),
        )
        .with_columns(oee_pct=kpi.oee(*map(pl.col, _FACTORS)))
    )
