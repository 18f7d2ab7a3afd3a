"""The hourly reporting job as `dagster job execute` runs it."""

import json
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
from dagster._core.storage.tags import PARTITION_NAME_TAG

from benchmarks.measured_process import Measured, run_measured
from genims_platform.build import REPORTING_JOB
from genims_platform.orchestration.partitions import key_of

MARK = "genims/benchmark"


def run_last_closed_hour(now: datetime, settings: Mapping[str, str] | None = None) -> tuple[dg.RunsFilter, Measured]:
    """Refresh all tables for the last closed hour before `now`; `settings` are environment variables of the command.

    Raises:
        CommandFailedError: the run failed.
    """
    hour = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    tags = {PARTITION_NAME_TAG: key_of(hour), MARK: str(uuid4())}
    command = [script("dagster"), "job", "execute", "-m", "genims_platform.definitions", "-j", REPORTING_JOB]
    return dg.RunsFilter(tags={MARK: tags[MARK]}), run_measured([*command, "--tags", json.dumps(tags)], settings)


def run_seconds(record: dg.RunRecord) -> float:
    """From start to end, as Dagster records them."""
    return (record.end_time or 0) - (record.start_time or 0)


def script(name: str) -> str:
    """Path of a command of this environment."""
    return str(Path(sys.executable).with_name(name))
