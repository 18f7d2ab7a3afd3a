"""The business tables of a source as they are: keys, columns, and what of capture is attached to them."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg2 import extensions

TRIGGER_PREFIX = "zz_audit_"
"""Triggers of one event fire in the order of their names; these are last, and see the row as it is stored."""

_TABLES = """
    SELECT n.nspname, c.relname,
        coalesce((SELECT array_agg(a.attname::text ORDER BY k.position)
            FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, position)
            JOIN pg_attribute a ON a.attnum = k.attnum
            WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid), '{}'),
        (SELECT array_agg(a.attname::text ORDER BY a.attnum)
            FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        coalesce(has_table_privilege(to_regrole('genims_audit_owner'), c.oid, 'SELECT'), false)
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = 'public'
"""

_TRIGGERS = r"""
    SELECT n.nspname, c.relname, t.tgname, t.tgenabled, t.tgtype, t.tgfoid::regprocedure::text, t.tgargs,
        pg_get_triggerdef(t.oid)
    FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgname LIKE 'zz\_audit\_%'
"""


@dataclass(frozen=True)
class LiveTrigger:
    """A trigger as the database has it; `enabled` is `A` for one that fires in every session."""

    schema: str
    table: str
    name: str
    enabled: str
    event_bits: int
    function: str
    arguments: tuple[str, ...]
    definition: str


@dataclass(frozen=True)
class LiveTable:
    """A business table; `readable` says whether the owner of the schema `audit` may count its rows."""

    schema: str
    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    readable: bool


def live_tables(cursor: extensions.cursor) -> Mapping[str, LiveTable]:
    """Name → table, for the tables of schema `public`."""
    cursor.execute(_TABLES)
    return {
        name: LiveTable(schema, name, tuple(key), tuple(columns or ()), readable)
        for schema, name, key, columns, readable in cursor.fetchall()
    }


def live_triggers(cursor: extensions.cursor) -> Mapping[tuple[str, str, str], LiveTrigger]:
    """(schema, table, name) → trigger, for every trigger that bears the prefix of capture."""
    cursor.execute(_TRIGGERS)
    return {
        (schema, table, name): LiveTrigger(
            schema,
            table,
            name,
            enabled,
            event_bits,
            function,
            tuple(bytes(arguments).decode().split("\0")[:-1]),
            definition,
        )
        for schema, table, name, enabled, event_bits, function, arguments, definition in cursor.fetchall()
    }
