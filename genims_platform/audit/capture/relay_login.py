"""The account with which the relay reads a queue."""

from collections.abc import Iterator

from psycopg2 import extensions, sql

from genims_platform.audit.capture.objects import CaptureObject
from genims_platform.settings import Settings
from genims_platform.sources.connection import SourceUnavailableError, connect

GROUP = "genims_audit_relay"


def relay_login(cursor: extensions.cursor, settings: Settings, source: str) -> Iterator[CaptureObject]:
    """Make sure that `AUDIT_PG_RELAY_USER` can log in with its password and may read the queue.

    Without `AUDIT_PG_RELAY_PASSWORD` the account is somebody else's business, for example of an identity provider.
    """
    server = settings.audit_relay(source)
    if not server.password:
        return
    cursor.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", (server.user,))
    found = cursor.fetchone()
    user = sql.Identifier(server.user)
    # Hashed here, so that no statement (and no log) ever holds the password.
    secret = extensions.encrypt_password(server.password, server.user, cursor.connection, "scram-sha-256")
    password = sql.SQL("LOGIN PASSWORD {}").format(sql.Literal(secret))
    state, note = "unchanged", ""
    if found is None:
        cursor.execute(sql.SQL("CREATE ROLE {} ").format(user) + password)
        state, note = "created", "missing"
    elif found == (False,) or _refused(settings, source):
        cursor.execute(sql.SQL("ALTER ROLE {} ").format(user) + password)
        state, note = "changed", "could not log in with AUDIT_PG_RELAY_PASSWORD"
    cursor.execute("SELECT pg_has_role(%s, %s, 'member')", (server.user, GROUP))
    if cursor.fetchone() == (False,):
        cursor.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(GROUP), user))
        state, note = ("changed", f"no member of {GROUP}") if state == "unchanged" else (state, note)
    yield CaptureObject(source, "login", server.user, state, note)


def _refused(settings: Settings, source: str) -> bool:
    try:
        connect(settings.audit_relay(source)).close()
    except SourceUnavailableError as error:
        return error.reason == "password"
    return False
