"""`genims local`: private database servers for a laptop or CI."""

from enum import StrEnum
from typing import Annotated

import typer
from dotenv import dotenv_values
from rich.table import Table

from genims_platform.audit.encryption.keystore import ensure_key_store
from genims_platform.audit.sealer.signing import add_public_key, new_signing_key, read_signing_key
from genims_platform.commands.console import Exit, Json, console, friendly_errors, print_json
from genims_platform.local import servers
from genims_platform.settings import LOCAL_ENV, load_settings

app = typer.Typer(
    help="Private PostgreSQL and MySQL/MariaDB servers under .genims/, never a system service.", no_args_is_help=True
)


class Engine(StrEnum):
    """Which server plays the part of MySQL."""

    MARIADB = "mariadb"
    MYSQL = "mysql"


@app.command()
def up(
    engine: Annotated[Engine, typer.Option(help="MariaDB, or real MySQL 9.7.")] = Engine.MARIADB,
) -> None:
    """Start both servers (again), wait until they answer, and write .genims/local.env, which the settings read.

    Example: genims local up --engine mysql
    """
    with friendly_errors():
        servers.up("mysql" if engine is Engine.MYSQL else "mariadb")
        _make_keys()
    status(as_json=False)


@app.command()
def down() -> None:
    """Stop the servers and keep their data.

    Example: genims local down
    """
    with friendly_errors():
        servers.down()


@app.command()
def status(as_json: Json = False) -> None:
    """Show engine, version, port and health; exit code 1 if one does not answer.

    Example: genims local status --json
    """
    with friendly_errors():
        found = servers.status()
    if as_json:
        print_json(found)
    else:
        table = Table("server", "version", "port", "pid", "health", "data", box=None)
        for server in found:
            health = "[green]healthy[/]" if server.healthy else "[red]down[/]"
            table.add_row(
                server.engine, server.version or "", str(server.port), str(server.pid or ""), health, str(server.data)
            )
        console.print(table if found else "No local servers yet: `genims local up` makes them.")
    if not all(server.healthy for server in found):
        raise typer.Exit(Exit.FINDINGS)


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Stop the servers and delete all their data.

    Example: genims local reset --yes
    """
    if not yes:
        typer.confirm("Delete the local databases and everything in them?", abort=True)
    with friendly_errors():
        servers.reset()


def _make_keys() -> None:
    """What the audit trail signs and encrypts with, where `local.env` says; what exists is left alone."""
    made = load_settings({name.lower(): value for name, value in dotenv_values(LOCAL_ENV).items()})
    store, _ = ensure_key_store(made)
    store.close()
    key_file, public_keys = made.audit_signing_key_file, made.audit_public_keys_file
    assert key_file is not None  # noqa: S101 - written by `servers.up`
    assert public_keys is not None  # noqa: S101
    key = read_signing_key(key_file) if key_file.exists() else new_signing_key(key_file)
    add_public_key(public_keys, key.public)
