"""The Dagster instance described by the project's `dagster.yaml`."""

import dagster as dg

from genims_platform.settings import PROJECT_ROOT, settings
from genims_platform.sources.connection import SourceUnavailableError, connect


class DagsterUnavailableError(ConnectionError):
    """Dagster's storage cannot be reached; the message says where it is and why, never the password."""


def project_instance() -> dg.DagsterInstance:
    """The instance that `dagster.yaml` describes, whether or not DAGSTER_HOME is set.

    Raises:
        DagsterUnavailableError: its storage cannot be reached.
    """
    try:
        # Dagster itself would try several times and answer with a traceback.
        connect(settings().dagster_storage).close()
    except SourceUnavailableError as error:
        raise DagsterUnavailableError(f"Dagster's storage (DAGSTER_PG_*, else PG_*): {error}") from None
    return dg.DagsterInstance.from_config(str(PROJECT_ROOT))
