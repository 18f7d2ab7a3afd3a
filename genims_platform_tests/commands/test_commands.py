"""What people and scripts see of `genims`: exit codes, one clear line for a mistake, JSON, help."""

import json
import re
from collections.abc import Iterator

import pytest
import typer.main
from typer.core import TyperCommand, TyperGroup

from genims_platform.cli import app
from genims_platform.settings import Settings
from genims_platform_tests.commands.conftest import Genims, renamed


def test_sources_that_match_have_no_findings(genims: Genims, factory: Settings) -> None:
    assert factory.pg_mes_db
    result = genims("sources", "check")
    assert (result.exit_code, result.stdout) == (0, "0 differences from the catalogue\n")


@pytest.mark.parametrize(
    ("column", "severity", "code", "end"),
    [
        ("good_quantity", "error", 1, "is missing; reports read it"),
        ("yield_percentage", "warning", 0, "is missing; no report reads it"),
    ],
)
def test_a_missing_column_fails_the_check_only_if_reports_read_it(
    *, column: str, severity: str, code: int, end: str, genims: Genims, factory: Settings
) -> None:
    with renamed(factory, "mes.work_orders", column):
        as_json, as_text = genims("sources", "check", "--json"), genims("sources", "check")
    assert as_json.exit_code == as_text.exit_code == code
    (finding,) = json.loads(as_json.stdout)
    assert {name: finding[name] for name in ("severity", "kind", "database", "table", "column", "found")} == {
        "severity": severity,
        "kind": "missing_column",
        "database": factory.pg_mes_db,
        "table": "work_orders",
        "column": column,
        "found": None,
    }
    assert finding["message"].endswith(end)
    assert as_text.stdout == f"{severity} {finding['message']}\n1 differences from the catalogue\n"


def test_a_wrong_setting_is_one_line_that_names_the_variable(genims: Genims) -> None:
    for command in (("sources", "check"), ("summary",), ("schema", "deploy"), ("sources", "create")):
        result = genims(*command, PG_PORT="65536")
        assert result.exit_code == 2
        assert result.stderr == "wrong settings: PG_PORT='65536': Input should be less than or equal to 65535\n"
        assert result.stdout == ""


def test_a_server_that_is_down_is_one_line_without_a_traceback(
    genims: Genims, settings_environment: dict[str, str]
) -> None:
    # Port 1 belongs to tcpmux, which no one runs; the brackets must not be taken for markup.
    postgres = genims("sources", "check", PG_PORT="1", PG_MASTER_DB="group[bold]master")
    assert postgres.stderr == (
        "not reachable: group[bold]master at 127.0.0.1:1: connection refused; "
        "is the server running, and are PG_HOST and PG_PORT right?\n"
    )
    mysql = genims("summary", MYSQL_REPORTING_PORT="1")
    assert mysql.stderr.startswith(f"not reachable: MySQL database {settings_environment['MYSQL_REPORTING_DB']} at ")
    assert "127.0.0.1:1 as user" in mysql.stderr
    assert mysql.stderr.count("\n") == 1
    assert postgres.exit_code == mysql.exit_code == 4


def test_a_schema_is_deployed_once(genims: Genims, settings_environment: dict[str, str]) -> None:
    own = {"MYSQL_REPORTING_DB": f"{settings_environment['MYSQL_REPORTING_DB']}_cli"}
    first, second = genims("schema", "deploy", **own), genims("schema", "deploy", **own)
    assert first.exit_code == second.exit_code == 0
    assert re.search(r"^[1-9]\d* changes made, 0 left$", first.stdout, re.MULTILINE)
    assert second.stdout == "0 changes made, 0 left\n"
    assert json.loads(genims("schema", "deploy", "--json", **own).stdout) == []


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    """Every command and group with its path."""
    assert isinstance(command, TyperCommand | TyperGroup)
    yield " ".join(path), command
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(path, c, id=path) for path, c in commands(typer.main.get_command(app))]
)
def test_every_command_and_option_is_explained(path: str, command: TyperCommand | TyperGroup, genims: Genims) -> None:
    assert command.help
    sentence, *further = command.help.split("\n\n")
    assert sentence.rstrip().endswith(".")
    if not isinstance(command, TyperGroup):
        assert f"genims {path}" in further[-1], "no example"
    for option in command.params:
        assert getattr(option, "help", None), option.name
    shown = genims(*path.split(), "--help")
    assert shown.exit_code == 0
    assert command.help.splitlines()[0].rstrip() in " ".join(shown.stdout.split())
