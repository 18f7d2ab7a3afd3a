"""What Dagster's records say of each reporting table: its last refresh, its checks, and the hours that it lacks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord as CheckRecord
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as CheckStatus

from genims_platform.orchestration.gaps import hour_status
from genims_platform.orchestration.keys import reporting_key

_EVALUATED = {CheckStatus.SUCCEEDED, CheckStatus.FAILED}


@dataclass(frozen=True)
class Checks:
    """Latest evaluations of the checks of one table; those that failed or only warn by name."""

    passed: int
    warned: tuple[str, ...]
    failed: tuple[str, ...]


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
    check_keys: Iterable[dg.AssetCheckKey],
    partitions: dg.HourlyPartitionsDefinition,
    now: datetime,
) -> dict[str, RecordedStatus]:
    """Status of these tables; hours of the window that are closed at the naive UTC instant `now` count."""
    keys = {reporting_key(table): table for table in tables}
    refreshed = {
        record.asset_entry.asset_key: record.asset_entry.last_materialization
        for record in instance.get_asset_records(list(keys))
    }
    checks = _latest_checks(instance, [key for key in check_keys if key.asset_key in keys])
    status: dict[str, RecordedStatus] = {}
    for key, hours in hour_status(instance, list(keys), partitions, now).items():
        table = keys[key]
        last = refreshed.get(key)
        status[table] = RecordedStatus(
            datetime.fromtimestamp(last.timestamp, UTC).replace(tzinfo=None) if last else None,
            _counted({check.name: record for check, record in checks.items() if check.asset_key == key}),
            len(hours.missing),
            len(hours.failed),
            len(hours.running),
        )
    return status


def _latest_checks(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey]
) -> dict[dg.AssetCheckKey, CheckRecord]:
    """The last evaluation of each check that has one; a run under way has only planned its own."""
    storage = instance.event_log_storage
    found: dict[dg.AssetCheckKey, CheckRecord] = {}
    for key, latest in storage.get_latest_asset_check_execution_by_key(keys).items():
        if latest.status in _EVALUATED:
            found[key] = latest
        else:
            history = storage.get_asset_check_execution_history(key, limit=1, status=_EVALUATED)
            if history:
                found[key] = history[0]
    return found


def _counted(records: Mapping[str, CheckRecord]) -> Checks:
    warned: list[str] = []
    failed: list[str] = []
    for name, record in sorted(records.items()):
        if record.status is CheckStatus.FAILED:
            warns = record.evaluation is not None and record.evaluation.severity is dg.AssetCheckSeverity.WARN
            (warned if warns else failed).append(name)
    return Checks(len(records) - len(warned) - len(failed), tuple(warned), tuple(failed))
