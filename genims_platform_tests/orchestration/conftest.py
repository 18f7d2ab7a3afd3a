"""The shipped Dagster instance on the test servers."""

import shutil
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import dagster as dg
import pytest
from psycopg2 import sql

from genims_platform.local.postgres import connect_postgres
from genims_platform.local.servers import LocalServers
from genims_platform.settings import PROJECT_ROOT, Settings
from genims_platform.settings import settings as process_settings
from genims_platform_tests.databases import drop_database


@pytest.fixture(scope="module")
def instance(
    factory: Settings,
    settings_environment: dict[str, str],
    servers: LocalServers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[dg.DagsterInstance]:
    """The instance of the shipped dagster.yaml, in a database of the module's own."""
    home = tmp_path_factory.mktemp("dagster")
    with shipped_instance(factory, settings_environment, servers, home) as instance:
        yield instance


@contextmanager
def shipped_instance(
    settings: Settings, variables: Mapping[str, str], servers: LocalServers, home: Path
) -> Generator[dg.DagsterInstance]:
    """The instance of the shipped dagster.yaml with its home there, in a database that is dropped at the end.

    The variables, which are those behind the settings, are set for this process meanwhile.
    """
    shutil.copy(PROJECT_ROOT / "dagster.yaml", home)
    with (
        closing(connect_postgres(servers.postgres_port, servers.postgres_password)) as connection,
        pytest.MonkeyPatch.context() as environment,
    ):
        connection.autocommit = True
        connection.cursor().execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(settings.dagster_pg_db)))
        for name, value in {**variables, "DAGSTER_HOME": str(home)}.items():
            environment.setenv(name, value)
        process_settings.cache_clear()
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield instance
        process_settings.cache_clear()
        drop_database(connection, settings.dagster_pg_db)
