"""Source assets: every PostgreSQL table that some report reads, with a daily check of its columns."""

from collections.abc import Iterator, Mapping

import dagster as dg

from genims_platform.orchestration.keys import source_key
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


def source_assets(columns_read: Mapping[str, frozenset[str]]) -> list[dg.AssetSpec]:
    """One external asset for each source table read, keyed `[database, table]` and grouped by database."""
    return [_source_asset(table, columns) for table, columns in sorted(columns_read.items())]


def source_checks(settings: Settings, columns_read: Mapping[str, frozenset[str]]) -> list[dg.AssetChecksDefinition]:
    """For each database one step that compares the live columns of its tables with the catalogue."""
    databases = sorted({table.partition(".")[0] for table in columns_read})
    return [_database_check(settings, name, columns_read) for name in databases]


def _source_asset(table: str, columns: frozenset[str]) -> dg.AssetSpec:
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
            if column.name in columns
        ]
    )
    return dg.AssetSpec(
        key=key,
        group_name=key.path[0],
        description=f"{_SUBJECTS[table.partition('.')[0]]}. The columns shown are those that reports read.",
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
    settings: Settings, database: str, columns_read: Mapping[str, frozenset[str]]
) -> dg.AssetChecksDefinition:
    tables = [table for table in sorted(columns_read) if table.startswith(f"{database}.")]

    @dg.multi_asset_check(
        name=f"source_columns_{database}",
        specs=[
            dg.AssetCheckSpec(
                COLUMNS_CHECK,
                asset=source_key(table),
                description="The table exists, with the columns and types that reports expect. Run by `check_sources`.",
            )
            for table in tables
        ],
    )
    def compare() -> Iterator[dg.AssetCheckResult]:
        findings = check(settings, [database], read_columns=columns_read)
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
