"""Runs of the reporting job in this process, recorded by Dagster, with progress for people."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg
import typer
from rich.progress import TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from genims_platform.build import REPORTING_JOB, build_definitions
from genims_platform.commands.console import Exit, current_settings, errors, progress_bar
from genims_platform.orchestration.backfill import (
    HOUR,
    PlannedRun,
    RangeRun,
    RunInterruptedError,
    run_range,
    runs_for_gaps,
)
from genims_platform.orchestration.gaps import find_gaps
from genims_platform.orchestration.instance import project_instance
from genims_platform.orchestration.keys import reporting_key
from genims_platform.orchestration.partitions import hourly_partitions
from genims_platform.orchestration.resources import reporting_database, utc_now
from genims_platform.reporting.periods import Hours

# Months differ in rows, so the time left is judged by more than the last moments.
_SPEED_SECONDS = 600


@dataclass(frozen=True)
class Done:
    """A finished run, the seconds it took, and what is left: runs, and seconds if they go as the past ones did."""

    run: RangeRun
    seconds: float
    runs_left: int
    seconds_left: float


@dataclass(frozen=True)
class Publisher:
    """The reporting job and the Dagster instance that records its runs."""

    job: dg.JobDefinition
    instance: dg.DagsterInstance

    def missing(self, hours: Hours, tables: Sequence[str]) -> list[PlannedRun]:
        """Runs for the hours that some of the tables lack or failed to publish."""
        now = utc_now()
        gaps = find_gaps(self.instance, [reporting_key(name) for name in tables], hourly_partitions(now.date()), now)
        return runs_for_gaps(gaps, hours, tables)

    def publish(self, runs: Sequence[PlannedRun], report: Callable[[Done], None]) -> list[RangeRun]:
        """Run all of these, one after the other; `report` is called after each. Exits if interrupted."""
        total = sum(run.size for run in runs)
        done: list[RangeRun] = []
        size_done = 0
        started = time.perf_counter()
        columns = (TaskProgressColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        with progress_bar(*columns) as bar:
            bar.speed_estimate_period = _SPEED_SECONDS
            task = bar.add_task("starting", total=total)
            for number, run in enumerate(runs, start=1):
                hours = (run.hours.end - run.hours.start) // HOUR
                label = f"{run.hours.start:%Y-%m-%d} ({number} of {len(runs)})"

                def on_step(
                    name: str, ended: bool, run: PlannedRun = run, hours: int = hours, label: str = label
                ) -> None:
                    bar.update(
                        task, description=f"{label} {name}", advance=hours if ended and name in run.tables else 0
                    )

                begun = time.perf_counter()
                try:
                    done.append(
                        run_range(self.job, self.instance, run.hours, run.tables, whole=run.whole, on_step=on_step)
                    )
                except RunInterruptedError as error:
                    errors.print(f"[yellow]{error}[/]; `genims backfill --only-missing` does what is left")
                    raise typer.Exit(Exit.INTERRUPTED) from None
                now = time.perf_counter()
                size_done += run.size
                bar.update(task, completed=size_done)
                seconds_left = (now - started) / size_done * (total - size_done)
                report(Done(done[-1], now - begun, len(runs) - number, seconds_left))
        return done


@contextmanager
def publisher() -> Generator[Publisher]:
    """What is needed to publish; refuses to begin where nothing could be written or recorded.

    Raises:
        DatabaseUnavailableError: the reporting database cannot be reached.
        DagsterUnavailableError: Dagster's storage cannot be reached.
    """
    settings = current_settings()
    database = reporting_database(settings)
    try:
        database.read("SELECT 1")
    finally:
        database.close()
    with project_instance() as instance:
        yield Publisher(build_definitions(settings=settings).resolve_job_def(REPORTING_JOB), instance)


def failures_of(runs: Sequence[RangeRun]) -> list[str]:
    """A sentence for each table that a run did not publish."""
    return [
        f"{table.table}, {run.hours.start:%Y-%m-%d %H:%M} to {run.hours.end:%Y-%m-%d %H:%M}: {table.error}"
        for run in runs
        for table in run.tables
        if table.error is not None
    ]


def as_json(runs: Sequence[RangeRun]) -> dict[str, Any]:
    """Runs for scripts: what was published, table by table."""
    return {
        "runs": [
            {
                "run_id": run.run_id,
                "from": run.hours.start.isoformat(),
                "to": run.hours.end.isoformat(),
                "tables": [asdict(table) for table in run.tables],
            }
            for run in runs
        ],
        "failed": sorted({table for run in runs for table in run.failed}),
    }
