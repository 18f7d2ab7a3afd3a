"""What a change leaves in the queue: everything that was committed, exactly, and nothing else."""

import io
import json
from decimal import Decimal
from zlib import crc32

import pytest
from psycopg2 import errors

from genims_platform_tests.audit.capture.captured import Captured

INSERT = """
    INSERT INTO accounts (account_id, account_number, account_name, credit_limit)
    VALUES (%(id)s, %(id)s, %(id)s, 100.10)
"""


@pytest.fixture
def mark(crm: Captured) -> int:
    """The newest event before the test."""
    return crm.newest_event()


def test_insert_update_and_delete_keep_both_images(crm: Captured, mark: int) -> None:
    crm.execute(INSERT, {"id": "A1"})
    crm.execute("UPDATE accounts SET credit_limit = 200 WHERE account_id = 'A1'")
    crm.execute("DELETE FROM accounts WHERE account_id = 'A1'")

    inserted, updated, deleted = crm.events(mark)
    assert [(e["kind"], e["op"], e["pk"]) for e in (inserted, updated, deleted)] == [
        ("ROW", "INSERT", "A1"),
        ("ROW", "UPDATE", "A1"),
        ("ROW", "DELETE", "A1"),
    ]
    assert (inserted["schema_name"], inserted["table_name"], inserted["class"]) == ("public", "accounts", "customer")
    assert inserted["old"] is None
    assert deleted["new"] is None
    assert '"credit_limit": 100.10' in inserted["new_text"]
    assert updated["old"] == inserted["new"]
    assert updated["new"] == deleted["old"] == inserted["new"] | {"credit_limit": 200.0}
    assert inserted["db_user"] == "genims"
    assert inserted["client_addr"] == "127.0.0.1"
    assert inserted["app_name"] == "genims"
    assert inserted["set_role"] is None


def test_an_update_that_changes_nothing_leaves_no_event(crm: Captured, mark: int) -> None:
    crm.execute(INSERT, {"id": "A2"})
    crm.execute("UPDATE accounts SET account_name = account_name WHERE account_id = 'A2'")

    assert [event["op"] for event in crm.events(mark)] == ["INSERT"]


def test_what_is_rolled_back_leaves_no_event(crm: Captured, mark: int) -> None:
    with crm.session() as connection, connection.cursor() as cursor:
        cursor.execute(INSERT, {"id": "A3"})
        connection.rollback()
        cursor.execute(INSERT, {"id": "A4"})
        cursor.execute("SAVEPOINT s")
        cursor.execute(INSERT, {"id": "A5"})
        cursor.execute("ROLLBACK TO SAVEPOINT s")
        cursor.execute("SAVEPOINT s")
        cursor.execute(INSERT, {"id": "A6"})
        connection.commit()

    events = crm.events(mark)
    assert [event["pk"] for event in events] == ["A4", "A6"]
    assert len({event["xid"] for event in events}) == 1


def test_a_two_phase_commit_is_captured_when_it_commits(crm: Captured, mark: int) -> None:
    with crm.session() as connection, connection.cursor() as cursor:
        name = f"{crm.database}_2pc"
        cursor.execute(INSERT, {"id": "A7"})
        cursor.execute("PREPARE TRANSACTION %s", (name,))
        assert crm.events(mark) == []
        connection.rollback()
        connection.autocommit = True
        cursor.execute("COMMIT PREPARED %s", (name,))

    assert [event["pk"] for event in crm.events(mark)] == ["A7"]


def test_copy_is_captured_row_by_row(crm: Captured, mark: int) -> None:
    with crm.session() as connection, connection, connection.cursor() as cursor:
        lines = "".join(f"C{i}\tC{i}\tC{i}\n" for i in range(1000))
        cursor.copy_expert("COPY accounts (account_id, account_number, account_name) FROM STDIN", io.StringIO(lines))

    assert [event["pk"] for event in crm.events(mark)] == [f"C{i}" for i in range(1000)]


