"""Whether a legal hold keeps the queue of a source."""

from contextlib import closing

from genims_platform.audit.ledger.append import open_ledger
from genims_platform.settings import Settings

# The state of a hold is its newest revision; records of stopped attempts are no revision.
_HOLDS = """
    SELECT COUNT(*) FROM legal_hold_tracking h
    WHERE h.status = 'ACTIVE' AND h.action <> 'BLOCKED'
        AND (h.scope_type = 'ALL' OR (h.scope_type = 'SOURCE' AND h.scope_value = %s))
        AND NOT EXISTS (
            SELECT 1 FROM legal_hold_tracking r
            WHERE r.hold_id = h.hold_id AND r.revision > h.revision AND r.action <> 'BLOCKED')
"""


def may_rotate(settings: Settings, source: str) -> bool:
    """Whether delivered events of a source may leave its queue: no active hold covers the source.

    Raises:
        AuditUnavailableError: the audit database cannot be reached.
    """
    with closing(open_ledger(settings, "relay")) as ledger:
        ((holds,),) = ledger.query(_HOLDS, (source,))
    return holds == 0
