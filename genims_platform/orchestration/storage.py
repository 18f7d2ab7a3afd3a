"""Dagster's instance storage in PostgreSQL with pooled connections.

dagster-postgres opens a connection for every event that a run writes; with a small pool an hourly run spends a third of
the time in Dagster. The address comes from the platform's settings, so `dagster.yaml` holds neither host nor password.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, cast

from dagster import DagsterEventType, EventLogEntry
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.config import PostgresStorageConfig
from dagster._serdes import ConfigurableClassData, serialize_value
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import create_pg_engine
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from sqlalchemy import URL

from genims_platform.orchestration.event_rows import Row, copy_rows, event_rows, utc
from genims_platform.settings import PostgresServer, settings

# Every process of Dagster loads the instance storage first, so the two switches are set here rather than left to
# each shell: events are written in batches, and a range run writes one planned event a table instead of one an hour.
EVENT_SWITCHES = {"DAGSTER_EVENT_BATCH_SIZE": "1000", "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1"}

_COPIED_EVENTS = {
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
}
_NEXT_IDS = "SELECT nextval(pg_get_serial_sequence('event_logs', 'id')) FROM generate_series(1, %s)"


class LeanEventLogStorage(PostgresEventLogStorage):
    """Event log that stores a batch of events with a few statements and looks at its own schema once.

    The rows are those of dagster-postgres, but for one thing: Dagster stores a planned row for each check and hour of a
    run, each with the whole event, and never updates them, because the outcome of our checks is one row without a
    partition. For a month of hours that is most of a run's time, so a check is planned once a run.
    """

    def __init__(self, postgres_url: str) -> None:
        self._found: set[str] = set()
        super().__init__(postgres_url)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """All events in one transaction; kinds that do not come in hundreds go the way of the parent class."""
        if not {event.dagster_event_type for event in events} <= _COPIED_EVENTS:
            super().store_event_batch(events)
            return
        newest = {event.get_dagster_event().asset_key: number for number, event in enumerate(events)}
        with self.index_transaction() as connection:
            with closing(cast("Cursor", connection.connection.cursor())) as cursor:
                cursor.execute(_NEXT_IDS, (len(events),))
                ids = [identity for (identity,) in cursor.fetchall()]
                rows = zip(ids, event_rows(events, self._event_to_row), strict=True)
                copy_rows(cursor, "event_logs", [{"id": identity, **row} for identity, row in rows])
                copy_rows(cursor, "asset_event_tags", list(self._tag_rows(events, ids)))
                copy_rows(cursor, "asset_check_executions", list(_planned_check_rows(events, ids)))
            for key, number in newest.items():
                if key is not None:
                    self._store_asset_event(connection, events[number], ids[number])

    def has_table(self, table_name: str) -> bool:
        """Whether the table exists; one that was found is not looked up again."""
        if table_name not in self._found and super().has_table(table_name):
            self._found.add(table_name)
        return table_name in self._found

    def has_asset_key_col(self, column_name: str) -> bool:
        """Whether `asset_keys` has the column; one that was found is not looked up again."""
        column = f"asset_keys.{column_name}"
        if column not in self._found and super().has_asset_key_col(column_name):
            self._found.add(column)
        return column in self._found

    def _tag_rows(self, events: Sequence[EventLogEntry], ids: Sequence[int]) -> Iterator[Row]:
        for identity, event in zip(ids, events, strict=True):
            asset_key = event.get_dagster_event().asset_key
            if asset_key is None:
                continue
            for key, value in self._tags_for_asset_event(event).items():
                yield {
                    "event_id": identity,
                    "asset_key": asset_key.to_string(),
                    "key": key,
                    "value": value,
                    "event_timestamp": utc(event),
                }

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        super()._store_asset_check_evaluation_planned(_planned_once(event), event_id)


def _planned_once(event: EventLogEntry) -> EventLogEntry:
    """The planned event of a check without the hours of its run; other events as they are."""
    dagster_event = event.get_dagster_event()
    planned = dagster_event.event_specific_data
    if not isinstance(planned, AssetCheckEvaluationPlanned) or planned.partitions_subset is None:
        return event
    whole = AssetCheckEvaluationPlanned(asset_key=planned.asset_key, check_name=planned.check_name)
    return event._replace(dagster_event=dagster_event._replace(event_specific_data=whole))


def _planned_check_rows(events: Sequence[EventLogEntry], ids: Sequence[int]) -> Iterator[Row]:
    for identity, event in zip(ids, events, strict=True):
        planned = event.get_dagster_event().event_specific_data
        if isinstance(planned, AssetCheckEvaluationPlanned):
            yield {
                "asset_key": planned.asset_key.to_string(),
                "check_name": planned.check_name,
                "run_id": event.run_id,
                "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
                "evaluation_event": serialize_value(_planned_once(event)),
                "evaluation_event_timestamp": utc(event),
                "evaluation_event_storage_id": identity,
            }


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
