"""Every environment variable of the platform, typed, with its default.

Values come from the environment, then `.env`, then `.genims/local.env` (written by `genims local up`), then the
defaults below. This module is the only reader of the environment; other code receives a `Settings` or a part of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import time, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parents[1]
LOCAL_ENV = Path(".genims/local.env")

_SECRETS = frozenset({"AUDIT_KEK", "AUDIT_KEYSTORE_URI", "AUDIT_SIGNING_KEY"})

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[int, Field(ge=1)]

SOURCE_NAMES = (
    "master",
    "operational",
    "mes",
    "erp",
    "financial",
    "wms",
    "tms",
    "cmms",
    "crm",
    "service",
    "hcm",
    "supplier",
    "qms",
)
"""Short names of the 13 source databases, as used in table references such as `mes.work_orders`."""

AuditRole = Literal["relay", "writer", "verifier", "auditor", "retention"]
"""Who works with the audit database, each with an account of its own and no more rights than the work needs."""


class SettingsError(ValueError):
    """One or more variables hold a value that cannot be used; the message names variable, value and expectation."""


@dataclass(frozen=True)
class PostgresServer:
    """Address and account of one PostgreSQL database; the password never appears in its repr."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    ssl_root_cert: Path | None = None
    """Set: TLS is required, and certificate and host name are verified."""

    @property
    def address(self) -> str:
        """`database at host:port`, safe to print."""
        return f"{self.database} at {self.host}:{self.port}"


class AuditSource(BaseModel):
    """Where one source is captured, if that differs from `AUDIT_PG_*` and `PG_<SOURCE>_DB`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str | None = None
    port: Port | None = None
    db: str | None = None


@dataclass(frozen=True)
class MySQLServer:
    """Address, account and limits of one MySQL database; the password never appears in its repr."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    charset: str = "utf8mb4"
    timeout: int = 30
    ssl_ca: Path | None = None
    pool_max: int = 5

    @property
    def address(self) -> str:
        """`database at host:port`, safe to print."""
        return f"{self.database} at {self.host}:{self.port}"


