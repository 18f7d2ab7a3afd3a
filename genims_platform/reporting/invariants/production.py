"""Machines, lines and factories: output, effectiveness, energy, breakdowns."""

from genims_platform.reporting.invariants.invariant import Invariant
from genims_platform.reporting.invariants.totals import CENT_A_ROW, FACTORY, LINE, equal, rows_of

_UNIT_COLUMNS = ("units_produced", "units_good", "units_rejected", "units_scrapped", "units_rework")

# Machine figures rolled up to the line as ISO 22400 says: times add up, performance is weighted by run time.
_OEE_ROLL_UP = """
    SELECT o.oee_date AS day, o.line_id,
      CONCAT_WS(' / ', o.run_minutes, o.planned_busy_minutes, o.availability_pct, o.performance_pct, o.quality_pct,
        o.oee_pct) AS `left`,
      CONCAT_WS(' / ', m.run, m.busy, ROUND(m.availability, 2), ROUND(m.performance, 2), ROUND(m.quality, 2),
        ROUND(m.availability * m.performance * m.quality / 10000, 2)) AS `right`
    FROM oee_summary_daily o
    JOIN (
      SELECT performance_date, line_id, COUNT(*) AS machines, SUM(run_minutes) AS run,
        SUM(planned_busy_minutes) AS busy,
        100 * SUM(run_minutes) / NULLIF(SUM(planned_busy_minutes), 0) AS availability,
        SUM(performance_pct * run_minutes) / NULLIF(SUM(IF(performance_pct IS NULL, 0, run_minutes)), 0) AS performance,
        100 * (SUM(units_produced) - SUM(units_rejected)) / NULLIF(SUM(units_produced), 0) AS quality
      FROM machine_performance_daily
      WHERE performance_date >= %(first)s AND performance_date < %(end)s
      GROUP BY performance_date, line_id
    ) m ON m.performance_date = o.oee_date AND m.line_id = o.line_id
    WHERE o.oee_date >= %(first)s AND o.oee_date < %(end)s AND o.oee_basis = 'machine'
      AND (ABS(o.run_minutes - m.run) > 0.01 * m.machines OR ABS(o.planned_busy_minutes - m.busy) > 0.01 * m.machines
        OR ABS(o.availability_pct - m.availability) > 0.02 OR ABS(o.performance_pct - m.performance) > 0.02
        OR ABS(o.quality_pct - m.quality) > 0.02
        OR ABS(o.oee_pct - m.availability * m.performance * m.quality / 10000) > 0.02)
"""

PRODUCTION = (
    Invariant(
        "machine_units_of_a_line",
        "day",
        "Units counted by the machines of a line are the same in machine performance and in the production summary.",
        ("machine_performance_daily", "production_summary_daily"),
        (
            equal(
                "day, line_id",
                rows_of("machine_performance_daily", "performance_date", LINE, "units_produced"),
                rows_of(
                    "production_summary_daily",
                    "production_date",
                    "line_id",
                    "machine_units_counted",
                    "machine_units_counted IS NOT NULL",
                ),
                both=True,
            ),
        ),
    ),
    Invariant(
        "oee_rolls_up",
        "day",
        "A line's OEE and its factors follow from its machines: times add up, factors are weighted means.",
        ("machine_performance_daily", "oee_summary_daily"),
        (_OEE_ROLL_UP,),
    ),
    Invariant(
        "energy_of_a_line",
        "day",
        "Energy of the machines of a line adds up to the line's.",
        ("machine_performance_daily", "energy_consumption_daily"),
        (
            equal(
                "day, line_id",
                rows_of("machine_performance_daily", "performance_date", LINE, "energy_kwh"),
                rows_of("energy_consumption_daily", "energy_date", LINE, "total_kwh"),
                tolerance=CENT_A_ROW,
            ),
        ),
    ),
    Invariant(
        "breakdowns_of_a_machine",
        "day",
        "Machine performance and downtime summary count the same breakdowns.",
        ("machine_performance_daily", "downtime_summary_daily"),
        (
            equal(
                "day, machine_id",
                rows_of("machine_performance_daily", "performance_date", "machine_id", "breakdown_count"),
                rows_of("downtime_summary_daily", "downtime_date", "machine_id", "breakdown_count"),
            ),
        ),
    ),
    Invariant(
        "units_of_a_factory",
        "day",
        "Output of completed orders is the same by line, by product and in the cost analysis.",
        ("production_summary_daily", "quality_summary_daily", "cost_analysis_daily"),
        (
            *(
                equal(
                    "day, factory_id",
                    rows_of("production_summary_daily", "production_date", FACTORY, units),
                    rows_of("quality_summary_daily", "quality_date", "factory_id", units),
                )
                for units in _UNIT_COLUMNS
            ),
            equal(
                "day, factory_id",
                rows_of("production_summary_daily", "production_date", FACTORY, "units_good"),
                rows_of("cost_analysis_daily", "cost_date", "factory_id", "units_good"),
            ),
        ),
    ),
)
