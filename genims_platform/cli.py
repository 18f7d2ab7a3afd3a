"""The `genims` command."""

import typer

from genims_platform.commands.lazy import lazy_group

# Names and summaries are repeated here so that listing the commands imports none of them.
COMMANDS = {
    "local": ("local:app", "Private PostgreSQL and MySQL/MariaDB servers under .genims/, never a system service."),
    "sources": ("sources:app", "Create the 13 source databases locally, or compare live ones with the catalogue."),
    "schema": ("schema:app", "Deploy the MySQL schemas."),
    "retention": ("retention:app", "Keep the reporting database to its 12-month window."),
    "audit": ("audit:app", "The audit trail: capture of every change in the source databases."),
    "docs": ("docs:app", "The pages in docs/tables, generated from the schema and the models."),
    "generate": (
        "factory:generate",
        "Fill local source databases with a coherent factory group, a stated share of it dirty.",
    ),
    "simulate": (
        "factory:simulate",
        "Keep writing plausible inserts, updates and deletes to the source databases.",
    ),
    "refresh": ("refresh:refresh", "Publish the last closed hour, or the hours named, and record it in Dagster."),
    "backfill": ("backfill:backfill", "Publish the 12-month window, or a part of it, a Dagster run a month."),
    "status": (
        "status:status",
        "Show each table's last refresh, rows, checks, missing hours and how far behind its sources are.",
    ),
    "summary": (
        "summary:summary",
        "Show the rows of every reporting table and the OEE of each factory over the last 30 days.",
    ),
    "dev": ("webserver:dev", "Run Dagster's webserver and daemon (schedules, run queue) until Ctrl-C."),
}

app = typer.Typer(
    name="genims",
    cls=lazy_group(COMMANDS),
    help="Reporting and audit databases in MySQL, kept beside 13 PostgreSQL factory databases.",
    epilog="Exit codes: 0 done, 1 findings or failures, 2 wrong usage or settings, 3 refused (rights, "
    "undelivered events), 4 a server is not reachable, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


@app.callback()
def _group() -> None: ...


if __name__ == "__main__":
    app()
