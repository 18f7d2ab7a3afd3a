"""The `genims` command."""

import typer

from genims_platform.commands import factory, local, reporting, schema, sources, webserver

app = typer.Typer(
    name="genims",
    help="Reporting and audit databases in MySQL, kept beside 13 PostgreSQL factory databases.",
    epilog="Exit codes: 0 done, 1 findings or failures, 2 wrong usage or settings, 4 a server is not reachable.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.add_typer(local.app, name="local")
app.add_typer(sources.app, name="sources")
app.add_typer(schema.app, name="schema")
app.command()(factory.generate)
app.command()(factory.simulate)
app.command()(reporting.backfill)
app.command()(reporting.summary)
app.command()(webserver.dev)

if __name__ == "__main__":
    app()
