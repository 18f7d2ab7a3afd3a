"""`genims dev`: Dagster's web interface and daemon on this machine."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from genims_platform.commands.console import console, current_settings, friendly_errors
from genims_platform.commands.local import Engine
from genims_platform.local import servers
from genims_platform.settings import PROJECT_ROOT


def dev(
    local: Annotated[bool, typer.Option("--local", help="Start the private database servers first.")] = False,
    engine: Annotated[Engine, typer.Option(help="Engine of the private servers.")] = Engine.MARIADB,
    port: Annotated[int | None, typer.Option(help="Port of the web interface; GENIMS_WEBSERVER_PORT.")] = None,
) -> None:
    """Run Dagster's webserver and daemon (schedules, run queue) until Ctrl-C.

    Example: genims dev --local
    """
    if local:
        with friendly_errors():
            servers.up("mysql" if engine is Engine.MYSQL else "mariadb")
    port = port or current_settings().genims_webserver_port
    console.print(f"Dagster: [link]http://127.0.0.1:{port}[/link]  (Ctrl-C ends it)")
    dagster = Path(sys.executable).with_name("dagster")
    command = [str(dagster), "dev", "-w", str(PROJECT_ROOT / "workspace.yaml"), "-h", "127.0.0.1", "-p", str(port)]
    os.chdir(PROJECT_ROOT)
    # Dagster takes the place of this process, so that a signal to it reaches Dagster.
    os.execve(dagster, command, {**os.environ, "DAGSTER_HOME": str(PROJECT_ROOT)})  # noqa: S606
