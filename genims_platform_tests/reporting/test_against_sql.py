"""One headline measure of every table, computed a second way by plain SQL on the sources, equals every stored row."""

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pytest

from genims_platform.mysql.connection import Database
from genims_platform.reporting.periods import DAY
from genims_platform.reporting.publish import refresh
from genims_platform.reporting.registry import reporting_tables
from genims_platform.settings import Settings
from genims_platform.sources.reader import SourceReader
from genims_platform_tests.factory_group import TODAY, UNTIL, copy_row, days, write

SPAN = [TODAY - DAY * back for back in range(50)]
CHOICE = random.Random(5)  # noqa: S311

ROUNDING = 0.0051
"""Half a unit of the second decimal, in which measures are stored, and a little for binary fractions."""

Figures = dict[tuple[object, ...], float | None]
Query = Callable[[str, str], list[tuple[object, ...]]]
"""Rows of a statement on a source, with the day bound as %(day)s and the instant of the refresh as %(as_of)s."""


@dataclass(frozen=True)
class Case:
    """`expected` gives `measure` by `keys`, for the stored rows of a day that meet `where`."""

    table: str
    measure: str
    keys: str
    expected: Callable[[Query], Figures]
    where: str = "TRUE"


def by_key(database: str, statement: str) -> Callable[[Query], Figures]:
    """The last column of a statement by all the others."""

    def expected(query: Query) -> Figures:
        return {key: number(value) for *parts, value in query(database, statement) for key in [tuple(parts)]}

    return expected


def number(value: object) -> float | None:
    assert value is None or isinstance(value, int | float | Decimal)
    return None if value is None else float(value)


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


@pytest.fixture(scope="module")
def sources(factory: Settings) -> Generator[SourceReader]:
    """The factory group with a second, short and bad run beside some runs: the small group has one a line and day."""
    short: dict[str, object] = {"oee_percentage": 20, "actual_duration_minutes": 7, "actual_quantity": 900}
    where = "oee_percentage > 50 AND status <> 'scheduled' AND actual_duration_minutes > 60"
    assert copy_row(factory, "operational.production_runs", short, where, number=1000) > 0
    yield SourceReader(factory)
    write(factory, "operational.production_runs", "DELETE FROM {table} WHERE run_id LIKE '%%-late%%'")


def test_every_table_has_a_case() -> None:
    assert {case.table for case in CASES} == set(reporting_tables())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.table)
def test_stored_rows_equal_plain_sql(case: Case, sources: SourceReader, reporting: Database) -> None:
    table = reporting_tables()[case.table]
    outcome = refresh(
        table, days(SPAN[-1], TODAY + DAY), sources=sources, target=reporting, as_of=UNTIL, lock_timeout=30
    )
    assert not outcome.failures
    stored: dict[date, Figures] = {}
    for day, *key, value in reporting.read(
        f"SELECT {table.period_column}, {case.keys}, {case.measure} FROM {table.name} WHERE {case.where}"
    ).iter_rows():
        stored.setdefault(day, {})[tuple(key)] = number(value)
    eventful = [day for day in SPAN if day in stored]
    # Today is cut at UNTIL; a day without such rows must have none in the sources either.
    for day in {TODAY, *CHOICE.sample(SPAN, 3), *CHOICE.sample(eventful, 5)}:
        expected = case.expected(_on(sources, day))
        assert stored.get(day, {}) == pytest.approx(expected, abs=ROUNDING, rel=0), day


def _on(sources: SourceReader, day: date) -> Query:
    def query(database: str, statement: str) -> list[tuple[object, ...]]:
        frame = sources.query(database, statement, {"day": days(day, day + DAY).start, "as_of": UNTIL})
        return frame.rows()

    return query
