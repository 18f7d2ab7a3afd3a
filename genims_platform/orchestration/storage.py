"""Dagster's instance storage in PostgreSQL with pooled connections.

dagster-postgres opens a connection for every event that a run writes; with a small pool an hourly run spends a third of
the time in Dagster. The address comes from the platform's settings, so `dagster.yaml` holds neither host nor password.
"""

import os
from typing import Any

from dagster import EventLogEntry
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.storage.config import PostgresStorageConfig
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import create_pg_engine
from sqlalchemy import URL

from genims_platform.settings import PostgresServer, settings

# Every process of Dagster loads the instance storage first, so the two switches are set here rather than left to
# each shell: events are written in batches, and a range run writes one planned event a table instead of one an hour.
EVENT_SWITCHES = {"DAGSTER_EVENT_BATCH_SIZE": "1000", "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1"}


class LeanEventLogStorage(PostgresEventLogStorage):
    """Event log that plans a check of a run once, whatever its hours.

    Dagster stores a planned row for each check and hour of the run, each with the whole event, and never updates them:
    the outcome of our checks is one row without a partition. For a month of hours that is most of a run's time.
    """

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        dagster_event = event.get_dagster_event()
        planned = dagster_event.event_specific_data
        subset = planned.partitions_subset if isinstance(planned, AssetCheckEvaluationPlanned) else None
        if isinstance(planned, AssetCheckEvaluationPlanned) and subset is not None:
            whole = AssetCheckEvaluationPlanned(asset_key=planned.asset_key, check_name=planned.check_name)
            event = event._replace(dagster_event=dagster_event._replace(event_specific_data=whole))
        super()._store_asset_check_evaluation_planned(event, event_id)


class PooledPostgresStorage(DagsterPostgresStorage):
    """`storage: custom:` class for `dagster.yaml`; takes no configuration."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        for name, value in EVENT_SWITCHES.items():
            os.environ.setdefault(name, value)
        super().__init__(postgres_url, inst_data=inst_data)
        self._event_log_storage = LeanEventLogStorage(postgres_url)
        pool = create_pg_engine(
            postgres_url,
            isolation_level="AUTOCOMMIT",
            pool_size=2,
            max_overflow=8,
            pool_pre_ping=True,
            pool_recycle=600,
        )
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = pool  # pyright: ignore[reportPrivateUsage]

    @classmethod
    def config_type(cls) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """No fields: see `Settings.dagster_storage`."""
        return {}

    @classmethod
    def from_config_value(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: PostgresStorageConfig,  # noqa: ARG003
    ) -> "PooledPostgresStorage":
        """Storage at the address that the settings name."""
        return cls(storage_url(settings().dagster_storage), inst_data)


def storage_url(server: PostgresServer) -> str:
    """SQLAlchemy address of Dagster's database; the driver is named because SQLAlchemy 2.1 defaults to another."""
    url = URL.create(
        "postgresql+psycopg2", server.user, server.password or None, server.host, server.port, server.database
    )
    return url.render_as_string(hide_password=False)