def test_truncate_is_refused_unless_it_is_maintenance(crm: Captured) -> None:
    crm.add_table("emptied", "id int PRIMARY KEY", {"class": "operational", "key": "id"})
    crm.execute("INSERT INTO emptied VALUES (1), (2)")
    mark = crm.newest_event()
    with pytest.raises(errors.InsufficientPrivilege, match=r"TRUNCATE of audited table public\.emptied refused"):
        crm.execute("TRUNCATE emptied")
    with pytest.raises(errors.InsufficientPrivilege, match="refused"):
        crm.execute("SET audit.maintenance = on; TRUNCATE emptied")
    with crm.superuser() as connection, connection.cursor() as cursor:  # a superuser is a member of every role
        with pytest.raises(errors.InsufficientPrivilege):
            cursor.execute("TRUNCATE emptied")
        cursor.execute("SET audit.maintenance = on")
        cursor.execute("TRUNCATE emptied")

    (truncated,) = crm.events(mark)
    assert (truncated["kind"], truncated["op"], truncated["table_name"]) == ("TRUNCATE", "TRUNCATE", "emptied")
    assert truncated["detail"] == {"rows": 2}
    assert truncated["db_user"] == "postgres"


def test_replica_mode_does_not_switch_capture_off(crm: Captured, mark: int) -> None:
    with crm.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(INSERT, {"id": "A8"})

    assert [event["pk"] for event in crm.events(mark)] == ["A8"]


def test_the_role_in_force_is_recorded_beside_the_session_user(crm: Captured, mark: int) -> None:
    with crm.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("SET ROLE genims")
        cursor.execute(INSERT, {"id": "A9"})

    (event,) = crm.events(mark)
    assert (event["db_user"], event["set_role"]) == ("postgres", "genims")


def test_secret_columns_never_reach_the_queue(crm: Captured) -> None:
    columns = "id text PRIMARY KEY, name text, password_hash text, salt text"
    rule = {"class": "permission", "key": "id", "secret": ["password_hash", "salt"]}
    crm.add_table("portal", columns, rule)
    mark = crm.newest_event()
    crm.execute("INSERT INTO portal VALUES ('P1', 'n', 'hunter2', 'pepper')")
    crm.execute("UPDATE portal SET password_hash = 'hunter3' WHERE id = 'P1'")
    crm.execute("UPDATE portal SET name = 'm' WHERE id = 'P1'")
    crm.execute("DELETE FROM portal WHERE id = 'P1'")

    events = crm.events(mark)
    assert [event["detail"] for event in events] == [
        {"secret_changed": ["password_hash", "salt"]},
        {"secret_changed": ["password_hash"]},
        None,
        {"secret_changed": ["password_hash", "salt"]},
    ]
    assert events[0]["new"] == events[1]["old"] == events[1]["new"] == {"id": "P1", "name": "n"}
    assert crm.value("SELECT count(*) FROM audit.queue q WHERE q::text ~ 'hunter|pepper'") == 0


