"""Event triggers that record DDL and grants as they happen; only a superuser may create them."""

from psycopg2 import errors, extensions, sql

_WANTED = {
    "genims_audit_ddl": ("ddl_command_end", "audit.on_ddl"),
    "genims_audit_drop": ("sql_drop", "audit.on_drop"),
}
_LIVE = "SELECT evtname, evtevent, evtfoid::regproc::text, evtenabled FROM pg_event_trigger WHERE evtname = ANY(%s)"


def pause(cursor: extensions.cursor) -> bool:
    """Switch them off for the rest of the transaction, which says itself what it changes; others are not affected.

    Returns whether any was on and is off now.
    """
    paused = False
    for name, (_, _, enabled) in _live(cursor).items():
        if enabled != "D":
            paused |= _allowed(cursor, sql.SQL("ALTER EVENT TRIGGER {} DISABLE").format(sql.Identifier(name)))
    return paused


def establish(cursor: extensions.cursor) -> bool:
    """Create what is missing and switch all on; False if this account may not."""
    live = _live(cursor)
    for name, (event, function) in _WANTED.items():
        identifier = sql.Identifier(name)
        known = live.get(name)
        if known is not None and known[:2] != (event, function):
            if not _allowed(cursor, sql.SQL("DROP EVENT TRIGGER {}").format(identifier)):
                return False
            known = None
        if known is None:
            create = sql.SQL("CREATE EVENT TRIGGER {} ON {} EXECUTE FUNCTION {}()").format(
                identifier, sql.SQL(event), sql.SQL(function)
            )
            if not _allowed(cursor, create):
                return False
        enable = sql.SQL("ALTER EVENT TRIGGER {} ENABLE ALWAYS").format(identifier)
        if (known is None or known[2] != "A") and not _allowed(cursor, enable):
            return False
    return True


def remove(cursor: extensions.cursor) -> None:
    """Drop them."""
    for name in _live(cursor):
        cursor.execute(sql.SQL("DROP EVENT TRIGGER {}").format(sql.Identifier(name)))


def _live(cursor: extensions.cursor) -> dict[str, tuple[str, str, str]]:
    cursor.execute(_LIVE, (list(_WANTED),))
    return {name: (event, function, enabled) for name, event, function, enabled in cursor.fetchall()}


def _allowed(cursor: extensions.cursor, statement: sql.Composable) -> bool:
    cursor.execute("SAVEPOINT event_trigger")
    try:
        cursor.execute(statement)
    except errors.InsufficientPrivilege:
        cursor.execute("ROLLBACK TO SAVEPOINT event_trigger")
        return False
    cursor.execute("RELEASE SAVEPOINT event_trigger")
    return True
