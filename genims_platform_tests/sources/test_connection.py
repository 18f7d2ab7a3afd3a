"""Connections that a reader keeps between its queries."""

import os
import socket
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest
from psycopg2 import extensions

from genims_platform.settings import Settings
from genims_platform.sources import connection as source_connections
from genims_platform.sources.connection import DEAD_AFTER_SECONDS, IdleConnections, connect
from genims_platform.sources.reader import SourceDriftError, SourceReader, SourceReadError

BACKEND = "SELECT pg_backend_pid() AS pid"


@pytest.fixture
def reader(factory: Settings) -> Generator[SourceReader]:
    with closing(SourceReader(factory)) as reader:
        yield reader


def pid(reader: SourceReader, database: str = "mes") -> int:
    return reader.query(database, BACKEND, {}).item()


def end(settings: Settings, backend: int) -> None:
    with closing(connect(settings.source("mes"), autocommit=True)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", (backend,))


def test_queries_of_a_database_share_a_connection(reader: SourceReader) -> None:
    assert pid(reader) == pid(reader)
    assert pid(reader) != pid(reader, "erp")


def test_a_connection_that_the_server_ended_is_replaced(reader: SourceReader, factory: Settings) -> None:
    first = pid(reader)
    end(factory, first)
    assert pid(reader) not in (first, None)


def test_a_statement_that_the_server_ended_is_an_error_and_the_next_one_works(reader: SourceReader) -> None:
    with pytest.raises(SourceReadError, match="a query failed"):
        reader.query("mes", "SELECT pg_terminate_backend(pg_backend_pid())", {})
    assert pid(reader)


def test_a_failed_statement_leaves_a_connection_that_works(reader: SourceReader) -> None:
    first = pid(reader)
    with pytest.raises(SourceDriftError, match="nothing"):
        reader.query("mes", "SELECT nothing FROM work_orders", {})
    assert pid(reader) == first


def test_no_transaction_stays_open(reader: SourceReader) -> None:
    state = "SELECT state FROM pg_stat_activity WHERE pid = %(pid)s"
    with closing(connect(reader._settings.source("mes"))) as other, other.cursor() as cursor:  # pyright: ignore[reportPrivateUsage]
        cursor.execute(state, {"pid": pid(reader)})
        assert cursor.fetchone() == ("idle",)


def test_threads_have_connections_of_their_own_of_which_one_is_kept(factory: Settings) -> None:
    server, together = factory.source("mes"), Barrier(2)

    def work(connection: extensions.connection) -> int:
        together.wait(timeout=30)
        return connection.get_backend_pid()

    with closing(IdleConnections(statement_timeout=30)) as connections:
        with ThreadPoolExecutor(2) as pool:
            used = {future.result() for future in [pool.submit(connections.use, server, work) for _ in range(2)]}
        assert len(used) == 2
        assert connections.use(server, extensions.connection.get_backend_pid) in used


def test_the_connections_used_last_are_kept_over_all_databases(
    factory: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_connections, "KEPT", 2)
    pid_of = extensions.connection.get_backend_pid
    with closing(IdleConnections(statement_timeout=30)) as connections:
        first, *later = [connections.use(factory.source(name), pid_of) for name in ("mes", "erp", "crm")]
        assert [connections.use(factory.source(name), pid_of) for name in ("erp", "crm")] == later
        assert connections.use(factory.source("mes"), pid_of) != first


def test_a_closed_reader_holds_no_connection_and_may_be_used_again(reader: SourceReader, factory: Settings) -> None:
    first = pid(reader)
    reader.close()
    with closing(connect(factory.source("mes"), autocommit=True)) as connection, connection.cursor() as cursor:
        # The server notices the end of a session on its own time.
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (first,))
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (first,))
        assert cursor.fetchone() == (0,)
    assert pid(reader) != first


def test_a_network_that_drops_packets_is_noticed(factory: Settings) -> None:
    with (
        closing(connect(factory.source("mes"))) as connection,
        socket.socket(fileno=os.dup(connection.fileno())) as link,
    ):
        idle, interval, count, unanswered = (
            link.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        )
        assert link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert idle + interval * count <= DEAD_AFTER_SECONDS
    assert 0 < unanswered <= DEAD_AFTER_SECONDS * 1000
