"""What capture consists of in one source, and how it differs from what should be there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Literal

from psycopg2 import extensions

from genims_platform.settings import PROJECT_ROOT

State = Literal["unchanged", "created", "changed", "removed", "missing"]

Definitions = Mapping[tuple[str, str], str]
"""(kind, name) of an object → its definition, rights and owner included."""

_OBJECTS = """
    SELECT 'role', rolname, concat_ws(' ', rolcanlogin, rolsuper, rolcreaterole, rolbypassrls)
    FROM pg_roles WHERE rolname IN
        ('genims_audit_owner', 'genims_audit_relay', 'genims_audit_app', 'genims_audit_maintenance')
    UNION ALL
    SELECT 'schema', nspname, concat_ws(' ', pg_get_userbyid(nspowner),
        (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(nspacl) a))
    FROM pg_namespace WHERE nspname = 'audit'
    UNION ALL
    SELECT CASE c.relkind WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' WHEN 'S' THEN 'sequence' ELSE 'table' END,
        'audit.' || c.relname, concat_ws(' ', c.relkind, c.relpersistence, pg_get_userbyid(c.relowner),
        pg_get_expr(c.relpartbound, c.oid), array_to_string(c.reloptions, ','),
        (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(c.relacl) a),
        (SELECT string_agg(concat_ws(' ', a.attname, a.atttypid::regtype, a.attnotnull), ', ' ORDER BY a.attnum)
         FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
    FROM pg_class c WHERE c.relnamespace = to_regnamespace('audit')
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text, concat_ws(' ', pg_get_functiondef(p.oid), pg_get_userbyid(p.proowner),
        (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(p.proacl) a))
    FROM pg_proc p WHERE p.pronamespace = to_regnamespace('audit') AND p.prokind IN ('f', 'p')
    UNION ALL
    SELECT 'event trigger', evtname, concat_ws(' ', evtenabled, evtevent, evtfoid::regproc)
    FROM pg_event_trigger WHERE evtname IN ('genims_audit_ddl', 'genims_audit_drop')
"""

_CONTENT = """
    SELECT 'policy', format('%I.%I', schema_name, table_name), concat_ws(' ', class, also, pk, secret::text)
    FROM audit.policy
    UNION ALL
    SELECT 'state', key, value FROM audit.state WHERE key <> 'install_uid'
"""


@dataclass(frozen=True)
class CaptureObject:
    """One part of capture in a source: what the command made of it, or would; `note` says what was wrong."""

    source: str
    kind: str
    name: str
    state: State
    note: str = ""


@cache
def capture_sql() -> str:
    """The SQL that makes roles, schema and functions; it changes only what differs."""
    return (PROJECT_ROOT / "schema" / "postgres_audit_capture.sql").read_text("utf-8")


@cache
def capture_digest() -> str:
    """SHA-256 of `capture_sql`, in hex: the version of capture."""
    return sha256(capture_sql().encode()).hexdigest()


def definitions(cursor: extensions.cursor) -> Definitions:
    """Everything in the schema `audit` of a database, its roles and event triggers, and policy and state as stored."""
    cursor.execute(_OBJECTS)
    found = {(kind, name): definition for kind, name, definition in cursor.fetchall()}
    if {("table", "audit.policy"), ("table", "audit.state")} <= found.keys():
        cursor.execute(_CONTENT)
        found |= {(kind, name): definition for kind, name, definition in cursor.fetchall()}
    return found


def differences(source: str, before: Definitions, after: Definitions) -> Iterator[CaptureObject]:
    """Each object of `before` and `after` with what became of it."""
    for key in sorted(before.keys() | after.keys()):
        kind, name = key
        if key not in before:
            yield CaptureObject(source, kind, name, "created")
        elif key not in after:
            yield CaptureObject(source, kind, name, "removed")
        else:
            yield CaptureObject(source, kind, name, "unchanged" if before[key] == after[key] else "changed")
