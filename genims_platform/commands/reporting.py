"""`genims backfill` and `genims summary`: the reporting tables without the web interface."""

import time
from datetime import datetime
from typing import Annotated

import typer
from rich.bar import Bar
from rich.table import Column, Table

from genims_platform.build import REPORTING_JOB, build_definitions
from genims_platform.commands.console import Exit, console, current_settings, errors, friendly_errors, progress_bar
from genims_platform.orchestration.backfill import months_of, run_range
from genims_platform.orchestration.instance import project_instance
from genims_platform.orchestration.resources import reporting_database, utc_now
from genims_platform.reporting.periods import Hours, midnight
from genims_platform.reporting.registry import reporting_tables
from genims_platform.reporting.summary import oee_by_factory, table_sizes
from genims_platform.rolling_window import window_start

Day = datetime


def backfill(
    start: Annotated[
        Day | None, typer.Option("--from", help="First hour, UTC; the start of the 12-month window by default.")
    ] = None,
    end: Annotated[Day | None, typer.Option("--to", help="End, exclusive, UTC; the last full hour by default.")] = None,
    table: Annotated[list[str] | None, typer.Option(help="A table; all by default. May be repeated.")] = None,
) -> None:
    """Publish the reporting tables for a span of hours, a Dagster run a month; exit code 1 if a table failed."""
    now = utc_now()
    last_full_hour = now.replace(minute=0, second=0, microsecond=0)
    hours = Hours(start or midnight(window_start(now.date())), min(end or last_full_hour, last_full_hour))
    unknown = set(table or ()) - set(reporting_tables())
    if unknown or hours.start >= hours.end:
        problem = f"no such table: {', '.join(sorted(unknown))}" if unknown else "--from is not before --to"
        errors.print(f"[red]{problem}[/]; tables are {', '.join(reporting_tables())}")
        raise typer.Exit(Exit.USAGE)
    job = build_definitions(settings=current_settings()).resolve_job_def(REPORTING_JOB)
    started = time.perf_counter()
    failed: set[str] = set()
    months = list(months_of(hours))
    with friendly_errors(), project_instance() as instance, progress_bar() as bar:
        task = bar.add_task("months", total=len(months))
        for month in months:
            begun = time.perf_counter()
            run = run_range(job, instance, month, table)
            failed |= set(run.failed)
            console.print(
                f"{month.start:%Y-%m-%d %H:%M} to {month.end:%Y-%m-%d %H:%M}  {time.perf_counter() - begun:.1f} s"
            )
            if run.failed:
                errors.print(f"[red]{month.start:%Y-%m}[/] {', '.join(run.failed)} failed, see run {run.run_id}")
            bar.advance(task)
    console.print(f"{len(months)} runs in {time.perf_counter() - started:.1f} s")
    if failed:
        raise typer.Exit(Exit.FINDINGS)


def summary() -> None:
    """Show the rows of every reporting table and the OEE of each factory over the last 30 days."""
    with friendly_errors():
        database = reporting_database(current_settings())
        sizes = table_sizes(database, list(reporting_tables()))
        factories = oee_by_factory(database, utc_now().date())
    name = Column("table", min_width=max(map(len, reporting_tables())))
    rows = Table(name, "rows", "first day", "last day", "last load (UTC)", box=None, pad_edge=False)
    for size in sizes:
        loaded = f"{size.loaded_at:%Y-%m-%d %H:%M:%S}" if size.loaded_at else ""
        rows.add_row(size.table, f"{size.rows:,}", str(size.first or ""), str(size.last or ""), loaded)
    console.print(rows)
    chart = Table("factory", "OEE, last 30 days", "", box=None)
    for factory in factories:
        chart.add_row(factory.name, Bar(size=100, begin=0, end=factory.oee_pct, width=40), f"{factory.oee_pct:.1f} %")
    console.print(chart)
