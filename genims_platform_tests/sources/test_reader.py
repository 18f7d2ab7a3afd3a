"""Rows of live sources arrive in catalogue types, exactly, and only those and only the columns that are asked for."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from genims_platform.settings import Settings
from genims_platform.sources import reader, schema
from genims_platform.sources.catalogue import catalogue, source_table
from genims_platform.sources.connection import connect
from genims_platform.sources.reader import Read, SourceDriftError, SourceReader
from genims_platform.sources.scope import Between, Earliest, Everything, KeyIn, Overlapping, Scope, Span, Until
from genims_platform_tests.databases import drop_database
from genims_platform_tests.factory_group import UNTIL, write

ALWAYS = Span(datetime(2000, 1, 1), datetime(2100, 1, 1))
TEXT = "naïve 工場 €\n'; DROP TABLE x; -- \\ %s"
MOMENT = datetime(2026, 3, 29, 1, 59, 59, 123457)
NOT_READ = {"jsonb", "text[]", "point"}
"""Types that no report reads; they come as text."""


@pytest.fixture(scope="module")
def blank(settings: Settings) -> Generator[Settings]:
    """Settings whose sources hold every table and no row."""
    names = {name: f"{settings.source_database(name)}_blank" for name in catalogue()}
    own = settings.model_copy(update={f"pg_{name}_db": database for name, database in names.items()})
    schema.create(own)
    yield own
    with closing(connect(replace(own.source_primary("mes"), database="postgres"), autocommit=True)) as connection:
        for database in names.values():
            drop_database(connection, database)


def sample(type_name: str) -> object:
    """A value at the limits of a PostgreSQL type."""
    if type_name.startswith("numeric("):
        digits, _, scale = type_name.removeprefix("numeric(").removesuffix(")").partition(",")
        return -Decimal("9" * int(digits)).scaleb(-int(scale))
    if type_name.startswith("varchar("):
        return TEXT[: int(type_name.removeprefix("varchar(").removesuffix(")"))]
    return {
        "integer": -(2**31),
        "bigint": 2**63 - 1,
        "boolean": False,
        "date": date(1999, 12, 31),
        "time": time(23, 59, 59, 999999),
        "timestamp": MOMENT,
        "text": TEXT,
    }[type_name]


def tables_of_every_type() -> dict[str, str]:
    """PostgreSQL type → a table that has a column of it."""
    return {
        column.type: f"{database}.{name}"
        for database, tables in catalogue().items()
        for name, table in tables.items()
        for column in table.columns
        if column.type not in NOT_READ
    }


@pytest.mark.parametrize("few_rows", [-1, reader.FEW_ROWS], ids=["connectorx", "kept connection"])
@pytest.mark.parametrize("table", sorted(set(tables_of_every_type().values())))
def test_every_type_arrives_exactly_and_null_stays_null(
    table: str, few_rows: int, blank: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "FEW_ROWS", few_rows)
    columns = {column.name: column for column in source_table(table).columns if column.type not in NOT_READ}
    required = {name for name, column in columns.items() if column.not_null} | {*source_table(table).primary_key}
    full = {name: sample(column.type) for name, column in columns.items()}
    bare = {name: value if name in required else None for name, value in full.items()}
    empty = {name: "" if isinstance(value, str) else value for name, value in full.items()}
    for row in (full, bare, empty):
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join(f"%({name})s" for name in row)
        write(blank, table, "DELETE FROM {table}")
        write(blank, table, f"INSERT INTO {{table}} ({names}) VALUES ({marks})", row)
        frame = SourceReader(blank).scan(Read(table), ALWAYS).select(list(columns)).collect()
        assert frame.schema == {name: column.dtype for name, column in columns.items()}
        assert frame.rows(named=True) == [row]


def test_only_the_columns_asked_for_are_read(blank: Settings) -> None:
    defects = SourceReader(blank).scan(Read("mes.defects", Between("detected_date")), ALWAYS)
    write(blank, "mes.defects", "ALTER TABLE {table} DROP root_cause_category, ALTER scrap_cost TYPE text")
    assert defects.select("defect_id", "quantity_affected").collect().columns == ["defect_id", "quantity_affected"]
    assert defects.select(pl.len()).collect().item() is not None
    with pytest.raises(SourceDriftError, match=r"defects\.scrap_cost is text, expected numeric"):
        defects.select("scrap_cost").collect()
    write(blank, "mes.defects", "ALTER TABLE {table} RENAME detected_date TO gone")
    with pytest.raises(SourceDriftError, match=r"defects\.detected_date is missing, expected timestamp"):
        SourceReader(blank).scan(Read("mes.defects", Between("detected_date")), ALWAYS).select("defect_id").collect()


SHORT, LONG = timedelta(hours=4), timedelta(days=3)
SCOPES: tuple[tuple[Scope, str], ...] = (
    (Everything(), "true"),
    (Between("actual_end_time"), "actual_end_time >= %(start)s AND actual_end_time < %(end)s"),
    (
        Between("planned_end_date", before=LONG, after=SHORT),
        "planned_end_date + interval '3 days' >= %(start)s AND planned_end_date - interval '4 hours' < %(end)s",
    ),
    (Until("actual_end_time"), "actual_end_time < %(end)s"),
    (
        Overlapping("actual_start_time", "actual_end_time"),
        "actual_start_time < %(end)s AND actual_end_time > %(start)s",
    ),
    (
        Earliest("work_orders", "actual_start_time"),
        "actual_start_time = (SELECT actual_start_time FROM work_orders ORDER BY 1 LIMIT 1)",
    ),
    (
        KeyIn("work_order_id", "labor_transactions", "work_order_id", Between("clock_in_time")),
        """EXISTS (SELECT FROM labor_transactions t WHERE t.work_order_id = work_orders.work_order_id
               AND clock_in_time >= %(start)s AND clock_in_time < %(end)s)""",
    ),
    (
        Between("actual_end_time") | Until("actual_start_time"),
        "(actual_end_time >= %(start)s AND actual_end_time < %(end)s) OR actual_start_time < %(end)s",
    ),
)
moments = st.datetimes(UNTIL - timedelta(days=70), UNTIL + timedelta(days=10))


@hypothesis_settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a smaller example would say no more, and takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(start=moments, length=st.timedeltas(timedelta(0), timedelta(days=20)), exact=st.booleans())
def test_scopes_select_what_plain_sql_selects(
    *, start: datetime, length: timedelta, exact: bool, factory: Settings
) -> None:
    sources = SourceReader(factory)
    span = Span(start, start + length)
    if exact:  # both bounds on a stored instant, where an open and a closed end differ
        statement = "SELECT DISTINCT actual_end_time FROM work_orders WHERE actual_end_time < %(until)s ORDER BY 1"
        ends = sources.query("mes", statement, {"until": UNTIL}).to_series()
        first = length.seconds % (len(ends) - 4)
        span = Span(ends[first], ends[first + 4])
    for scope, condition in SCOPES:
        read = sources.scan(Read("mes.work_orders", scope), span).select("work_order_id").collect()
        expected = sources.query(
            "mes",
            f"SELECT work_order_id FROM work_orders WHERE {condition}",
            {"start": span.start, "end": span.end},
        )
        assert sorted(read.to_series()) == (sorted(expected.to_series()) if expected.height else []), scope


def test_rows_read_are_counted_by_table(factory: Settings) -> None:
    sources = SourceReader(factory)
    lines = sources.scan(Read("master.production_lines"), ALWAYS).select("line_id")
    orders = sources.scan(Read("mes.work_orders"), ALWAYS).select("work_order_id")
    heights = [frame.collect().height for frame in (lines, orders, lines)]
    assert sources.rows_read == {"master.production_lines": 2 * heights[0], "mes.work_orders": heights[1]}
    assert min(heights) > 0
