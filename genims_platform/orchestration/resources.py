"""Resources: what a run needs of the world outside, made anew for each run from the settings."""

from collections.abc import Mapping
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
        SOURCES: dg.ResourceDefinition(lambda _: SourceReader(settings), description="Lazy reader of the 13 sources"),
        REPORTING_DATABASE: dg.ResourceDefinition(
            lambda _: reporting_database(settings), description="Pooled connections to the reporting database"
        ),
        AS_OF: dg.ResourceDefinition(
            lambda _: utc_now(), description="Instant of the run; later source events are left out of every table"
        ),
    }


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
