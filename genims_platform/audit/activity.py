"""What one application user did, as the ledger tells it: changes of rows, reported reads and exports, logins."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from genims_platform.audit.database import audit_database
from genims_platform.mysql.append_only import LEDGER
from genims_platform.settings import Settings

_COLUMNS = (
    "audit_sequence",
    "audit_timestamp",
    "event_kind",
    "operation_type",
    "source_db",
    "table_name",
    "primary_key_value",
    "affected_rows_count",
    "status",
    "user_role",
    "db_user",
    "session_id",
    "source_ip",
    "application_name",
)
_FROM, _TO = " AND audit_timestamp >= %(start)s", " AND audit_timestamp < %(end)s"


@dataclass(frozen=True)
class Activity:
    """One event of a user; `happened_at` is naive UTC, `rows` how many the event is about."""

    audit_sequence: int
    happened_at: datetime
    kind: str
    operation: str
    source: str
    table: str | None
    key: str | None
    rows: int | None
    status: str
    user_role: str | None
    db_user: str | None
    session: str | None
    source_ip: str | None
    application: str | None


def activity(
    settings: Settings, user: str, limit: int, start: datetime | None = None, end: datetime | None = None
) -> Sequence[Activity]:
    """The newest events of an application user from `start` until before `end`, oldest first; read as the auditor.

    Raises:
        DatabaseUnavailableError: the audit database cannot be reached.
    """
    statement = (
        f"SELECT {', '.join(_COLUMNS)} FROM {LEDGER} WHERE user_id = %(user)s"  # noqa: S608
        f"{_FROM if start else ''}{_TO if end else ''} "
        "ORDER BY audit_timestamp DESC, audit_sequence DESC LIMIT %(limit)s"
    )
    with closing(audit_database(settings, "auditor")) as database:
        found = database.read(statement, {"user": user, "limit": limit, "start": start, "end": end})
    return [Activity(*row) for row in reversed(found.rows())]
