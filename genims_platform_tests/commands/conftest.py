"""Commands run in this process, on the test servers."""

from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta

import pytest
from psycopg2 import sql
from typer.testing import CliRunner, Result

from genims_platform.cli import app
from genims_platform.local.postgres import connect_postgres
from genims_platform.local.servers import LocalServers
from genims_platform.orchestration.resources import utc_now
from genims_platform.reporting.periods import DAY, midnight
from genims_platform.settings import Settings
from genims_platform.settings import settings as process_settings
from genims_platform_tests.factory_group import copy_row, write

Genims = Callable[..., Result]


@pytest.fixture
def genims(settings_environment: dict[str, str]) -> Genims:
    """Runs a command in this process; `changes` are variables that differ from those of the test servers."""

    def run(*arguments: str, **changes: str) -> Result:
        return CliRunner(env={**settings_environment, **changes}).invoke(app, arguments, catch_exceptions=False)

    return run


@pytest.fixture(scope="module")
def dagster_database(settings_environment: dict[str, str], servers: LocalServers) -> str:
    name = f"{settings_environment['DAGSTER_PG_DB']}_cli"
    with closing(connect_postgres(servers.postgres_port, servers.postgres_password)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return name


@pytest.fixture
def recorded_genims(
    settings_environment: dict[str, str], dagster_database: str, monkeypatch: pytest.MonkeyPatch
) -> Generator[Genims]:
    """Like `genims`, with a database for Dagster, whose storage reads the settings of the process."""
    environment = {**settings_environment, "DAGSTER_PG_DB": dagster_database}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    process_settings.cache_clear()

    def run(*arguments: str, **changes: str) -> Result:
        return CliRunner(env={**environment, **changes}).invoke(app, arguments, catch_exceptions=False)

    yield run
    process_settings.cache_clear()


@pytest.fixture
def clocked_in(factory: Settings) -> Generator[datetime]:
    """The instant of one labour booking three days ago, inside the rolling window of the real clock."""
    moment = midnight(utc_now().date() - 3 * DAY) + timedelta(hours=5)
    copy_row(factory, "mes.labor_transactions", {"clock_in_time": moment}, "labor_cost > 0")
    yield moment
    write(factory, "mes.labor_transactions", "DELETE FROM {table} WHERE clock_in_time = %(m)s", {"m": moment})


@contextmanager
def renamed(settings: Settings, table: str, column: str) -> Generator[None]:
    write(settings, table, f"ALTER TABLE {{table}} RENAME {column} TO gone")
    try:
        yield
    finally:
        write(settings, table, f"ALTER TABLE {{table}} RENAME gone TO {column}")
