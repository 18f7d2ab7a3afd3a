from collections.abc import Generator
from datetime import date
from importlib import resources

import polars as pl
import pytest

from genims_platform.mysql.connection import Database, identifier, read_frame
from genims_platform.mysql.contract import TableContract, contracts
from genims_platform.mysql.deploy import deploy
from genims_platform.mysql.slices import exclusive_writer
from genims_platform.orchestration.resources import reporting_database
from genims_platform.reporting.dashboard import accesses, dashboard_query, usual_parameters
from genims_platform.reporting.periods import DAY
from genims_platform.rolling_window import window_start
from genims_platform.settings import Settings
from genims_platform_tests.factory_group import clear

TABLES = tuple(contracts("reporting"))
TODAY = date(2026, 3, 10)
ROWS = 4000


@pytest.fixture(scope="module")
def filled(settings: Settings) -> Generator[Database]:
    """The reporting database with some thousand made-up rows a table."""
    database = reporting_database(settings)
    deploy(database, "reporting", today=TODAY)
    clear(database)
    for contract in contracts("reporting").values():
        period = contract.primary_key[0]
        with exclusive_writer(database, contract.name, timeout=30) as writer:
            rows = _made_up(contract)
            writer.replace(contract, rows, [(window_start(TODAY), TODAY + DAY)], period_column=period)
    with database.connection() as connection, connection.cursor() as cursor:
        cursor.execute(f"ANALYZE TABLE {', '.join(identifier(name) for name in TABLES)}")
        cursor.fetchall()
    yield database
    clear(database)
    database.close()


def _made_up(contract: TableContract) -> pl.DataFrame:
    """Distinct keys, as many of them a period as make ROWS rows, and in the other columns anything of their type."""
    period, *keys = contract.primary_key
    months = period.endswith("_month")
    days = pl.date_range(window_start(TODAY), TODAY, "1mo" if months else "1d", eager=True)
    a_period = max(1, ROWS // len(days)) if keys else 1
    frame = pl.DataFrame({period: days}).join(pl.DataFrame({"n": range(a_period)}), how="cross")

    def column(name: str, dtype: pl.DataType) -> pl.Expr:
        variety = a_period if name == (keys or [""])[-1] else 5
        number = pl.col("n") % variety
        if name == period:
            return pl.col(period)
        if dtype == pl.Date:
            return pl.lit(TODAY).alias(name)
        if dtype == pl.String:
            return ("V" + number.cast(pl.String)).str.head(contract.column(name).max_length or 1).alias(name)
        return (number % 2).alias(name)

    rows, unfit = contract.cast(frame.select(column(*item) for item in contract.polars_schema.items()))
    assert not unfit
    return rows


def test_every_table_has_one_query_and_no_other_has() -> None:
    files = resources.files("genims_platform.reporting").joinpath("dashboard_queries").iterdir()
    assert {file.name for file in files} == {f"{table}.sql" for table in TABLES}


@pytest.mark.parametrize("table", TABLES)
def test_query_asks_only_its_table_and_names_its_parameters(table: str) -> None:
    query = dashboard_query(table)
    assert query.question
    assert not query.question.endswith(".")
    assert table in query.statement
    assert not [other for other in TABLES if other != table and f" {other}" in query.statement]
    contract = contracts("reporting")[table]
    assert all(contract.column(name).dtype == pl.String for name in query.columns_chosen)


@pytest.mark.parametrize("table", TABLES)
def test_query_runs_by_an_index(table: str, filled: Database) -> None:
    query = dashboard_query(table)
    parameters = usual_parameters(filled, query)
    assert parameters is not None
    assert parameters["month"] == TODAY.replace(day=1)
    indexes = {"PRIMARY", *(index.name for index in contracts("reporting")[table].indexes)}
    with filled.connection() as connection:
        with connection.cursor() as cursor:
            # Dashboards use the server's usual mode, which refuses columns that are neither grouped nor added up.
            cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',ONLY_FULL_GROUP_BY')")
        read_frame(connection, query.statement, parameters)
        reads = accesses(connection, query, parameters)
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_mode = REPLACE(@@sql_mode, 'ONLY_FULL_GROUP_BY', '')")
    assert reads
    assert all(read.indexed and read.index in indexes for read in reads), reads


def test_an_empty_table_has_no_usual_parameters(settings: Settings) -> None:
    database = reporting_database(settings)
    deploy(database, "reporting", today=TODAY)
    clear(database)
    assert usual_parameters(database, dashboard_query("material_flow_daily")) is None
    database.close()


def test_a_table_without_a_query_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no_such_table"):
        dashboard_query("no_such_table")
