"""Late bookings find the days that they change, in the SQL of real source databases."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime

import polars as pl
import pytest
from psycopg2 import sql

from genims_platform.reporting.performance.labor_efficiency_daily import labor_efficiency_daily
from genims_platform.reporting.performance.production_summary_daily import production_summary_daily
from genims_platform.reporting.periods import Hours
from genims_platform.reporting.publish import linked_days
from genims_platform.reporting.table import ReportingTable
from genims_platform.settings import Settings
from genims_platform.sources import schema
from genims_platform.sources.catalogue import source_table
from genims_platform.sources.connection import connect
from genims_platform.sources.reader import SourceReader

AS_OF = datetime(2026, 3, 20, 9, 30)
LAST_HOUR = Hours(datetime(2026, 3, 20, 8), datetime(2026, 3, 20, 9))


@pytest.fixture
def mes(settings: Settings) -> Iterator[Settings]:
    """Settings whose `mes` database is a scratch one, created and dropped around the test."""
    name = f"{settings.pg_mes_db}_linked"
    own = settings.model_copy(update={"pg_mes_db": name})
    schema.create(own, ["mes"])
    yield own
    with closing(connect(replace(own.source_primary("mes"), database="postgres"), autocommit=True)) as connection:
        connection.cursor().execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def test_a_late_booking_refreshes_the_day_its_order_was_completed(mes: Settings) -> None:
    late = datetime(2026, 3, 20, 8, 15)
    _insert(
        mes,
        "work_orders",
        {"work_order_id": "WO-1", "status": "closed", "actual_end_time": datetime(2026, 3, 2, 23)},
        {"work_order_id": "WO-2", "status": "completed", "actual_end_time": datetime(2026, 3, 5, 1)},
        {"work_order_id": "WO-3", "status": "in_progress", "actual_end_time": datetime(2026, 3, 6, 1)},
        {"work_order_id": "WO-4", "status": "closed", "actual_end_time": datetime(2026, 1, 6, 1)},
    )
    _insert(
        mes,
        "material_transactions",
        *({"work_order_id": order_id, "transaction_date": late} for order_id in ("WO-1", "WO-3", "WO-4")),
    )
    _insert(mes, "labor_transactions", {"work_order_id": "WO-2", "clock_in_time": late})

    assert _older_days(production_summary_daily, mes) == {date(2026, 3, 2), date(2026, 3, 5)}


def test_a_clocking_or_completion_refreshes_all_days_its_order_was_worked_on(mes: Settings) -> None:
    _insert(
        mes,
        "work_orders",
        {"work_order_id": "WO-1", "status": "in_progress"},
        {"work_order_id": "WO-2", "status": "completed", "actual_end_time": datetime(2026, 3, 20, 8, 30)},
        {"work_order_id": "WO-3", "status": "in_progress"},
    )
    clockings = (("WO-1", 20), ("WO-1", 10), ("WO-1", 4), ("WO-2", 12), ("WO-3", 13))
    _insert(
        mes,
        "labor_transactions",
        *({"work_order_id": order_id, "clock_in_time": datetime(2026, 3, day, 8)} for order_id, day in clockings),
    )

    assert _older_days(labor_efficiency_daily, mes) == {date(2026, 3, 10), date(2026, 3, 12)}


def _older_days(table: ReportingTable, settings: Settings) -> set[date]:
    """Days that the last hour refreshes beside today and yesterday."""
    days = linked_days(table, LAST_HOUR, inputs=SourceReader(settings), as_of=AS_OF)
    return set(days) - {date(2026, 3, 19), date(2026, 3, 20)}


def _insert(settings: Settings, table: str, *rows: Mapping[str, object]) -> None:
    """Insert rows; columns left out get any value that their type allows where NULL is not allowed."""
    required = {column.name: column.dtype for column in source_table(f"mes.{table}").columns if column.not_null}
    with closing(connect(settings.source_primary("mes"), autocommit=True)) as connection:
        cursor = connection.cursor()
        for number, row in enumerate(rows):
            values = {name: _filler(dtype, number) for name, dtype in required.items()} | dict(row)
            cursor.execute(
                sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                    sql.Identifier(table),
                    sql.SQL(", ").join(map(sql.Identifier, values)),
                    sql.SQL(", ").join(map(sql.Placeholder, values)),
                ),
                values,
            )


def _filler(dtype: pl.DataType, number: int) -> object:
    if dtype == pl.String:
        return str(number)
    return AS_OF if dtype.is_temporal() else 0
