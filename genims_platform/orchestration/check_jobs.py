"""Jobs that evaluate checks alone, apart from the assets that they look at."""

from collections.abc import Mapping, Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def check_job(
    name: str,
    description: str,
    checks: Sequence[dg.AssetChecksDefinition],
    tags: Mapping[str, str] | None = None,
) -> UnresolvedAssetJobDefinition | None:
    """A job of these checks in one process; none if there are none."""
    if not checks:
        return None
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.checks(*checks),
        description=description,
        executor_def=dg.in_process_executor,
        tags={"genims/kind": "maintenance", **(tags or {})},
    )
