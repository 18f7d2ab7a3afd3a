"""What Dagster's records say of each reporting table: its last refresh, its checks, and the hours that it lacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from genims_platform.orchestration.check_records import Checks
from genims_platform.orchestration.event_log import LeanEventLogStorage
from genims_platform.orchestration.freshness_checks import FRESHNESS_CHECK
from genims_platform.orchestration.gaps import hour_status
from genims_platform.orchestration.keys import reporting_key
from genims_platform.reporting.checks import CHECK_NAMES
from genims_platform.reporting.invariants.registry import INVARIANTS

_CHECK_NAMES = {*CHECK_NAMES, FRESHNESS_CHECK, *(invariant.name for invariant in INVARIANTS)}


@dataclass(frozen=True)
class RecordedStatus:
    """One table as Dagster knows it; instants are naive UTC."""

    refreshed_at: datetime | None
    checks: Checks
    missing_hours: int
    failed_hours: int
    running_hours: int


def recorded_status(
    instance: dg.DagsterInstance,
    tables: Sequence[str],
    partitions: dg.HourlyPartitionsDefinition,
    now: datetime,
) -> dict[str, RecordedStatus]:
    """Status of these tables; hours of the window that are closed at the naive UTC instant `now` count."""
    keys = {reporting_key(table): table for table in tables}
    refreshed = {
        record.asset_entry.asset_key: record.asset_entry.last_materialization
        for record in instance.get_asset_records(list(keys))
    }
    storage = instance.event_log_storage
    checks = storage.latest_checks(list(keys), _CHECK_NAMES) if isinstance(storage, LeanEventLogStorage) else {}
    status: dict[str, RecordedStatus] = {}
    for key, hours in hour_status(instance, list(keys), partitions, now).items():
        table = keys[key]
        last = refreshed.get(key)
        status[table] = RecordedStatus(
            datetime.fromtimestamp(last.timestamp, UTC).replace(tzinfo=None) if last else None,
            checks.get(key, Checks()),
            len(hours.missing),
            len(hours.failed),
            len(hours.running),
        )
    return status
