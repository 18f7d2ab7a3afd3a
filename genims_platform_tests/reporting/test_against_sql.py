"""One headline measure of every table, computed a second way by plain SQL on the sources, equals every stored row."""

import random
from collections.abc import Generator
from datetime import date

import pytest

from genims_platform.mysql.connection import Database
from genims_platform.reporting.periods import DAY, Period, period_of
from genims_platform.reporting.publish import refresh
from genims_platform.reporting.registry import reporting_tables
from genims_platform.settings import Settings
from genims_platform.sources.reader import SourceReader
from genims_platform_tests.factory_group import TODAY, UNTIL, copy_row, days, write
from genims_platform_tests.reporting.sql_cases import all_cases
from genims_platform_tests.reporting.sql_cases.case import Case, Figures, Query, number

SPAN = [TODAY - DAY * back for back in range(50)]
CHOICE = random.Random(5)  # noqa: S311

ROUNDING = 0.0051
"""Half a unit of the second decimal, in which measures are stored, and a little for binary fractions."""

CASES = all_cases()


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
    # Today is cut at UNTIL; a period without such rows must have none in the sources either.
    for start in _periods_to_compare(table.period, set(stored)):
        expected = case.expected(_on(sources, start))
        assert stored.get(start, {}) == pytest.approx(expected, abs=ROUNDING, rel=0), start


def _periods_to_compare(period: Period, stored: set[date]) -> set[date]:
    if period == "snapshot":
        return {TODAY}
    if period == "month":
        return {period_of(day, period) for day in SPAN}
    eventful = [day for day in SPAN if day in stored]
    return {TODAY, *CHOICE.sample(SPAN, 3), *CHOICE.sample(eventful, min(5, len(eventful)))}


def _on(sources: SourceReader, start: date) -> Query:
    def query(database: str, statement: str) -> list[tuple[object, ...]]:
        frame = sources.query(database, statement, {"day": days(start, start + DAY).start, "as_of": UNTIL})
        return frame.rows()

    return query
