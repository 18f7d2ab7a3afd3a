"""The 30 tables of the audit database as data: number, group, and who writes each of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.contract import TableContract, contracts

Feed = Literal["stream", "job", "findings", "nobody"]

ETL_SYNC_LOG = "audit_etl_sync_log"
COMPLETENESS = "audit_trail_completeness"
CHECKPOINTS = "audit_integrity_checkpoints"
VIOLATIONS = "compliance_violations"

_GROUPS = ((10, "audit_system"), (18, "audit_data_change"), (30, "audit_compliance"))
_LAST_STREAM_FED = 18

_RELAY = "the relay, in the transaction that delivers an event"
_WRITERS = {
    LEDGER: "the relay for events of the sources; commands and jobs for what the layer itself records",
    SPINE: "the relay and everybody else who appends: one row a batch",
    ETL_SYNC_LOG: (
        "the relay, once per ETL_AUDIT_INTERVAL; the sensor `record_refreshes`, for refreshes of reporting tables"
    ),
    COMPLETENESS: "reconciliation: `genims audit reconcile` and the job `assure_audit`",
    VIOLATIONS: "verification and reconciliation, for what they find",
    CHECKPOINTS: "the sealer, for checkpoints; `genims audit verify` and the job `assure_audit`, for verifications",
}
_JOB_FED = frozenset({COMPLETENESS, CHECKPOINTS})
_NOT_STREAMED = frozenset({"backup_recovery"})

_CLASSES = {
    "permission_changes": "permission",
    "configuration_changes": "configuration",
    "financial_data_changes": "financial; amounts of any class",
    "master_data_changes": "master",
    "price_cost_changes": "prices of any class",
    "customer_data_changes": "customer",
    "supplier_data_changes": "supplier",
    "personnel_data_changes": "personnel",
}
_EVERY_CLASS = "any"


@dataclass(frozen=True)
class AuditTable:
    """One table of the audit database.

    `number` orders the hashes of a batch, `feed` says what keeps the table filled, `table_class` which class of source
    tables its rows are about.
    """

    number: int
    contract: TableContract
    group: str
    feed: Feed
    writer: str
    table_class: str

    @property
    def name(self) -> str:
        """Its name in the database."""
        return self.contract.name

    @property
    def partitioned(self) -> bool:
        """Whether its rows are those of batches; the spine's are the batches themselves."""
        return self.contract.partitioning is not None


@cache
def audit_tables() -> Mapping[str, AuditTable]:
    """All tables by name, in the order of their numbers."""
    return {table.name: table for table in _tables()}


def _tables() -> Iterator[AuditTable]:
    for number, (name, contract) in enumerate(contracts("audit").items(), start=1):
        group = next(group for last, group in _GROUPS if number <= last)
        feed = _feed(number, name)
        writer = _WRITERS.get(name, _RELAY if feed == "stream" else "nobody yet")
        yield AuditTable(number, contract, group, feed, writer, _CLASSES.get(name, _EVERY_CLASS))


def _feed(number: int, name: str) -> Feed:
    if name in _JOB_FED:
        return "job"
    if name == VIOLATIONS:
        return "findings"
    return "stream" if number <= _LAST_STREAM_FED and name not in _NOT_STREAMED else "nobody"
