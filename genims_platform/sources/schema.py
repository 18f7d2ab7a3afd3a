"""Source databases: creates them from the catalogue, and compares live ones with it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from psycopg2 import extensions, sql

from genims_platform.settings import SOURCE_NAMES, PostgresServer, Settings
from genims_platform.sources.catalogue import Table, catalogue
from genims_platform.sources.connection import SourceUnavailableError, connect

EVENT_TIME_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "operational.scada_machine_data": ("timestamp",),
    "operational.production_runs": ("run_start_time",),
    "operational.maintenance_events": ("actual_start", "actual_end"),
    "operational.machine_faults": ("fault_start_time",),
    "mes.work_orders": ("actual_start_time", "actual_end_time", "planned_end_date"),
    "mes.labor_transactions": ("clock_in_time",),
    "mes.material_transactions": ("transaction_date",),
    "mes.defects": ("detected_date",),
    "mes.quality_inspections": ("inspection_date",),
    "mes.downtime_events": ("downtime_start",),
    "erp.sales_orders": ("order_date",),
    "erp.purchase_orders": ("po_date",),
    "erp.purchase_order_lines": ("delivery_date",),
    "erp.inventory_transactions": ("posting_date",),
    "financial.journal_entry_headers": ("posting_date",),
    "wms.receiving_tasks": ("completed_at",),
    "wms.putaway_tasks": ("completed_at",),
    "wms.picking_tasks": ("task_number",),
    "wms.packing_tasks": ("task_number",),
    "wms.shipping_tasks": ("task_number",),
    "wms.pick_waves": ("wave_number",),
    "wms.cycle_count_tasks": ("count_date",),
    "tms.shipments": ("ship_date", "actual_delivery_date"),
    "tms.proof_of_delivery": ("delivery_timestamp",),
    "tms.return_orders": ("created_at",),
    "tms.freight_invoices": ("invoice_date", "payment_date"),
    "cmms.work_orders": ("actual_start_date", "actual_end_date"),
    "cmms.mro_parts_transactions": ("transaction_date",),
    "service.service_tickets": ("created_at", "resolved_datetime", "closed_datetime"),
    "service.survey_responses": ("responded_at",),
    "service.warranty_claims": ("claim_date",),
    "service.service_parts_usage": ("usage_date",),
    "hcm.attendance_records": ("attendance_date",),
    "hcm.training_enrollments": ("attendance_date",),
    "supplier.supplier_performance_metrics": ("metric_period",),
    "qms.ncr_headers": ("detected_date",),
    "qms.customer_complaints": ("complaint_date",),
    "qms.quality_audits": ("actual_start_date",),
    "qms.spc_data_points": ("measurement_timestamp",),
    "qms.supplier_quality_metrics": ("metric_period",),
}
"""Source table → columns that reports restrict it by; each is indexed."""

_LONGEST_NAME = 63

_LIVE_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
"""

_LONG_TYPE_NAMES = (
    ("character varying", "varchar"),
    ("timestamp without time zone", "timestamp"),
    ("time without time zone", "time"),
)


@dataclass(frozen=True)
class Created:
    """What `create` added to one source: the database itself, or tables in it."""

    source: str
    database: str
    database_created: bool
    tables: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """One difference between a live source and the catalogue; an error if a report reads what differs."""

    severity: Literal["error", "warning"]
    kind: Literal["missing_database", "missing_table", "missing_column", "changed_type"]
    database: str
    table: str | None
    column: str | None
    expected: str | None
    found: str | None
    message: str


def create(settings: Settings, names: Sequence[str] = SOURCE_NAMES) -> list[Created]:
    """Create the databases and tables that these sources miss; what exists is left as it is.

    Raises:
        SourceUnavailableError: the primary server cannot be reached.
    """
    return [_create_source(name, settings.source_primary(name)) for name in names]


def check(
    settings: Settings, names: Sequence[str] = SOURCE_NAMES, *, read_columns: Mapping[str, frozenset[str]]
) -> list[Finding]:
    """Compare the databases that reports read with the catalogue; `read_columns` maps `mes.work_orders` to its columns.

    Raises:
        SourceUnavailableError: a server cannot be reached (a missing database is a finding, not an error).
    """
    return [finding for name in names for finding in _check_source(name, settings.source(name), read_columns)]


