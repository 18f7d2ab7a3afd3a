"""Three ways to copy 13 columns of a table from PostgreSQL to MySQL; each returns the name of the table it made."""

import tempfile
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dlt
import polars as pl
from dlt.sources.credentials import ConnectionStringCredentials
from dlt.sources.sql_database import sql_table
from sqlalchemy import URL, Engine, Integer, create_engine
from sqlalchemy.dialects.mysql import DATETIME, DECIMAL, VARCHAR
from sqlalchemy.types import TypeEngine

from benchmarks.copy_databases import DLT_DATABASE, TABLE, TARGET_DATABASE, Content
from genims_platform.mysql.connection import Database
from genims_platform.mysql.contract import parse_contracts
from genims_platform.mysql.slices import exclusive_writer
from genims_platform.reporting.periods import midnight
from genims_platform.settings import Settings
from genims_platform.sources.reader import Read, SourceReader
from genims_platform.sources.scope import Between, Span

COLUMNS: Mapping[str, TypeEngine[Any]] = {
    "transaction_id": VARCHAR(50),
    "transaction_type": VARCHAR(30),
    "transaction_date": DATETIME(fsp=6),
    "work_order_id": VARCHAR(50),
    "material_code": VARCHAR(50),
    "material_name": VARCHAR(200),
    "material_type": VARCHAR(50),
    "quantity": DECIMAL(15, 4),
    "unit_of_measure": VARCHAR(20),
    "unit_cost": DECIMAL(12, 4),
    "total_cost": DECIMAL(15, 2),
    "inspection_required": Integer(),
    "created_at": DATETIME(fsp=6),
}
"""The columns copied, with the MySQL types that keep them exact."""

PERIOD_COLUMN = "transaction_day"

# Multi-row INSERTs either way; PyMySQL took as long.
DRIVER = "mysql+mysqlconnector"

POLARS_BATCH_ROWS = 10_000
DAY = timedelta(days=1)


def copy_with_platform(settings: Settings, content: Content) -> str:
    """Reader, contract and loader of this project: one replaced slice, under the table's lock, with a primary key."""
    database = Database(settings.mysql_reporting)
    try:
        name = "platform_copy"
        contract = parse_contracts(_platform_ddl(name), "")[name]
        with database.administration() as connection, connection.cursor() as cursor:
            cursor.execute(f"USE {TARGET_DATABASE}")
            cursor.execute(contract.create_statement)
        first, end = content.first.date(), content.last.date() + DAY
        read = Read(f"mes.{TABLE}", Between("transaction_date"))
        with exclusive_writer(database, name, timeout=settings.data_sync_timeout) as writer:
            rows = SourceReader(settings).scan(read, Span(midnight(first), midnight(end)))
            frame, _ = contract.cast(
                rows.select(*COLUMNS, pl.col("transaction_date").dt.date().alias(PERIOD_COLUMN)).collect()
            )
            writer.replace(contract, frame, [(first, end)], period_column=PERIOD_COLUMN)
        return f"{TARGET_DATABASE}.{name}"
    finally:
        database.close()


def copy_with_dlt(settings: Settings, _content: Content) -> str:
    """dlt: `sql_table` on connectorx, Parquet between the steps, SQLAlchemy destination; no keys or row ids added.

    Parquet keeps the Arrow types and spares dlt its row-wise normalisation. Everything else is dlt's default.
    """
    with tempfile.TemporaryDirectory(prefix="genims-bench-") as folder:
        dlt.config["runtime.dlthub_telemetry"] = False
        engine = mysql_engine(settings, TARGET_DATABASE)
        pipeline = dlt.pipeline(
            "genims_bench",
            pipelines_dir=folder,
            destination=dlt.destinations.sqlalchemy(engine),
            dataset_name=DLT_DATABASE,
        )
        source = sql_table(
            credentials=ConnectionStringCredentials(postgres_address(settings)),
            table=TABLE,
            included_columns=list(COLUMNS),
            backend="connectorx",
            reflection_level="full_with_precision",
        )
        load = pipeline.run(source, write_disposition="replace", loader_file_format="parquet")
        load.raise_on_failed_jobs()
        engine.dispose()
    return f"{DLT_DATABASE}.{TABLE}"


def copy_with_polars(settings: Settings, _content: Content) -> str:
    """Polars: `read_database_uri` on connectorx, then `write_database`, which goes through pandas and SQLAlchemy."""
    name = "polars_copy"
    frame = pl.read_database_uri(f"SELECT {', '.join(COLUMNS)} FROM {TABLE}", postgres_address(settings))
    engine = mysql_engine(settings, TARGET_DATABASE)
    # Without the types pandas would store the decimals as text; without batches one INSERT would exceed the packet.
    frame.write_database(name, engine, engine_options={"dtype": COLUMNS, "chunksize": POLARS_BATCH_ROWS})
    engine.dispose()
    return f"{TARGET_DATABASE}.{name}"


def mysql_engine(settings: Settings, database: str) -> Engine:
    """SQLAlchemy engine on the local MySQL or MariaDB server."""
    server = settings.mysql_reporting
    # MariaDB does not know the connector's default collation.
    options = {"charset": "utf8mb4", "collation": "utf8mb4_unicode_ci"}
    return create_engine(URL.create(DRIVER, server.user, server.password, server.host, server.port, database, options))


def postgres_address(settings: Settings) -> str:
    """Address of the source with its password, for connectorx and SQLAlchemy; never printed."""
    server = settings.source("mes")
    url = URL.create("postgresql", server.user, server.password, server.host, server.port, server.database)
    return url.render_as_string(hide_password=False)


def _platform_ddl(name: str) -> str:
    engine = create_engine(f"{DRIVER}://")
    columns = [f"{column} {kind.compile(engine.dialect)} NOT NULL" for column, kind in COLUMNS.items()]
    columns += [f"{PERIOD_COLUMN} DATE NOT NULL", "last_updated_at DATETIME(6) NOT NULL"]
    return (
        f"CREATE TABLE {name} ({', '.join(columns)}, PRIMARY KEY ({PERIOD_COLUMN}, transaction_id)) "
        "COLLATE utf8mb4_unicode_ci;"
    )
