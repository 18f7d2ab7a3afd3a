"""`genims status`: whether the reporting tables are complete, fresh and right."""

from dataclasses import asdict

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from genims_platform.commands.console import Exit, Json, console, current_settings, errors, friendly_errors, print_json
from genims_platform.orchestration.instance import project_instance
from genims_platform.orchestration.overview import Overview, TableState, overview
from genims_platform.orchestration.partitions import hourly_partitions
from genims_platform.orchestration.resources import reporting_database, utc_now
from genims_platform.reporting.registry import reporting_tables

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_WIDTH_WITHOUT_TERMINAL = 200


def status(as_json: Json = False) -> None:
    """Show each table's last refresh, rows, checks, missing hours and how far behind its sources are.

    Exit code 1 if an hour of the window is missing or failed, a check failed, or a table was not refreshed for two
    hours; 4 if a server does not answer, after showing what the others know. All times are UTC.

    For example:

    genims status

    genims status --json | jq '.tables[] | select(.stale)'
    """
    now = utc_now()
    settings = current_settings()
    with friendly_errors():
        database = reporting_database(settings)
        found = overview(
            settings,
            reporting_tables(),
            database=database,
            open_instance=project_instance,
            partitions=hourly_partitions(now.date()),
            now=now,
        )
        database.close()
    if as_json:
        print_json({**asdict(found), "tables": [{**asdict(t), "healthy": t.healthy} for t in found.tables]})
    else:
        _show(found)
    if not all(table.healthy for table in found.tables):
        raise typer.Exit(Exit.FINDINGS)
    if found.problems:
        raise typer.Exit(Exit.UNREACHABLE)


def _show(found: Overview) -> None:
    headings = ("refreshed (UTC)", "age", "rows", "periods", "checks", "hours", "source lag")
    shown = Table(Column("table", no_wrap=True), *headings, box=None, pad_edge=False)
    for table in found.tables:
        refreshed = f"{table.refreshed_at:%Y-%m-%d %H:%M}" if table.refreshed_at else ""
        age = _span(table.age_seconds) or ("never" if table.stale else "")
        shown.add_row(
            table.table,
            refreshed,
            f"[red]{age}[/]" if table.stale else age,
            "" if table.rows is None else f"{table.rows:,}",
            f"{table.first_period} to {table.last_period}" if table.first_period else "",
            _checks(table),
            _hours(table),
            _span(table.source_lag_seconds),
        )
    (console if console.is_terminal else Console(width=_WIDTH_WITHOUT_TERMINAL)).print(shown)
    for problem in found.problems:
        errors.print(f"[yellow]not reachable:[/] {escape(problem)}", soft_wrap=True, highlight=False)
    unwell = sum(not table.healthy for table in found.tables)
    console.print(
        f"{len(found.tables) - unwell} of {len(found.tables)} tables are complete, fresh and right"
        + ("; `genims backfill --only-missing` publishes what is missing" if unwell else ""),
        soft_wrap=True,
        highlight=False,
    )


def _checks(table: TableState) -> str:
    if table.checks_passed is None:
        return ""
    parts = [f"{table.checks_passed} passed"]
    if table.checks_warned:
        parts.append(f"[yellow]{len(table.checks_warned)} warn[/] ({', '.join(table.checks_warned)})")
    if table.checks_failed:
        parts.append(f"[red]{len(table.checks_failed)} failed[/] ({', '.join(table.checks_failed)})")
    return ", ".join(parts)


def _hours(table: TableState) -> str:
    if table.missing_hours is None:
        return ""
    lacking = [("missing", table.missing_hours), ("failed", table.failed_hours or 0)]
    return ", ".join(f"[red]{count:,} {what}[/]" for what, count in lacking if count) or "complete"


def _span(seconds: int | None) -> str:
    if seconds is None:
        return ""
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"
    return f"{seconds // _DAY} days"
