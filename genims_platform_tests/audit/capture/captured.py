"""A source database whose changes are captured, and what its queue says."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import extensions, sql
from psycopg2.extras import RealDictCursor

from genims_platform.audit.capture.install import install
from genims_platform.audit.capture.suspend import ROLE as MAINTENANCE
from genims_platform.audit.capture.triggers import attach
from genims_platform.audit.policy import AuditedTable
from genims_platform.local.process import wait_until
from genims_platform.settings import Settings
from genims_platform.sources import schema
from genims_platform.sources.connection import connect


@dataclass(frozen=True)
class Captured:
    """The database of one source. `superuser_dsn` names the server's superuser."""

    settings: Settings
    source: str
    superuser_dsn: str

    @property
    def database(self) -> str:
        return self.settings.audit_install(self.source).database

    @contextmanager
    def session(self, *, autocommit: bool = False) -> Generator[extensions.connection]:
        """A session of the owner of the tables; what it does not commit is rolled back."""
        with closing(connect(self.settings.source_primary(self.source), autocommit=autocommit)) as connection:
            yield connection

    @contextmanager
    def superuser(self) -> Generator[extensions.connection]:
        """A session of the superuser, in autocommit."""
        with closing(psycopg2.connect(self.superuser_dsn, dbname=self.database)) as connection:
            connection.autocommit = True
            yield connection

    def execute(self, statement: str | sql.Composable, parameters: Mapping[str, object] | None = None) -> None:
        """Run and commit, as the owner of the tables."""
        with self.session() as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)

    def rows(self, query: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """What a query of the owner returns."""
        with self.session() as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(query, parameters)
            return [dict(row) for row in cursor.fetchall()]

    def value(self, query: str, parameters: Mapping[str, object] | None = None) -> Any:
        """The one value that a query returns."""
        (row,) = self.rows(query, parameters)
        (value,) = row.values()
        return value

    def events(self, after: int = 0, kind: str | None = None) -> list[dict[str, Any]]:
        """The committed events with a number above `after`, images and detail as text too."""
        return self.rows(
            """SELECT *, xid::text AS xid, old::text AS old_text, new::text AS new_text FROM audit.queue
            WHERE event_id > %(after)s AND (%(kind)s IS NULL OR kind = %(kind)s) ORDER BY event_id""",
            {"after": after, "kind": kind},
        )

    def newest_event(self) -> int:
        return int(self.value("SELECT coalesce(max(event_id), 0) FROM audit.queue"))

    def add_table(self, name: str, columns: str, rule: Mapping[str, object]) -> None:
        """Make a table and capture it by this rule, though the policy does not name it."""
        with self.session() as connection, connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(name), sql.SQL(columns)))
            cursor.execute(sql.SQL("GRANT SELECT ON {} TO genims_audit_owner").format(sql.Identifier(name)))
            for statement in attach("public", name, AuditedTable.model_validate(rule)):
                cursor.execute(statement)

    @contextmanager
    def maintained(self) -> Generator[None]:
        """The installer is a member of the maintenance role, and the catalogue knows, until the block ends."""
        user = self.settings.audit_install(self.source).user
        with self.superuser() as connection, connection.cursor() as cursor:
            cursor.execute(f"GRANT {MAINTENANCE} TO {user}")
            install(self.settings, self.source)
            yield
            cursor.execute(f"REVOKE {MAINTENANCE} FROM {user}")

    def killed_at_a_lock(self, table: str, environment: Mapping[str, str], *command: str) -> None:
        """Run `genims audit …` and kill it where it waits for this table, which a writer holds."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        others = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend' AND state <> 'idle'"
        )
        with self.session() as writer, writer.cursor() as cursor:
            cursor.execute(sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(sql.Identifier(table)))
            process = subprocess.Popen(
                [sys.executable, "-m", "genims_platform.cli", "audit", *command, "--source", self.source],
                env={**os.environ, **environment, f"PG_{self.source.upper()}_DB": self.database},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            wait_until(lambda: self.value(waiting) == 1, 60, "it did not come to the locked table")
            process.send_signal(signal.SIGKILL)
            process.wait()
        wait_until(lambda: self.value(others) == 0, 60, "the session of the killed command lives on")


def own_source(settings: Settings, source: str, suffix: str, superuser_dsn: str) -> Captured:
    """A new database for one source; it is dropped with the others of this test session."""
    variable = f"pg_{source}_db"
    own = settings.model_copy(
        update={variable: f"{getattr(settings, variable)}_{suffix}", "data_sync_retry_delay": 0.2}
    )
    schema.create(own, [source])
    return Captured(own, source, superuser_dsn)


def captured_source(settings: Settings, source: str, suffix: str, superuser_dsn: str) -> Captured:
    """The same with capture installed."""
    made = own_source(settings, source, suffix, superuser_dsn)
    install(made.settings, source)
    return made
