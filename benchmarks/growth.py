"""How the data work grows: with the size of the factory group, and with the length of its history.

Generates three groups in databases of their own on the servers of `genims local up` and drops them afterwards: the
usual one, one of `--scale` times the size, and one with twice the history. Each is refreshed without Dagster, every
measurement in a process of its own:

* months: all tables over the last `--months` closed months, usual size against larger;
* hour: all tables for the last closed hour, usual history against twice as long; the median of three.

    python -m benchmarks.growth [--scale 4] [--history 13] [--months 12] [--json]
"""

import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.local_servers import local_settings
from genims_platform.local.generate.plan import Plan
from genims_platform.local.generate.run import generate
from genims_platform.local.postgres import connect_postgres
from genims_platform.mysql.connection import identifier
from genims_platform.mysql.deploy import deploy
from genims_platform.orchestration.resources import reporting_database, utc_now
from genims_platform.reporting.periods import Hours, midnight
from genims_platform.reporting.publish import refresh
from genims_platform.reporting.registry import reporting_tables
from genims_platform.rolling_window import add_months
from genims_platform.settings import SOURCE_NAMES, Settings
from genims_platform.sources.reader import SourceReader

Kind = Literal["months", "hour"]


@dataclass(frozen=True)
class Growth:
    """Seconds and peak memory of the usual group and the larger one."""

    what: str
    usual_seconds: float
    larger_seconds: float
    times_the_seconds: float
    usual_megabytes: float
    larger_megabytes: float
    times_the_memory: float


def main(
    scale: Annotated[float, typer.Option(help="Size of the larger group.")] = 4,
    history: Annotated[int, typer.Option(min=2, help="Months of history of the usual group.")] = 13,
    months: Annotated[int, typer.Option(min=1, help="Closed months to refresh.")] = 12,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure how seconds and memory of the data work grow with size and history."""
    load = round(os.getloadavg()[0], 1)
    now = utc_now().replace(minute=0, second=0, microsecond=0)
    usual = _Group("usual", Plan(scale=1, months=history, until=now))
    larger = _Group("larger", Plan(scale=scale, months=history, until=now))
    longer = _Group("longer", Plan(scale=1, months=2 * history, until=now))
    with closing(usual), closing(longer):
        hour = _compare(f"one hour, {2 * history} months of history for {history}", usual, longer, "hour", 1, now)
        longer.close()
        with closing(larger):
            year = _compare(f"{months} months, {scale:g} times the size", usual, larger, "months", months, now)
    if as_json:
        print(json.dumps({"load_average_at_start": load, "measured": [asdict(hour), asdict(year)]}, indent=2))
    else:
        _print([hour, year], load)


class _Group:
    """A generated factory group in databases of its own."""

    def __init__(self, name: str, plan: Plan) -> None:
        usual = local_settings()
        names = {f"pg_{source}_db": f"genims_growth_{name}_{source}" for source in SOURCE_NAMES}
        self.settings: Settings = usual.model_copy(update={**names, "mysql_reporting_db": f"genims_growth_{name}"})
        generate(self.settings, plan, replace=True)

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


def _compare(what: str, usual: _Group, larger: _Group, kind: Kind, months: int, now: datetime) -> Growth:
    (seconds, memory), (more_seconds, more_memory) = (_apart(g.settings, kind, months, now) for g in (usual, larger))
    return Growth(
        what, seconds, more_seconds, more_seconds / seconds, memory / 1e3, more_memory / 1e3, more_memory / memory
    )


def _apart(settings: Settings, kind: Kind, months: int, now: datetime) -> tuple[float, int]:
    """Seconds, and peak memory in kilobytes, of a process that does nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_measure, settings, kind, months, now).result()


def _measure(settings: Settings, kind: Kind, months: int, now: datetime) -> tuple[float, int]:
    with closing(reporting_database(settings)) as target, closing(SourceReader(settings)) as sources:
        deploy(target, "reporting", today=now.date())

        def publish(hours: Hours) -> float:
            started = time.perf_counter()
            for table in reporting_tables().values():
                outcome = refresh(table, hours, sources=sources, target=target, as_of=now, lock_timeout=60)
                if outcome.failures:
                    raise RuntimeError(f"{table.name}: {outcome.failures[0]}")
            return time.perf_counter() - started

        hour = Hours(now - timedelta(hours=1), now)
        if kind == "hour":
            publish(hour)  # fills caches and what the later ones look back at
            seconds = median(publish(hour) for _ in range(3))
        else:
            end: date = now.date().replace(day=1)
            seconds = publish(Hours(midnight(add_months(end, -months)), midnight(end)))
    return seconds, _peak_kilobytes()


def _peak_kilobytes() -> int:
    # Not ru_maxrss: a spawned process begins with its parent's.
    status = Path("/proc/self/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def _print(measured: list[Growth], load: float) -> None:
    table = Table(title=f"load average at start: {load}", box=None)
    for name in ("", "usual s", "larger s", "times", "usual MB", "larger MB", "times"):
        table.add_column(name, justify="right" if name else "left")
    for growth in measured:
        table.add_row(
            growth.what,
            *(f"{seconds:.1f}" for seconds in (growth.usual_seconds, growth.larger_seconds)),
            f"{growth.times_the_seconds:.2f}",
            *(f"{megabytes:.0f}" for megabytes in (growth.usual_megabytes, growth.larger_megabytes)),
            f"{growth.times_the_memory:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
