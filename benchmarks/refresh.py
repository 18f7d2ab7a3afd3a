"""How long the hourly refresh and the 12-month backfill take through Dagster, and how much of that is data work.

Measured on the servers of `genims local up`, which must hold generated sources and deployed schemas:

* hourly: `dagster job execute` of `reporting_hourly` for the last closed hour, the median of `--repeat` commands;
* backfill: `genims backfill` of the whole window. `--fresh` empties the reporting tables before it: on tables that are
  filled, days that look back at refreshed ones are computed again, which a first fill need not do.

Wall seconds are those of the command, start-up and imports included; the run's are from start to end as Dagster records
it. Data work is the sum of the `seconds` of the materialisations of all tables: read, compute, validate and load.
The rest is Dagster's. Peak memory is the largest sum of resident bytes over the command's processes.

    python -m benchmarks.refresh [--no-hourly] [--no-backfill] [--fresh] [--repeat 3] [--json]
"""

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Annotated

import dagster as dg
import typer
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, PARTITION_NAME_TAG
from rich.console import Console
from rich.table import Table

from benchmarks.dagster_run import run_last_closed_hour, run_seconds, script
from benchmarks.local_servers import engine_versions, local_settings
from benchmarks.measured_process import Measured, run_measured
from genims_platform.mysql.connection import identifier
from genims_platform.orchestration.instance import project_instance
from genims_platform.orchestration.keys import reporting_key
from genims_platform.orchestration.resources import reporting_database, utc_now
from genims_platform.reporting.registry import reporting_tables
from genims_platform.settings import Settings
from genims_platform.sources.connection import connect


@dataclass(frozen=True)
class Figures:
    """One measurement; `dagster_seconds` is what remains of the wall seconds after the data work."""

    what: str
    wall_seconds: float
    run_seconds: float
    data_seconds: float
    dagster_seconds: float
    dagster_to_data: float
    peak_megabytes: float
    runs: int
    materialisations: int
    event_rows: int


def main(
    hourly: Annotated[bool, typer.Option(help="Measure the hourly refresh.")] = True,
    backfill: Annotated[bool, typer.Option(help="Measure the backfill of the window.")] = True,
    fresh: Annotated[bool, typer.Option("--fresh", help="Empty the reporting tables before the backfill.")] = False,
    repeat: Annotated[int, typer.Option(min=1, help="Hourly refreshes, of which the median counts.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure the refreshes that are not switched off and print seconds, memory and Dagster's share."""
    settings = local_settings()
    measured: list[Figures] = []
    load = round(os.getloadavg()[0], 1)
    with project_instance() as instance:
        if backfill:
            if fresh:
                _empty_reporting_tables(settings)
            measured.append(_backfill(settings, instance, "backfill, empty tables" if fresh else "backfill"))
        if hourly:
            hours = sorted((_hourly(settings, instance) for _ in range(repeat)), key=attrgetter("wall_seconds"))
            measured.append(hours[len(hours) // 2])
    head = {"tables": len(reporting_tables()), "servers": engine_versions(), "load_average_at_start": load}
    if as_json:
        print(json.dumps({**head, "measured": [asdict(figures) for figures in measured]}, indent=2))
    else:
        _print(measured, ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in head.items()))


def _hourly(settings: Settings, instance: dg.DagsterInstance) -> Figures:
    selected, process = run_last_closed_hour(utc_now())
    return _figures("hourly", settings, instance, selected, process)


def _backfill(settings: Settings, instance: dg.DagsterInstance, what: str) -> Figures:
    started = datetime.now(UTC)
    process = run_measured([script("genims"), "backfill"])
    runs = dg.RunsFilter(tags={"genims/kind": "backfill"}, created_after=started)
    return _figures(what, settings, instance, runs, process)


def _figures(
    what: str, settings: Settings, instance: dg.DagsterInstance, selected: dg.RunsFilter, process: Measured
) -> Figures:
    records = list(instance.get_run_records(selected))
    runs = [record.dagster_run for record in records]
    data = sum(_data_seconds(instance, run) for run in runs)
    rest = process.seconds - data
    events, materialisations = _event_rows(settings, [run.run_id for run in runs])
    return Figures(
        what=what,
        wall_seconds=process.seconds,
        run_seconds=sum(map(run_seconds, records)),
        data_seconds=data,
        dagster_seconds=rest,
        dagster_to_data=rest / data,
        peak_megabytes=process.peak_bytes / 1e6,
        runs=len(runs),
        materialisations=materialisations,
        event_rows=events,
    )


def _data_seconds(instance: dg.DagsterInstance, run: dg.DagsterRun) -> float:
    """Seconds of data work of one run, which the materialisation of the last hour of each table carries."""
    last = run.tags.get(ASSET_PARTITION_RANGE_END_TAG) or run.tags[PARTITION_NAME_TAG]
    total = 0.0
    for name in reporting_tables():
        newest_first = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=reporting_key(name), asset_partitions=[last]), limit=100
        )
        record = next((record for record in newest_first.records if record.run_id == run.run_id), None)
        materialisation = record.asset_materialization if record else None
        if materialisation is None:
            raise RuntimeError(f"run {run.run_id} did not publish {name}; see it in Dagster")
        total += float(str(materialisation.metadata["seconds"].value))
    return total


def _event_rows(settings: Settings, run_ids: list[str]) -> tuple[int, int]:
    """Rows that these runs wrote to Dagster's event log, and how many of them are materialisations."""
    connection = connect(settings.dagster_storage)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*), count(*) FILTER (WHERE dagster_event_type = 'ASSET_MATERIALIZATION') "
                "FROM event_logs WHERE run_id = ANY(%s)",
                (run_ids,),
            )
            events, materialisations = cursor.fetchone() or (0, 0)
            return events, materialisations
    finally:
        connection.close()


def _empty_reporting_tables(settings: Settings) -> None:
    database = reporting_database(settings)
    with database.connection() as connection, connection.cursor() as cursor:
        for name in reporting_tables():
            cursor.execute(f"TRUNCATE TABLE {identifier(name)}")
    database.close()


def _print(measured: list[Figures], title: str) -> None:
    columns = ("", "wall s", "runs s", "data s", "Dagster s", "Dagster : data", "peak MB", "runs", "events")
    table = Table(*columns, box=None)
    for figures in measured:
        table.add_row(
            figures.what,
            f"{figures.wall_seconds:.1f}",
            f"{figures.run_seconds:.1f}",
            f"{figures.data_seconds:.1f}",
            f"{figures.dagster_seconds:.1f}",
            f"{figures.dagster_to_data:.2f}",
            f"{figures.peak_megabytes:,.0f}",
            f"{figures.runs}",
            f"{figures.event_rows:,}",
        )
    console = Console()
    console.print(title)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
