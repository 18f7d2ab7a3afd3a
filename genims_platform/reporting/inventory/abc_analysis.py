"""abc_analysis: how much control each material deserves."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.abc_classes import YEAR_DAYS, with_abc_class, yearly_consumption
from genims_platform.reporting.checks import Checks, Expectation, Identity, Reconciliation, sql
from genims_platform.reporting.consumption import booked_by_day, bookings_by_day, shipped_materials
from genims_platform.reporting.material_ids import master
from genims_platform.reporting.periods import DAY, Window
from genims_platform.reporting.shipments import of_shipments
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between

_LOOK_BACK = DAY * YEAR_DAYS
"""From the first of a month: the year up to the end of the month before, whose classes are compared."""

_MONTHS_NEEDED = 3
_X_BELOW, _Y_BELOW = 0.5, 1.0

_MASTER = sql("erp", "SELECT %(first_day)s AS analysis_month, material_id, material_code FROM materials")
_SHIPPED = sql(
    "tms",
    """
    SELECT l.material_id, SUM(l.quantity) AS quantity
    FROM shipment_lines l JOIN shipments s ON s.shipment_id = l.shipment_id
    WHERE s.ship_date BETWEEN %(last_day)s - 364 AND %(last_day)s AND s.ship_date < %(end)s GROUP BY 1
    """,
)
_BOOKED = sql(
    "mes",
    """
    SELECT material_code, SUM(CASE transaction_type WHEN 'issue' THEN quantity ELSE -quantity END) AS quantity
    FROM material_transactions
    WHERE transaction_type IN ('issue', 'return')
      AND transaction_date >= %(last_day)s - 364 AND transaction_date < %(end)s GROUP BY 1
    """,
)


def _materials(sources: Sources, window: Window) -> pl.DataFrame:
    """Every material of the master, and every id or code consumed that it does not know."""
    master_rows = _MASTER(sources, window)
    shipped, booked = _SHIPPED(sources, window), _BOOKED(sources, window)
    codes = [frame.to_series(0) for frame in (shipped, booked) if frame.height]
    known = set(master_rows["material_code"]) | set(master_rows["material_id"]) if master_rows.height else set[str]()
    strange = {code for series in codes for code in series} - known
    # A shipped id is never looked up among codes.
    strange |= (set(codes[0]) - set(master_rows["material_id"])) if shipped.height and master_rows.height else set()
    ids = [*(master_rows["material_id"] if master_rows.height else ()), *strange]
    return pl.DataFrame({"analysis_month": [window.first] * len(ids), "material_id": ids}).cast(
        {"analysis_month": pl.Date, "material_id": pl.String}
    )


def _consumed(sources: Sources, window: Window) -> pl.DataFrame:
    frames = [rule(sources, window) for rule in (_SHIPPED, _BOOKED)]
    total = sum(float(frame["quantity"].cast(pl.Float64).sum()) for frame in frames if frame.height)
    return pl.DataFrame({"analysis_month": [window.first], "consumption_qty_12m": [total]})


_CHECKS = Checks(
    rows=_materials,
    reconcile=(Reconciliation("consumption_vs_flow", _consumed),),
    identities=(
        Identity(
            "shares add up to 100",
            # Each share may be off by half a unit of its last digit.
            ((pl.col("value_share_pct").cast(pl.Float64).sum() - 100).abs() - 0.005 * pl.len()).clip(0)
            * pl.col("value_share_pct").is_not_null().any(),
            tolerance=0.5,
            by_period=True,
        ),
        Identity(
            "cumulative share does not fall by rank",
            (pl.col("cumulative_share_pct").sort_by("value_rank").drop_nulls().cast(pl.Float64).diff() < 0).sum(),
            by_period=True,
        ),
    ),
    warnings=(
        Expectation(
            "A materials hold 70 to 85 % of the value",
            (pl.col("value_rank") > 1)
            | pl.col("value_share_pct").filter(pl.col("abc_class") == "A").cast(pl.Float64).sum().is_between(70, 85),
        ),
    ),
    orphans={"material_id": "master_abc_class"},
)


@reporting_table(group="inventory", period="month", recompute=0, horizon=1, rolling_days=YEAR_DAYS, checks=_CHECKS)
def abc_analysis(
    *,
    window: Window,
    shipments: Annotated[pl.LazyFrame, Read("tms.shipments", Between("ship_date", before=_LOOK_BACK))],
    shipment_lines: Annotated[
        pl.LazyFrame, Read("tms.shipment_lines", of_shipments(Between("ship_date", before=_LOOK_BACK)))
    ],
    bookings: Annotated[pl.LazyFrame, bookings_by_day(_LOOK_BACK)],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
) -> pl.LazyFrame:
    """ABC and XYZ class of every material of the group, one row a month and material.

    ABC is the Pareto of consumption value (INR) over the 365 days to the end of the month, or to today: materials in
    descending value are A up to 80 % of the total, B up to 95 %, else C. Consumption is what was shipped plus what
    production was issued, less what it returned, in base units, at standard cost; a code without a material is valued
    at what the MES booked. XYZ grades how steady monthly consumption is by its coefficient of variation over the
    complete calendar months of these days, of which at least 3 must hold data of any material: X below 0.5, Y below
    1.0, else Z; neither exists for materials that were never used or came back more than they were issued.
    """
    materials = materials.cache()
    shipped = shipped_materials(shipments, shipment_lines, window)
    booked = booked_by_day(bookings, materials)
    classified = with_abc_class(yearly_consumption(shipped, booked, materials, window.last_day))
    previous = with_abc_class(yearly_consumption(shipped, booked, materials, window.first - DAY)).select(
        "material_id",
        # Without any consumption in its year there was nothing to class.
        previous_abc_class=pl.when(pl.col("consumption_rows").sum() > 0).then(pl.col("abc_class")),
    )
    names = master(materials).select(
        "material_id", "material_name", "material_type", master_abc_class=kpi.present(pl.col("abc_classification"))
    )
    columns = ("day", "material_id", "quantity")
    steadiness = _monthly_steadiness(
        pl.concat([shipped.select(columns), booked.select(columns)]), classified.select("material_id"), window
    )
    return (
        classified.join(names, on="material_id", how="left")
        .join(previous, on="material_id", how="left")
        .join(steadiness, on="material_id", how="left")
        .with_columns(
            analysis_month=pl.lit(window.first),
            material_name=pl.coalesce("material_name", "booked_name"),
            material_type=pl.coalesce("material_type", "booked_type"),
            class_differs=pl.col("abc_class") != pl.col("master_abc_class"),
            months_of_history=pl.col("months_of_history").fill_null(0),
        )
        .rename({"consumption_rows": "source_row_count"})
        .drop("booked_name", "booked_type")
    )


def _monthly_steadiness(rows: pl.LazyFrame, ids: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Mean, deviation and class by `material_id` over the complete months that hold any row; unused months are 0."""
    month = pl.col("day").dt.month_start()
    monthly = (
        rows.filter(month > window.last_day - DAY * YEAR_DAYS, pl.col("day").dt.month_end() <= window.last_day)
        .group_by("material_id", month=month)
        .agg(pl.col("quantity").sum())
    )
    mean, variation = pl.col("monthly_avg_qty"), pl.col("variation_coefficient")
    enough = pl.col("months_of_history") >= _MONTHS_NEEDED
    quantity = pl.col("quantity").cast(pl.Float64).fill_null(0).sort_by("month")
    return (
        ids.join(monthly.select("month").unique(), how="cross")
        .join(monthly, on=["material_id", "month"], how="left")
        .group_by("material_id")
        .agg(monthly_avg_qty=quantity.mean(), monthly_std_qty=quantity.std(), months_of_history=pl.len())
        .with_columns(variation_coefficient=pl.when(enough).then(kpi.ratio(pl.col("monthly_std_qty"), mean)))
        .with_columns(
            xyz_class=pl.when(variation < 0)
            .then(None)
            .when(variation < _X_BELOW)
            .then(pl.lit("X"))
            .when(variation < _Y_BELOW)
            .then(pl.lit("Y"))
            .when(variation.is_not_null())
            .then(pl.lit("Z"))
        )
    )
