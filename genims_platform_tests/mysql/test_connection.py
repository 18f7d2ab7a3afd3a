import socket
from dataclasses import replace

import pytest

from genims_platform.mysql.connection import Database, read_frame
from genims_platform.mysql.errors import DatabaseUnavailableError, DatabaseUnreachableError, TransientError
from genims_platform.settings import MySQLServer
from genims_platform_tests.mysql.conftest import kill


def _error(server: MySQLServer) -> DatabaseUnavailableError:
    with pytest.raises(DatabaseUnavailableError) as caught, Database(server).connection():
        pass
    assert server.password not in str(caught.value)
    assert server.password not in repr(caught.value)
    assert server.database in str(caught.value)
    assert f"{server.host}:{server.port}" in str(caught.value)
    return caught.value


def test_sessions_are_strict_utc_and_have_a_deadline(database: Database, engine: str):
    isolation, deadline, expected = {
        "mariadb": ("@@tx_isolation", "@@max_statement_time", 300),
        "mysql": ("@@transaction_isolation", "@@max_execution_time", 300_000),
    }[engine]
    row = database.read(f"SELECT @@time_zone, @@sql_mode, {isolation}, {deadline}").row(0)
    assert (row[0], row[2], row[3]) == ("+00:00", "READ-COMMITTED", expected)
    assert {"STRICT_ALL_TABLES", "NO_ENGINE_SUBSTITUTION"} <= set(row[1].split(","))


def test_a_wrong_password_is_said_and_not_shown(database: Database):
    error = _error(replace(database.server, password="not-the-password"))
    assert "wrong user or password" in str(error)
    assert not isinstance(error, TransientError)


def test_a_missing_database_is_said(empty_database: Database):
    error = _error(empty_database.server)
    assert "no such database" in str(error)
    assert not isinstance(error, TransientError)


def test_a_server_that_is_down_is_said_and_may_be_tried_again(database: Database):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = _error(replace(database.server, port=unused.getsockname()[1]))
    assert "connection refused" in str(error)
    assert isinstance(error, DatabaseUnreachableError)


def test_a_killed_connection_is_transient_and_replaced(database: Database):
    def read_on_a_killed_connection() -> None:
        with database.connection() as connection:
            kill(database, read_frame(connection, "SELECT CONNECTION_ID()").item())
            read_frame(connection, "SELECT 1")

    with pytest.raises(TransientError):
        read_on_a_killed_connection()
    assert database.read("SELECT 1").item() == 1


def test_an_idle_connection_that_died_is_not_handed_out(database: Database):
    connection_id = database.read("SELECT CONNECTION_ID()").item()
    kill(database, connection_id)
    assert database.read("SELECT CONNECTION_ID()").item() != connection_id


def test_a_full_pool_is_transient(database: Database):
    small = Database(replace(database.server, pool_max=1, timeout=1))
    with small.connection(), pytest.raises(TransientError, match="all 1 connections"), small.connection():
        pass
    small.close()


def test_only_transient_errors_are_retried(database: Database):
    attempts: list[int] = []

    def fails(error: Exception | None) -> int:
        attempts.append(1)
        if error is not None and len(attempts) < 3:
            raise error
        return len(attempts)

    assert database.retrying(lambda: fails(TransientError("lost"))) == 3
    attempts.clear()
    with pytest.raises(ValueError, match="wrong"):
        database.retrying(lambda: fails(ValueError("wrong")))
    assert len(attempts) == 1
