"""`genims schema`: tables, indexes and partitions of the MySQL databases."""

from enum import StrEnum
from typing import Annotated

import typer

from genims_platform.commands.console import Exit, Json, console, current_settings, friendly_errors, print_json
from genims_platform.mysql.deploy import deploy
from genims_platform.orchestration.resources import reporting_database, utc_now

app = typer.Typer(help="Deploy the MySQL schemas.", no_args_is_help=True)


class Target(StrEnum):
    """Databases whose schema can be deployed."""

    REPORTING = "reporting"


@app.callback()
def _group() -> None: ...


@app.command("deploy")
def deploy_schema(
    database: Annotated[Target, typer.Option(help="Which database.")] = Target.REPORTING,
    allow_destructive: Annotated[bool, typer.Option(help="Also change and drop columns, which can lose data.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Show the statements, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Create what is missing and show every difference; exit code 1 if differences remain.

    Example: genims schema deploy --dry-run --json
    """
    with friendly_errors():
        changes = deploy(
            reporting_database(current_settings()),
            database.value,
            today=utc_now().date(),
            allow_destructive=allow_destructive,
            dry_run=dry_run,
        )
    left = [change for change in changes if not change.applied]
    if as_json:
        print_json(changes)
    else:
        for change in changes:
            state = "[green]done[/]" if change.applied else "[yellow]left[/]"
            console.print(f"{state} {change.kind} {change.object}", soft_wrap=True)
        console.print(f"{len(changes) - len(left)} changes made, {len(left)} left")
    if left and not dry_run:
        console.print("Changes that can lose data need --allow-destructive; look at them with --dry-run --json.")
        raise typer.Exit(Exit.FINDINGS)
