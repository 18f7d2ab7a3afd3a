"""One computation asks the same thing once; the next one asks again."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from genims_platform.mysql.connection import Database
from genims_platform.reporting.inputs import Inputs
from genims_platform.reporting.once import Once
from genims_platform.settings import Settings
from genims_platform.sources.reader import Read, SourceReader
from genims_platform.sources.scope import Between, KeyFrom, Span
from genims_platform_tests.factory_group import UNTIL

WEEK = Span(UNTIL - timedelta(days=7), UNTIL)
SHIPPED = KeyFrom("sales_order_id", "tms.shipments", "sales_order_id", Between("ship_date"))


def test_keys_that_two_sources_need_are_looked_up_once(factory: Settings, reporting: Database) -> None:
    sources = SourceReader(factory)
    inputs = Inputs(sources, reporting)
    reads = [Read("erp.sales_orders", SHIPPED), Read("erp.sales_order_lines", SHIPPED)]
    orders, lines = pl.collect_all([inputs.scan(read, WEEK).select("sales_order_id") for read in reads])
    shipped = sources.scan(Read("tms.shipments", SHIPPED.scope), WEEK).select("sales_order_id").collect()
    keys = set(shipped["sales_order_id"].drop_nulls())
    assert set(lines["sales_order_id"]) <= set(orders["sales_order_id"]) <= keys
    assert orders.height
    assert sources.rows_read["tms.shipments"] == len(keys) + shipped.height


def test_a_statement_is_asked_once_in_a_computation_and_again_in_the_next(
    factory: Settings, reporting: Database
) -> None:
    sources = SourceReader(factory)

    def now(inputs: Inputs, database: str, zone: str = "UTC") -> datetime:
        clock = "clock_timestamp()" if database == "mes" else "SYSDATE(6)"
        return inputs.query(database, f"SELECT {clock} AS now, %(zone)s AS zone", {"zone": zone})["now"].item()

    for database in ("mes", "reporting"):
        inputs = Inputs(sources, reporting)
        first = now(inputs, database)
        assert now(inputs, database) == first
        assert now(inputs, database, "CET") > first
        assert now(Inputs(sources, reporting), database) > first


def test_an_error_is_shared_with_all_who_ask() -> None:
    answers: Once[int] = Once()

    def fail() -> int:
        raise ValueError("no answer")

    for _ in range(2):
        with pytest.raises(ValueError, match="no answer"):
            answers.get("question", fail)