@pytest.mark.parametrize(
    ("column", "literal", "text"),
    [
        ("numeric", "100.10", "100.10"),
        ("numeric", "1234567890123456789012345678901234567890.5", "1234567890123456789012345678901234567890.5"),
        ("numeric", "1e-30", "0.000000000000000000000000000001"),
        ("numeric", "10::numeric ^ 400", "1" + "0" * 400 + ".0000000000000000"),
        ("numeric", "'NaN'", '"NaN"'),
        ("numeric", "'-Infinity'", '"-Infinity"'),
        ("float8", "0.1", "0.1"),
        ("float8", "'NaN'", '"NaN"'),
        ("bigint", "9223372036854775807", "9223372036854775807"),
        ("text", "'Müller 😀 \"x\" \\'", '"Müller 😀 \\"x\\" \\\\"'),
        ("text", "''", '""'),
        ("text", "NULL", "null"),
        ("timestamptz", "'2026-03-29 02:30:00.000001+05:30'", '"2026-03-28T21:00:00.000001+00:00"'),
        ("timestamp", "'infinity'", '"infinity"'),
        ("bytea", "'\\x00ff'", '"\\\\x00ff"'),
        ("point", "'(1,2)'", '"(1,2)"'),
        ("json", '\'{"b": 1, "a": 1.50}\'', '{"a": 1.50, "b": 1}'),
        ("int[]", "'{1,NULL}'", "[1, null]"),
        ("boolean", "true", "true"),
    ],
)
def test_values_are_exact(crm: Captured, column: str, literal: str, text: str) -> None:
    name = f"v{crc32((column + literal).encode())}"
    crm.add_table(name, f"id int PRIMARY KEY, v {column}", {"class": "operational", "key": "id"})
    mark = crm.newest_event()
    crm.execute(f"SET timezone = 'Asia/Kolkata'; SET datestyle = 'SQL, DMY'; INSERT INTO {name} VALUES (1, NULL)")
    crm.execute(f"SET timezone = 'Asia/Kolkata'; UPDATE {name} SET v = {literal}")
    crm.execute(f"UPDATE {name} SET v = v")

    first, *updates = crm.events(mark)
    assert first["new_text"] == '{"v": null, "id": 1}'
    assert [event["new_text"] for event in updates] == ([] if literal == "NULL" else [f'{{"v": {text}, "id": 1}}'])


def test_a_value_of_twenty_megabytes_is_whole(crm: Captured, mark: int) -> None:
    crm.execute(INSERT, {"id": "A10"})
    crm.execute("UPDATE accounts SET description = repeat('x', 20000000) || 'y' WHERE account_id = 'A10'")

    *_, event = crm.events(mark)
    assert len(event["new"]["description"]) == 20_000_001


def test_numbers_survive_the_way_to_python(crm: Captured, mark: int) -> None:
    crm.execute(INSERT, {"id": "A11"})

    (event,) = crm.events(mark)
    assert json.loads(event["new_text"], parse_float=Decimal)["credit_limit"] == Decimal("100.10")


def test_a_partition_is_captured_through_its_root(crm: Captured) -> None:
    columns = "id int PRIMARY KEY"
    crm.execute(f"CREATE TABLE parted ({columns}) PARTITION BY RANGE (id)")
    crm.execute("CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10)")
    crm.execute("CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (10) TO (20)")
    crm.execute(
        "CREATE TRIGGER zz_audit_id AFTER INSERT OR DELETE ON parted FOR EACH ROW EXECUTE FUNCTION "
        "audit.capture('operational', 'id', '')"
    )
    crm.execute("ALTER TABLE parted ENABLE ALWAYS TRIGGER zz_audit_id")
    mark = crm.newest_event()
    crm.execute("INSERT INTO parted VALUES (1)")
    crm.execute("UPDATE parted SET id = 11")

    assert [(e["op"], e["table_name"], e["pk"]) for e in crm.events(mark)] == [
        ("INSERT", "parted_low", "1"),
        ("DELETE", "parted_low", "1"),
        ("INSERT", "parted_high", "11"),
    ]


def test_an_account_without_rights_on_the_queue_is_captured_and_cannot_touch_it(crm: Captured, mark: int) -> None:
    role = f"{crm.database}_app"
    with crm.superuser() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role}")
        cursor.execute(f"GRANT INSERT, SELECT ON accounts TO {role}")
        cursor.execute(f"SET ROLE {role}")
        cursor.execute(INSERT, {"id": "A12"})
        for statement in (
            "DELETE FROM audit.queue",
            "INSERT INTO audit.queue (kind, op) VALUES ('ROW', 'INSERT')",
            "SELECT audit.make_tick()",
            "SELECT audit.log_security('X', 'LOW', 'x')",
            "ALTER TABLE accounts DISABLE TRIGGER zz_audit_id",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                cursor.execute(statement)
        cursor.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")

    assert [(event["pk"], event["set_role"]) for event in crm.events(mark, "ROW")] == [("A12", role)]
