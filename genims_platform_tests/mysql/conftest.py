"""A database of its own for each test, and a small table of every type the schema files use."""

from collections.abc import Generator
from dataclasses import replace
from datetime import date
from itertools import count

import polars as pl
import pytest

from genims_platform.mysql.connection import Database
from genims_platform.mysql.contract import TableContract, parse_contracts
from genims_platform.mysql.deploy import deploy_contracts
from genims_platform.settings import Settings

TODAY = date(2026, 11, 22)
DAY, NEXT_DAY = date(2026, 11, 1), date(2026, 11, 2)

SCHEMA = """
CREATE TABLE sample_daily (
  day DATE NOT NULL COMMENT 'the day',
  item_id VARCHAR(50) COLLATE utf8mb4_bin NOT NULL COMMENT 'the item; raw',
  item_name VARCHAR(200) NULL COMMENT 'its name',
  pieces INT NULL COMMENT 'pieces [0..]: how many',
  share_pct DECIMAL(7,2) NULL COMMENT '% [0..100]: share',
  is_open TINYINT(1) NULL COMMENT 'flag [0..1]: state',
  last_seen DATE NULL COMMENT 'last time',
  source_row_count INT NOT NULL COMMENT 'rows: read',
  last_updated_at DATETIME(6) NOT NULL COMMENT 'UTC: instant of the load',
  PRIMARY KEY (day, item_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_unicode_ci COMMENT = 'a sample; with semicolon';

CREATE TABLE coded_daily (
  day DATE NOT NULL,
  code INT NOT NULL,
  last_updated_at DATETIME(6) NOT NULL,
  PRIMARY KEY (day, code)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_unicode_ci;
"""
INDEXES = """
-- A comment.
CREATE INDEX ix_sample_item ON sample_daily (item_id, day);
ALTER TABLE sample_daily PARTITION BY RANGE COLUMNS (day) (PARTITION p_future VALUES LESS THAN (MAXVALUE));
CREATE UNIQUE INDEX ux_coded ON coded_daily (code);
"""
CONTRACTS = parse_contracts(SCHEMA, INDEXES)
_numbers = count(1)


@pytest.fixture
def sample() -> TableContract:
    return CONTRACTS["sample_daily"]


@pytest.fixture
def empty_database(settings: Settings) -> Generator[Database]:
    """The name of a database that does not exist yet, on a running server."""
    server = settings.mysql_reporting
    database = Database(
        replace(server, database=f"{server.database}_{next(_numbers)}"), retries=2, retry_delay=0, batch_size=3
    )
    yield database
    database.close()


@pytest.fixture
def database(empty_database: Database) -> Database:
    """A database that holds the sample tables, without rows."""
    deploy_contracts(empty_database, CONTRACTS, today=TODAY)
    return empty_database


def rows(items: dict[str, int], *, day: date = DAY) -> pl.DataFrame:
    """Rows of the sample table, cast, one for each item with its number of pieces."""
    frame = pl.DataFrame(
        {"item_id": list(items), "pieces": list(items.values())}, schema_overrides={"item_id": pl.String}
    )
    complete = frame.with_columns(
        day=pl.lit(day), item_name=None, share_pct=12.345, is_open=True, last_seen=None, source_row_count=1
    )
    return CONTRACTS["sample_daily"].cast(complete)[0]


def kill(database: Database, connection_id: int) -> None:
    """End a connection of the server, as an administrator would."""
    with database.administration() as connection, connection.cursor() as cursor:
        cursor.execute("KILL %s", (connection_id,))
