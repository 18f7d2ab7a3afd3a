"""Batches on real servers: what was appended is what is stored, in one chain, whoever else writes."""

from contextlib import closing
from typing import Any, cast

import pytest

from genims_platform.audit.ledger.append import LOAD_FROM_ROWS, Ledger, may_lose_commits
from genims_platform.audit.ledger.batch import Batch
from genims_platform.audit.ledger.errors import (
    AuditUnavailableError,
    BusyError,
    HaltError,
    LostRaceError,
    PacketTooLargeError,
    UnsafeServerError,
    UnstorableError,
)
from genims_platform.audit.ledger.layout import TABLE_NUMBERS, batch_hash, leaf, merkle_root, row_layout
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.connection import Database, scalar
from genims_platform.settings import Settings
from genims_platform_tests.audit.ledger.chain import DETAILS, Chain, entry, full, needed, stored


def test_every_column_of_every_table_is_stored_as_hashed(owner: Database, chain: Chain) -> None:
    details = [(table, full(table, number)) for number in (1, 2) for table in reversed(DETAILS)]
    events = [entry(1, details), entry(2, [(table, needed(table)) for table in DETAILS]), entry(3)]
    batch = chain.append("STREAM", events)
    assert stored(owner, batch) == batch.rows
    assert recomputed_root(owner, batch) == batch.spine["merkle_root"]
    assert recomputed_hash(owner, batch) == batch.spine["batch_hash"]


@pytest.mark.parametrize("load", ["auto", "insert"])
def test_many_rows_are_stored_as_hashed_whichever_way_they_are_sent(
    owner: Database, ledger_settings: Settings, load: Any
) -> None:
    with closing(Ledger(ledger_settings.mysql_audit_as("relay"), load=load)) as ledger:
        chain = Chain.of_new_source(ledger)
        events = [entry(n, [(t, full(t, n)) for t in ("data_change_audit", DETAILS[n % 28])]) for n in range(1000)]
        batch = chain.append("STREAM", events)
    assert stored(owner, batch) == batch.rows
    assert recomputed_root(owner, batch) == batch.spine["merkle_root"]


def test_a_text_of_a_mebibyte_is_stored_whole(owner: Database, chain: Chain) -> None:
    text = "'\\😀\n" * (1 << 17)
    events = [entry(n, [("data_change_audit", {**needed("data_change_audit"), "new_value": text})]) for n in (1, 2, 3)]
    batch = chain.append("STREAM", events)
    assert stored(owner, batch) == batch.rows


def test_head_and_cursor_follow_the_batches(chain: Chain) -> None:
    batch = chain.append("STREAM", [entry(1), entry(2)])
    assert chain.ledger.head() == batch.head
    found = chain.ledger.cursor(chain.source)
    assert found is not None
    assert (found.span, found.delivered) == (batch.span, 0)
    assert chain.ledger.cursors()[chain.source] == found


def test_the_cursor_counts_the_events_of_an_unfinished_range(chain: Chain) -> None:
    chain.ledger.append([chain.next([entry(1), entry(2)], is_last_part=False)])
    chain.ledger.append([chain.next([entry(3)], part_no=1, is_last_part=False)])
    found = chain.ledger.cursor(chain.source)
    assert found is not None
    assert (found.span.part_no, found.span.is_last_part, found.delivered) == (1, False, 3)


def test_batches_of_several_sources_share_a_transaction(owner: Database, chain: Chain) -> None:
    other = Chain.of_new_source(chain.ledger)
    first = chain.next([entry(1), entry(2)])
    second = other.batch("STREAM", [entry(1)], head=first.head)
    passed: list[str] = []
    chain.ledger.append([first, second], at=passed.append)
    assert passed == [*["after_spine", "mid_details"] * 2, "before_commit", "after_commit"]
    assert stored(owner, second) == second.rows
    assert second.spine["first_sequence"] == first.head.last_sequence + 1


def test_two_writers_lose_races_and_no_number(owner: Database, ledger_settings: Settings, chain: Chain) -> None:
    with closing(Ledger(ledger_settings.mysql_audit_as("writer"))) as ledger:
        other = Chain.of_new_source(ledger)
        mine, theirs = chain.next([entry(1)]), other.next([entry(1)])
        ledger.append([theirs])
        with pytest.raises(LostRaceError):
            chain.ledger.append([mine])
        assert chain.ledger.head() == theirs.head
        chain.append("STREAM", [entry(1)])
    check_sequence(owner)


