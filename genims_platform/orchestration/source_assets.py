"""Source assets: every PostgreSQL table that a report reads or the trail audits, with a daily check of its columns."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache

import dagster as dg

from genims_platform.orchestration.keys import source_key
from genims_platform.reporting.registry import columns_read
from genims_platform.reporting.table import ReportingTable
from genims_platform.settings import Settings
from genims_platform.sources.catalogue import Column, Reference, source_table
from genims_platform.sources.schema import Finding, check

COLUMNS_CHECK = "columns"
OWNERS = ["team:factory-systems"]

_SUBJECTS = {
    "master": "Factories, lines, machines, products, customers, employees",
    "operational": "IoT, SCADA, production runs",
    "mes": "Work orders, labour, quality (MES)",
    "erp": "Sales, purchasing, materials (ERP)",
    "financial": "Ledger, budget, statements",
    "wms": "Warehouses (WMS)",
    "tms": "Shipments, carriers (TMS)",
    "cmms": "Maintenance (CMMS)",
    "crm": "Accounts, leads, opportunities (CRM)",
    "service": "Tickets, warranty, returns",
    "hcm": "People (HCM)",
    "supplier": "Supplier portal",
    "qms": "Quality management (QMS)",
}
_VALUES_SHOWN = 8


def source_assets(tables: Collection[ReportingTable], audited: Collection[str]) -> list[dg.AssetSpec]:
    """One external asset for each source table read or audited, keyed `[database, table]` and grouped by database."""
    return [_source_asset(table) for table in _source_tables(tables, audited)]


def source_checks(
    settings: Settings, tables: Collection[ReportingTable], audited: Collection[str]
) -> list[dg.AssetChecksDefinition]:
    """For each database one step that compares the live columns of its tables with what reports read."""

    # Which columns a model uses is found by running it: too dear for every process that only loads the definitions.
    @cache
    def read() -> Mapping[str, frozenset[str]]:
        return columns_read(tables)

    sources = _source_tables(tables, audited)
    databases = sorted({source.partition(".")[0] for source in sources})
    return [
        _database_check(settings, name, [source for source in sources if source.startswith(f"{name}.")], read)
        for name in databases
    ]


def _source_tables(tables: Collection[ReportingTable], audited: Collection[str]) -> list[str]:
    return sorted({source for table in tables for source in table.source_tables}.union(audited))


def _source_asset(table: str) -> dg.AssetSpec:
    facts = source_table(table)
    key = source_key(table)
    references = {reference.column: reference for reference in facts.references}
    schema = dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type,
                description=_observed(column, references.get(column.name)),
                constraints=dg.TableColumnConstraints(
                    nullable=not column.not_null, unique=facts.primary_key == (column.name,)
                ),
            )
            for column in facts.columns
        ]
    )
    return dg.AssetSpec(
        key=key,
        group_name=key.path[0],
        description=f"{_SUBJECTS[table.partition('.')[0]]}. Columns as the source catalogue knows them.",
        kinds={"postgres"},
        owners=OWNERS,
        metadata={
            "dagster/table_name": ".".join(key.path),
            "dagster/column_schema": schema,
        },
    )


def _observed(column: Column, reference: Reference | None) -> str | None:
    """What the catalogue knows of a column, for people."""
    facts: list[str] = []
    if reference:
        orphans = f" ({reference.orphan_share:.0%} match no row)" if reference.orphan_share else ""
        facts.append(f"refers to {'.'.join(reference.target)}{orphans}")
    if column.values:
        more = ", …" if len(column.values) > _VALUES_SHOWN else ""
        facts.append(f"values seen: {', '.join(column.values[:_VALUES_SHOWN])}{more}")
    if column.value_range:
        low, high = (f"{bound:,.10g}" if isinstance(bound, float) else bound for bound in column.value_range)
        facts.append(f"range seen: {low} to {high}")
    if column.null_share:
        facts.append(f"{column.null_share:.0%} NULL")
    return "; ".join(facts) or None


def _database_check(
    settings: Settings, database: str, tables: Sequence[str], read: Callable[[], Mapping[str, frozenset[str]]]
) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=f"source_columns_{database}",
        specs=[
            dg.AssetCheckSpec(
                COLUMNS_CHECK,
                asset=source_key(table),
                description="The table exists, with the columns and types of the catalogue; if not, an error where "
                "reports read it, else a warning. Run by `check_sources`.",
            )
            for table in tables
        ],
    )
    def compare() -> Iterator[dg.AssetCheckResult]:
        findings = check(settings, [database], read_columns=read())
        for table in tables:
            name = table.partition(".")[2]
            yield _result(table, [f for f in findings if f.table in (None, name)])

    return compare


def _result(table: str, findings: list[Finding]) -> dg.AssetCheckResult:
    errors = [finding for finding in findings if finding.severity == "error"]
    return dg.AssetCheckResult(
        asset_key=source_key(table),
        check_name=COLUMNS_CHECK,
        passed=not findings,
        severity=dg.AssetCheckSeverity.ERROR if errors else dg.AssetCheckSeverity.WARN,
        description="; ".join(finding.message for finding in findings) or None,
        metadata={"errors": len(errors), "warnings": len(findings) - len(errors)},
    )
