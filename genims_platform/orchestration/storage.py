"""Dagster's instance storage in PostgreSQL with pooled connections.

dagster-postgres opens a connection for every event that a run writes; with a small pool an hourly run spends a third of
the time in Dagster. The address comes from the platform's settings, so `dagster.yaml` holds neither host nor password.
"""

import os
import time
from typing import Any

import psycopg2
from dagster._core.storage.config import PostgresStorageConfig
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine
from sqlalchemy import URL, Engine
from sqlalchemy.event import listens_for
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from genims_platform.orchestration.event_log import LeanEventLogStorage
from genims_platform.settings import PostgresServer, settings

# Every process of Dagster loads the instance storage first, so the two switches are set here rather than left to
# each shell: events are written in batches, and a range run writes one planned event a table instead of one an hour.
EVENT_SWITCHES = {"DAGSTER_EVENT_BATCH_SIZE": "1000", "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1"}

TRIED_AFTER_IDLE_SECONDS = 2
"""Trying a connection for each of a run's hundreds of events would be half of all statements."""


class PooledPostgresStorage(DagsterPostgresStorage):
    """`storage: custom:` class for `dagster.yaml`; takes no configuration."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        for name, value in EVENT_SWITCHES.items():
            os.environ.setdefault(name, value)
        super().__init__(postgres_url, inst_data=inst_data)
        self._event_log_storage = LeanEventLogStorage(postgres_url)
        pool = _pooled_engine(postgres_url)
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


def _pooled_engine(postgres_url: str) -> Engine:
    """A pool that tries a connection before it hands it out, if nobody used it for a while."""
    engine = create_pg_engine(postgres_url, isolation_level="AUTOCOMMIT", pool_size=2, max_overflow=8, pool_recycle=600)

    @listens_for(engine, "checkin")
    def returned(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["returned"] = time.monotonic()

    @listens_for(engine, "checkout")
    def tried(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        now = time.monotonic()
        if now - record.info.get("returned", now) > TRIED_AFTER_IDLE_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            except psycopg2.Error as error:
                raise DisconnectionError(str(error)) from error

    return engine


def storage_url(server: PostgresServer) -> str:
    """SQLAlchemy address of Dagster's database; the driver is named because SQLAlchemy 2.1 defaults to another."""
    url = URL.create(
        "postgresql+psycopg2", server.user, server.password or None, server.host, server.port, server.database
    )
    return url.render_as_string(hide_password=False)
