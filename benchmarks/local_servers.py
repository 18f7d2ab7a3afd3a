"""Settings for benchmarks, which create and empty tables: only the servers of `genims local up` are accepted."""

from collections.abc import Mapping

from genims_platform.local import servers
from genims_platform.settings import Settings, load_settings


class NotLocalError(RuntimeError):
    """The settings point at another server than the private ones of this checkout."""


def local_settings(overrides: Mapping[str, object] | None = None) -> Settings:
    """The settings of this checkout.

    Raises:
        NotLocalError: PostgreSQL or MySQL of the settings is not a running server of `genims local up`.
    """
    settings = load_settings(overrides)
    running = {server.port for server in servers.status() if server.healthy}
    for variable, host, port in (
        ("PG", settings.pg_host, settings.pg_port),
        ("MYSQL_REPORTING", settings.mysql_reporting_host, settings.mysql_reporting_port),
    ):
        if host != "127.0.0.1" or port not in running:
            raise NotLocalError(
                f"{variable}_HOST and {variable}_PORT name {host}:{port}, which is no running private server of this "
                "checkout; benchmarks use nothing else: run `genims local up` and unset these variables"
            )
    return settings


def engine_versions() -> str:
    """The servers that run here with their versions, such as `postgres 15.14, mariadb 10.11.14`."""
    return ", ".join(f"{server.engine} {server.version}" for server in servers.status() if server.healthy)
