"""Whether the audit trail is set up, and how far each source is delivered, for whoever watches over it."""

from collections.abc import Mapping
from contextlib import closing

from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.ledger.batch import Span
from genims_platform.audit.ledger.errors import HaltError, LedgerError
from genims_platform.settings import SOURCE_NAMES, AuditRole, Settings

_NOT_SET_UP = frozenset(
    {
        1044,  # account may not use the database, or there is none
        1045,  # account does not exist, or has another password
        1049,  # no such database
        1142,  # account has no rights on the table
        1146,  # no such table
    }
)


class TrailNotSetUpError(RuntimeError):
    """There is no audit trail to watch over yet; the message says what to do next."""


def delivered(settings: Settings, role: AuditRole = "relay") -> Mapping[str, Span]:
    """Source → its newest batch, for every source that was opened.

    Raises:
        TrailNotSetUpError: accounts, schema, the first batch or open sources are missing.
        AuditUnavailableError: the audit database cannot be reached now.
    """
    server = settings.mysql_audit_as(role)
    if not server.password:
        raise TrailNotSetUpError(f"MYSQL_AUDIT_{role.upper()}_PASSWORD is not set; see `genims audit accounts`")
    try:
        with closing(open_ledger(settings, role)) as ledger:
            head, cursors = ledger.head(), ledger.cursors()
    except HaltError as error:
        raise TrailNotSetUpError(_not_deployed(server.address, error)) from None
    except LedgerError as error:
        if error.errno in _NOT_SET_UP:
            raise TrailNotSetUpError(_not_deployed(server.address, error)) from None
        raise
    if head is None:
        raise TrailNotSetUpError(f"{server.address} holds no batch yet; run `genims audit init`")
    found = {source: cursor.span for source, cursor in cursors.items() if source in SOURCE_NAMES}
    if not found:
        raise TrailNotSetUpError(
            f"{server.address}: no source is open; run `genims audit install`, then `genims audit source open`"
        )
    return found


def last_ticks(spans: Mapping[str, Span]) -> dict[str, int]:
    """Source → the tick after which events are not delivered, or not all of them."""
    return {source: span.tick_to if span.is_last_part else span.tick_from for source, span in spans.items()}


def _not_deployed(address: str, error: LedgerError) -> str:
    return f"{address}: {error}; run `genims schema deploy --database audit`, then `genims audit accounts`"
