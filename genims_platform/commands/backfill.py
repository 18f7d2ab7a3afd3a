"""`genims backfill`: publish months of hours, or those of them that are missing."""

from typing import Annotated

import typer
from rich.markup import escape

from genims_platform.commands.console import Exit, Json, console, errors, friendly_errors, print_json
from genims_platform.commands.publishing import Done, as_json, failures_of, publisher
from genims_platform.commands.spans import Allowed, From, Tables, To, chosen_tables
from genims_platform.orchestration.backfill import runs_over
from genims_platform.orchestration.resources import utc_now
from genims_platform.reporting.periods import Hours

_MINUTE = 60
_HOUR = 60 * _MINUTE


def backfill(
    *,
    start: From = None,
    end: To = None,
    table: Tables = None,
    only_missing: Annotated[
        bool, typer.Option("--only-missing", help="Only hours that Dagster has no successful run of.")
    ] = False,
    as_json_: Json = False,
) -> None:
    """Publish the 12-month window, or a part of it, a Dagster run a month.

    Can be stopped with Ctrl-C and gone on with: --only-missing. Exit code 1 if a table was not published for some
    month; it keeps its old rows there.

    For example:

    genims backfill

    genims backfill --from 2026-10-01 --to 2026-11-01 --table oee_summary_daily

    genims backfill --only-missing
    """
    with friendly_errors():
        tables = chosen_tables(table)
        allowed = Allowed.at(utc_now())
        hours = allowed.check(Hours(start or allowed.hours.start, end or allowed.hours.end))
        with publisher() as reporting:
            planned = reporting.missing(hours, tables) if only_missing else runs_over(hours, tables)
            runs = reporting.publish(planned, lambda done: None if as_json_ else _show(done))
    if as_json_:
        print_json(as_json(runs))
    elif not runs:
        console.print("Nothing is missing.")
    else:
        console.print(f"{len(runs)} runs, {sum(bool(run.failed) for run in runs)} with failures")
    if any(run.failed for run in runs):
        raise typer.Exit(Exit.FINDINGS)


def _show(done: Done) -> None:
    run = done.run
    left = f"; {done.runs_left} runs left, about {_duration(done.seconds_left)}" if done.runs_left else ""
    tables = run.tables[0].table if len(run.tables) == 1 else f"{len(run.tables)} tables"
    console.print(
        f"{run.hours.start:%Y-%m-%d %H:%M} to {run.hours.end:%Y-%m-%d %H:%M}  {tables}, "
        f"{sum(table.rows for table in run.tables):,} rows in {done.seconds:.1f} s{left}",
        soft_wrap=True,
        highlight=False,
    )
    for failure in failures_of([run]):
        errors.print(f"[red]failed[/] {escape(failure)}, run {run.run_id}", soft_wrap=True, highlight=False)


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"