def test_a_range_is_appended_once(chain: Chain) -> None:
    chain.append("STREAM", [entry(1)])
    chain.tick -= 1
    with pytest.raises(LostRaceError, match="cursor: range does not continue"):
        chain.ledger.append([chain.next([entry(1)])])


def test_an_open_transaction_of_another_writer_is_waited_for_briefly(chain: Chain, ledger_settings: Settings) -> None:
    batch = chain.next([entry(1)])

    def other_writer(step: str) -> None:
        if step == "before_commit":
            with closing(Ledger(ledger_settings.mysql_audit_as("writer"))) as other, pytest.raises(BusyError):
                other.append([chain.batch("STREAM", [entry(1)], head=head)])

    head = chain.ledger.head()
    chain.ledger.append([batch], at=other_writer)
    assert chain.ledger.head() == batch.head


@pytest.mark.parametrize("step", ["after_spine", "mid_details", "before_commit"])
def test_a_killed_connection_leaves_nothing_behind(owner: Database, chain: Chain, step: str) -> None:
    head = chain.ledger.head()
    batch = chain.next([entry(n, [("data_change_audit", needed("data_change_audit"))]) for n in range(3)])
    with pytest.raises(AuditUnavailableError):
        chain.ledger.append([batch], at=lambda passed: kill(chain.ledger) if passed == step else None)
    assert chain.ledger.head() == head
    chain.ledger.append([batch])
    assert stored(owner, batch) == batch.rows
    check_sequence(owner)


def test_a_batch_that_had_arrived_is_not_appended_again(owner: Database, chain: Chain) -> None:
    batch = chain.next([entry(1)])
    with pytest.raises(AuditUnavailableError):
        chain.ledger.append([batch], at=lambda step: lose_answer() if step == "after_commit" else None)
    chain.ledger.append([batch])
    assert chain.ledger.head() == batch.head
    assert stored(owner, batch) == batch.rows


def test_an_error_between_the_steps_writes_nothing(chain: Chain) -> None:
    head = chain.ledger.head()
    with pytest.raises(ZeroDivisionError):
        chain.ledger.append([chain.next([entry(1)])], at=lambda step: 1 / (step != "mid_details"))
    assert chain.ledger.head() == head


def test_a_row_that_loading_would_skip_is_refused(chain: Chain) -> None:
    head = chain.ledger.head()
    batch = chain.next([entry(n) for n in range(LOAD_FROM_ROWS)])
    twice = Batch(batch.spine, {LEDGER: [*batch.literals[LEDGER], batch.literals[LEDGER][-1]]})
    with pytest.raises(HaltError) as refused:
        chain.ledger.append([twice])
    assert refused.value.errno == 1062
    assert chain.ledger.head() == head
    chain.append("STREAM", [entry(1)])


def test_a_value_that_loading_would_change_is_refused(chain: Chain) -> None:
    head = chain.ledger.head()
    details = [("login_audit", {**needed("login_audit"), "mfa_used": 1000})]
    with pytest.raises(UnstorableError) as refused:
        chain.ledger.append([chain.next([entry(n, details) for n in range(LOAD_FROM_ROWS)])])
    assert (refused.value.errno, refused.value.table) == (1264, "login_audit")
    assert chain.ledger.head() == head


def test_a_null_that_a_column_does_not_take_is_unstorable(chain: Chain) -> None:
    with pytest.raises(UnstorableError) as refused:
        chain.ledger.append([chain.next([entry(1, event_kind=None)])])
    assert refused.value.table == LEDGER


def test_a_row_larger_than_a_packet_is_named(owner: Database, chain: Chain) -> None:
    with owner.connection() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.max_allowed_packet")
        packet = int(scalar(cursor))
    details = [("data_change_audit", {**needed("data_change_audit"), "new_value": "x" * packet})]
    with pytest.raises(PacketTooLargeError):
        chain.ledger.append([chain.next([entry(1, details)])])


