"""The latest evaluation of each asset check, found in Dagster's records with one statement."""

from collections.abc import Collection
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as CheckStatus
from dagster._serdes import deserialize_value
from psycopg2.extensions import cursor as Cursor  # noqa: N812

# The limit is several days of hourly runs of all tables; grouping all that were ever recorded takes longer every day.
# A run under way has only planned its checks. Texts are read of failures alone; the others are only counted.
_LATEST = """
    SELECT DISTINCT ON (asset_key, check_name) asset_key, check_name,
           CASE WHEN execution_status = %(failed)s THEN evaluation_event END
    FROM (
        SELECT id, asset_key, check_name, execution_status, evaluation_event FROM asset_check_executions
        WHERE execution_status IN (%(succeeded)s, %(failed)s) ORDER BY id DESC LIMIT 20000
    ) AS recent
    WHERE asset_key = ANY(%(assets)s) AND check_name = ANY(%(names)s)
    ORDER BY asset_key, check_name, id DESC
"""


@dataclass
class Checks:
    """Latest evaluations of the checks of one table; those that failed or only warn by name."""

    passed: int = 0
    warned: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])


def latest_checks(cursor: Cursor, assets: Collection[dg.AssetKey], names: Collection[str]) -> dict[dg.AssetKey, Checks]:
    """What the checks with these names last said of each of these assets."""
    found = {asset.to_string(): (asset, Checks()) for asset in assets}
    parameters = {"succeeded": CheckStatus.SUCCEEDED.value, "failed": CheckStatus.FAILED.value}
    cursor.execute(_LATEST, {**parameters, "assets": list(found), "names": list(names)})
    for asset, name, failure in cursor.fetchall():
        checks = found[asset][1]
        if failure is None:
            checks.passed += 1
        else:
            (checks.warned if _warns(failure) else checks.failed).append(name)
    return dict(found.values())


def _warns(failure: str) -> bool:
    event = deserialize_value(failure, dg.EventLogEntry).get_dagster_event()
    return event.asset_check_evaluation_data.severity is dg.AssetCheckSeverity.WARN
