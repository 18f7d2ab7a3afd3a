"""Names that the audit policy does not classify, as the relay meets them: each is recorded as a violation, once."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.control import Fact, Facts
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.ledger.errors import AuditUnavailableError
from genims_platform.audit.routing.router import Unclassified
from genims_platform.audit.violations import UNDER_WAY, new_cases

OPERATOR = "genims-audit-relay"
_logger = logging.getLogger(__name__)


class UnclassifiedNames:
    """Collects names from any thread; the thread that writes records them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[Unclassified] = set()
        self._pending: set[Unclassified] = set()

    def notice(self, found: Set[Unclassified]) -> None:
        """Remember these for the next `record`, but for those that were there before."""
        if found <= self._known:
            return
        with self._lock:
            new = found - self._known
            self._known |= new
            self._pending |= new
        for name in sorted(new, key=str):
            _logger.warning("%s: %s", rule_of(name), sentence_of(name))

    def record(self, ledger: Ledger, record: Callable[[Facts], bool]) -> None:
        """Have what is new recorded by `record`, which says whether that went well; if not, it is tried again.

        Raises:
            HaltError: a person has to look.
        """
        if not self._pending:
            return
        with self._lock:
            names = frozenset(self._pending)
        try:
            recorded = record(lambda: unclassified_facts(ledger, names))
        except AuditUnavailableError:
            return
        if recorded:
            with self._lock:
                self._pending -= names


def unclassified_facts(ledger: Ledger, names: Set[Unclassified]) -> Sequence[Fact]:
    """A fact for each name without a case; one that is under way or waived stays as it is.

    Raises:
        AuditUnavailableError: the audit database cannot be reached.
    """
    now = ledger.now()
    found: dict[str, Mapping[str, Any]] = {
        f"{rule_of(name)}:{_full(name)}": {
            "framework": "POLICY",
            "rule_id": rule_of(name),
            "severity": _severity(name),
            "title": sentence_of(name)[:255],
            "object_ref": _full(name),
            "detected_by": OPERATOR,
        }
        for name in sorted(names, key=str)
    }
    by_object = {_full(name): name for name in names}
    cases = new_cases(ledger, found, None, now, settled=(*UNDER_WAY, "WAIVED"))
    facts: list[Fact] = []
    for table, case in cases:
        name = by_object[str(case["object_ref"])]
        event: Columns = {
            "event_timestamp": now,
            "event_type": rule_of(name),
            "event_severity": _severity(name),
            "rule_id": "STREAM",
            "resource_type": "table" if name.column is None else "column",
            "resource_name": _full(name),
            "description": sentence_of(name),
        }
        about: Columns = {"table_name": name.table}
        facts.append(Fact("VIOLATION", OPERATOR, (("security_events", event), (table, case)), about=about))
    return facts


def rule_of(name: Unclassified) -> str:
    """Under which rule a name is recorded."""
    return "UNCLASSIFIED_TABLE" if name.column is None else "UNCLASSIFIED_COLUMN"


def sentence_of(name: Unclassified) -> str:
    """What is wrong, and what it means."""
    if name.column is None:
        return f"{_full(name)} is in no list of the audit policy, so its changes are not captured"
    return f"{_full(name)} is in no list of the audit policy; where rows are about a person its text is encrypted"


def _full(name: Unclassified) -> str:
    return ".".join(part for part in name if part is not None)


def _severity(name: Unclassified) -> str:
    return "HIGH" if name.column is None else "MEDIUM"
