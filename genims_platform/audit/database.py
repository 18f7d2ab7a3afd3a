"""Connections to the audit database, each with no more rights than its work needs."""

from genims_platform.mysql.connection import Database
from genims_platform.settings import AuditRole, Settings


def audit_database(settings: Settings, role: AuditRole | None = None) -> Database:
    """The audit database as the account of a role; as the administrator without one."""
    return Database(
        settings.mysql_audit if role is None else settings.mysql_audit_as(role),
        retries=settings.data_sync_retry_count,
        retry_delay=settings.data_sync_retry_delay,
        statement_timeout=settings.data_sync_timeout,
        batch_size=settings.etl_batch_size,
    )
