"""The journal beside the audit database: complete, and proof against a database that was set back."""

import gzip
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from genims_platform.audit.ledger.control import Appender, Fact
from genims_platform.audit.relay.journal import DatabaseSetBackError, Journal, read_journal
from genims_platform_tests.audit.relay.trail import Trail

ACCOUNT = "INSERT INTO accounts (account_id, account_number, account_name) VALUES (%(id)s, %(id)s, %(id)s)"
KEEP = timedelta(days=14)


def folder_of(trail: Trail) -> Path:
    assert trail.settings.audit_journal_dir is not None
    (folder,) = trail.settings.audit_journal_dir.iterdir()
    return folder


def numbers(trail: Trail) -> list[int]:
    return [line["batch_no"] for line in read_journal(folder_of(trail))]


def spine(trail: Trail) -> list[int]:
    return [number for (number,) in trail.query("SELECT batch_no FROM audit_sequence_manager ORDER BY batch_no")]


def test_it_has_every_batch_and_the_rows_that_no_queue_has(trail: Trail) -> None:
    crm = trail.sources["crm"]
    crm.execute(ACCOUNT, {"id": "1"})
    trail.deliver()
    with closing(trail.ledger()) as ledger:
        Appender(ledger).record([Fact("VERIFY", "somebody")])
    crm.execute(ACCOUNT, {"id": "2"})
    trail.deliver()
    trail.deliver()

    lines = list(read_journal(folder_of(trail)))
    assert [line["batch_no"] for line in lines] == spine(trail)
    hashes = dict(trail.query("SELECT batch_no, LOWER(HEX(batch_hash)) FROM audit_sequence_manager"))
    assert {line["batch_no"]: line["batch_hash"] for line in lines} == hashes
    controls = [line for line in lines if line["batch_kind"] == "CONTROL" and line["event_count"]]
    assert controls
    assert all(line["rows"]["system_audit_log"] for line in controls)


def test_half_a_line_and_an_older_hour_are_no_problem(trail: Trail) -> None:
    trail.sources["crm"].execute(ACCOUNT, {"id": "1"})
    trail.deliver()
    (newest,) = folder_of(trail).glob("*.jsonl")
    lines = newest.read_bytes().splitlines(keepends=True)
    newest.unlink()
    (folder_of(trail) / "2026-01-01T00.jsonl").write_bytes(lines[0])
    with gzip.open(folder_of(trail) / "2026-01-01T01.jsonl.gz", "wb") as packed:
        packed.writelines(lines[1:2])
    (folder_of(trail) / "2026-01-01T02.jsonl").write_bytes(b"".join(lines[2:-1]) + lines[-1][:40])

    trail.deliver()

    with closing(trail.ledger()) as ledger:
        Journal(trail.settings.audit_journal_dir or Path(), ledger, KEEP).check()
    # Old hours are removed when a new one begins, because no queue has their events any more.
    assert not list(folder_of(trail).glob("2026-01-01*"))
    assert numbers(trail)[-1] == spine(trail)[-1]


def test_a_database_behind_its_journal_is_refused(trail: Trail) -> None:
    trail.sources["crm"].execute(ACCOUNT, {"id": "1"})
    trail.deliver()
    with trail.database.administration() as connection, connection.cursor() as cursor:
        cursor.execute(f"USE `{trail.settings.mysql_audit_db}`")
        cursor.execute("DROP TRIGGER audit_sequence_manager_no_del")
        cursor.execute("SELECT MAX(batch_no) FROM audit_sequence_manager")
        ((head,),) = cursor.fetchall()
        cursor.execute(f"DELETE FROM audit_sequence_manager WHERE batch_no = {int(str(head))}")

    with pytest.raises(
        DatabaseSetBackError, match=rf"batch {int(str(head)) - 1}, .* head of the journal: batch {head},"
    ):
        trail.deliver()
