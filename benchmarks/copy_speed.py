"""How long a PostgreSQL → MySQL copy takes with this platform, with dlt and with Polars, in one run.

Measured: wall seconds from opening the connections to the last commit, imports excluded, and CPU seconds of this
process, of copying 13 columns of a million material transactions (those of the local MES database, multiplied into a
database of the benchmark's own). dlt reads with its connectorx backend and loads through its SQLAlchemy destination,
Polars reads with connectorx and writes with `write_database`; both use the MySQL connector with its C extension. Only
the platform's copy has a primary key and replaces its rows atomically. Each copy must hold exactly the source's rows,
keys, sums and instants.

Run, with `genims local up` and `genims generate` done and the extra `bench` installed:

    python -m benchmarks.copy_speed [--rows 1000000] [--json]

The ratios count; seconds depend on the machine, and on one that is busy the CPU seconds are the steadier measure.
All databases of the benchmark (`genims_bench…`) are dropped at the end.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.copy_databases import OVERRIDES, Content, bench_databases, source_content, target_content
from benchmarks.copy_methods import copy_with_dlt, copy_with_platform, copy_with_polars
from benchmarks.local_servers import engine_versions, local_settings
from genims_platform.settings import Settings

METHODS: dict[str, Callable[[Settings, Content], str]] = {
    "platform": copy_with_platform,
    "dlt (connectorx)": copy_with_dlt,
    "Polars write_database": copy_with_polars,
}


@dataclass(frozen=True)
class Copied:
    """One copy: wall and own CPU seconds, each also relative to the platform's; whether it equals the source."""

    method: str
    seconds: float
    ratio: float
    cpu_seconds: float
    cpu_ratio: float
    exact: bool


def main(
    rows: Annotated[int, typer.Option(min=1, help="Rows to copy.")] = 1_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Copy one table three ways and print seconds and ratios; exit code 1 if a copy is not exact."""
    original = local_settings().source("mes")
    settings = local_settings(OVERRIDES)
    results: list[Copied] = []
    with bench_databases(settings, original, rows):
        expected = source_content(settings)
        for method, copy in METHODS.items():
            started, cpu_started = time.perf_counter(), time.process_time()
            table = copy(settings, expected)
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
            exact = target_content(settings, table) == expected
            ratio, cpu_ratio = (seconds / results[0].seconds, cpu / results[0].cpu_seconds) if results else (1.0, 1.0)
            results.append(Copied(method, seconds, ratio, cpu, cpu_ratio, exact))
    if as_json:
        report = {"rows": rows, "servers": engine_versions(), "copies": [asdict(result) for result in results]}
        print(json.dumps(report, indent=2))
    else:
        _print(results, rows)
    if not all(result.exact for result in results):
        raise typer.Exit(1)


def _print(results: list[Copied], rows: int) -> None:
    title = f"{rows:,} rows, {engine_versions()}"
    table = Table("copy", "seconds", "ratio", "client CPU s", "ratio", "rows/s", "content", title=title)
    for result in results:
        table.add_row(
            result.method,
            f"{result.seconds:.1f}",
            f"{result.ratio:.1f}",
            f"{result.cpu_seconds:.1f}",
            f"{result.cpu_ratio:.1f}",
            f"{rows / result.seconds:,.0f}",
            "exact" if result.exact else "[red]differs[/]",
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
