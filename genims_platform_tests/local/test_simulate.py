"""The simulator changes live sources the way applications do, and can be stopped and run again."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest
from psycopg2 import sql

from genims_platform.local.generate.plan import Plan
from genims_platform.local.generate.run import generate
from genims_platform.local.simulate import NothingToSimulateError, SimulationReport, simulate
from genims_platform.local.simulated_changes import CHANGES, Insert
from genims_platform.settings import SOURCE_NAMES, Settings
from genims_platform.sources.catalogue import source_table
from genims_platform.sources.connection import connect

LAST_INSTANT = datetime(2026, 11, 20, 15, 0)


@pytest.fixture(scope="module")
def filled(settings: Settings) -> Settings:
    """Databases of this module's own: it changes what others count on."""
    mine = {f"pg_{name}_db": f"{settings.source_database(name)}_simulated" for name in SOURCE_NAMES}
    own = settings.model_copy(update=mine)
    generate(own, Plan(scale=0.01, months=2, until=LAST_INSTANT))
    return own


@pytest.fixture(scope="module")
def report(filled: Settings) -> SimulationReport:
    return simulate_statements(filled, 400)


def simulate_statements(settings: Settings, enough: int) -> SimulationReport:
    """Run until so many statements were written, seen through the report that every tick hands over."""
    written: list[SimulationReport] = []

    def stop() -> bool:
        return bool(written) and written[-1].statements >= enough

    return simulate(settings, rate=100_000, seconds=None, stop=stop, on_tick=written.append)


def scalar(settings: Settings, source: str, statement: sql.Composable | str, *values: object) -> object:
    with closing(connect(settings.source_primary(source))) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
        return row[0] if row else None


def count(settings: Settings, reference: str) -> object:
    source, _, table = reference.partition(".")
    return scalar(settings, source, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))


def inserted_tables() -> Iterator[str]:
    for change in CHANGES:
        if isinstance(change, Insert):
            yield change.table
            if change.child:
                yield change.child[0]


def test_rows_grow_by_what_the_report_counts(filled: Settings) -> None:
    before = {table: count(filled, table) for table in inserted_tables()}

    written = simulate_statements(filled, 500)

    for table, rows in before.items():
        assert isinstance(rows, int)
        assert count(filled, table) == rows + written.counts["insert", table] - written.counts["delete", table], table
    assert written.of_kind("insert") > written.of_kind("update") > written.of_kind("delete") > 0
    assert written.statements == sum(map(written.of_kind, ("insert", "update", "delete")))
    assert 0 < written.transactions < written.statements


def test_work_orders_stay_consistent(filled: Settings, report: SimulationReport) -> None:
    assert report.counts["update", "mes.work_orders"] > 0
    broken = """SELECT count(*) FROM work_orders WHERE produced_quantity
        <> good_quantity + rejected_quantity + scrapped_quantity + rework_quantity"""
    assert scalar(filled, "mes", broken) == 0


def test_journals_stay_balanced(filled: Settings, report: SimulationReport) -> None:
    assert report.counts["insert", "financial.journal_entry_lines"] > 0
    unbalanced = """SELECT count(*) FROM (SELECT journal_entry_id FROM journal_entry_lines GROUP BY journal_entry_id
        HAVING sum(debit_amount) <> sum(credit_amount)) AS entries"""
    assert scalar(filled, "financial", unbalanced) == 0


def test_new_readings_are_of_now(filled: Settings, report: SimulationReport) -> None:
    assert report.counts["insert", "operational.scada_machine_data"] > 0
    newest = scalar(filled, "operational", 'SELECT max("timestamp") FROM scada_machine_data')
    assert isinstance(newest, datetime)
    assert newest.date() == datetime.now(UTC).date()


def test_another_run_with_the_same_seed_adds_other_keys(filled: Settings) -> None:
    simulate(filled, rate=100_000, seconds=None, seed=3, stop=_after(150))
    simulate(filled, rate=100_000, seconds=None, seed=3, stop=_after(150))


def _after(turns: int) -> Callable[[], bool]:
    remaining = iter(range(turns))
    return lambda: next(remaining, None) is None


def test_it_stops_at_once_when_told(filled: Settings) -> None:
    assert simulate(filled, rate=1_000, seconds=None, stop=lambda: True).statements == 0


def test_it_ends_after_the_given_seconds(filled: Settings) -> None:
    report = simulate(filled, rate=20, seconds=0.5)
    assert report.seconds >= 0.5
    assert 1 <= report.statements <= 60  # ten are due; the last turn may write a journal of many lines


@pytest.mark.parametrize("rate", [0, -1.5])
def test_a_rate_must_be_positive(settings: Settings, rate: float) -> None:
    with pytest.raises(ValueError, match="positive number of statements"):
        simulate(settings, rate=rate, seconds=1)


def test_every_simulated_column_exists() -> None:
    for change in CHANGES:
        if isinstance(change, Insert):
            columns = source_table(change.table).polars_schema
            assert change.anchor in columns
            assert set(change.reset) <= set(columns)


def test_sources_without_tables_are_refused(filled: Settings) -> None:
    bare = filled.model_copy(update={"pg_operational_db": filled.pg_master_db})
    with pytest.raises(NothingToSimulateError, match=r"operational\.scada_machine_data does not exist"):
        simulate(bare, rate=10, seconds=1)


def test_empty_tables_are_refused(filled: Settings) -> None:
    with closing(connect(filled.source_primary("mes"), autocommit=True)) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE defects")
    with pytest.raises(NothingToSimulateError, match=r"mes\.defects holds no rows"):
        simulate(filled, rate=10, seconds=1)
