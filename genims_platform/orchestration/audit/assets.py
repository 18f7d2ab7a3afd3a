"""External assets of the audit trail: the queue of every source, and the tables that no run of ours fills on demand."""

from collections.abc import Mapping, Sequence

import dagster as dg

from genims_platform.audit.policy import audit_policy
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.orchestration.audit.keys import audit_key, queue_key
from genims_platform.orchestration.audit.tables import (
    CHECKPOINTS,
    COMPLETENESS,
    ETL_SYNC_LOG,
    VIOLATIONS,
    AuditTable,
    Feed,
    audit_tables,
)
from genims_platform.orchestration.keys import source_key
from genims_platform.orchestration.reporting_assets import column_schema
from genims_platform.settings import SOURCE_NAMES

OWNERS = ["team:audit"]
RETENTION_DAYS = "2555"

_HOW: Mapping[Feed, str] = {
    "stream": "Filled by the relay within a second of the change; `audit_stream_job` keeps it running and reports here "
    "what it wrote. Nothing is materialised by hand: events that wait are delivered as soon as a relay runs.",
    "findings": "A case for each rule that verification or reconciliation found broken. Other rules are later work.",
    "nobody": "Nothing writes this table yet. It exists so that the schema, its fences and its partitions are complete "
    "from the first day; its workflow is later work.",
}


def audited_tables() -> list[str]:
    """Every source table whose changes are captured, as `crm.accounts`."""
    policy = audit_policy()
    return [f"{source}.{table}" for source in SOURCE_NAMES for table in policy.audited(source)]


def audit_assets() -> list[dg.AssetSpec]:
    """The queues of the 13 sources, and every table of the audit database that no asset of ours computes."""
    tables = (table for table in audit_tables().values() if table.feed != "job")
    return [*map(_queue, SOURCE_NAMES), *(audit_spec(table, _HOW[table.feed]) for table in tables)]


def audit_spec(table: AuditTable, how: str) -> dg.AssetSpec:
    """The asset of one table; `how` says what fills it."""
    key = audit_key(table.name)
    return dg.AssetSpec(
        key=key,
        deps=_upstream(table),
        group_name=table.group,
        description=f"{table.contract.comment}\n\n{how}",
        kinds={"mysql"},
        owners=OWNERS,
        tags={"retention_days": RETENTION_DAYS, "fed_by": table.feed},
        metadata={
            "dagster/table_name": ".".join(key.path),
            "dagster/column_schema": column_schema(table.contract),
            "primary_key": ", ".join(table.contract.primary_key),
            "table_number": table.number,
            "writer": table.writer,
            "class": table.table_class,
        },
    )


def _queue(source: str) -> dg.AssetSpec:
    key = queue_key(source)
    return dg.AssetSpec(
        key=key,
        deps=[source_key(f"{source}.{table}") for table in audit_policy().audited(source)],
        group_name=source_key(f"{source}.").path[0],
        description=(
            "Events of this source that wait for delivery: a row for each change of an audited table, each change of "
            "rights or structure, and everything that applications report. Triggers write it in the transaction of the "
            "change; rows stay for AUDIT_QUEUE_KEEP_DAYS after delivery."
        ),
        kinds={"postgres"},
        owners=OWNERS,
        metadata={"dagster/table_name": f"{key.path[0]}.audit.queue"},
    )


def _upstream(table: AuditTable) -> Sequence[dg.AssetKey]:
    queues = [queue_key(source) for source in SOURCE_NAMES]
    if table.name == LEDGER:
        return queues
    if table.name in (ETL_SYNC_LOG, CHECKPOINTS):
        return [audit_key(SPINE)]
    if table.name == COMPLETENESS:
        return [*queues, audit_key(LEDGER)]
    if table.name == VIOLATIONS:
        return [audit_key(CHECKPOINTS), audit_key(COMPLETENESS)]
    return [audit_key(LEDGER)] if table.feed == "stream" else []
