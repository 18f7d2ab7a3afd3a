"""`genims sources`: the 13 PostgreSQL databases."""

import typer
from rich.markup import escape

from genims_platform.commands.console import Exit, Json, console, current_settings, friendly_errors, print_json
from genims_platform.reporting.registry import columns_read, reporting_tables
from genims_platform.sources import schema

app = typer.Typer(help="Create the 13 source databases locally, or compare live ones with the catalogue.")


@app.command()
def create() -> None:
    """Create missing databases and tables from the catalogue; what exists is left as it is.

    Example: genims sources create
    """
    with friendly_errors():
        for made in schema.create(current_settings()):
            state = "created" if made.database_created else "exists"
            console.print(f"{made.database:<26} {state:<8} {len(made.tables)} tables added")


@app.command()
def check(as_json: Json = False) -> None:
    """Report missing databases, tables and columns and changed types; exit code 1 if a report reads what is missing.

    Example: genims sources check --json
    """
    with friendly_errors():
        findings = schema.check(current_settings(), read_columns=columns_read(reporting_tables().values()))
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            colour = "red" if finding.severity == "error" else "yellow"
            console.print(f"[{colour}]{finding.severity}[/] {escape(finding.message)}", soft_wrap=True)
        console.print(f"{len(findings)} differences from the catalogue")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(Exit.FINDINGS)
