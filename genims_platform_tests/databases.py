"""Dropping databases that tests made."""

from psycopg2 import extensions, sql


def drop_database(connection: extensions.connection, name: str) -> None:
    """Drop a PostgreSQL database that our own sessions may still be connected to; `connection` is in autocommit.

    Not WITH (FORCE): that may not end an autovacuum worker, for which the plain statement waits.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = current_user",
            (name,),
        )
        cursor.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