class Settings(BaseSettings):
    """All variables. Field names are the variable names in lower case; see `.env.example` for their meaning."""

    model_config = SettingsConfigDict(
        env_file=(LOCAL_ENV, ".env"),
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        env_nested_delimiter="_",  # AUDIT_SOURCE_MES_DB is `db` of the entry `mes` of `audit_source`
        env_nested_max_split=2,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    mysql_reporting_host: str = "127.0.0.1"
    mysql_reporting_port: Port = 3306
    mysql_reporting_db: str = "genims_reporting_db"
    mysql_reporting_user: str = "genims"
    mysql_reporting_password: SecretStr = SecretStr("")
    mysql_reporting_charset: str = "utf8mb4"
    mysql_reporting_timeout: Seconds = 30
    mysql_reporting_ssl_ca: Path | None = None

    mysql_audit_host: str = "127.0.0.1"
    mysql_audit_port: Port = 3306
    mysql_audit_db: str = "genims_audit_db"
    mysql_audit_user: str = "genims"
    mysql_audit_password: SecretStr = SecretStr("")
    mysql_audit_charset: str = "utf8mb4"
    mysql_audit_timeout: Seconds = 30
    mysql_audit_ssl_ca: Path | None = None
    mysql_audit_replica_host: str | None = None
    mysql_audit_replica_port: Port | None = None
    mysql_audit_relay_user: str = "genims_audit_relay"
    mysql_audit_relay_password: SecretStr = SecretStr("")
    mysql_audit_writer_user: str = "genims_audit_writer"
    mysql_audit_writer_password: SecretStr = SecretStr("")
    mysql_audit_verifier_user: str = "genims_audit_verifier"
    mysql_audit_verifier_password: SecretStr = SecretStr("")
    mysql_audit_auditor_user: str = "genims_audit_auditor"
    mysql_audit_auditor_password: SecretStr = SecretStr("")
    mysql_audit_retention_user: str = "genims_audit_retention"
    mysql_audit_retention_password: SecretStr = SecretStr("")
    mysql_audit_client_host: str | None = None
    audit_insecure: bool = False

    pg_host: str = "127.0.0.1"
    pg_port: Port = 5432
    pg_user: str = "genims"
    pg_password: SecretStr = SecretStr("")
    pg_replica_host: str | None = None
    pg_replica_port: Port | None = None
    pg_replica_user: str | None = None
    pg_replica_password: SecretStr | None = None
    pg_master_db: str = "genims_master_db"
    pg_operational_db: str = "genims_operational_db"
    pg_mes_db: str = "genims_mes_db"
    pg_erp_db: str = "genims_erp_db"
    pg_financial_db: str = "genims_financial_db"
    pg_wms_db: str = "genims_wms_db"
    pg_tms_db: str = "genims_tms_db"
    pg_cmms_db: str = "genims_cmms_db"
    pg_crm_db: str = "genims_crm_db"
    pg_service_db: str = "genims_service_db"
    pg_hcm_db: str = "genims_hcm_db"
    pg_supplier_db: str = "genims_supplier_db"
    pg_qms_db: str = "genims_qms_db"

    audit_pg_host: str | None = None
    audit_pg_port: Port | None = None
    audit_pg_sslrootcert: Path | None = None
    audit_pg_install_user: str | None = None
    audit_pg_install_password: SecretStr | None = None
    audit_pg_relay_user: str = "genims_audit_relay"
    audit_pg_relay_password: SecretStr = SecretStr("")
    audit_source: Mapping[str, AuditSource] = {}

    audit_poll_min_ms: Annotated[int, Field(ge=1, le=500)] = 50
    audit_poll_max_ms: Annotated[int, Field(ge=1, le=500)] = 400
    audit_fingerprint_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    audit_queue_keep_days: Annotated[int, Field(ge=1, le=30)] = 14
    audit_bulk_rows: Annotated[int, Field(ge=2)] = 1000
    audit_workers: Annotated[int, Field(ge=0, le=32)] = 2
    audit_load: Literal["auto", "insert"] = "auto"
    audit_allow_admin: bool = False
    audit_failpoint: str | None = None
    audit_journal_dir: Path | None = None
    audit_journal_keep_days: Annotated[int, Field(ge=1)] = 14

    audit_keystore_uri: SecretStr | None = None
    audit_kek: SecretStr | None = None
    audit_signing_key: SecretStr | None = None
    audit_signing_key_file: Path | None = None
    audit_public_keys_file: Path | None = None
    audit_worm_uri: str | None = None
    audit_witness_uri: str | None = None
    audit_checkpoint_seconds: Annotated[int, Field(ge=1, le=3600)] = 60

    audit_stream: bool = True
    audit_stream_run_seconds: Annotated[int, Field(ge=10)] = 3300
    audit_handover_lead: Annotated[int, Field(ge=1)] = 60
    audit_hot_standby: bool = False

    dagster_pg_host: str | None = None
    dagster_pg_port: Port | None = None
    dagster_pg_user: str | None = None
    dagster_pg_password: SecretStr | None = None
    dagster_pg_db: str = "genims_dagster"

    etl_reporting_interval: Annotated[int, Field(ge=3600, le=3600)] = 3600
    etl_audit_interval: Seconds = 60
    etl_batch_size: Annotated[int, Field(ge=1, le=1000)] = 1000
    etl_log_dir: Path = Path("logs/etl/")
    etl_error_threshold: Annotated[int, Field(ge=1)] = 2
    data_sync_timeout: Seconds = 300
    data_sync_retry_count: Annotated[int, Field(ge=0, le=20)] = 3
    data_sync_retry_delay: Annotated[float, Field(ge=0)] = 5

    backup_enabled: bool = False
    backup_daily_time: time = time(2, 0)
    backup_reporting_retention: Annotated[int, Field(ge=1)] = 30
    backup_audit_retention: Annotated[int, Field(ge=2555)] = 2555
    backup_azure_container: str = "genims-backups"

    mes_currency: Literal["INR"] = "INR"
    genims_executor: Literal["in_process", "multiprocess"] = "in_process"
    genims_webserver_port: Port = 3000

    @field_validator("audit_source")
    @classmethod
    def _sources_exist(cls, value: Mapping[str, AuditSource]) -> Mapping[str, AuditSource]:
        for name in value.keys() - set(SOURCE_NAMES):
            raise ValueError(f"{name!r} is no source; sources are {', '.join(SOURCE_NAMES)}")
        return value

    @field_validator("mysql_reporting_ssl_ca", "mysql_audit_ssl_ca", "audit_pg_sslrootcert")
    @classmethod
    def _certificate_exists(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"a readable certificate file; {info.field_name} names none")
        return value

    @model_validator(mode="after")
    def _bounds_agree(self) -> Self:
        problems: list[str] = []
        if self.audit_poll_min_ms > self.audit_poll_max_ms:
            problems.append(
                f"AUDIT_POLL_MIN_MS={self.audit_poll_min_ms}: at most AUDIT_POLL_MAX_MS, which is "
                f"{self.audit_poll_max_ms}"
            )
        if self.audit_journal_keep_days < self.audit_queue_keep_days:
            problems.append(
                f"AUDIT_JOURNAL_KEEP_DAYS={self.audit_journal_keep_days}: at least AUDIT_QUEUE_KEEP_DAYS, which is "
                f"{self.audit_queue_keep_days}; events are delivered again with the numbers that the journal kept"
            )
        if self.audit_handover_lead >= self.audit_stream_run_seconds:
            problems.append(
                f"AUDIT_HANDOVER_LEAD={self.audit_handover_lead}: less than AUDIT_STREAM_RUN_SECONDS, which is "
                f"{self.audit_stream_run_seconds}"
            )
        if self.audit_witness_uri is not None and self.audit_worm_uri is None:
            problems.append("AUDIT_WITNESS_URI is the second place of checkpoints: set AUDIT_WORM_URI, the first, too")
        if self.audit_witness_uri is not None and self.audit_witness_uri == self.audit_worm_uri:
            problems.append(f"AUDIT_WITNESS_URI={self.audit_witness_uri!r}: another place than AUDIT_WORM_URI")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def mysql_reporting(self) -> MySQLServer:
        """The reporting database."""
        return MySQLServer(
            self.mysql_reporting_host,
            self.mysql_reporting_port,
            self.mysql_reporting_user,
            self.mysql_reporting_password.get_secret_value(),
            self.mysql_reporting_db,
            self.mysql_reporting_charset,
            self.mysql_reporting_timeout,
            self.mysql_reporting_ssl_ca,
            pool_max=5,
        )

    @property
    def mysql_audit(self) -> MySQLServer:
        """The audit database."""
        return MySQLServer(
            self.mysql_audit_host,
            self.mysql_audit_port,
            self.mysql_audit_user,
            self.mysql_audit_password.get_secret_value(),
            self.mysql_audit_db,
            self.mysql_audit_charset,
            self.mysql_audit_timeout,
            self.mysql_audit_ssl_ca,
            pool_max=3,
        )

    def mysql_audit_as(self, role: AuditRole) -> MySQLServer:
        """The audit database as the account of this role: `MYSQL_AUDIT_<ROLE>_USER` and `_PASSWORD`."""
        password: SecretStr = getattr(self, f"mysql_audit_{role}_password")
        return replace(
            self.mysql_audit,
            user=str(getattr(self, f"mysql_audit_{role}_user")),
            password=password.get_secret_value(),
        )

    def mysql_audit_replica_as(self, role: AuditRole) -> MySQLServer | None:
        """The replica of the audit database, if there is one; it has the accounts of the primary."""
        if self.mysql_audit_replica_host is None:
            return None
        primary = self.mysql_audit_as(role)
        return replace(primary, host=self.mysql_audit_replica_host, port=self.mysql_audit_replica_port or primary.port)

    def source_database(self, name: str) -> str:
        """Database name that this deployment uses for the source with this short name (`mes` → `genims_mes_db`)."""
        return str(getattr(self, f"pg_{name}_db"))

    def source_primary(self, name: str) -> PostgresServer:
        """The writable server of a source: where its schema is created and simulated changes are made."""
        return PostgresServer(
            self.pg_host, self.pg_port, self.pg_user, self.pg_password.get_secret_value(), self.source_database(name)
        )

    def source(self, name: str) -> PostgresServer:
        """The server that reports read a source from: the replica where one is set, else the primary."""
        primary = self.source_primary(name)
        if self.pg_replica_host is None:
            return primary
        return PostgresServer(
            self.pg_replica_host,
            self.pg_replica_port or primary.port,
            self.pg_replica_user or primary.user,
            primary.password if self.pg_replica_password is None else self.pg_replica_password.get_secret_value(),
            primary.database,
        )

    def audit_install(self, name: str) -> PostgresServer:
        """A source as the account that installs and checks its audit capture: `AUDIT_PG_INSTALL_*`, else `PG_*`."""
        password = self.pg_password if self.audit_pg_install_password is None else self.audit_pg_install_password
        return self._audit_server(name, self.audit_pg_install_user or self.pg_user, password)

    def audit_relay(self, name: str) -> PostgresServer:
        """A source as the account that reads its audit queue."""
        return self._audit_server(name, self.audit_pg_relay_user, self.audit_pg_relay_password)

    def _audit_server(self, name: str, user: str, password: SecretStr) -> PostgresServer:
        own = self.audit_source.get(name, AuditSource())
        return PostgresServer(
            own.host or self.audit_pg_host or self.pg_host,
            own.port or self.audit_pg_port or self.pg_port,
            user,
            password.get_secret_value(),
            own.db or self.source_database(name),
            self.audit_pg_sslrootcert,
        )

    @property
    def dagster_storage(self) -> PostgresServer:
        """Where Dagster keeps runs and events: `DAGSTER_PG_*`, by default a database beside the sources."""
        password = self.pg_password if self.dagster_pg_password is None else self.dagster_pg_password
        return PostgresServer(
            self.dagster_pg_host or self.pg_host,
            self.dagster_pg_port or self.pg_port,
            self.dagster_pg_user or self.pg_user,
            password.get_secret_value(),
            self.dagster_pg_db,
        )

    @property
    def retry_delay(self) -> timedelta:
        """Pause between two attempts after a transient error."""
        return timedelta(seconds=self.data_sync_retry_delay)


def load_settings(overrides: Mapping[str, object] | None = None) -> Settings:
    """Read the settings; `overrides` (by field name) win over every file and variable.

    Raises:
        SettingsError: one line a wrong variable: its name, the value given (secrets hidden) and what is expected.
    """
    try:
        return Settings(**dict(overrides or {}))  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(problem) for problem in error.errors())) from None


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()


def _explain(problem: Mapping[str, object]) -> str:
    location = problem.get("loc")
    if not isinstance(location, tuple) or not location:  # several variables that do not go together
        return str(problem.get("msg")).removeprefix("Value error, ")
    name = "_".join(map(str, location)).upper()
    secret = "PASSWORD" in name or name in _SECRETS
    value = "(hidden)" if secret else repr(problem.get("input"))
    return f"{name}={value}: {problem.get('msg')}"
