"""Suspends capture of tables with leave, and resumes it: each in one transaction that counts the rows as well.

Writers to these tables wait meanwhile, so the count is that of the moment from which changes are, or are not, captured.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from psycopg2 import errors, extensions, sql
from psycopg2.extras import Json

from genims_platform.audit.capture import event_triggers
from genims_platform.audit.capture.session import CaptureError, CaptureRefusedError, in_transaction
from genims_platform.audit.capture.suspensions import Window, format_windows, read_windows, state_key
from genims_platform.audit.capture.tables import live_triggers
from genims_platform.audit.capture.triggers import attach
from genims_platform.audit.policy import AuditPolicy, audit_policy
from genims_platform.settings import Settings

ROLE = "genims_audit_maintenance"

_COUNT = """
    SELECT number, digest::text, image, pg_current_snapshot()::text FROM audit.count_rows(%s, %s)
"""
_MARK = """
    INSERT INTO audit.queue (kind, op, schema_name, table_name, class, ctx, detail, app_name)
    VALUES ('MARK', %s, %s, %s, %s, nullif(current_setting('audit.ctx', true), ''), %s,
        current_setting('application_name'))
    RETURNING occurred_at
"""


@dataclass(frozen=True)
class TableCapture:
    """What was done to the capture of one table, or would be; `rows` as counted now, unless nothing was done."""

    table: str
    state: Literal["suspended", "resumed", "unchanged"]
    rows: int | None
    window: Window | None
    """The one that began, ended or goes on; None for a table that is captured."""

    same_rows: bool | None = None
    """Whether a table that is captured again has the very rows that it had when it was suspended."""


@dataclass(frozen=True)
class CaptureChange:
    """What `suspend` or `resume` did in one source, or would do."""

    source: str
    database: str
    tables: tuple[TableCapture, ...]

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return any(found.state != "unchanged" for found in self.tables)


@dataclass(frozen=True)
class Leave:
    """Who suspends or resumes capture, why, and who allowed it."""

    operator: str
    reason: str
    approval: str


def suspend(
    settings: Settings, source: str, tables: Sequence[str] | None, leave: Leave, *, dry_run: bool = False
) -> CaptureChange:
    """Capture no changes of these tables (by default of all) until `resume`; a suspended table stays as it is.

    Raises:
        CaptureError: the source is not captured, or a table is not; nothing was changed.
        CaptureRefusedError: the account is no member of the maintenance role; nothing was changed.
        CaptureBusyError: tables stayed locked; nothing was changed.
        SourceUnavailableError: no connection.
    """
    return _change(_Suspension(settings, source, leave), tables, dry_run=dry_run)


def resume(
    settings: Settings,
    source: str,
    tables: Sequence[str] | None,
    leave: Leave,
    *,
    policy: AuditPolicy | None = None,
    dry_run: bool = False,
) -> CaptureChange:
    """Capture the changes of these tables (by default of all) again; a table that is captured stays as it is.

    Raises:
        CaptureError: the source is not captured, or a table is not audited; nothing was changed.
        CaptureRefusedError: the account is no member of the maintenance role; nothing was changed.
        CaptureBusyError: tables stayed locked; nothing was changed.
        SourceUnavailableError: no connection.
    """
    return _change(_Resumption(settings, source, leave, policy or audit_policy()), tables, dry_run=dry_run)


@dataclass(frozen=True)
class _Table:
    schema: str
    name: str
    table_class: str
    windows: Sequence[Window]

    @property
    def open(self) -> Window | None:
        """The window that goes on."""
        return self.windows[-1] if self.windows and self.windows[-1].until is None else None


@dataclass(frozen=True)
class _Count:
    rows: int
    digest: str
    image: str
    snapshot: str

    def detail(self, **more: object) -> dict[str, object]:
        """As a mark keeps it."""
        return {"rows": self.rows, "digest": self.digest, "image": self.image, "snapshot": self.snapshot, **more}


class _Suspension:
    """The triggers of a table are switched off; its last baseline precedes the mark."""

    def __init__(self, settings: Settings, source: str, leave: Leave) -> None:
        self.settings = settings
        self.source = source
        self.leave = leave
        self.server = settings.audit_install(source)
        self.run = uuid4().hex

    def is_due(self, table: _Table) -> bool:
        return table.open is None

    def switch(self, cursor: extensions.cursor, table: _Table) -> None:
        names = [name for schema, of, name in live_triggers(cursor) if (schema, of) == (table.schema, table.name)]
        if not names:
            raise self.not_captured(f"table {table.name}")
        on = sql.Identifier(table.schema, table.name)
        for name in sorted(names):
            cursor.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER {}").format(on, sql.Identifier(name)))

    def record(self, cursor: extensions.cursor, table: _Table, count: _Count) -> TableCapture:
        leave = self.leave
        self.mark(cursor, "BASELINE", table, count.detail(run=self.run))
        since = self.mark(
            cursor,
            "SUSPENDED",
            table,
            count.detail(run=self.run, reason=leave.reason, approval=leave.approval, by=leave.operator),
        )
        window = Window(table.name, since, None, leave.operator, leave.reason, leave.approval, count.rows, count.digest)
        _store(cursor, table, [*table.windows, window], since)
        return TableCapture(table.name, "suspended", count.rows, window)

    def mark(self, cursor: extensions.cursor, op: str, table: _Table, detail: Mapping[str, object]) -> datetime:
        cursor.execute(_MARK, (op, table.schema, table.name, table.table_class, Json(dict(detail))))
        ((at,),) = cursor.fetchall()
        return at.astimezone(UTC)

    def not_captured(self, what: str) -> CaptureError:
        return CaptureError(
            f"{self.server.address}: {what} is not captured; run `genims audit install --source {self.source}`"
        )


class _Resumption(_Suspension):
    """The triggers are put right and switched on; the first baseline follows the mark."""

    def __init__(self, settings: Settings, source: str, leave: Leave, policy: AuditPolicy) -> None:
        super().__init__(settings, source, leave)
        self._rules = policy.audited(source)

    def is_due(self, table: _Table) -> bool:
        return table.open is not None

    def switch(self, cursor: extensions.cursor, table: _Table) -> None:
        rule = self._rules.get(table.name)
        if rule is None:
            raise CaptureError(
                f"{self.server.address}: the policy does not name {table.name} any more; run `genims audit install "
                f"--source {self.source}`"
            )
        for statement in attach(table.schema, table.name, rule):
            cursor.execute(statement)

    def record(self, cursor: extensions.cursor, table: _Table, count: _Count) -> TableCapture:
        before, leave = table.open, self.leave
        assert before is not None  # noqa: S101 - `is_due`
        known = {"since": before.since.isoformat(), "rows": before.rows, "digest": before.digest}
        until = self.mark(
            cursor,
            "RESUMED",
            table,
            count.detail(
                run=self.run, reason=leave.reason, approval=leave.approval, by=leave.operator, suspended=known
            ),
        )
        self.mark(cursor, "BASELINE", table, count.detail(run=self.run))
        cursor.execute(
            "UPDATE audit.policy SET baseline_at = clock_timestamp() WHERE schema_name = %s AND table_name = %s",
            (table.schema, table.name),
        )
        ended = replace(before, until=until)
        _store(cursor, table, [*table.windows[:-1], ended], until)
        same = (count.rows, count.digest) == (before.rows, before.digest)
        return TableCapture(table.name, "resumed", count.rows, ended, same)


def _change(act: _Suspension, tables: Sequence[str] | None, *, dry_run: bool) -> CaptureChange:
    def work(cursor: extensions.cursor) -> CaptureChange:
        known = _audited(cursor, act, tables)
        due = [table for table in known if act.is_due(table)]
        done: dict[str, TableCapture] = {}
        if due:
            _check_role(cursor, act)
            done = {found.table: found for found in _apply(cursor, act, due)}
        unchanged = (TableCapture(table.name, "unchanged", None, table.open) for table in known)
        return CaptureChange(
            act.source, act.server.database, tuple(done.get(found.table, found) for found in unchanged)
        )

    return in_transaction(act.settings, act.server, work, keep=lambda result: result.changed and not dry_run)


def _audited(cursor: extensions.cursor, act: _Suspension, wanted: Sequence[str] | None) -> list[_Table]:
    cursor.execute("SELECT to_regclass('audit.state') IS NOT NULL")
    if cursor.fetchone() != (True,):
        raise act.not_captured("the database")
    cursor.execute("SELECT value FROM audit.state WHERE key = 'installed'")
    if cursor.fetchall() != [("true",)]:
        raise act.not_captured("the database")
    windows = read_windows(cursor)
    cursor.execute("SELECT schema_name, table_name, class FROM audit.policy ORDER BY 1, 2")
    known = {name: _Table(schema, name, kind, windows.get(name, ())) for schema, name, kind in cursor.fetchall()}
    if unknown := sorted({*(wanted or ())} - known.keys()):
        raise act.not_captured(f"table {', '.join(unknown)}")
    return [table for name, table in known.items() if wanted is None or name in wanted]


def _check_role(cursor: extensions.cursor, act: _Suspension) -> None:
    cursor.execute("SELECT pg_has_role(session_user, %s, 'member')", (ROLE,))
    if cursor.fetchone() != (True,):
        raise CaptureRefusedError(
            f"{act.server.address}: {act.server.user} may not suspend or resume capture: it is no member of {ROLE}. A "
            f"superuser decides that: GRANT {ROLE} TO {act.server.user}"
        )


def _apply(cursor: extensions.cursor, act: _Suspension, due: Sequence[_Table]) -> Iterator[TableCapture]:
    cursor.execute("SELECT audit.check_catalog()")
    cursor.execute(
        "SELECT audit.set_context(user_id => %s, reason => %s, approval => %s)",
        (act.leave.operator, act.leave.reason, act.leave.approval),
    )
    paused = event_triggers.pause(cursor)
    try:
        for table in due:
            act.switch(cursor, table)
    except (errors.UndefinedTable, errors.UndefinedObject, errors.UndefinedFunction):
        raise act.not_captured(", ".join(table.name for table in due)) from None
    # All locks are held by now, so the counts are those of one moment.
    for table in due:
        cursor.execute(_COUNT, (table.schema, table.name))
        (counted,) = cursor.fetchall()
        yield act.record(cursor, table, _count(counted))
    if paused:
        event_triggers.establish(cursor)
    cursor.execute("SELECT audit.compare_catalog(%s)", (act.run,))


def _count(row: tuple[Any, ...]) -> _Count:
    rows, *rest = row
    return _Count(int(rows), *rest)


def _store(cursor: extensions.cursor, table: _Table, windows: Sequence[Window], now: datetime) -> None:
    cursor.execute(
        "INSERT INTO audit.state AS s VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (state_key(table.schema, table.name), format_windows(windows, now)),
    )
