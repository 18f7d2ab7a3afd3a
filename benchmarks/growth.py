"""How refreshes grow: with the size of the factory group, and with the length of its history.

Three factory groups are generated in databases of their own on the servers of `genims local up`, and dropped
afterwards. Three comparisons of a refresh of all tables:

* run: the last closed hour as `dagster job execute` runs it, for a group and the same with twice the history; seconds
  are the run's from start to end, as Dagster records them;
* hour: the same without Dagster (data work: read, compute, validate and load);
* month: the data work of the last closed month, for a group and one of `--times` the size.

Every refresh is a process of its own; seconds and peak memory of data work are measured after its imports. CPU seconds
are those of the process and, meanwhile, of both servers: other work on the machine hardly changes them, other work on
these servers does. The two groups take turns, so that other work slows both; the first refresh of each is not counted,
of `--repeat` others the median is. Days that both histories share hold as many facts in each. Generating takes most of
the time: about 20 minutes in all on two quiet cores.

    python -m benchmarks.growth [--only history|size] [--times 4] [--history 12] [--repeat 3] [--size 1] [--json]
"""

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Annotated, Literal

import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.dagster_run import run_last_closed_hour, run_seconds
from benchmarks.local_servers import local_settings
from genims_platform.local import servers
from genims_platform.local.generate.plan import Plan
from genims_platform.local.generate.run import generate
from genims_platform.local.postgres import connect_postgres
from genims_platform.mysql.connection import identifier
from genims_platform.mysql.deploy import deploy
from genims_platform.orchestration.instance import project_instance
from genims_platform.orchestration.resources import reporting_database, utc_now
from genims_platform.reporting.periods import Hours, midnight
from genims_platform.reporting.publish import refresh
from genims_platform.reporting.registry import reporting_tables
from genims_platform.rolling_window import add_months, window_start
from genims_platform.settings import SOURCE_NAMES, Settings
from genims_platform.sources.reader import SourceReader

Kind = Literal["run", "hour", "month"]


@dataclass(frozen=True)
class Measurement:
    """Seconds by the clock and of CPU, and peak memory of one refresh; source rows read, of data work only."""

    seconds: float
    cpu_seconds: float
    megabytes: float
    rows_read: int | None


@dataclass(frozen=True)
class Growth:
    """Medians of the usual group and the larger one, and how many times as much the larger one takes."""

    what: str
    usual: Measurement
    larger: Measurement
    times_the_seconds: float
    times_the_cpu_seconds: float
    times_the_memory: float
    times_the_rows_read: float | None
    seconds_of_each: tuple[tuple[float, ...], tuple[float, ...]]


