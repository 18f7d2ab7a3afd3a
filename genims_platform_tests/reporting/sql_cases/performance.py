"""Performance: output, labour, downtime, safety, effectiveness, quality and energy."""

from genims_platform_tests.reporting.sql_cases.case import Case, Figures, Query, by_key, number

# A reading holds until the machine's next one, for 240 minutes at most, and counts inside the day.
HELD = """
    WITH readings AS (
      SELECT machine_id, line_id, machine_state, power_consumption_kw, "timestamp" AS taken,
        least(lead("timestamp") OVER machine, "timestamp" + interval '240 minutes', %(as_of)s) AS replaced
      FROM scada_machine_data
      WHERE data_quality <> 'bad' AND "timestamp" < %(as_of)s AND "timestamp" >= %(day)s - interval '1 day'
      WINDOW machine AS (PARTITION BY machine_id ORDER BY "timestamp", scada_id)
    ), held AS (
      SELECT *, taken >= %(day)s AS within,
        extract(epoch FROM least(replaced, %(day)s + interval '1 day') - greatest(taken, %(day)s)) / 3600 AS hours
      FROM readings WHERE taken < %(day)s + interval '1 day' AND replaced > %(day)s
    )
"""


def energy_by_line(query: Query) -> Figures:
    statement = f"""{HELD}
        SELECT machine_id, min(line_id) FILTER (WHERE within), sum(power_consumption_kw * hours)
        FROM held GROUP BY machine_id HAVING bool_or(within)
    """
    line_of = {machine: line for machine, line in query("master", "SELECT machine_id, line_id FROM machines")}  # noqa: C416
    lines: Figures = {}
    for machine, named, energy in query("operational", statement):
        key = (line_of.get(machine) or named,)
        lines[key] = (lines.get(key) or 0) + (number(energy) or 0)
    return lines


CASES = [
    Case(
        "production_summary_daily",
        "units_produced",
        "line_id",
        by_key(
            "mes",
            """
            SELECT coalesce(nullif(btrim(line_id), ''), 'UNKNOWN'), sum(produced_quantity)
            FROM work_orders
            WHERE actual_end_time::date = %(day)s::date AND actual_end_time < %(as_of)s
              AND (status = 'completed' OR status = 'closed')
            GROUP BY 1
            """,
        ),
        where="orders_completed > 0",
    ),
    Case(
        "labor_efficiency_daily",
        "labor_cost_inr",
        "employee_id",
        by_key(
            "mes",
            """
            SELECT employee_id, sum(labor_cost) FROM labor_transactions
            WHERE clock_in_time::date = %(day)s::date AND clock_in_time < %(as_of)s GROUP BY 1
            """,
        ),
        where="employee_register = 'mes'",
    ),
    Case(
        "downtime_summary_daily",
        "breakdown_downtime_minutes",
        "machine_id",
        by_key(
            "cmms",
            """
            SELECT CASE WHEN a.machine_id > ' ' THEN a.machine_id ELSE w.asset_id END,
              sum(coalesce(downtime_minutes, 0))
            FROM work_orders w LEFT JOIN maintenance_assets a ON a.asset_id = w.asset_id
            WHERE actual_start_date::date = %(day)s::date AND actual_start_date < %(as_of)s AND wo_type = 'breakdown'
            GROUP BY 1
            """,
        ),
        where="breakdown_count > 0",
    ),
    Case(
        "safety_compliance_daily",
        "hours_worked",
        "factory_id",
        by_key(
            "hcm",
            """
            SELECT coalesce(nullif(btrim(primary_factory_id), ''), 'UNKNOWN'), sum(actual_hours)
            FROM attendance_records LEFT JOIN employees USING (employee_id)
            WHERE attendance_date = %(day)s::date GROUP BY 1 HAVING sum(actual_hours) > 0
            """,
        ),
        where="hours_worked > 0",
    ),
    Case(
        "oee_summary_daily",
        "run_oee_pct",
        "line_id",
        by_key(
            "operational",
            """
            SELECT line_id, sum(oee_percentage * actual_duration_minutes)
              / nullif(sum(actual_duration_minutes) FILTER (WHERE oee_percentage IS NOT NULL), 0)
            FROM production_runs
            WHERE run_start_time::date = %(day)s::date AND run_start_time < %(as_of)s AND status <> 'scheduled'
            GROUP BY 1
            """,
        ),
        where="run_count > 0",
    ),
    Case(
        "quality_summary_daily",
        "defect_quantity",
        "factory_id, product_id",
        by_key(
            "mes",
            """
            SELECT coalesce(o.factory_id, 'UNKNOWN') AS factory, coalesce(o.product_id, 'UNKNOWN') AS product,
              sum(quantity_affected)
            FROM defects d LEFT JOIN work_orders o ON o.work_order_id = d.work_order_id
            WHERE detected_date::date = %(day)s::date AND detected_date < %(as_of)s
            GROUP BY 1, 2 HAVING sum(quantity_affected) > 0
            """,
        ),
        where="defect_quantity > 0",
    ),
    Case(
        "machine_performance_daily",
        "run_minutes",
        "machine_id",
        by_key(
            "operational",
            f"""{HELD}
            SELECT machine_id, coalesce(sum(hours) FILTER (WHERE machine_state = 'running'), 0) * 60
            FROM held GROUP BY 1 HAVING bool_or(within)
            """,
        ),
        where="observed_minutes IS NOT NULL",
    ),
    Case("energy_consumption_daily", "total_kwh", "line_id", energy_by_line),
]
