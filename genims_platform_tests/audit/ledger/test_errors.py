"""What each error of the server and the client means to a writer."""

import pytest
from mysql.connector.errors import Error, OperationalError

from genims_platform.audit.ledger.errors import (
    AuditUnavailableError,
    BusyError,
    HaltError,
    LedgerError,
    LostRaceError,
    PacketTooLargeError,
    UnstorableError,
    ledger_error,
)
from genims_platform.mysql.append_only import LEDGER, SPINE

DETAIL = "data_change_audit"
CASES: list[tuple[int, str, str, str | None, type[LedgerError]]] = [
    (1062, "23000", "Duplicate entry '7' for key 'PRIMARY'", SPINE, LostRaceError),
    (1062, "23000", "Duplicate entry '7' for key 'audit_sequence_manager.PRIMARY'", SPINE, LostRaceError),
    (1062, "23000", "Duplicate entry 'crm-1-5-0' for key 'audit_sequence_manager.ux_cursor'", SPINE, LostRaceError),
    (1062, "23000", "Duplicate entry 'crm-1-5-0' for key 'ux_cursor'", SPINE, LostRaceError),
    (1062, "23000", "Duplicate entry 'x' for key 'ux_uid'", SPINE, LostRaceError),
    (1062, "23000", "Duplicate entry '7-0' for key 'PRIMARY'", LEDGER, HaltError),
    (1062, "23000", "Duplicate entry '7-0' for key 'PRIMARY'", DETAIL, HaltError),
    (1644, "45000", "chain: predecessor does not match", SPINE, LostRaceError),
    (1644, "45000", "cursor: range does not continue", SPINE, LostRaceError),
    (1644, "45000", "row outside the head batch", LEDGER, LostRaceError),
    (1644, "45000", "row outside the batch of this transaction", DETAIL, LostRaceError),
    (1644, "45000", "audit tables are append-only", LEDGER, HaltError),
    (3819, "HY000", "Check constraint 'ck_link' is violated.", SPINE, HaltError),
    (4025, "23000", "CONSTRAINT `ck_link` failed", SPINE, HaltError),
    (3819, "HY000", "Check constraint 'ck_ledger_item' is violated.", LEDGER, UnstorableError),
    (4025, "23000", "CONSTRAINT `ck` failed", DETAIL, UnstorableError),
    (1205, "HY000", "Lock wait timeout exceeded", SPINE, BusyError),
    (1213, "40001", "Deadlock found", LEDGER, BusyError),
    (3572, "HY000", "Statement aborted because lock(s) could not be acquired immediately", SPINE, BusyError),
    (2006, "HY000", "MySQL server has gone away", None, AuditUnavailableError),
    (2013, "HY000", "Lost connection to MySQL server during query", None, AuditUnavailableError),
    (2013, "HY000", "Lost connection to MySQL server during query", DETAIL, AuditUnavailableError),
    (1053, "08S01", "Server shutdown in progress", None, AuditUnavailableError),
    (1927, "70100", "Connection was killed", SPINE, AuditUnavailableError),
    (1317, "70100", "Query execution was interrupted", DETAIL, AuditUnavailableError),
    (1040, "08004", "Too many connections", None, AuditUnavailableError),
    (1203, "42000", "User has more than max_user_connections", None, AuditUnavailableError),
    (1290, "HY000", "The server is running with the --read-only option", SPINE, AuditUnavailableError),
    (1836, "HY000", "Running in read-only mode", SPINE, AuditUnavailableError),
    (1021, "HY000", "Disk full", LEDGER, AuditUnavailableError),
    (1114, "HY000", "The table is full", LEDGER, AuditUnavailableError),
    (1526, "HY000", "Table has no partition for value 2040", LEDGER, AuditUnavailableError),
    (1142, "42000", "INSERT command denied", LEDGER, AuditUnavailableError),
    (1045, "28000", "Access denied", None, AuditUnavailableError),
    (3159, "HY000", "Connections using insecure transport are prohibited", None, AuditUnavailableError),
    (1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes", DETAIL, PacketTooLargeError),
    (2020, "HY000", "Got packet bigger than 'max_allowed_packet' bytes", DETAIL, PacketTooLargeError),
    (1048, "23000", "Column 'event_kind' cannot be null", LEDGER, UnstorableError),
    (1264, "22003", "Out of range value", DETAIL, UnstorableError),
    (1265, "01000", "Data truncated", DETAIL, UnstorableError),
    (1292, "22007", "Incorrect datetime value", DETAIL, UnstorableError),
    (1366, "HY000", "Incorrect string value", DETAIL, UnstorableError),
    (1406, "22001", "Data too long for column", LEDGER, UnstorableError),
    (3140, "22032", "Invalid JSON text", DETAIL, UnstorableError),
    (1264, "22003", "Out of range value", SPINE, HaltError),
    (1064, "42000", "You have an error in your SQL syntax", DETAIL, HaltError),
    (1146, "42S02", "Table doesn't exist", SPINE, HaltError),
    (1054, "42S22", "Unknown column", DETAIL, HaltError),
]


@pytest.mark.parametrize(("errno", "state", "text", "table", "kind"), CASES)
def test_errors_by_what_to_do_about_them(
    errno: int, state: str, text: str, table: str | None, kind: type[LedgerError]
) -> None:
    found = ledger_error(Error(msg=text, errno=errno, sqlstate=state), table)
    assert type(found) is kind
    assert found.errno == errno
    assert text in str(found)


def test_a_dead_connection_without_a_code_is_unavailable() -> None:
    assert type(ledger_error(OperationalError("MySQL Connection not available"), None)) is AuditUnavailableError


def test_an_unknown_error_is_tried_again_rather_than_skipped() -> None:
    found = ledger_error(Error(msg="never seen", errno=9999, sqlstate="HY000"), DETAIL)
    assert type(found) is AuditUnavailableError
    assert isinstance(found, ConnectionError)
