"""The rolling window of the reporting database: rows of months that have left it are deleted."""

from collections.abc import Mapping
from datetime import date

from genims_platform.mysql.connection import Database, identifier
from genims_platform.mysql.contract import TableContract
from genims_platform.mysql.live import live_tables
from genims_platform.rolling_window import window_start


def delete_expired(database: Database, tables: Mapping[str, TableContract], *, today: date) -> dict[str, int]:
    """Delete rows whose period, the first column of the primary key, began before the window; rows deleted by table.

    Partitions that hold nothing else are dropped whole afterwards, which costs a moment however large they are.
    """
    start = window_start(today)
    deleted: dict[str, int] = {}
    for table in tables.values():
        with database.connection() as connection, connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {identifier(table.name)} WHERE {identifier(table.primary_key[0])} < %s",  # noqa: S608
                (start,),
            )
            deleted[table.name] = cursor.rowcount
            connection.commit()
    with database.administration() as connection, connection.cursor() as cursor:
        live = live_tables(connection, database.server.database)
        for name in tables:
            expired = [part.name for part in live[name].partitions if part.end is not None and part.end <= start]
            if expired:
                table = f"{identifier(database.server.database)}.{identifier(name)}"
                cursor.execute(f"ALTER TABLE {table} DROP PARTITION {', '.join(map(identifier, expired))}")
    return {name: count for name, count in deleted.items() if count}
