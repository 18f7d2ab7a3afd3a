"""Somebody with every right on the audit database, who hides what he does as well as he can."""

import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.database import audit_database
from genims_platform.audit.verify.encoding import Layout, live_layouts, merkle_root
from genims_platform.audit.verify.rows import table_numbers
from genims_platform.mysql.append_only import SPINE
from genims_platform.mysql.connection import identifier, is_mariadb
from genims_platform.mysql.deploy import deploy
from genims_platform.mysql.fences import fences
from genims_platform_tests.audit.verify.trail import START, Trail

_RECHAINED = ("merkle_root", "row_count", "table_counts", "batch_hash")
_LINKS = ("prev_batch_no", "prev_hash", "prev_last_sequence", "prev_recorded_at")
_CHECKS = (
    "SELECT constraint_name FROM information_schema.table_constraints "
    "WHERE table_schema = %s AND table_name = %s AND constraint_type = 'CHECK'"
)


class Attacker:
    """Works as the administrator; remembers the trail as it was, so that it can be put back.

    Args:
        trail: complete, and no longer written to.
    """

    def __init__(self, trail: Trail) -> None:
        self.trail = trail
        self.database = audit_database(trail.settings)
        self.name = self.database.server.database
        self._administration = self.database.administration()
        self.connection: MySQLConnectionAbstract = self._administration.__enter__()
        self._kept = f"{self.name}_kept"
        self._kept_worm = trail.home / "kept"
        self._before = trail.head, dict(trail.ticks)
        shutil.copytree(trail.worm, self._kept_worm)
        self.run(f"DROP DATABASE IF EXISTS {self._kept}", f"CREATE DATABASE {self._kept}", f"USE {self.name}")
        for table in table_numbers():
            self.run(f"CREATE TABLE {self._kept}.{table} AS SELECT * FROM {table}")

    def close(self) -> None:
        """Remove what was kept."""
        self.run(f"DROP DATABASE {self._kept}")
        shutil.rmtree(self._kept_worm)
        self._administration.__exit__(None, None, None)
        self.database.close()

    def run(self, *statements: str) -> None:
        """Run statements as they are."""
        for statement in statements:
            with self.connection.cursor() as cursor:
                cursor.execute(statement)

    def unfence(self, tables: Collection[str]) -> None:
        """Take triggers and checks off some tables."""
        for trigger in fences("audit").triggers:
            if trigger.table in tables:
                self.run(f"DROP TRIGGER IF EXISTS {trigger.name}")
        if is_mariadb(self.connection):
            self.run("SET check_constraint_checks = 0")
            return
        for table in tables:
            for (check,) in self.rows(_CHECKS, self.name, table):
                self.run(f"ALTER TABLE {table} ALTER CHECK {check} NOT ENFORCED")

    def fence(self, tables: Collection[str]) -> None:
        """Put them back, as far as what is stored now allows it."""
        if not is_mariadb(self.connection):
            for table in tables:
                for (check,) in self.rows(_CHECKS, self.name, table):
                    with suppress(mysql.connector.Error):
                        self.run(f"ALTER TABLE {table} ALTER CHECK {check} ENFORCED")
        for trigger in fences("audit").triggers:
            if trigger.table in tables:
                self.run(f"DROP TRIGGER IF EXISTS {trigger.name}", trigger.statement)

    def restore(self, tables: Collection[str], *, rebuild: bool) -> None:
        """These tables, and the checkpoints, as they were; with `rebuild` also what the tables are."""
        for table in tables:
            if rebuild:
                self.run(f"DROP TABLE IF EXISTS {table}")
        if rebuild:
            deploy(self.database, "audit", today=START.date())
        tables = [table for table in tables if table in table_numbers()]
        self.unfence(tables)
        for table in tables:
            self.run(f"DELETE FROM {table}", f"INSERT INTO {table} SELECT * FROM {self._kept}.{table}")
        self.fence(tables)
        shutil.rmtree(self.trail.worm)
        shutil.copytree(self._kept_worm, self.trail.worm)
        self.trail.head, ticks = self._before
        self.trail.ticks = dict(ticks)

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        """What a query returns."""
        with self.connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return cursor.fetchall()

    def rechain(self, first: int, *, rows: bool = True) -> None:
        """Give batch `first` and all after it the hashes that what is stored now leads to, so that all agrees again."""
        layouts = live_layouts(self.connection, self.name)
        spine = layouts[SPINE]
        batches = [dict(zip(spine.columns, row, strict=True)) for row in self._raw(spine, "1 = 1 ORDER BY batch_no")]
        previous: dict[str, Any] | None = None
        for found in batches:
            batch = dict(found)
            if int(batch["batch_no"]) >= first:
                if rows and batch["batch_kind"] != b"VOID":
                    batch |= self._root(layouts, batch)
                if previous:
                    batch |= {
                        "prev_batch_no": previous["batch_no"],
                        "prev_hash": previous["batch_hash"],
                        "prev_last_sequence": previous["last_sequence"],
                        "prev_recorded_at": previous["recorded_at"],
                    }
                batch["batch_hash"] = spine.batch_hash([batch[column] for column in spine.columns])
                columns = (*_RECHAINED, *(_LINKS if previous else ()))
                values = [batch[c] if c.endswith(("root", "hash")) else batch[c].decode() for c in columns]
                statement = f"UPDATE {SPINE} SET {', '.join(f'{c} = %s' for c in columns)} WHERE batch_no = %s"
                with self.connection.cursor() as cursor:
                    cursor.execute(statement, (*values, int(batch["batch_no"])))
            previous = batch

    def copy(self, table: str, changes: dict[str, str], condition: str) -> None:
        """Insert copies of rows with some columns changed, each to an SQL expression."""
        columns = live_layouts(self.connection, self.name)[table].columns
        names = ", ".join(map(identifier, columns))
        values = ", ".join(changes.get(column, identifier(column)) for column in columns)
        self.run(f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} WHERE {condition}")

    def _root(self, layouts: dict[str, Layout], batch: dict[str, Any]) -> dict[str, bytes]:
        found: list[tuple[int, int, int, bytes]] = []
        counts: dict[str, int] = {}
        bounds = f"audit_sequence BETWEEN {int(batch['first_sequence'])} AND {int(batch['last_sequence'])}"
        for table, number in table_numbers().items():
            if table != SPINE:
                layout = layouts[table]
                at_sequence, at_item = layout.position("audit_sequence"), layout.position("item_no")
                rows = self._raw(layout, bounds)
                if rows:
                    counts[table] = len(rows)
                found += ((int(row[at_sequence]), number, int(row[at_item]), layout.leaf(row)) for row in rows)
        return {
            "merkle_root": merkle_root([leaf for *_, leaf in sorted(found)]),
            "row_count": str(len(found)).encode(),
            "table_counts": ";".join(f"{table}={number}" for table, number in sorted(counts.items())).encode(),
        }

    def _raw(self, layout: Layout, condition: str) -> list[Sequence[Any]]:
        with self.connection.cursor(raw=True) as cursor:
            cursor.execute(f"SELECT {layout.select} FROM {layout.table} WHERE {condition}")
            return cursor.fetchall()  # pyright: ignore
