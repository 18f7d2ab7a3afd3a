"""What can go wrong while appending, sorted by what the writer does about it."""

from typing import Literal

from mysql.connector import Error

from genims_platform.mysql.append_only import SPINE

Meaning = Literal["lost race", "arrived", "halt", "unavailable", "busy", "too large", "unstorable"]

DUPLICATE_KEY = 1062
SIGNAL = 1644
BUSY_CODES = frozenset(
    {
        1205,  # lock wait timeout
        1213,  # deadlock
        3572,  # lock not available at once
    }
)
UNAVAILABLE_CODES = frozenset(
    {
        1021,  # disk full
        1040,  # too many connections
        1044,  # account may not use the database: rights are being changed
        1045,  # account is locked, or its password was changed
        1053,  # server shuts down
        1114,  # table is full
        1129,  # host is blocked after too many errors
        1130,  # host is not allowed
        1142,  # right on the table is missing
        1143,  # right on a column is missing
        1158,  # network read error
        1159,  # network read timeout
        1160,  # network write error
        1161,  # network write timeout
        1203,  # account has used up its connections
        1226,  # resource limit of the account
        1227,  # a privilege is missing
        1290,  # server runs read-only
        1317,  # statement was killed
        1526,  # no partition for this year yet
        1836,  # server runs in read-only mode
        1927,  # MariaDB: connection was killed
        1969,  # MariaDB: statement took too long
        3024,  # MySQL: statement took too long
        3118,  # MySQL: account is locked
        3159,  # server demands TLS
        4031,  # MySQL closed an idle connection
        4151,  # MariaDB: account is locked
    }
)
"""Infrastructure: nothing is wrong with the batch, it is sent again later."""

TOO_LARGE_CODES = frozenset({1153, 2020})
CHECK_CODES = frozenset({3819, 4025})
UNSTORABLE_CODES = CHECK_CODES | {
    1048,  # NULL for a column that needs a value
    1264,  # number out of range
    1265,  # value would be cut
    1292,  # no date
    1300,  # no text of the character set
    1364,  # no value for a column that needs one
    1366,  # value does not fit the column's type
    1367,  # illegal value
    1406,  # text too long
    1411,  # value cannot be converted
    3140,  # no JSON
    3854,  # bytes are no text of the character set
    3988,  # character does not exist in the character set
}
_DATA_CLASS, _SYNTAX_CLASS = "22", "42"
# MySQL writes the table before the key, MariaDB the key alone.
_CURSOR_KEYS = (f"'{SPINE}.PRIMARY'", f"'{SPINE}.ux_cursor'", "'PRIMARY'", "'ux_cursor'")


class LedgerError(RuntimeError):
    """A batch was not appended; `errno` is the server's or the client's code, or None."""

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class LostRaceError(LedgerError):
    """Another writer was faster. Reload head and cursors and go on at once.

    The same error against a head that did not move is a bug of this program.
    """


class HaltError(LedgerError):
    """Something that cannot happen did; a person has to look before anything more is written."""


class UnsafeServerError(HaltError):
    """The audit database could lose, change or invent rows as it is set up; the message says how to mend it."""


class AuditUnavailableError(LedgerError, ConnectionError):
    """The audit database cannot be used now, or a connection was lost and the outcome is unknown.

    Reload the head: if it names the batch, it was committed. Retry for ever, nothing is skipped.
    """


class BusyError(AuditUnavailableError):
    """Another writer's transaction is open; nothing was written. Try again after 50 to 200 ms."""


class UnstorableError(LedgerError):
    """A value cannot be stored as it is; `table`, `column` and `entry` (position in the batch) say which, if known."""

    def __init__(
        self,
        message: str,
        errno: int | None = None,
        *,
        table: str | None = None,
        column: str | None = None,
        entry: int | None = None,
    ) -> None:
        super().__init__(message, errno)
        self.table = table
        self.column = column
        self.entry = entry

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes send it to their parent.
        return _unstorable, (type(self), str(self), self.errno, self.table, self.column, self.entry)


class PacketTooLargeError(UnstorableError):
    """One row is larger than the server accepts; its values have to be divided."""


def _unstorable(kind: type[UnstorableError], message: str, errno: int | None, *where: object) -> UnstorableError:
    table, column, entry = where
    return kind(message, errno, table=table, column=column, entry=entry)  # pyright: ignore[reportArgumentType]


def meaning(errno: int | None, sqlstate: str | None, message: str, table: str | None) -> Meaning:
    """What an error means that a statement on `table` (None: no table, such as COMMIT) met.

    `arrived` says that a batch of this uid is there already.
    """
    spine = table == SPINE
    state = sqlstate or ""
    found: Meaning
    if errno == DUPLICATE_KEY:
        # Only the spine's keys are reached by two honest writers.
        found = "halt"
        if spine and "ux_uid" in message:
            found = "arrived"
        elif spine and message.endswith(_CURSOR_KEYS):
            found = "lost race"
    elif errno == SIGNAL:
        found = "lost race" if message.startswith(("chain:", "cursor:", "row outside")) else "halt"
    elif errno in BUSY_CODES:
        found = "busy"
    elif errno in TOO_LARGE_CODES:
        found = "too large"
    elif errno in UNSTORABLE_CODES or state.startswith(_DATA_CLASS):
        found = "halt" if spine or table is None else "unstorable"
    elif errno not in UNAVAILABLE_CODES and state.startswith(_SYNTAX_CLASS):
        # Syntax errors and unknown objects do not go away with time.
        found = "halt"
    else:
        # Client errors (2000..), lost connections, which the connector may report without a code, and the unknown:
        # trying again loses nothing, going on without the batch would.
        found = "unavailable"
    return found


def ledger_error(error: Error, table: str | None) -> LedgerError:
    """The error to raise for one that a statement on `table` met; never quotes the statement.

    A batch that is there already is a `LostRaceError`: who sent it, only its uid can tell.
    """
    errno: int | None = error.errno
    text = error.msg or str(error)
    where = f"{table}: " if table else ""
    message = f"{where}{text} (code {errno})"
    match meaning(errno, error.sqlstate, text, table):
        case "lost race" | "arrived":
            return LostRaceError(message, errno)
        case "halt":
            return HaltError(message, errno)
        case "busy":
            return BusyError(message, errno)
        case "too large":
            return PacketTooLargeError(message, errno, table=table)
        case "unstorable":
            return UnstorableError(message, errno, table=table)
        case "unavailable":
            return AuditUnavailableError(message, errno)
