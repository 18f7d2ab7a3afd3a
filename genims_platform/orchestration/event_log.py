"""Dagster's event log in PostgreSQL: the rows of dagster-postgres, with a few short statements in place of many."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import cast

from dagster import (
    AssetKey,
    AssetRecordsFilter,
    DagsterEventType,
    EventLogEntry,
    EventLogRecord,
    EventRecordsResult,
    PartitionsDefinition,
    TimeWindowPartitionsDefinition,
)
from dagster._core.assets import AssetDetails
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.event_api import EventLogCursor
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, StepMaterializationData
from dagster._core.loader import LoadingContext
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.base import AssetRecord
from dagster._core.storage.partition_status_cache import AssetStatusCacheValue
from dagster._record import copy
from dagster._serdes import deserialize_value, serialize_value
from dagster_postgres import PostgresEventLogStorage
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from genims_platform.orchestration.check_records import Checks, latest_checks
from genims_platform.orchestration.event_rows import Row, copy_rows, event_rows, insert_row, utc
from genims_platform.orchestration.hour_records import attempts_of, cursor_after, hour_records, is_hourly
from genims_platform.orchestration.partitions import key_of

_COPIED_EVENTS = {
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
}
_NEXT_IDS = "SELECT nextval(pg_get_serial_sequence('event_logs', 'id')) FROM generate_series(1, %s)"
_NEWEST_MATERIALIZATION = """
    SELECT id, (SELECT asset_details FROM asset_keys WHERE asset_key = %(key)s) FROM event_logs
    WHERE asset_key = %(key)s AND dagster_event_type = 'ASSET_MATERIALIZATION' AND partition = %(partition)s
    ORDER BY id DESC LIMIT 1
"""
_LATEST_OBSERVATIONS = """
    SELECT asset_key, latest.id, latest.event
    FROM unnest(%s) AS asset_key CROSS JOIN LATERAL (
        SELECT id, event FROM event_logs
        WHERE event_logs.asset_key = asset_key.asset_key AND dagster_event_type = 'ASSET_OBSERVATION'
        ORDER BY id DESC LIMIT 1
    ) AS latest
"""
_NEWEST_BEFORE_WIPE = """
    SELECT coalesce(max(id), 0) FROM event_logs
    WHERE asset_key = %s AND timestamp <= to_timestamp(%s) AT TIME ZONE 'utc'
