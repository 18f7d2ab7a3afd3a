"""Breaks of the trail that two people accepted: what was found before is known, what came since is not.

A break is accepted together with the state in which it was found: the batch as it is stored, or the checkpoints that a
rewritten chain contradicts. Whoever changes more in the same place changes that state, and the break is found anew.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, get_args

from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.verify.encoding import Layout, merkle_root, raw_rows
from genims_platform.audit.verify.findings import Code, Finding
from genims_platform.audit.verify.rows import table_numbers
from genims_platform.audit.verify.spine import spine_row
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.connection import identifier

PRESENT_CODES: Collection[Code] = ("V10", "V14", "V15", "V16")
"""What is wrong now and can be put right; only what happened to the trail itself is accepted."""

ACCEPTABLE_CODES: Collection[Code] = tuple(code for code in get_args(Code) if code not in PRESENT_CODES)

_MOST_EVENTS = 1000
_RECORDS = (
    "SELECT r.batch_no, r.audit_sequence, r.findings, l.payload FROM audit_integrity_checkpoints r "  # noqa: S608
    f"JOIN {LEDGER} l ON l.audit_sequence = r.audit_sequence AND l.recorded_at = r.recorded_at "
    "WHERE r.record_type = 'REANCHOR' ORDER BY r.audit_sequence"
)

Key = tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """A break that was accepted: under which number of the trail, why and by whom."""

    finding: Finding
    accepted_as: int
    reason: str
    approvals: tuple[str, ...]


@dataclass(frozen=True)
class Break:
    """A finding with the state in which it was found."""

    finding: Finding
    state: str

    @property
    def keys(self) -> Iterator[Key]:
        """What has to be accepted for it to be known: one thing, or one for each checkpoint that is contradicted."""
        found = self.finding
        if found.code == "V11":
            yield from (("V11", token) for token in found.evidence.split())
        elif found.batch_no is None:
            yield found.code, str(found.sequence), found.table or "", found.sentence
        else:
            yield found.code, str(found.batch_no), found.table or "", found.evidence, self.state


class Breaks:
    """Tells what is known from what is not.

    Args:
        connection: of the verifier; sees the state that was verified.
        layouts: of all tables.
    """

    def __init__(self, connection: MySQLConnectionAbstract, layouts: Mapping[str, Layout]) -> None:
        self._connection, self._layouts = connection, layouts
        self._states: dict[int, str] = {}

    def of(self, finding: Finding) -> Break:
        """The finding with its state."""
        return Break(finding, self._state(finding.batch_no))

    def known(self, findings: Iterable[Finding]) -> list[Known]:
        """Those that were accepted as they are; a record that lies in a broken batch itself does not count."""
        found = list(findings)
        broken = {finding.batch_no for finding in found if finding.code != "V11"}
        accepted: dict[Key, tuple[int, str, tuple[str, ...]]] = {}
        for batch, number, listed, payload in self._records():
            if batch in broken:
                continue
            said = json.loads(payload)
            by = number, str(said["reason"]), tuple(map(str, said["approvals"]))
            for one in json.loads(listed):
                state = str(one.pop("state"))
                accepted |= dict.fromkeys(Break(Finding(**one), state).keys, by)
        codes = {key[0] for key in accepted}
        known: list[Known] = []
        for finding in found:
            if finding.code in codes:
                keys = list(self.of(finding).keys)
                if keys and all(key in accepted for key in keys):
                    known.append(Known(finding, *accepted[keys[-1]]))
        return known

    def _records(self) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(_RECORDS)
            return cursor.fetchall()

    def _state(self, batch_no: int | None) -> str:
        """Hash of a batch as it is stored: its row of the spine, and all rows under its numbers."""
        if batch_no is None:
            return ""
        if batch_no not in self._states:
            self._states[batch_no] = self._stored(batch_no)
        return self._states[batch_no]

    def _stored(self, batch_no: int) -> str:
        spine = self._layouts[SPINE]
        rows = self._rows(spine, "batch_no = %s", batch_no)
        if not rows:
            return "gone"
        batch = spine_row(spine, rows[0])
        leaves: list[tuple[int, int, int, bytes]] = []
        last = min(batch.last_sequence, batch.first_sequence + _MOST_EVENTS)
        for table, number in table_numbers().items():
            if table == SPINE or table not in self._layouts:
                continue
            layout = self._layouts[table]
            at_sequence, at_item = layout.position("audit_sequence"), layout.position("item_no")
            rows = self._rows(layout, "audit_sequence BETWEEN %s AND %s", batch.first_sequence, last)
            leaves += [(int(row[at_sequence] or 0), number, int(row[at_item] or 0), layout.leaf(row)) for row in rows]
        root = merkle_root([leaf for *_, leaf in sorted(leaves)])
        return sha256(batch.recomputed + batch.batch_hash + root).hexdigest()

    def _rows(self, layout: Layout, condition: str, *values: int) -> list[tuple[bytes | None, ...]]:
        with self._connection.cursor(raw=True) as cursor:
            cursor.execute(f"SELECT {layout.select} FROM {identifier(layout.table)} WHERE {condition}", values)  # noqa: S608
            return raw_rows(cursor.fetchall())


def acceptance(breaks: Sequence[Break]) -> Mapping[str, Any]:
    """What is recorded of breaks that are accepted: how many of each code, and which numbers they are about."""
    ranges: dict[str, list[int]] = defaultdict(list)
    for found in breaks:
        ranges[found.finding.code].append(found.finding.sequence or 0)
    return {code: [len(numbers), min(numbers), max(numbers)] for code, numbers in sorted(ranges.items())}


def as_recorded(breaks: Sequence[Break]) -> str:
    """The findings as JSON, each with its state."""
    return json.dumps([{**asdict(found.finding), "state": found.state} for found in breaks], sort_keys=True)
