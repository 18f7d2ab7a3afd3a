"""`genims docs`: the generated pages of the reporting tables."""

import typer

from genims_platform.commands.console import Exit, console, errors
from genims_platform.documentation import pages
from genims_platform.reporting.registry import reporting_tables

app = typer.Typer(help="The pages in docs/tables, generated from the schema and the models.", no_args_is_help=True)


@app.callback()
def _group() -> None: ...


@app.command()
def write() -> None:
    """Write the pages that differ from the schema and the models.

    Example: genims docs write
    """
    changed = pages.write(pages.pages(reporting_tables()))
    console.print(f"{len(changed)} pages written in {pages.FOLDER}", soft_wrap=True, highlight=False)


@app.command()
def check() -> None:
    """Compare the pages with the schema and the models; exit code 1 and their names if some are stale.

    Example: genims docs check
    """
    stale = pages.stale(pages.pages(reporting_tables()))
    if stale:
        errors.print(f"[red]stale:[/] {', '.join(stale)}; run `genims docs write`", soft_wrap=True, highlight=False)
        raise typer.Exit(Exit.FINDINGS)
    console.print("All pages are up to date.")
