"""A first look at the reporting database: sizes of the tables and OEE by factory."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from genims_platform.mysql.connection import Database
from genims_platform.reporting.registry import reporting_tables

# The factory's OEE as its lines' OEE weighted by planned busy time (ISO 22400-2), from the stored rows.
_OEE_BY_FACTORY = """
    SELECT COALESCE(factory_id, 'UNKNOWN') AS factory,
           SUM(oee_pct * planned_busy_minutes) / SUM(planned_busy_minutes) AS oee
    FROM oee_summary_daily
    WHERE oee_date >= %s AND oee_pct IS NOT NULL AND planned_busy_minutes > 0
    GROUP BY factory_id ORDER BY factory
"""


@dataclass(frozen=True)
class TableSize:
    """Rows of one table, the days they span, and the newest load (UTC)."""

    table: str
    rows: int
    first: date | None
    last: date | None
    loaded_at: datetime | None


@dataclass(frozen=True)
class FactoryOee:
    """OEE of one factory in percent."""

    name: str
    oee_pct: float


def table_sizes(database: Database, tables: Sequence[str]) -> list[TableSize]:
    """Size of each of these tables."""
    sizes: list[TableSize] = []
    for name in tables:
        day = reporting_tables()[name].period_column
        frame = database.read(f"SELECT COUNT(*), MIN({day}), MAX({day}), MAX(last_updated_at) FROM {name}")  # noqa: S608
        sizes.append(TableSize(name, *frame.row(0)))
    return sizes


def oee_by_factory(database: Database, today: date, days: int = 30) -> list[FactoryOee]:
    """OEE of each factory over the last `days` days."""
    frame = database.read(_OEE_BY_FACTORY, (today - timedelta(days=days),))
    return [FactoryOee(name, float(oee)) for name, oee in frame.iter_rows()]
