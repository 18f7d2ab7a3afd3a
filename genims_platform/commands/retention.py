"""`genims retention`: the rolling window of the reporting database."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from genims_platform.commands.console import Exit, Json, console, current_settings, errors, friendly_errors, print_json
from genims_platform.mysql.retention import RetentionResult, apply_retention
from genims_platform.orchestration.resources import reporting_database, utc_now

app = typer.Typer(help="Keep the reporting database to its 12-month window.", no_args_is_help=True)


@app.callback()
def _group() -> None: ...


@app.command()
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go and come.")] = False,
    as_json: Json = False,
) -> None:
    """Drop periods older than the 12-month window and create the monthly partitions ahead.

    Nothing inside the window is dropped. Dagster does the same every night. Exit code 1 if a table was busy or is not
    deployed; the others are done.

    Example: genims retention apply --dry-run
    """
    with friendly_errors():
        database = reporting_database(current_settings())
        result = apply_retention(database, today=utc_now().date(), dry_run=dry_run)
        database.close()
    if as_json:
        print_json(
            {
                "window_start": result.window_start,
                "dry_run": result.dry_run,
                "rows_dropped": result.rows_dropped,
                "tables": [asdict(table) for table in result.tables],
            }
        )
    else:
        _show(result)
    if result.problems:
        raise typer.Exit(Exit.FINDINGS)


def _show(result: RetentionResult) -> None:
    shown = Table("table", "rows dropped", "partitions dropped", "partitions created", box=None, pad_edge=False)
    for table in result.tables:
        if table.rows_dropped or table.partitions_dropped or table.partitions_created:
            dropped, created = ", ".join(table.partitions_dropped), ", ".join(table.partitions_created)
            shown.add_row(table.table, f"{table.rows_dropped:,}", dropped, created)
    if shown.row_count:
        console.print(shown)
    for problem in result.problems:
        errors.print(f"[red]left[/] {escape(problem)}", soft_wrap=True, highlight=False)
    would = "would be " if result.dry_run else ""
    console.print(
        f"The window begins on {result.window_start}: {result.rows_dropped:,} rows {would}dropped, "
        f"{result.partitions_dropped} partitions {would}dropped, {result.partitions_created} {would}created",
        soft_wrap=True,
        highlight=False,
    )