def _create_source(name: str, server: PostgresServer) -> Created:
    database_created = _create_database(server)
    connection = connect(server)
    try:
        with connection, connection.cursor() as cursor:
            existing = live_columns(connection)
            missing = {table: facts for table, facts in catalogue()[name].items() if table not in existing}
            statements = [s for table, facts in missing.items() for s in _table_ddl(name, table, facts)]
            if statements:
                cursor.execute(sql.SQL(";\n").join(statements))
    finally:
        connection.close()
    return Created(name, server.database, database_created, tuple(missing))


def _create_database(server: PostgresServer) -> bool:
    connection = connect(replace(server, database="postgres"), autocommit=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (server.database,))
            if cursor.fetchone():
                return False
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(server.database)))
            return True
    finally:
        connection.close()


def _table_ddl(source: str, name: str, table: Table) -> Iterator[sql.Composable]:
    parts: list[sql.Composable] = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(column.name), sql.SQL(column.type), sql.SQL(" NOT NULL" if column.not_null else "")
        )
        for column in table.columns
    ]
    parts.append(sql.SQL("PRIMARY KEY ({})").format(_names(table.primary_key)))
    parts += [sql.SQL("UNIQUE ({})").format(_names(key)) for key in table.unique]
    yield sql.SQL("CREATE TABLE {} (\n  {}\n)").format(sql.Identifier(name), sql.SQL(",\n  ").join(parts))
    for column in indexed_columns(source, name, table):
        yield sql.SQL("CREATE INDEX {} ON {} ({})").format(
            sql.Identifier(index_name(name, column)), sql.Identifier(name), sql.Identifier(column)
        )


def indexed_columns(source: str, name: str, table: Table) -> list[str]:
    """Columns that get an index of their own: references and event times that lead no key already."""
    keyed = {key[0] for key in (table.primary_key, *table.unique) if key}
    wanted = [reference.column for reference in table.references] + [*EVENT_TIME_COLUMNS.get(f"{source}.{name}", ())]
    return [column for column in dict.fromkeys(wanted) if column not in keyed]


def index_name(table: str, column: str) -> str:
    """Name of a column's index, within PostgreSQL's 63 bytes."""
    return f"ix_{table}_{column}"[:_LONGEST_NAME]


def _names(columns: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(column) for column in columns)


def live_columns(connection: extensions.connection) -> dict[str, dict[str, str]]:
    """Table → column → type, spelt as in the catalogue."""
    live: dict[str, dict[str, str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_LIVE_COLUMNS)
        for table, column, type_name in cursor.fetchall():
            live.setdefault(table, {})[column] = _short_type(type_name)
    return live


def _short_type(type_name: str) -> str:
    for long, short in _LONG_TYPE_NAMES:
        type_name = type_name.replace(long, short)
    return type_name


def _check_source(name: str, server: PostgresServer, read_columns: Mapping[str, frozenset[str]]) -> Iterator[Finding]:
    read = {table: read_columns.get(f"{name}.{table}", frozenset[str]()) for table in catalogue()[name]}
    try:
        connection = connect(server)
    except SourceUnavailableError as error:
        if error.reason != "no_database":
            raise
        severity = "error" if any(read.values()) else "warning"
        message = f"database {server.address} does not exist; create it or set PG_{name.upper()}_DB"
        yield Finding(severity, "missing_database", server.database, None, None, server.database, None, message)
        return
    try:
        live = live_columns(connection)
    finally:
        connection.close()
    for table, facts in catalogue()[name].items():
        yield from _check_table(server.database, table, facts, live.get(table), read[table])


def _check_table(
    database: str, name: str, table: Table, live: Mapping[str, str] | None, read: frozenset[str]
) -> Iterator[Finding]:
    if live is None:
        severity = "error" if read else "warning"
        message = f"{database}: table {name} is missing{_readers(severity)}"
        yield Finding(severity, "missing_table", database, name, None, name, None, message)
        return
    for column in table.columns:
        found = live.get(column.name)
        if found == column.type:
            continue
        severity = "error" if column.name in read else "warning"
        where = f"{database}: {name}.{column.name}"
        if found is None:
            message = f"{where} ({column.type}) is missing{_readers(severity)}"
            yield Finding(severity, "missing_column", database, name, column.name, column.type, None, message)
        else:
            message = f"{where} is {found}, expected {column.type}{_readers(severity)}"
            yield Finding(severity, "changed_type", database, name, column.name, column.type, found, message)


def _readers(severity: str) -> str:
    return "; reports read it" if severity == "error" else "; no report reads it"
