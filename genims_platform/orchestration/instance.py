"""The Dagster instance described by the project's `dagster.yaml`."""

import dagster as dg

from genims_platform.settings import PROJECT_ROOT


def project_instance() -> dg.DagsterInstance:
    """The instance that `dagster.yaml` describes, whether or not DAGSTER_HOME is set."""
    return dg.DagsterInstance.from_config(str(PROJECT_ROOT))
