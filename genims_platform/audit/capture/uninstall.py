"""Removes capture from a source; the queue stays until everything in it is delivered."""

from dataclasses import dataclass
from uuid import uuid4

from psycopg2 import errors, extensions, sql
from psycopg2.extras import Json

from genims_platform.audit.capture import event_triggers
from genims_platform.audit.capture.objects import CaptureObject, definitions, differences
from genims_platform.audit.capture.session import CaptureError, CaptureRefusedError, in_transaction
from genims_platform.audit.capture.suspensions import PREFIX
from genims_platform.audit.capture.tables import live_triggers
from genims_platform.settings import Settings

_FUNCTIONS = ("capture()", "on_ddl()", "on_drop()", "take_baselines(text)")
"""What only a captured source needs. The rest serves delivery and applications that still report, so it stays."""


@dataclass(frozen=True)
class Uninstalled:
    """What `uninstall` did in one source, or would do; `undelivered` events kept the queue from being dropped."""

    source: str
    database: str
    objects: tuple[CaptureObject, ...]
    undelivered: int = 0

    @property
    def changed(self) -> bool:
        """Whether there was anything to remove."""
        return bool(self.objects)


def uninstall(
    settings: Settings,
    source: str,
    *,
    drop_queue: bool = False,
    delivered_tick: int | None = None,
    discard: bool = False,
    dry_run: bool = False,
) -> Uninstalled:
    """Stop capture in one source, recorded as its last event, in one transaction; again, it does nothing.

    `drop_queue` removes the schema `audit` as well, but only if the audit database has every event: `delivered_tick` is
    the last tick it knows of this source. `discard` gives up events that are not delivered. Roles stay, they belong to
    the server.

    Raises:
        CaptureError: a right is missing, or there is no such tick; nothing was changed.
        CaptureBusyError: tables stayed locked; nothing was changed.
        SourceUnavailableError: no connection.
    """
    server = settings.audit_install(source)

    def remove(cursor: extensions.cursor) -> Uninstalled:
        before = definitions(cursor)
        if ("schema", "audit") not in before:
            return Uninstalled(source, server.database, ())
        removed = _stop(cursor, source) if before.get(("state", "installed")) == "true" else []
        undelivered = 0
        if drop_queue:
            undelivered = 0 if discard else _undelivered(cursor, delivered_tick, server.address)
            if not undelivered:
                cursor.execute("SET LOCAL ROLE genims_audit_owner")
                cursor.execute("DROP SCHEMA audit CASCADE")
                cursor.execute("RESET ROLE")
        objects = (
            *removed,
            *(found for found in differences(source, before, definitions(cursor)) if found.state == "removed"),
        )
        return Uninstalled(source, server.database, objects, undelivered)

    return in_transaction(settings, server, remove, keep=lambda result: result.changed and not dry_run)


def _stop(cursor: extensions.cursor, source: str) -> list[CaptureObject]:
    run = uuid4().hex
    cursor.execute("SELECT audit.check_catalog()")
    try:
        event_triggers.remove(cursor)
    except errors.InsufficientPrivilege:
        raise CaptureRefusedError(
            "event triggers were installed by a superuser; only a superuser can remove them"
        ) from None
    removed: list[CaptureObject] = []
    for schema, table, name in live_triggers(cursor):
        drop = sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(name), sql.Identifier(schema, table))
        cursor.execute(drop)
        removed.append(CaptureObject(source, "trigger", f"{schema}.{table}.{name}", "removed"))
    for function in _FUNCTIONS:
        cursor.execute(sql.SQL("DROP FUNCTION audit.{}").format(sql.SQL(function)))
    cursor.execute("UPDATE audit.state SET value = 'false' WHERE key = 'installed'")
    cursor.execute("UPDATE audit.policy SET baseline_at = NULL")
    cursor.execute("DELETE FROM audit.state WHERE key LIKE %s", (f"{PREFIX}%",))
    cursor.execute("SELECT audit.compare_catalog(%s)", (run,))
    cursor.execute(
        """INSERT INTO audit.queue (kind, op, detail, app_name)
        SELECT 'MARK', 'UNINSTALLED', %s || jsonb_build_object('install_uid', value),
            current_setting('application_name')
        FROM audit.state WHERE key = 'install_uid'""",
        (Json({"run": run}),),
    )
    return removed


def _undelivered(cursor: extensions.cursor, tick: int | None, address: str) -> int:
    if tick is None:
        cursor.execute("SELECT count(*) FROM audit.queue")
    else:
        cursor.execute("SELECT snap::text FROM audit.tick WHERE tick_id = %s", (tick,))
        found = cursor.fetchone()
        if found is None:
            raise CaptureError(f"{address}: the queue has no tick {tick}; `genims audit check` names the newest")
        cursor.execute("SELECT count(*) FROM audit.queue WHERE NOT pg_visible_in_snapshot(xid, %s::pg_snapshot)", found)
    (number,) = cursor.fetchone() or (0,)
    return int(number)
