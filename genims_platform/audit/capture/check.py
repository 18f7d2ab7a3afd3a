"""Says what of capture in a source is missing or altered, and which tables the policy does not know."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from psycopg2 import extensions

from genims_platform.audit.capture.install import Installed, survey
from genims_platform.audit.capture.objects import CaptureObject, definitions
from genims_platform.audit.capture.session import in_transaction
from genims_platform.audit.capture.suspensions import read_windows
from genims_platform.audit.capture.tables import LiveTable, live_tables
from genims_platform.audit.capture.unclassified import unclassified
from genims_platform.audit.policy import AuditPolicy, audit_policy
from genims_platform.settings import Settings

_WORDS = {"created": "is missing", "changed": "is altered", "removed": "does not belong there", "missing": "is missing"}


@dataclass(frozen=True)
class CaptureFinding:
    """One thing in a source that is not as it should be; `message` says what and how to mend it."""

    source: str
    kind: Literal[
        "not_installed",
        "object",
        "suspended",
        "unclassified_table",
        "unclassified_column",
        "baseline",
        "owner_member",
    ]
    name: str
    message: str


@dataclass(frozen=True)
class Checked:
    """What `check` found in one source; without `event_triggers` DDL is found by comparing the catalogue."""

    source: str
    database: str
    findings: tuple[CaptureFinding, ...]
    event_triggers: bool


def check(settings: Settings, source: str, *, policy: AuditPolicy | None = None) -> Checked:
    """Compare capture in a source with what this version would install; nothing is changed.

    Raises:
        CaptureError: it cannot be compared: a right is missing, or a primary key contradicts the policy.
        SourceUnavailableError: no connection.
    """
    policy = policy or audit_policy()
    server = settings.audit_install(source)

    def compare(cursor: extensions.cursor) -> Checked:
        tables = live_tables(cursor)
        unknown = tuple(_unclassified(source, policy, tables))
        if definitions(cursor).get(("state", "installed")) != "true":
            message = f"{server.address}: changes are not captured; run `genims audit install --source {source}`"
            missing = CaptureFinding(source, "not_installed", server.database, message)
            return Checked(source, server.database, (missing, *unknown), event_triggers=False)
        pending, members = tuple(_pending(cursor, source)), tuple(_members(cursor, source, server.user))
        suspended = tuple(_suspended(cursor, source))
        found = survey(cursor, settings, source, policy, run=uuid4().hex, attach=False)
        findings = (*suspended, *_faults(found), *unknown, *pending, *members)
        return Checked(source, server.database, findings, found.event_triggers)

    return in_transaction(settings, server, compare, keep=lambda _: False)


def _faults(found: Installed) -> Iterator[CaptureFinding]:
    repair = f"`genims audit install --source {found.source}` puts it right"
    for fault in found.objects:
        if fault.state != "unchanged":
            how = f": {fault.note}" if fault.note not in ("", "missing", "disabled") else ""
            mend = "" if fault.state == "missing" else f"; {repair}"
            message = f"{found.database}: {fault.kind} {fault.name} {_says(fault)}{how}{mend}"
            yield CaptureFinding(found.source, "object", f"{fault.kind} {fault.name}", message)


def _says(fault: CaptureObject) -> str:
    return "is disabled" if fault.note == "disabled" else _WORDS[fault.state]


def _unclassified(source: str, policy: AuditPolicy, tables: Mapping[str, LiveTable]) -> Iterator[CaptureFinding]:
    for _, table, column in unclassified(source, policy, tables):
        if column is None:
            name = f"{tables[table].schema}.{table}"
            message = f"{source}: table {name} is not in the audit policy; its changes are not captured"
            yield CaptureFinding(source, "unclassified_table", table, message)
        else:
            message = f"{source}: {table}.{column} is unknown to the audit policy; is it personal or secret?"
            yield CaptureFinding(source, "unclassified_column", f"{table}.{column}", message)


def _suspended(cursor: extensions.cursor, source: str) -> Iterator[CaptureFinding]:
    for table, windows in read_windows(cursor).items():
        now = windows[-1]
        if now.until is None:
            message = (
                f"{source}: capture of {table} is suspended since {now.since:%Y-%m-%d %H:%M:%S} UTC by {now.by}, "
                f"approval {now.approval}: {now.reason}; `genims audit resume --source {source} --table {table}` "
                "ends it"
            )
            yield CaptureFinding(source, "suspended", table, message)


def _pending(cursor: extensions.cursor, source: str) -> Iterator[CaptureFinding]:
    cursor.execute("SELECT table_name FROM audit.policy WHERE baseline_at IS NULL ORDER BY 1")
    for (name,) in cursor.fetchall():
        message = f"{source}: the rows of {name} were not counted yet; `genims audit install --source {source}` does it"
        yield CaptureFinding(source, "baseline", name, message)


def _members(cursor: extensions.cursor, source: str, installer: str) -> Iterator[CaptureFinding]:
    cursor.execute(
        """SELECT member::regrole::text FROM pg_auth_members WHERE roleid = 'genims_audit_owner'::regrole
        AND pg_get_userbyid(member) <> %s ORDER BY 1""",
        (installer,),
    )
    for (name,) in cursor.fetchall():
        message = f"{source}: {name} is a member of genims_audit_owner and can alter the queue; revoke that"
        yield CaptureFinding(source, "owner_member", name, message)