def test_a_row_outside_its_batch_is_refused(chain: Chain) -> None:
    batch = chain.next([entry(1)])
    other = chain.batch("STREAM", [entry(1), entry(2)], head=chain.ledger.head())
    with pytest.raises(LostRaceError, match="row outside"):
        chain.ledger.append([Batch(batch.spine, other.literals)])


def test_a_safe_server_is_accepted(ledger: Ledger) -> None:
    ledger.check_server()


@pytest.mark.parametrize("step", ["after_spine", "before_commit"])
def test_a_server_is_checked_while_another_writer_stands_amid_a_batch(
    chain: Chain, ledger_settings: Settings, step: str
) -> None:
    def begin(passed: str) -> None:
        if passed == step:
            with closing(Ledger(ledger_settings.mysql_audit_as("writer"))) as other:
                other.check_server()

    chain.ledger.append([chain.next([entry(1)])], at=begin)


@pytest.mark.usefixtures("ledger")
def test_the_administrator_is_refused_unless_allowed(ledger_settings: Settings) -> None:
    with closing(Ledger(ledger_settings.mysql_audit)) as ledger, pytest.raises(UnsafeServerError, match="ALLOW_ADMIN"):
        ledger.check_server()
    with closing(Ledger(ledger_settings.mysql_audit, allow_administrator=True)) as ledger:
        ledger.check_server()


@pytest.mark.parametrize("table", [SPINE, LEDGER, "login_audit"])
def test_a_missing_fence_is_found(owner: Database, ledger: Ledger, table: str) -> None:
    name = f"{table}_{'chain' if table == SPINE else 'fence'}"
    with owner.administration() as connection, connection.cursor() as cursor:
        cursor.execute(f"USE `{owner.server.database}`")
        cursor.execute(f"SHOW CREATE TRIGGER {name}")
        ((_, mode, statement, *_),) = cast("list[tuple[str, ...]]", cursor.fetchall())
        cursor.execute(f"DROP TRIGGER {name}")
        try:
            with pytest.raises(UnsafeServerError, match=f"missing on {table};"):
                ledger.check_server()
        finally:
            cursor.execute("SET sql_mode = %s", (mode,))
            cursor.execute(statement)
    ledger.check_server()


def test_a_server_that_may_lose_commits_is_refused() -> None:
    assert [list(may_lose_commits(*found)) for found in ((1, 0, 0), (1, 1, 1))] == [[], []]
    (flush,) = may_lose_commits(2, 0, 0)
    assert "innodb_flush_log_at_trx_commit is 2" in flush
    (sync,) = may_lose_commits(1, 1, 1000)
    assert "sync_binlog is 1000" in sync


def recomputed_root(owner: Database, batch: Batch) -> bytes:
    """The Merkle root over what the server returns."""
    keyed = [
        ((row["audit_sequence"], TABLE_NUMBERS[table], row["item_no"]), leaf(row_layout(table).encode(row)[0]))
        for table, rows in stored(owner, batch).items()
        for row in rows
    ]
    return merkle_root([found for _, found in sorted(keyed)])


def recomputed_hash(owner: Database, batch: Batch) -> bytes:
    """The batch hash over the spine row that the server returns."""
    with owner.connection() as connection, connection.cursor(dictionary=True) as cursor:
        cursor.execute(f"SELECT * FROM {SPINE} WHERE batch_no = %s", (batch.head.batch_no,))
        (row,) = cursor.fetchall()
    return batch_hash(row)  # pyright: ignore[reportArgumentType]


def check_sequence(owner: Database) -> None:
    """The ledger holds 1, 2, 3 … n."""
    with owner.connection() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT audit_sequence FROM {LEDGER} ORDER BY audit_sequence")
        numbers = [row[0] for row in cursor.fetchall()]  # pyright: ignore
    assert numbers == list(range(1, len(numbers) + 1))


def kill(ledger: Ledger) -> None:
    """End the ledger's connection from another one of its account, which may do that."""
    database = Database(ledger.server)
    with database.connection() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE user = %s AND id <> CONNECTION_ID()",
            (ledger.server.user,),
        )
        for (number,) in cursor.fetchall():  # pyright: ignore
            cursor.execute(f"KILL {number}")
    database.close()


def lose_answer() -> None:
    """Behave as if the connection had been lost before the answer to COMMIT came."""
    raise AuditUnavailableError("connection lost", 2013)
