"""Commands are listed without being imported."""

import subprocess
import sys

import pytest
from typer.main import get_group

from genims_platform.cli import COMMANDS, app
from genims_platform.commands.lazy import LazyCommand


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_with_its_own_summary(name: str) -> None:
    command = get_group(app).get_command(None, name)  # pyright: ignore[reportArgumentType]
    assert isinstance(command, LazyCommand)
    assert command.name == command.load().name == name
    assert command.get_short_help_str(200) == command.load().get_short_help_str(200)


@pytest.mark.parametrize("arguments", [["--help"], ["local", "--help"], ["local", "up", "--help"], ["dev", "--help"]])
def test_what_needs_no_dagster_does_not_import_it(arguments: list[str]) -> None:
    code = """
import sys
from genims_platform.cli import app
app(standalone_mode=False)
print("dagster" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
