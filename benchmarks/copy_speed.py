"""How long a PostgreSQL → MySQL copy takes with this platform, with dlt and with Polars, in one run.

Measured: wall seconds from opening the connections to the last commit, imports excluded, of copying 13 columns of a
million material transactions (those of the local MES database, multiplied into a database of the benchmark's own).
dlt reads with its connectorx backend and loads through its SQLAlchemy destination, Polars reads with connectorx and
writes with `write_database`; both use the MySQL connector with its C extension. Only the platform's copy has a primary
key and replaces its rows atomically. Each copy must hold exactly the source's rows, keys, sums and instants.

Run, with `genims local up` and `genims generate` done and the extra `bench` installed:

    python -m benchmarks.copy_speed [--rows 1000000] [--json]

The ratios count; seconds depend on the machine. All databases of the benchmark (`genims_bench…`) are dropped at the end.
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
    """One copy: wall seconds, seconds relative to the platform's, and whether its content equals the source's."""

    method: str
    seconds: float
    ratio: float
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
            started = time.perf_counter()
            table = copy(settings, expected)
            seconds = time.perf_counter() - started
            exact = target_content(settings, table) == expected
            results.append(Copied(method, seconds, seconds / (results[0].seconds if results else seconds), exact))
    if as_json:
        report = {"rows": rows, "servers": engine_versions(), "copies": [asdict(result) for result in results]}
        print(json.dumps(report, indent=2))
    else:
        _print(results, rows)
    if not all(result.exact for result in results):
        raise typer.Exit(1)


def _print(results: list[Copied], rows: int) -> None:
    table = Table("copy", "seconds", "rows/s", "ratio", "content", title=f"{rows:,} rows, {engine_versions()}")
    for result in results:
        table.add_row(
            result.method,
            f"{result.seconds:.1f}",
            f"{rows / result.seconds:,.0f}",
            f"{result.ratio:.1f}",
            "exact" if result.exact else "[red]differs[/]",
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