def main(
    only: Annotated[Literal["history", "size"] | None, typer.Option(help="Compare only by this.")] = None,
    times: Annotated[float, typer.Option(help="Size of the larger group, in sizes of the usual one.")] = 4,
    history: Annotated[int, typer.Option(min=2, help="Months of history of the usual group.")] = 12,
    repeat: Annotated[int, typer.Option(min=1, help="Refreshes of each group, of which the median counts.")] = 3,
    size: Annotated[float, typer.Option(help="Scale of the usual group; smaller ones only show that it runs.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure how seconds and memory of a refresh grow with size and history."""
    load = round(os.getloadavg()[0], 1)
    now = utc_now().replace(minute=0, second=0, microsecond=0)
    measured = []
    with closing(_Group("usual", Plan(scale=size, months=history, until=now))) as usual:
        if only != "size":
            longer_history = f"{2 * history} months of history : {history}"
            with closing(_Group("longer", Plan(scale=size, months=2 * history, until=now))) as longer:
                measured += [
                    _compare(f"hour, data work, {longer_history}", usual, longer, "hour", repeat, now),
                    _compare(f"hour, Dagster run, {longer_history}", usual, longer, "run", repeat, now),
                ]
        if only != "history":
            larger_size = f"scale {times * size:g} : {size:g}"
            with closing(_Group("larger", Plan(scale=times * size, months=history, until=now))) as larger:
                measured.append(
                    _compare(f"closed month, data work, {larger_size}", usual, larger, "month", repeat, now)
                )
    if as_json:
        print(
            json.dumps({"load_average_at_start": load, "measured": [asdict(growth) for growth in measured]}, indent=2)
        )
    else:
        _print(measured, load)


class _Group:
    """A generated factory group in databases of its own."""

    def __init__(self, name: str, plan: Plan) -> None:
        usual = local_settings()
        names = {f"pg_{source}_db": f"genims_growth_{name}_{source}" for source in SOURCE_NAMES}
        self.settings: Settings = usual.model_copy(update={**names, "mysql_reporting_db": f"genims_growth_{name}"})
        try:
            generate(self.settings, plan, replace=True)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop the databases."""
        server = self.settings.source_primary("mes")
        with closing(connect_postgres(server.port, server.password)) as connection:
            connection.autocommit = True
            for source in SOURCE_NAMES:
                database = identifier(self.settings.source_primary(source).database).replace("`", '"')
                connection.cursor().execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        with closing(reporting_database(self.settings)) as database, database.administration() as mysql:
            mysql.cursor().execute(f"DROP DATABASE IF EXISTS {identifier(self.settings.mysql_reporting_db)}")


def _compare(what: str, usual: _Group, larger: _Group, kind: Kind, repeat: int, now: datetime) -> Growth:
    measure = _dagster_run if kind == "run" else partial(_apart, kind=kind)
    for group in (usual, larger):  # fills caches, and the tables that later refreshes look back at
        measure(group.settings, now=now)
    turns = [(measure(usual.settings, now=now), measure(larger.settings, now=now)) for _ in range(repeat)]
    one, other = (_median(runs) for runs in zip(*turns, strict=True))
    return Growth(
        what,
        one,
        other,
        other.seconds / one.seconds,
        other.cpu_seconds / one.cpu_seconds,
        other.megabytes / one.megabytes,
        other.rows_read / one.rows_read if one.rows_read and other.rows_read else None,
        (tuple(one.seconds for one, _ in turns), tuple(other.seconds for _, other in turns)),
    )


def _median(runs: Sequence[Measurement]) -> Measurement:
    return Measurement(
        median(run.seconds for run in runs),
        median(run.cpu_seconds for run in runs),
        median(run.megabytes for run in runs),
        runs[0].rows_read,
    )


def _dagster_run(settings: Settings, now: datetime) -> Measurement:
    databases = {f"PG_{source.upper()}_DB": settings.source_primary(source).database for source in SOURCE_NAMES}
    machinery = _servers()
    cpu = _cpu_of(machinery)
    selected, process = run_last_closed_hour(now, {"MYSQL_REPORTING_DB": settings.mysql_reporting_db, **databases})
    cpu = _cpu_of(machinery) - cpu + process.cpu_seconds
    with project_instance() as instance:
        (record,) = instance.get_run_records(selected)
    return Measurement(run_seconds(record), cpu, process.peak_bytes / 1e6, None)


def _apart(settings: Settings, kind: Kind, now: datetime) -> Measurement:
    """One refresh, by a process that does nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_measure, settings, kind, now).result()


def _measure(settings: Settings, kind: Kind, now: datetime) -> Measurement:
    end = midnight(now.date().replace(day=1))
    hours = Hours(now - timedelta(hours=1), now) if kind == "hour" else Hours(midnight(add_months(end.date(), -1)), end)
    # As in a backfill of the window, whose months leave each other's days alone.
    whole = None if kind == "hour" else Hours(midnight(window_start(now.date())), now)
    with closing(reporting_database(settings)) as target, closing(SourceReader(settings)) as sources:
        deploy(target, "reporting", today=now.date())
        machinery = _servers()
        cpu, started = _cpu_of(machinery) + time.process_time(), time.perf_counter()
        for table in reporting_tables().values():
            outcome = refresh(table, hours, sources=sources, target=target, as_of=now, lock_timeout=60, whole=whole)
            if outcome.failures:
                raise RuntimeError(f"{table.name}: {outcome.failures[0]}")
        seconds = time.perf_counter() - started
        cpu = _cpu_of(machinery) + time.process_time() - cpu
        return Measurement(seconds, cpu, _peak_kilobytes() / 1e3, sum(sources.rows_read.values()))


def _servers() -> list[psutil.Process]:
    return [psutil.Process(server.pid) for server in servers.status() if server.pid]


def _cpu_of(machinery: Sequence[psutil.Process]) -> float:
    """Seconds of the servers, with those of their processes that have ended."""
    seconds = 0.0
    for server in machinery:
        times = server.cpu_times()
        seconds += times.user + times.system + times.children_user + times.children_system
        for child in server.children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # ended just now, so that it may be counted next time
                seconds += sum(child.cpu_times()[:2])
    return seconds


def _peak_kilobytes() -> int:
    # Not ru_maxrss: a spawned process begins with its parent's.
    status = Path("/proc/self/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def _print(measured: list[Growth], load: float) -> None:
    larger = ("larger", "times")
    names = ("all tables", "s", *larger, "CPU s", *larger, "MB", *larger, "rows read")
    table = Table(title=f"medians; load average at start: {load}", box=None)
    for position, name in enumerate(names):
        table.add_column(name, justify="right" if position else "left", no_wrap=True)
    for growth in measured:
        table.add_row(
            growth.what,
            f"{growth.usual.seconds:.1f}",
            f"{growth.larger.seconds:.1f}",
            f"{growth.times_the_seconds:.2f}",
            f"{growth.usual.cpu_seconds:.1f}",
            f"{growth.larger.cpu_seconds:.1f}",
            f"{growth.times_the_cpu_seconds:.2f}",
            f"{growth.usual.megabytes:.0f}",
            f"{growth.larger.megabytes:.0f}",
            f"{growth.times_the_memory:.2f}",
            f"{growth.times_the_rows_read:.2f}" if growth.times_the_rows_read else "",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    typer.run(main)