"""


class LeanEventLogStorage(PostgresEventLogStorage):
    """Event log that stores a batch of events with a few statements and looks at its own schema once.

    The rows are those of dagster-postgres, but for one thing: Dagster stores a planned row for each check and hour of a
    run, each with the whole event, and never updates them, because the outcome of our checks is one row without a
    partition. For a month of hours that is most of a run's time, so a check is planned once a run.
    """

    def __init__(self, postgres_url: str) -> None:
        self._found: set[str] = set()
        self._newest: EventLogRecord | None = None
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

    def store_event(self, event: EventLogEntry) -> None:
        """One event; without the NOTIFY that dagster-postgres sends for older versions of itself."""
        if event.dagster_event_type in _COPIED_EVENTS:
            self.store_event_batch([event])
        elif event.dagster_event_type in ASSET_EVENTS:
            super().store_event(event)
        else:
            with self.run_connection() as connection, closing(cast("Cursor", connection.connection.cursor())) as cursor:
                identity = insert_row(cursor, "event_logs", self._event_to_row(event))
            if event.dagster_event_type in ASSET_CHECK_EVENTS:
                self.store_asset_check_event(event, identity)

    @property
    def asset_records_have_last_observation(self) -> bool:
        """Yes; otherwise each step asks for the observations of each of its sources with a query of its own."""
        return True

    def get_asset_records(self, asset_keys: Sequence[AssetKey] | None = None) -> Sequence[AssetRecord]:
        """Records of these assets, or of all, with their latest observation."""
        records = super().get_asset_records(asset_keys)
        return [
            copy(record, asset_entry=copy(record.asset_entry, last_observation_record=observation))
            for record, observation in zip(records, self._latest_observations(records), strict=True)
        ]

    def fetch_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """As the parent class; a step asks twice for each check for the newest of its hour, so that is kept short."""
        match records_filter:
            case AssetRecordsFilter(asset_key=key, asset_partitions=[partition]) if (limit, cursor, ascending) == (
                1,
                None,
                False,
            ) and records_filter == AssetRecordsFilter(key, records_filter.asset_partitions):
                newest = self._newest_materialization(key, partition)
                position = EventLogCursor.from_storage_id(newest.storage_id if newest else -1).to_string()
                return EventRecordsResult([newest] if newest else [], position, has_more=newest is not None)
            case _:
                return super().fetch_materializations(records_filter, limit, cursor, ascending)

    def get_asset_status_cache_values(
        self,
        partitions_defs_by_key: Iterable[tuple[AssetKey, PartitionsDefinition | None]],
        context: LoadingContext,
    ) -> Sequence[AssetStatusCacheValue | None]:
        """Which partitions are published, failed and running; hourly ones of all these assets are found at once."""
        pairs = list(partitions_defs_by_key)
        hourly = {key: partitions for key, partitions in pairs if is_hourly(partitions)}
        found = self._hourly_status(hourly)
        return [
            found[key]
            if key in found
            else super(LeanEventLogStorage, self).get_asset_status_cache_values([(key, partitions)], context)[0]
            for key, partitions in pairs
        ]

    def get_latest_asset_partition_materialization_attempts_without_materializations(
        self, asset_key: AssetKey, after_storage_id: int | None = None
    ) -> Mapping[str, tuple[str, int]]:
        """Hours that a run planned and did not publish → the run and its planned event; ranges are taken apart."""
        with self.index_connection() as connection, closing(cast("Cursor", connection.connection.cursor())) as cursor:
            after = max(self._ids_before_wipe(cursor, [asset_key])[asset_key], after_storage_id or 0)
            attempts = attempts_of(cursor, {asset_key: after})[asset_key]
        return {key_of(hour): (attempt.run_id, attempt.planned_id) for attempt in attempts for hour in attempt.hours}

    def latest_checks(self, assets: Collection[AssetKey], names: Collection[str]) -> dict[AssetKey, Checks]:
        """What the checks with these names last said of each of these assets."""
        with self.index_connection() as connection, closing(cast("Cursor", connection.connection.cursor())) as cursor:
            return latest_checks(cursor, assets, names)

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

    def _hourly_status(
        self, wanted: Mapping[AssetKey, TimeWindowPartitionsDefinition]
    ) -> dict[AssetKey, AssetStatusCacheValue | None]:
        """Status of these assets; what later events cannot change is kept where Dagster keeps it."""
        if not wanted:
            return {}
        entries = [record.asset_entry for record in super().get_asset_records(list(wanted))]
        kept = {
            entry.asset_key: entry.cached_status
            for entry in entries
            if entry.cached_status
            and entry.cached_status.partitions_def_id == wanted[entry.asset_key].get_serializable_unique_identifier()
        }
        with self.index_connection() as connection, closing(cast("Cursor", connection.connection.cursor())) as cursor:
            wiped = self._ids_before_wipe(cursor, list(wanted))
            records = hour_records(cursor, {key: max(wiped[key], cursor_after(kept.get(key))) for key in wanted})
        status = {key: records[key].status(partitions, kept.get(key)) for key, partitions in wanted.items()}
        for key, value in status.items():
            if value is not None and value != kept.get(key):
                self.update_asset_cached_status_data(key, value)
        return status

    def _ids_before_wipe(self, cursor: Cursor, keys: Sequence[AssetKey]) -> dict[AssetKey, int]:
        """Asset → the id up to which its events are gone."""
        ids: dict[AssetKey, int] = {}
        for key, details in zip(keys, self._get_assets_details(keys), strict=True):
            ids[key] = 0
            if wiped_at := _wiped_at(details):
                cursor.execute(_NEWEST_BEFORE_WIPE, (key.to_string(), wiped_at))
                ids[key] = (cursor.fetchone() or (0,))[0]
        return ids

    def _newest_materialization(self, key: AssetKey, partition: str) -> EventLogRecord | None:
        with self.index_connection() as connection, closing(cast("Cursor", connection.connection.cursor())) as cursor:
            cursor.execute(_NEWEST_MATERIALIZATION, {"key": key.to_string(), "partition": partition})
            if (found := cursor.fetchone()) is None:
                return None
            newest, (identity, details) = self._newest, found
            if newest is None or newest.storage_id != identity:
                # A stored event does not change, so its text is fetched once.
                cursor.execute("SELECT event FROM event_logs WHERE id = %s", (identity,))
                if (row := cursor.fetchone()) is None:
                    return None
                self._newest = newest = EventLogRecord(identity, deserialize_value(row[0], EventLogEntry))
        return newest if newest.timestamp > _wiped_at(AssetDetails.from_db_string(details)) else None

    def _latest_observations(self, records: Sequence[AssetRecord]) -> Iterator[EventLogRecord | None]:
        entries = [record.asset_entry for record in records]
        if not entries:
            return
        with self.index_connection() as connection, closing(cast("Cursor", connection.connection.cursor())) as cursor:
            cursor.execute(_LATEST_OBSERVATIONS, ([entry.asset_key.to_string() for entry in entries],))
            latest = {key: (identity, event) for key, identity, event in cursor.fetchall()}
        for entry in entries:
            if (found := latest.get(entry.asset_key.to_string())) is None:
                yield None
                continue
            event = deserialize_value(found[1], EventLogEntry)
            yield EventLogRecord(found[0], event) if event.timestamp > _wiped_at(entry.asset_details) else None

    def _tag_rows(self, events: Sequence[EventLogEntry], ids: Sequence[int]) -> Iterator[Row]:
        last: StepMaterializationData | None = None
        rows: list[Row] = []
        for identity, event in zip(ids, events, strict=True):
            data = event.get_dagster_event().event_specific_data
            if not isinstance(data, StepMaterializationData):
                continue
            key, tags = data.materialization.asset_key, data.materialization.tags
            # The hours of a range have the same tags.
            if last is None or (key, tags) != (last.materialization.asset_key, last.materialization.tags):
                last, text = data, key.to_string()
                found = self._tags_for_asset_event(event).items()
                rows = [{"asset_key": text, "key": name, "value": value} for name, value in found]
            yield from ({"event_id": identity, **row, "event_timestamp": utc(event)} for row in rows)

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


def _wiped_at(details: AssetDetails | None) -> float:
    """Unix time before which an asset's events are gone."""
    return (details and details.last_wipe_timestamp) or 0.0


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
