"""`genims refresh`: publish the hour that has just closed, or the hours that are named."""

import typer
from rich.markup import escape
from rich.table import Table

from genims_platform.commands.console import Exit, Json, console, errors, friendly_errors, print_json
from genims_platform.commands.publishing import Done, as_json, failures_of, publisher
from genims_platform.commands.spans import Allowed, From, Tables, To, chosen_tables
from genims_platform.orchestration.backfill import HOUR, RangeRun, runs_over
from genims_platform.orchestration.resources import utc_now
from genims_platform.reporting.periods import Hours


def refresh(table: Tables = None, start: From = None, end: To = None, as_json_: Json = False) -> None:
    """Publish the last closed hour, or the hours named, and record it in Dagster.

    Every period that events of these hours touch is computed anew from what the sources know now. Exit code 1 if a
    table was not published; it keeps its old rows.

    For example:

    genims refresh

    genims refresh --table oee_summary_daily --from 2026-11-22T06:00 --to 2026-11-22T14:00
    """
    with friendly_errors():
        tables = chosen_tables(table)
        allowed = Allowed.at(utc_now())
        last = end or allowed.hours.end
        hours = allowed.check(Hours(start or last - HOUR, last))
        with publisher() as reporting:
            runs = reporting.publish(runs_over(hours, tables), lambda done: None if as_json_ else _show(done))
    if as_json_:
        print_json(as_json(runs))
    if any(run.failed for run in runs):
        raise typer.Exit(Exit.FINDINGS)


def _show(done: Done) -> None:
    console.print(_table(done.run))
    for failure in failures_of([done.run]):
        errors.print(f"[red]failed[/] {escape(failure)}", soft_wrap=True, highlight=False)
    published = [table for table in done.run.tables if table.error is None]
    console.print(
        f"{len(published)} of {len(done.run.tables)} tables, {sum(table.rows for table in published):,} rows in "
        f"{done.seconds:.1f} s, {done.run.hours.start:%Y-%m-%d %H:%M} to {done.run.hours.end:%Y-%m-%d %H:%M} UTC, "
        f"run {done.run.run_id}",
        soft_wrap=True,
        highlight=False,
    )


def _table(run: RangeRun) -> Table:
    shown = Table("table", "rows", "periods", "seconds", box=None, pad_edge=False)
    for table in run.tables:
        if table.error is None:
            shown.add_row(table.table, f"{table.rows:,}", table.periods, f"{table.seconds:.1f}")
        else:
            shown.add_row(table.table, "[red]failed[/]", "", "")
    return shown
