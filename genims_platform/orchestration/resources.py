"""Resources: what a run needs of the world outside, made anew for each run from the settings."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime

import dagster as dg

from genims_platform.mysql.connection import Database
from genims_platform.settings import Settings
from genims_platform.sources.reader import SourceReader

SOURCES = "sources"
REPORTING_DATABASE = "reporting_database"
AS_OF = "as_of"


def platform_resources(settings: Settings) -> Mapping[str, dg.ResourceDefinition]:
    """The reader of the sources, the reporting database, and the instant as of which a run computes."""
    return {
        SOURCES: _closed_after_the_run(lambda: SourceReader(settings), "Lazy reader of the 13 sources"),
        REPORTING_DATABASE: _closed_after_the_run(
            lambda: reporting_database(settings), "Pooled connections to the reporting database"
        ),
        AS_OF: dg.ResourceDefinition(
            lambda _: utc_now(), description="Instant of the run; later source events are left out of every table"
        ),
    }


def _closed_after_the_run(make: Callable[[], SourceReader | Database], description: str) -> dg.ResourceDefinition:
    def resource(_context: dg.InitResourceContext) -> Iterator[SourceReader | Database]:
        with closing(make()) as made:
            yield made

    return dg.ResourceDefinition(resource, description=description)


def reporting_database(settings: Settings) -> Database:
    """The reporting database with its pool, retries and timeouts."""
    return Database(
        settings.mysql_reporting,
        retries=settings.data_sync_retry_count,
        retry_delay=settings.data_sync_retry_delay,
        statement_timeout=settings.data_sync_timeout,
        batch_size=settings.etl_batch_size,
    )


def utc_now() -> datetime:
    """The current instant, naive UTC, as the sources store time."""
    return datetime.now(UTC).replace(tzinfo=None)
