"""Transactions that change capture: serialised, short, and repeated when somebody else is in the way."""

import time
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

import psycopg2
from psycopg2 import errors, extensions

from genims_platform.settings import PostgresServer, Settings
from genims_platform.sources.connection import connect

Result = TypeVar("Result")

OLDEST_SERVER = 140000
_LOCK_WAIT = "2s"
"""Longer, and business writes would queue behind a lock that is waited for."""

_IN_THE_WAY = (
    errors.LockNotAvailable,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.UniqueViolation,  # the catalogue's own: another source's installation creates the same role
    errors.DuplicateObject,
)


class CaptureError(RuntimeError):
    """Capture cannot be installed, checked or removed; the message says where, why and how to mend it."""


class CaptureRefusedError(CaptureError):
    """The account lacks a right."""


class CaptureBusyError(ConnectionError):
    """Locks were not to be had in several attempts; nothing was changed."""


def in_transaction(
    settings: Settings,
    server: PostgresServer,
    work: Callable[[extensions.cursor], Result],
    *,
    keep: Callable[[Result], bool],
    isolation: int = extensions.ISOLATION_LEVEL_READ_COMMITTED,
) -> Result:
    """Run `work` in one transaction and commit it if `keep` says so of its result, else roll it back.

    Raises:
        CaptureBusyError: the locks were not free in `DATA_SYNC_RETRY_COUNT` further attempts.
        CaptureRefusedError: the account lacks a right.
        CaptureError: the server is too old.
        SourceUnavailableError: no connection.
    """
    for attempts_left in reversed(range(settings.data_sync_retry_count + 1)):
        try:
            return _attempt(server, work, keep, isolation)
        except (*_IN_THE_WAY, errors.InternalError_) as error:
            if isinstance(error, errors.InternalError_) and "tuple concurrently" not in str(error):
                raise
            if not attempts_left:
                raise CaptureBusyError(
                    f"{server.address}: {_first_line(error)}; nothing was changed, try later"
                ) from None
            time.sleep(settings.data_sync_retry_delay)
        except errors.InsufficientPrivilege as error:
            raise CaptureRefusedError(
                f"{server.address}: {server.user} may not do this: {_first_line(error)}. AUDIT_PG_INSTALL_USER must be "
                "a superuser, or own the database and its tables, and be allowed to create roles (CREATEROLE) unless "
                "the roles exist and it is a member of genims_audit_owner"
            ) from None
    raise AssertionError("unreachable")


def _attempt(
    server: PostgresServer, work: Callable[[extensions.cursor], Result], keep: Callable[[Result], bool], isolation: int
) -> Result:
    with closing(connect(server)) as connection, connection.cursor() as cursor:
        if connection.server_version < OLDEST_SERVER:
            raise CaptureError(f"{server.address} runs PostgreSQL {connection.server_version // 10000}; 14 is needed")
        connection.set_session(isolation_level=isolation)
        # With this search path the server prints every name in full.
        cursor.execute("SET LOCAL search_path = pg_catalog")
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_WAIT,))
        cursor.execute("SET LOCAL application_name = 'genims-audit-install'")
        if isolation == extensions.ISOLATION_LEVEL_READ_COMMITTED:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('genims audit capture', 0))")
        result = work(cursor)
        if keep(result):
            connection.commit()
        else:
            connection.rollback()
        return result


def _first_line(error: psycopg2.Error) -> str:
    return str(error).strip().splitlines()[0]
