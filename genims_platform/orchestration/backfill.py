"""Backfills from Python: the reporting job over ranges of hours, at most a month in a run."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster._core.utils import make_new_run_id

from genims_platform.orchestration.gaps import Gap
from genims_platform.orchestration.keys import reporting_key
from genims_platform.orchestration.partitions import hour_of, key_of
from genims_platform.reporting.periods import Hours, midnight
from genims_platform.rolling_window import add_months

HOUR = timedelta(hours=1)

WHOLE_START_TAG = "genims/backfill_start"
WHOLE_END_TAG = "genims/backfill_end"


@dataclass(frozen=True)
class PlannedRun:
    """Hours, at most a month, and the tables to publish for them; `whole` are the hours of all runs of a backfill."""

    hours: Hours
    tables: tuple[str, ...]
    whole: Hours | None = None

    @property
    def size(self) -> int:
        """Hours times tables, by which the time of a run is estimated."""
        return (self.hours.end - self.hours.start) // HOUR * len(self.tables)


@dataclass(frozen=True)
class TableRun:
    """What a run did to one table: rows and periods published, seconds of data work; `error` if nothing."""

    table: str
    rows: int = 0
    periods: str = ""
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True)
class RangeRun:
    """One finished run over `hours`."""

    hours: Hours
    run_id: str
    tables: tuple[TableRun, ...]

    @property
    def failed(self) -> tuple[str, ...]:
        """The tables that were not published."""
        return tuple(table.table for table in self.tables if table.error is not None)


class RunInterruptedError(RuntimeError):
    """The run was stopped by a signal; what it had published stays, its table under way keeps its old rows."""


def months_of(hours: Hours) -> Iterator[Hours]:
    """The hours cut at the first of each month."""
    start = hours.start
    while start < hours.end:
        end = min(midnight(add_months(start.date(), 1)), hours.end)
        yield Hours(start, end)
        start = end


def runs_over(hours: Hours, tables: Sequence[str]) -> list[PlannedRun]:
    """A run a month, ascending."""
    return [PlannedRun(month, tuple(tables), whole=hours) for month in months_of(hours)]


def runs_for_gaps(gaps: Collection[Gap], hours: Hours, tables: Sequence[str]) -> list[PlannedRun]:
    """Runs that fill the gaps within `hours`: consecutive hours that lack the same tables in one, cut at months."""
    joined: list[PlannedRun] = []
    for gap in sorted(gaps, key=lambda gap: gap.first):
        lacking = {asset.path[-1] for asset in gap.assets}
        span = Hours(max(hour_of(gap.first), hours.start), min(hour_of(gap.last) + HOUR, hours.end))
        run = PlannedRun(span, tuple(table for table in tables if table in lacking))
        if not run.tables or span.start >= span.end:
            continue
        if joined and joined[-1].hours.end == span.start and joined[-1].tables == run.tables:
            joined[-1] = PlannedRun(Hours(joined[-1].hours.start, span.end), run.tables)
        else:
            joined.append(run)
    return [PlannedRun(month, run.tables) for run in joined for month in months_of(run.hours)]


def run_range(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    hours: Hours,
    tables: Sequence[str] | None = None,
    *,
    whole: Hours | None = None,
    on_step: Callable[[str, bool], None] | None = None,
) -> RangeRun:
    """Run the reporting job in this process for whole hours; a failing table does not stop the others.

    Periods of other hours within `whole` are left to the runs that publish those. `on_step` gets the name of a table
    (or of a step of checks) when it starts and, with True, when it has ended.

    Raises:
        RunInterruptedError: SIGINT or SIGTERM.
    """
    run_id = make_new_run_id()
    if on_step is not None:
        instance.add_event_listener(run_id, partial(_announce, on_step))
    try:
        result = job.execute_in_process(
            instance=instance,
            asset_selection=None if tables is None else [reporting_key(table) for table in tables],
            tags={
                ASSET_PARTITION_RANGE_START_TAG: key_of(hours.start),
                ASSET_PARTITION_RANGE_END_TAG: key_of(hours.end - HOUR),
                "genims/kind": "backfill",
                **({} if whole is None else {WHOLE_START_TAG: key_of(whole.start), WHOLE_END_TAG: key_of(whole.end)}),
            },
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
            run_id=run_id,
        )
    except (KeyboardInterrupt, DagsterExecutionInterruptedError) as error:
        raise RunInterruptedError(f"run {run_id} was interrupted") from error
    selected = tables or [key.path[-1] for key in job.asset_layer.executable_asset_keys]
    events: defaultdict[str | None, list[dg.DagsterEvent]] = defaultdict(list)
    for event in result.all_events:
        events[event.step_key].append(event)
    return RangeRun(hours, run_id, tuple(_table_run(table, events[table]) for table in selected))


def whole_backfill(tags: Mapping[str, str]) -> Hours | None:
    """The hours of the backfill that a run with these tags is a part of."""
    if WHOLE_START_TAG not in tags or WHOLE_END_TAG not in tags:
        return None
    return Hours(hour_of(tags[WHOLE_START_TAG]), hour_of(tags[WHOLE_END_TAG]))


def _announce(on_step: Callable[[str, bool], None], event: dg.EventLogEntry) -> None:
    happened = event.dagster_event
    if happened is None or happened.step_key is None:
        return
    if happened.is_step_start or happened.is_step_success or happened.is_step_failure:
        on_step(happened.step_key, not happened.is_step_start)


def _table_run(table: str, events: Sequence[dg.DagsterEvent]) -> TableRun:
    failure = next((event for event in events if event.is_step_failure), None)
    if failure is not None:
        return TableRun(table, error=failure_reason(failure))
    if not any(event.is_step_success for event in events):
        return TableRun(table, error="not run, because a table that it reads failed")
    facts: dict[str, Any] = {}
    for event in events:
        if event.is_step_materialization:
            # One event an hour; the last hour's carries what the whole refresh did.
            metadata = event.step_materialization_data.materialization.metadata
            facts |= {
                name: value.value
                for name, value in metadata.items()
                if name in ("rows_published", "periods", "seconds")
            }
    return TableRun(
        table, int(facts.get("rows_published", 0)), str(facts.get("periods", "")), float(facts.get("seconds", 0))
    )


def failure_reason(failure: dg.DagsterEvent) -> str:
    """Why a step failed: what it says itself, else the first cause of its error."""
    data = failure.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "no reason recorded"
