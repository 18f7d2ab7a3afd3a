"""Installs capture in a source, brings it up to date or repairs it, in one transaction."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import psycopg2
from psycopg2 import extensions, sql
from psycopg2.extras import Json, execute_values

from genims_platform.audit.capture import event_triggers
from genims_platform.audit.capture.objects import (
    CaptureObject,
    Definitions,
    capture_digest,
    capture_sql,
    definitions,
    differences,
)
from genims_platform.audit.capture.relay_login import relay_login
from genims_platform.audit.capture.session import CaptureError, in_transaction
from genims_platform.audit.capture.suspensions import PREFIX, state_key, suspended_tables
from genims_platform.audit.capture.tables import LiveTable, live_tables, live_triggers
from genims_platform.audit.capture.triggers import TriggerPlan, plan_triggers
from genims_platform.audit.policy import AuditPolicy, audit_policy
from genims_platform.settings import Settings


@dataclass(frozen=True)
class Installed:
    """What `install` did in one source, or would do."""

    source: str
    database: str
    objects: tuple[CaptureObject, ...]
    event_triggers: bool
    """Whether DDL is recorded as it happens; if not, the catalogue is compared every minute."""
    baselines: int = 0
    """Tables whose rows were counted and digested as the start of their audit trail."""

    @property
    def changed(self) -> bool:
        """Whether anything was not yet as it should be (what is missing in the source itself does not count)."""
        return any(found.state in ("created", "changed", "removed") for found in self.objects)


def install(settings: Settings, source: str, *, policy: AuditPolicy | None = None, dry_run: bool = False) -> Installed:
    """Bring capture of one source up to date; where nothing differs, nothing is written.

    Everything is one transaction, so an interrupted installation leaves nothing behind. Counting the rows that were
    there before comes after it, in a snapshot that locks nothing; if that is interrupted, the next call does it.

    Raises:
        CaptureError: a primary key differs from the policy, a schema `audit` of somebody else exists, or a right is
            missing; nothing was changed.
        CaptureBusyError: tables stayed locked; nothing was changed.
        SourceUnavailableError: no connection.
    """
    policy = policy or audit_policy()
    server = settings.audit_install(source)
    run = uuid4().hex

    def bring_up_to_date(cursor: extensions.cursor) -> Installed:
        done = survey(cursor, settings, source, policy, run=run, attach=not dry_run)
        if done.changed and not dry_run:
            cursor.execute("SELECT audit.compare_catalog(%s)", (run,))
        return done

    done = in_transaction(settings, server, bring_up_to_date, keep=lambda result: result.changed and not dry_run)
    if dry_run:
        return done

    def take_baselines(cursor: extensions.cursor) -> int:
        cursor.execute("SELECT count(*) FROM audit.policy WHERE baseline_at IS NULL")
        if cursor.fetchone() == (0,):
            return 0
        cursor.execute("SELECT audit.take_baselines(%s)", (run,))
        (number,) = cursor.fetchone() or (0,)
        return int(number)

    baselines = in_transaction(
        settings, server, take_baselines, keep=bool, isolation=extensions.ISOLATION_LEVEL_REPEATABLE_READ
    )
    return Installed(done.source, done.database, done.objects, done.event_triggers, baselines)


def survey(
    cursor: extensions.cursor, settings: Settings, source: str, policy: AuditPolicy, *, run: str, attach: bool
) -> Installed:
    """Make capture as it should be inside the caller's transaction and tell what differed.

    With `attach` false no business table is touched; the caller rolls back.

    Raises:
        CaptureError: see `install`.
    """
    server = settings.audit_install(source)
    before = definitions(cursor)
    _refuse_foreign_schema(cursor, server.address)
    tables = live_tables(cursor)
    _check_keys(source, policy, tables, server.address)
    unseen = _record_outside_changes(cursor, before) if attach else None
    event_triggers.pause(cursor)
    cursor.execute(capture_sql())
    if unseen:
        cursor.execute("SELECT audit.log_security('AUDIT_TAMPER', 'CRITICAL', %s)", (unseen,))
    _store_policy(cursor, source, policy, tables)
    grants = list(_grants(cursor, source, policy, tables, attach=attach))
    suspended = suspended_tables(before)
    triggers = list(plan_triggers(policy.audited(source), tables, live_triggers(cursor), suspended))
    if attach:
        for statement in (statement for plan in triggers for statement in plan.statements):
            cursor.execute(statement)
    recorded = event_triggers.establish(cursor)
    _store_state(cursor, policy, "yes" if recorded else "no: only a superuser may create event triggers")
    after = definitions(cursor)
    objects = (
        *differences(source, before, after),
        *relay_login(cursor, settings, source),
        *grants,
        *(_trigger_object(source, plan) for plan in triggers),
        *(
            CaptureObject(source, "table", f"public.{name}", "missing", "in the policy, but not in the database")
            for name in policy.audited(source)
            if name not in tables
        ),
    )
    done = Installed(source, server.database, objects, recorded)
    if done.changed:
        _mark(
            cursor, before, after, run, [f"{found.kind} {found.name}" for found in objects if found.state == "changed"]
        )
    return done


def _refuse_foreign_schema(cursor: extensions.cursor, address: str) -> None:
    cursor.execute("SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'audit'")
    for (owner,) in cursor.fetchall():
        if owner != "genims_audit_owner":
            raise CaptureError(
                f"{address}: a schema `audit` exists and belongs to {owner}; capture needs that name, so rename it "
                "(ALTER SCHEMA audit RENAME TO …)"
            )


def _check_keys(source: str, policy: AuditPolicy, tables: Mapping[str, LiveTable], address: str) -> None:
    wrong = [
        f"{name} has the primary key ({', '.join(table.key) or 'none'}), the policy says {rule.key}"
        for name, rule in policy.audited(source).items()
        if (table := tables.get(name)) and table.key != (rule.key,)
    ]
    if wrong:
        raise CaptureError(
            f"{address}: {'; '.join(wrong)}. Rows could not be told apart in the audit trail: give the table that key"
        )


def _record_outside_changes(cursor: extensions.cursor, before: Definitions) -> str | None:
    """Let capture as it is say what others changed, before that is put right; the reason if it cannot."""
    if ("function", "audit.check_catalog()") not in before:
        return None
    cursor.execute("SAVEPOINT outside")
    try:
        cursor.execute("SELECT audit.check_catalog()")
    except psycopg2.Error as error:
        cursor.execute("ROLLBACK TO SAVEPOINT outside")
        return f"audit.check_catalog() failed before it was put right: {str(error).strip().splitlines()[0]}"
    return None


def _store_policy(cursor: extensions.cursor, source: str, policy: AuditPolicy, tables: Mapping[str, LiveTable]) -> None:
    rows = [
        (tables[name].schema, name, rule.table_class, rule.also, rule.key, list(rule.secret))
        for name, rule in policy.audited(source).items()
        if name in tables
    ]
    cursor.execute("DELETE FROM audit.policy WHERE table_name <> ALL(%s)", ([row[1] for row in rows],))
    keys = [state_key(row[0], row[1]) for row in rows]
    cursor.execute("DELETE FROM audit.state WHERE key LIKE %s AND key <> ALL(%s)", (f"{PREFIX}%", keys))
    if rows:
        execute_values(
            cursor,
            """INSERT INTO audit.policy AS p (schema_name, table_name, class, also, pk, secret) VALUES %s
            ON CONFLICT (schema_name, table_name) DO UPDATE SET class = excluded.class, also = excluded.also,
                pk = excluded.pk, secret = excluded.secret,
                baseline_at = CASE WHEN p.secret = excluded.secret THEN p.baseline_at END
            WHERE (p.class, p.also, p.pk, p.secret) IS DISTINCT FROM
                (excluded.class, excluded.also, excluded.pk, excluded.secret)""",
            rows,
            template="(%s, %s, %s, %s, %s, %s::text[])",
            page_size=len(rows),
        )


def _grants(
    cursor: extensions.cursor, source: str, policy: AuditPolicy, tables: Mapping[str, LiveTable], *, attach: bool
) -> Iterator[CaptureObject]:
    """The owner of the schema must be able to count the rows of an audited table."""
    cursor.execute("SELECT has_schema_privilege('genims_audit_owner', 'public', 'USAGE')")
    if cursor.fetchone() == (False,):
        if attach:
            cursor.execute("GRANT USAGE ON SCHEMA public TO genims_audit_owner")
        yield CaptureObject(source, "grant", "USAGE on public", "created", "missing")
    for name in policy.audited(source):
        if (table := tables.get(name)) is None:
            continue
        if not table.readable and attach:
            on = sql.Identifier(table.schema, name)
            cursor.execute(sql.SQL("GRANT SELECT ON {} TO genims_audit_owner").format(on))
        state, note = ("unchanged", "") if table.readable else ("created", "missing")
        yield CaptureObject(source, "grant", f"SELECT on {table.schema}.{name}", state, note)


def _store_state(cursor: extensions.cursor, policy: AuditPolicy, recorded: str) -> None:
    values = {
        "installed": "true",
        "policy_version": str(policy.version),
        "policy_digest": policy.digest,
        "capture_digest": capture_digest(),
        "event_triggers": recorded,
    }
    execute_values(
        cursor,
        """INSERT INTO audit.state AS s VALUES %s ON CONFLICT (key) DO UPDATE SET value = excluded.value
        WHERE s.value <> excluded.value""",
        list(values.items()),
    )


def _trigger_object(source: str, plan: TriggerPlan) -> CaptureObject:
    return CaptureObject(source, "trigger", f"{plan.schema}.{plan.table}.{plan.name}", plan.state, plan.note)


def _mark(cursor: extensions.cursor, before: Definitions, after: Definitions, run: str, changed: Sequence[str]) -> None:
    def state(key: str, found: Definitions) -> str | None:
        return found.get(("state", key))

    versions = ("policy_version", "policy_digest", "capture_digest")
    if state("installed", before) != "true":
        what = "INSTALLED"
    elif any(state(key, before) != state(key, after) for key in versions):
        what = "UPGRADED"
    else:
        what = "REPAIRED"
    detail = {
        "run": run,
        "changed": changed,
        "old": {key: state(key, before) for key in versions},
        "new": {key: state(key, after) for key in versions},
    }
    cursor.execute(
        """INSERT INTO audit.queue (kind, op, detail, app_name)
        SELECT 'MARK', %s, %s || jsonb_build_object('install_uid', value), current_setting('application_name')
        FROM audit.state WHERE key = 'install_uid'""",
        (what, Json(detail)),
    )
