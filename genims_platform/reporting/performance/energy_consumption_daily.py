"""Energy for a good unit, and energy burnt while nothing is produced."""

from datetime import timedelta
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Identity, Reconciliation, sql
from genims_platform.reporting.ledger import postings
from genims_platform.reporting.performance.machine_states import (
    HOLD,
    METER_GAP,
    at_lines,
    kwh,
    state_totals,
    usable_readings,
)
from genims_platform.reporting.performance.observed_lines import observed_lines
from genims_platform.reporting.periods import Window
from genims_platform.reporting.production_orders import completed_orders
from genims_platform.reporting.rolling import month_to_date, over_days
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between, KeyIn

_UTILITIES_ACCOUNT = "5230"
_AVERAGED_DAYS = 7
_MONTH_BEFORE = timedelta(days=30)
_KEY = ["day", "line_id"]

_USABLE_READINGS = sql(
    "operational",
    """
    SELECT "timestamp"::date AS energy_date, count(*) AS source_row_count
    FROM scada_machine_data
    WHERE data_quality <> 'bad' AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
    GROUP BY 1
    """,
)


@reporting_table(
    group="performance",
    recompute=1,
    horizon=3,
    rolling_days=32,  # the cost of a day rests on its month to date, and a state may last past midnight
    checks=Checks(
        rows=observed_lines("energy_date"),
        identities=(
            Identity(
                "total_kwh = running_kwh + non_productive_kwh",
                pl.col("total_kwh") - pl.col("running_kwh") - pl.col("non_productive_kwh"),
                tolerance=0.02,  # three columns, each rounded by up to 0.005
            ),
        ),
        reconcile=(Reconciliation("readings_vs_operational", _USABLE_READINGS),),
        orphans={"line_id": "line_name"},
    ),
)
def energy_consumption_daily(
    window: Window,
    *,
    readings: Annotated[
        pl.LazyFrame,
        Read("operational.scada_machine_data", Between("timestamp", before=HOLD + max(_MONTH_BEFORE, METER_GAP))),
    ],
    machines: Annotated[pl.LazyFrame, Read("master.machines")],
    lines: Annotated[pl.LazyFrame, Read("master.production_lines")],
    work_orders: Annotated[pl.LazyFrame, Read("mes.work_orders", Between("actual_end_time"))],
    entries: Annotated[
        pl.LazyFrame,
        Read("financial.journal_entry_headers", Between("posting_date", before=_MONTH_BEFORE)),
    ],
    entry_lines: Annotated[
        pl.LazyFrame,
        Read(
            "financial.journal_entry_lines",
            KeyIn(
                "journal_entry_id",
                "journal_entry_headers",
                "journal_entry_id",
                Between("posting_date", before=_MONTH_BEFORE),
            ),
        ),
    ],
    accounts: Annotated[pl.LazyFrame, Read("financial.chart_of_accounts")],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """One row a line and day with a usable SCADA reading of its machines.

    Energy in kWh is the power drawn times the time for which each reading holds (machine states cut at midnight); the
    meter's rise, on the day of the later reading, stands beside it as a cross-check. Peak is the highest energy of a
    clock hour (60-minute demand). kWh for a good unit is the energy performance indicator of ISO 50006, good units
    being those of the orders completed. Cost in INR is the line's share of its factory's utilities expense, both month
    to date, by energy; NULL while the ledger has none.
    """
    # Both are used several times over; without cache() Polars would read and compute them as often.
    machine_hours = _machine_hours(readings, machines, window).cache()
    masters = lines.select("line_id", "line_name", master_factory_id="factory_id")
    energy_lines = (
        _by_line(machine_hours)
        .join(masters, on="line_id", how="left")
        .with_columns(factory_id=pl.coalesce("master_factory_id", "scada_factory_id"))
        .cache()
    )
    total, running, observed = pl.col("energy"), pl.col("run_energy"), pl.col("observed") / 3600e6
    return (
        energy_lines.join(_peaks(machine_hours), on=_KEY, how="left")
        .join(_weekly_mean(energy_lines), on=_KEY, how="left")
        .join(_good_units(work_orders, window), on=_KEY, how="left")
        .join(
            _cost_of_energy(energy_lines, postings(entries, entry_lines, accounts, rates, window)),
            on=["day", "factory_id"],
            how="left",
        )
        .select(
            "line_id",
            "line_name",
            "factory_id",
            "machine_count",
            "units_good",
            energy_date="day",
            observed_machine_hours=observed,
            total_kwh=kwh(total),
            running_kwh=kwh(running),
            non_productive_kwh=kwh(total - running),
            non_productive_pct=kpi.percent(total - running, total),
            avg_machine_kw=kpi.ratio(kwh(total), observed),
            peak_hour_kw=kwh(pl.col("peak_energy")),
            meter_kwh="metered",
            meter_to_power_ratio=kpi.ratio(pl.col("metered"), kwh(total)),
            rated_kwh=kwh(pl.col("rated_energy")),
            load_factor_pct=kpi.percent(total, pl.col("rated_energy")),
            kwh_per_good_unit=kpi.ratio(kwh(total), pl.col("units_good")),
            kwh_7d_avg=kwh(pl.col("mean_energy")),
            energy_cost_inr=pl.col("cost_of_energy") * total.cast(pl.Float64),
            source_row_count="readings",
        )
    )


def _machine_hours(readings: pl.LazyFrame, machines: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Time and energy by machine and clock hour, with the machine's line and the energy it is rated for."""
    hours = state_totals(usable_readings(readings, window), window, every="1h")
    ratings = machines.select("machine_id", "power_rating_kw")
    return (
        at_lines(hours, machines)
        .join(ratings, on="machine_id", how="left")
        .with_columns(rated_energy=pl.col("power_rating_kw") * pl.col("observed"))
    )


def _by_line(machine_hours: pl.LazyFrame) -> pl.LazyFrame:
    return machine_hours.group_by(_KEY).agg(
        pl.col("observed", "readings").sum(),
        *(kpi.total(pl.col(name)).alias(name) for name in ("energy", "run_energy", "rated_energy", "metered")),
        machine_count=pl.col("machine_id").n_unique(),
        scada_factory_id=pl.col("scada_factory_id").min(),
    )


def _peaks(machine_hours: pl.LazyFrame) -> pl.LazyFrame:
    """The highest energy of a clock hour, by line and day."""
    hours = machine_hours.group_by(*_KEY, "since").agg(energy=kpi.total(pl.col("energy")))
    return hours.group_by(_KEY).agg(peak_energy=pl.col("energy").max())


def _weekly_mean(energy_lines: pl.LazyFrame) -> pl.LazyFrame:
    """Mean energy of the days of D-6..D that were observed, by line and day."""
    energy = pl.col("energy")
    week = over_days(energy_lines.select(*_KEY, "energy"), _AVERAGED_DAYS)
    return week.group_by(_KEY).agg(mean_energy=kpi.ratio(energy.sum(), energy.count()))


def _good_units(work_orders: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Good units of the orders completed, by line and day."""
    return (
        completed_orders(work_orders, window)
        .group_by("day", line_id=kpi.key(pl.col("line_id")))
        .agg(units_good=kpi.total(pl.col("good_quantity")))
    )


def _cost_of_energy(energy_lines: pl.LazyFrame, ledger: pl.LazyFrame) -> pl.LazyFrame:
    """INR for a kW x microsecond, month to date, by factory and day."""
    by_factory = ["day", "factory_id"]
    utilities = ledger.filter(pl.col("account_code") == _UTILITIES_ACCOUNT)
    expenses = month_to_date(utilities).group_by(by_factory).agg(expense=kpi.total(pl.col("expense")))
    energy = month_to_date(energy_lines.select(*by_factory, "energy")).group_by(by_factory).agg(pl.col("energy").sum())
    return energy.join(expenses, on=by_factory).select(
        *by_factory, cost_of_energy=kpi.ratio(pl.col("expense"), pl.col("energy"))
    )
