"""The sensor that enters refreshes of reporting tables into the audit trail, after their runs and outside of them."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Self

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from genims_platform.audit.ledger.errors import LedgerError
from genims_platform.audit.sync_log import record_refreshes
from genims_platform.audit.trail import TrailNotSetUpError
from genims_platform.orchestration.audit.refreshes import table_refreshes
from genims_platform.orchestration.resources import utc_now
from genims_platform.settings import Settings

SECONDS = 30
RUNS_PER_TICK = 20

_ASSETS_ALONE = "__ASSET_JOB"
"""Dagster's name for runs of assets that belong to no job of ours."""

OVERLAP = timedelta(minutes=2)
"""Runs end side by side, so one that ended a little earlier may be found a little later."""

OLDEST = timedelta(days=1)
"""Runs that ended longer ago than this are not entered any more: they ran before there was a trail."""


@dataclass(frozen=True)
class _Progress:
    """Runs that ended before `after` are done with, and of later ones those in `done`: run → its end (naive UTC)."""

    after: datetime
    done: Mapping[str, datetime] = field(default_factory=dict[str, datetime])

    @classmethod
    def from_cursor(cls, cursor: str | None) -> Self | None:
        try:
            stored = json.loads(cursor or "{}")
            done = {run: datetime.fromisoformat(end) for run, end in stored["done"].items()}
            return cls(datetime.fromisoformat(stored["after"]), done)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def to_cursor(self) -> str:
        return json.dumps(
            {"after": self.after.isoformat(), "done": {run: end.isoformat() for run, end in self.done.items()}}
        )

    def with_done(self, runs: Mapping[str, datetime]) -> "_Progress":
        done = {**self.done, **runs}
        after = max([self.after, *(end - OVERLAP for end in done.values())])
        return _Progress(after, {run: end for run, end in done.items() if end >= after})


def refresh_sensor(settings: Settings, jobs: Collection[str], tables: Collection[str]) -> dg.SensorDefinition:
    """Enters what runs of these jobs, and of assets alone, did to these reporting tables.

    It works after a run has ended, so it can neither slow nor fail one. What the audit database does not take now is
    entered later; a refresh is entered once.
    """

    @dg.sensor(
        name="record_refreshes",
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Enters every refresh of a reporting table into audit_etl_sync_log, once its run has ended. Does nothing "
            "until the audit trail is set up."
        ),
    )
    def record(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = utc_now()
        progress = _Progress.from_cursor(context.cursor)
        if progress is None:
            # What ran before there was a trail is not entered afterwards.
            return dg.SensorResult(skip_reason="Runs that end from now on count", cursor=_Progress(now).to_cursor())
        progress = replace(progress, after=max(progress.after, now - OLDEST))
        done: dict[str, datetime] = {}
        number, problem = 0, ""
        for run in _finished(context.instance, progress):
            name, run_id = run.dagster_run.job_name, run.dagster_run.run_id
            try:
                if name in jobs or name.startswith(_ASSETS_ALONE):
                    refreshes = table_refreshes(context.instance, run, set(tables))
                    number += record_refreshes(settings, name, run_id, refreshes)
            except (TrailNotSetUpError, ConnectionError) as error:
                problem = f"; the others later: {error}"
                break
            except LedgerError as error:
                context.log.warning(f"refreshes of run {run_id} cannot be entered: {error}")
            done[run_id] = _naive(run.update_timestamp)
        return dg.SensorResult(
            skip_reason=f"{number} refreshes entered{problem}", cursor=progress.with_done(done).to_cursor()
        )

    return record


def _finished(instance: dg.DagsterInstance, progress: _Progress) -> Sequence[dg.RunRecord]:
    """Runs that ended and are not done with, oldest first."""
    records = instance.get_run_records(
        dg.RunsFilter(statuses=FINISHED_STATUSES, updated_after=progress.after.replace(tzinfo=UTC)),
        limit=RUNS_PER_TICK + len(progress.done),
        order_by="update_timestamp",
        ascending=True,
    )
    return [record for record in records if record.dagster_run.run_id not in progress.done]


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
