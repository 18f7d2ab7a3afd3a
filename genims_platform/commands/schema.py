"""`genims schema`: tables, indexes, partitions and fences of the MySQL databases."""

from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

from genims_platform.audit.database import audit_database
from genims_platform.commands.console import (
    Exit,
    Json,
    console,
    current_settings,
    errors,
    friendly_errors,
    print_json,
)
from genims_platform.mysql.deploy import Change, DeployError, deploy
from genims_platform.orchestration.resources import reporting_database, utc_now

app = typer.Typer(help="Deploy the MySQL schemas.", no_args_is_help=True)


class Target(StrEnum):
    """Databases whose schema can be deployed."""

    REPORTING = "reporting"
    AUDIT = "audit"


@app.callback()
def _group() -> None: ...


@app.command("deploy")
def deploy_schema(
    database: Annotated[Target, typer.Option(help="Which database.")] = Target.REPORTING,
    allow_destructive: Annotated[
        bool, typer.Option(help="Also change and drop columns, which can lose data; never in the audit database.")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Show the statements, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Create what is missing and show every difference; exit code 1 if differences remain."""
    connect = reporting_database if database is Target.REPORTING else audit_database
    with friendly_errors():
        try:
            changes = deploy(
                connect(current_settings()),
                database.value,
                today=utc_now().date(),
                allow_destructive=allow_destructive,
                dry_run=dry_run,
            )
        except DeployError as error:
            errors.print(f"[red]cannot go on:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            raise typer.Exit(Exit.FINDINGS) from None
    left = [change for change in changes if not change.applied]
    if as_json:
        print_json(changes)
    else:
        for change in changes:
            _print(change)
        console.print(f"{len(changes) - len(left)} changes made, {len(left)} left")
    if left and not dry_run:
        if any(change.remedy is None for change in left):
            console.print("Changes that can lose data need --allow-destructive; look at them with --dry-run --json.")
        raise typer.Exit(Exit.FINDINGS)


def _print(change: Change) -> None:
    state = "[green]done[/]" if change.applied else "[yellow]left[/]"
    reason = f": {change.remedy}" if change.remedy else ""
    console.print(f"{state} {change.kind} {escape(change.object + reason)}", soft_wrap=True)
