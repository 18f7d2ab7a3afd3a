"""The state of every reporting table, from whatever answers: the reporting database, Dagster's records, the sources."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import dagster as dg
import mysql.connector

from genims_platform.mysql.connection import Database
from genims_platform.orchestration.table_status import RecordedStatus, recorded_status
from genims_platform.reporting.summary import TableSize, table_sizes
from genims_platform.reporting.table import ReportingTable
from genims_platform.settings import Settings
from genims_platform.sources.lag import newest_events

STALE_AFTER = timedelta(hours=2)

GRACE = timedelta(minutes=30)
"""How long after its end an hour may still be unpublished: a refresh begins at HH:00."""


@dataclass(frozen=True)
class TableState:
    """One table; None where the server that knows does not answer. Instants are naive UTC, ages in seconds."""

    table: str
    group: str
    refreshed_at: datetime | None
    age_seconds: int | None
    stale: bool
    rows: int | None
    first_period: date | None
    last_period: date | None
    checks_passed: int | None
    checks_warned: tuple[str, ...]
    checks_failed: tuple[str, ...]
    missing_hours: int | None
    failed_hours: int | None
    running_hours: int | None
    newest_source_event: datetime | None
    source_lag_seconds: int | None

    @property
    def healthy(self) -> bool:
        """Nothing is missing, failed or stale as far as is known; warnings of checks do not count."""
        return not (self.stale or self.checks_failed or self.missing_hours or self.failed_hours)


@dataclass(frozen=True)
class Overview:
    """All tables at one instant; `problems` name the servers that could not be asked."""

    as_of: datetime
    tables: tuple[TableState, ...]
    problems: tuple[str, ...]


def overview(
    settings: Settings,
    tables: Mapping[str, ReportingTable],
    *,
    database: Database,
    open_instance: Callable[[], AbstractContextManager[dg.DagsterInstance]],
    partitions: dg.HourlyPartitionsDefinition,
    now: datetime,
) -> Overview:
    """The state of these tables at the naive UTC instant `now`; what cannot be asked is a problem, not an error."""
    problems: list[str] = []
    sizes: dict[str, TableSize] = {}
    recorded: dict[str, RecordedStatus] = {}
    source_tables = {source for table in tables.values() for source in table.source_tables}
    with ThreadPoolExecutor() as pool:
        asked_sources = pool.submit(newest_events, settings, source_tables, now)
        asked_database = pool.submit(table_sizes, database, list(tables))
        try:
            with open_instance() as instance:
                recorded = recorded_status(instance, list(tables), partitions, now - GRACE)
        except ConnectionError as error:
            problems.append(str(error))
        try:
            sizes = {size.table: size for size in asked_database.result()}
        except ConnectionError as error:
            problems.append(str(error))
        except mysql.connector.ProgrammingError as error:  # such as a table that is not there
            problems.append(f"{database.server.address}: {error.msg}; run `genims schema deploy`")
        events = asked_sources.result()
    problems += sorted(events.problems)
    states = tuple(
        _state(table, sizes.get(name), recorded.get(name), events.of(table.source_tables), now)
        for name, table in tables.items()
    )
    return Overview(now, states, tuple(problems))


def _state(
    table: ReportingTable,
    size: TableSize | None,
    recorded: RecordedStatus | None,
    newest_event: datetime | None,
    now: datetime,
) -> TableState:
    # The instant of the load stands in where Dagster's own record is not to be had.
    refreshed = recorded.refreshed_at if recorded else size.loaded_at if size else None
    known = recorded is not None or size is not None
    age = now - refreshed if refreshed else None
    return TableState(
        table=table.name,
        group=table.group,
        refreshed_at=refreshed,
        age_seconds=_seconds(age),
        stale=known and (age is None or age > STALE_AFTER),
        rows=size.rows if size else None,
        first_period=size.first if size else None,
        last_period=size.last if size else None,
        checks_passed=recorded.checks.passed if recorded else None,
        checks_warned=tuple(recorded.checks.warned) if recorded else (),
        checks_failed=tuple(recorded.checks.failed) if recorded else (),
        missing_hours=recorded.missing_hours if recorded else None,
        failed_hours=recorded.failed_hours if recorded else None,
        running_hours=recorded.running_hours if recorded else None,
        newest_source_event=newest_event,
        source_lag_seconds=_seconds(now - newest_event if newest_event else None),
    )


def _seconds(span: timedelta | None) -> int | None:
    return None if span is None else int(span.total_seconds())
