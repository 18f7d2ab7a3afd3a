"""How long a dashboard waits: the query of each reporting table over twelve months of rows.

Measured on the reporting database of `genims local up`, or rather on a copy of its tables in a database of its own,
dropped at the end: there the latest rows of tables that only ever know the present day are repeated on every earlier
day of the window, as many as a year of refreshes would have left. With `--as-stored` the database itself is asked.

Each query runs once to warm up and then `--repeat` times on one connection, result fetched; its parameters are the
latest period and the keys with most rows. Rows examined are those that the server's storage engine handed out
(`Handler_read%`), temporary tables included. Exit code 1 if a query takes more than 100 ms at its 95th percentile,
uses no index, or has no rows to read.

    python -m benchmarks.dashboard_queries [--repeat 50] [--as-stored] [--json]
"""

import json
import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import Annotated

import numpy as np
import typer
from mysql.connector.abstracts import MySQLConnectionAbstract
from rich.console import Console
from rich.table import Table

from benchmarks.local_servers import engine_versions, local_settings
from genims_platform.mysql.connection import Database, identifier, read_frame
from genims_platform.mysql.contract import TableContract, contracts
from genims_platform.mysql.deploy import deploy
from genims_platform.orchestration.resources import utc_now
from genims_platform.reporting.dashboard import DashboardQuery, accesses, dashboard_query, usual_parameters
from genims_platform.reporting.registry import reporting_tables
from genims_platform.rolling_window import window_start

BAR_MILLISECONDS = 100
COPY = "genims_bench_dashboard"


@dataclass(frozen=True)
class Figures:
    """One query: milliseconds, rows, the indexes it reads its table by, and whether it meets the bar."""

    table: str
    stored_rows: int
    rows_returned: int = 0
    rows_examined: int = 0
    p50_milliseconds: float = 0
    p95_milliseconds: float = 0
    indexes: tuple[str, ...] = ()
    verdict: str = "no rows to read: run `genims backfill`"

    @property
    def passed(self) -> bool:
        """Whether the query is fast enough and uses an index."""
        return not self.verdict


def main(
    repeat: Annotated[int, typer.Option(min=1, help="Executions of each query.")] = 50,
    as_stored: Annotated[bool, typer.Option("--as-stored", help="Ask the reporting database as it is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure the dashboard query of every reporting table."""
    stored = Database(local_settings().mysql_reporting)
    load = round(os.getloadavg()[0], 1)
    if as_stored:
        measured = _measure(stored, repeat)
    else:
        with _a_year_of(stored) as copy:
            measured = _measure(copy, repeat)
    stored.close()
    head = {"repeat": repeat, "servers": engine_versions(), "load_average_at_start": load}
    if as_json:
        print(json.dumps({**head, "measured": [asdict(figures) for figures in measured]}, indent=2))
    else:
        _print(measured, ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in head.items()))
    if not all(figures.passed for figures in measured):
        raise typer.Exit(1)


@contextmanager
def _a_year_of(stored: Database) -> Generator[Database]:
    copy = Database(replace(stored.server, database=COPY))
    try:
        _drop(copy)
        deploy(copy, "reporting", today=utc_now().date())
        with copy.connection() as connection:
            for contract in contracts("reporting").values():
                _copy_rows(connection, contract, stored.server.database)
        yield copy
    finally:
        _drop(copy)
        copy.close()


def _copy_rows(connection: MySQLConnectionAbstract, contract: TableContract, origin: str) -> None:
    table, period = identifier(contract.name), identifier(contract.primary_key[0])
    source = f"{identifier(origin)}.{table}"
    others = ", ".join(identifier(column.name) for column in contract.columns if column.name != contract.primary_key[0])
    names = f"({period}, {others})"
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} {names} SELECT {period}, {others} FROM {source}")
        model = reporting_tables().get(contract.name)
        if model is not None and model.period == "snapshot":
            first = window_start(utc_now().date())
            cursor.execute(
                f"INSERT INTO {table} {names} "
                f"WITH RECURSIVE days AS (SELECT %(first)s + INTERVAL 0 DAY AS day UNION ALL "
                f"SELECT day + INTERVAL 1 DAY FROM days WHERE day < %(last)s) "
                f"SELECT days.day, {others} FROM days JOIN {source} latest ON latest.{period} = "
                f"(SELECT MAX({period}) FROM {source}) "
                f"WHERE days.day NOT IN (SELECT DISTINCT {period} FROM {source})",
                {"first": first, "last": utc_now().date() - timedelta(days=1)},
            )
        connection.commit()
        cursor.execute(f"ANALYZE TABLE {table}")
        cursor.fetchall()


def _drop(copy: Database) -> None:
    with copy.administration() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {identifier(COPY)}")


def _measure(database: Database, repeat: int) -> list[Figures]:
    return [_figures(database, dashboard_query(table), repeat) for table in contracts("reporting")]


def _figures(database: Database, query: DashboardQuery, repeat: int) -> Figures:
    parameters = usual_parameters(database, query)
    if parameters is None:
        return Figures(query.table, 0)
    stored = database.read(f"SELECT COUNT(*) FROM {identifier(query.table)}").item()
    with database.connection() as connection:
        returned = read_frame(connection, query.statement, parameters).height
        examined = _rows_examined(connection, query, parameters)
        reads = accesses(connection, query, parameters)
        milliseconds = [_seconds(connection, query, parameters) * 1000 for _ in range(repeat)]
    p50, p95 = (float(value) for value in np.percentile(milliseconds, [50, 95]))
    wrong = [f"p95 over {BAR_MILLISECONDS} ms"] if p95 > BAR_MILLISECONDS else []
    wrong += [] if reads and all(read.indexed for read in reads) else ["no index"]
    indexes = tuple(sorted({read.index or "none" for read in reads}))
    return Figures(query.table, stored, returned, examined, p50, p95, indexes, ", ".join(wrong))


def _seconds(connection: MySQLConnectionAbstract, query: DashboardQuery, parameters: Mapping[str, object]) -> float:
    with connection.cursor() as cursor:
        started = time.perf_counter()
        cursor.execute(query.statement, dict(parameters))  # pyright: ignore[reportArgumentType]
        cursor.fetchall()
        return time.perf_counter() - started


def _rows_examined(connection: MySQLConnectionAbstract, query: DashboardQuery, parameters: Mapping[str, object]) -> int:
    """What the counters rise by through the query; asking for them raises them too, always by as much."""
    counts = [_handler_reads(connection), _handler_reads(connection)]
    read_frame(connection, query.statement, parameters)
    counts.append(_handler_reads(connection))
    asking, both = (after - before for before, after in pairwise(counts))
    return both - asking


def _handler_reads(connection: MySQLConnectionAbstract) -> int:
    status = read_frame(connection, "SHOW SESSION STATUS LIKE 'Handler_read%'")
    return sum(int(value) for value in status.to_series(1))


def _print(measured: list[Figures], title: str) -> None:
    table = Table("table", "rows stored", "returned", "examined", "p50 ms", "p95 ms", "index", "", box=None)
    for figures in measured:
        table.add_row(
            figures.table,
            f"{figures.stored_rows:,}",
            f"{figures.rows_returned:,}",
            f"{figures.rows_examined:,}",
            f"{figures.p50_milliseconds:.1f}",
            f"{figures.p95_milliseconds:.1f}",
            ", ".join(figures.indexes),
            figures.verdict,
        )
    console = Console(width=140)
    console.print(title)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
