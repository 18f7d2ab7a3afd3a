"""Publishing from the command line and what `genims status` says of it afterwards."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from typer.testing import Result

from genims_platform.mysql.connection import Database
from genims_platform.mysql.contract import contracts
from genims_platform.mysql.slices import exclusive_writer
from genims_platform.orchestration.resources import utc_now
from genims_platform.reporting.checks import CHECK_NAMES
from genims_platform.reporting.periods import DAY
from genims_platform.rolling_window import window_start
from genims_platform.settings import Settings
from genims_platform_tests.commands.conftest import Genims, renamed

TABLE = "labor_efficiency_daily"
HOUR = timedelta(hours=1)
TOMORROW = f"{utc_now().date() + DAY}"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--table", "oee_daily"), r"no such table: oee_daily; did you mean oee_summary_daily"),
        (("--table", "zzz"), r"no such table: zzz; `genims status` lists the tables"),
        (
            ("--from", "2026-01-02", "--to", "2026-01-02"),
            r"--from 2026-01-02 00:00 is not before --to",
        ),
        (("--from", TOMORROW), r"--from .* lies after the last closed hour; allowed is .* 00:00 to .* UTC"),
        (("--from", "2026-01-02", "--to", f"{TOMORROW}T01"), r"--to .* 01:00 lies after the last closed hour; allowed"),
        (("--from", "2019-01-01"), r"--from 2019-01-01 00:00 lies before the 12-month window; allowed is .* UTC"),
        (("--from", "2026-01-02T10:30"), r"is not the start of an hour; hours are UTC"),
        (("--from", "2026-01-02T10:00+05:30"), r"that is 04:30 UTC, is not the start of an hour"),
        (("--from", "yesterday"), r"neither a day \(2026-11-22\) nor an hour"),
    ],
)
@pytest.mark.parametrize("command", ["refresh", "backfill"])
def test_a_choice_that_makes_no_sense_is_answered_with_what_does(
    command: str, arguments: tuple[str, ...], problem: str, genims: Genims
) -> None:
    result = genims(command, *arguments, COLUMNS="400")
    assert result.exit_code == 2
    assert re.search(problem, re.sub(r"[\s│]+", " ", result.stderr)), result.stderr


def status_of(result: Result) -> Mapping[str, Any]:
    (state,) = [state for state in json.loads(result.stdout)["tables"] if state["table"] == TABLE]
    return state


def test_hours_are_published_missing_ones_found_and_filled(
    *, recorded_genims: Genims, clocked_in: datetime, factory: Settings, reporting: Database
) -> None:
    hour = clocked_in.replace(minute=0)
    of_hour = ("--table", TABLE, "--from", f"{hour:%Y-%m-%dT%H}", "--to", f"{hour + HOUR:%Y-%m-%dT%H}")
    refreshed = recorded_genims("refresh", *of_hour, "--json")
    assert refreshed.exit_code == 0, refreshed.stderr
    (run,) = json.loads(refreshed.stdout)["runs"]
    assert (run["from"], run["to"]) == (hour.isoformat(), (hour + HOUR).isoformat())
    (published,) = run["tables"]
    assert published["rows"] == reporting.read(f"SELECT COUNT(*) FROM {TABLE}").item() > 0
    assert f"to {hour.date()}" in published["periods"]

    checked = recorded_genims("status", "--json")
    state = status_of(checked)
    closed = (utc_now() - timedelta(minutes=30)).replace(minute=0, second=0, microsecond=0)
    window = closed - datetime.combine(window_start(closed.date()), datetime.min.time())
    assert checked.exit_code == 1
    assert state["missing_hours"] == window // HOUR - 1
    assert (state["failed_hours"], state["stale"], state["healthy"], state["checks_failed"]) == (0, False, False, [])
    assert state["rows"] == published["rows"]
    assert state["checks_passed"] + len(state["checks_warned"]) == len(CHECK_NAMES)
    assert state["newest_source_event"] == f"{clocked_in}"

    of_day = ("--table", TABLE, "--from", f"{hour.date()}", "--to", f"{hour.date() + DAY}")
    filled = recorded_genims("backfill", *of_day, "--only-missing")
    assert filled.exit_code == 0, filled.stderr
    before, after, total = filled.stdout.splitlines()
    assert before.startswith(f"{hour.date()} 00:00 to {hour.date()} 05:00  {TABLE}, ")
    assert "; 1 runs left, about " in before
    assert after.startswith(f"{hour.date()} 06:00 to {hour.date() + DAY} 00:00  {TABLE}, ")
    assert total == "2 runs, 0 with failures"
    assert recorded_genims("backfill", *of_day, "--only-missing").stdout == "Nothing is missing.\n"

    with renamed(factory, "mes.labor_transactions", "labor_cost"):
        failed = recorded_genims("refresh", *of_hour)
    assert failed.exit_code == 1
    assert re.search(rf"^failed {TABLE}, .*labor_transactions.labor_cost is missing", failed.stderr, re.MULTILINE)
    assert "0 of 1 tables" in failed.stdout
    shown = recorded_genims("status")
    assert shown.exit_code == 1
    (line,) = [line for line in shown.stdout.splitlines() if line.startswith(TABLE)]
    assert re.search(rf" 0 min +{published['rows']} .* passed.* [\d,]+ missing, 1 failed ", line)


def test_status_says_what_it_can_while_servers_are_down(
    recorded_genims: Genims, reporting: Database, factory: Settings
) -> None:
    assert reporting.server.database == factory.mysql_reporting_db
    down = recorded_genims("status", DAGSTER_PG_DB="genims_t_gone")
    assert down.exit_code == 1
    everything = recorded_genims("status", "--json", MYSQL_REPORTING_PORT="1", PG_PORT="1")
    assert everything.exit_code in (1, 4)
    problems = json.loads(everything.stdout)["problems"]
    assert any("MySQL database" in problem for problem in problems)
    assert any(problem.startswith(factory.pg_mes_db) for problem in problems)


def test_nothing_is_run_where_nothing_could_be_written(recorded_genims: Genims, factory: Settings) -> None:
    result = recorded_genims("refresh", "--table", TABLE, MYSQL_REPORTING_PORT="1")
    assert result.exit_code == 4
    assert result.stderr.startswith(f"not reachable: MySQL database {factory.mysql_reporting_db} at ")


def test_summary_shows_what_is_stored(genims: Genims, reporting: Database) -> None:
    assert reporting.read(f"SELECT COUNT(*) FROM {TABLE}").item() == 0
    summary = genims("summary")
    assert summary.exit_code == 0
    (line,) = (line.split() for line in summary.stdout.splitlines() if line.startswith(TABLE))
    assert line[1] == "0"


def test_retention_counts_first_and_then_drops(genims: Genims, reporting: Database) -> None:
    first = window_start(utc_now().date())
    contract = contracts("reporting")["safety_compliance_daily"]
    zeros = {name: 0 for name, dtype in contract.polars_schema.items() if dtype.is_numeric()}
    texts = {"factory_id": "F1", "factory_name": "One"}
    frame, _ = contract.cast(pl.DataFrame([{"safety_date": day, **texts, **zeros} for day in (first - DAY, first)]))
    with exclusive_writer(reporting, contract.name, timeout=10) as writer:
        writer.replace(contract, frame, [(first - DAY, first + DAY)], period_column="safety_date")
    dry = genims("retention", "apply", "--dry-run", "--json")
    assert dry.exit_code == 0, dry.stderr
    assert json.loads(dry.stdout)["rows_dropped"] == 1
    assert "1 rows dropped" in genims("retention", "apply").stdout
    left = reporting.read("SELECT safety_date FROM safety_compliance_daily").to_series().to_list()
    assert left == [first]
