"""A model that goes wrong is noticed: the checks of every table pass on its rows and fail on a broken model's."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest

from genims_platform.mysql.connection import Database
from genims_platform.reporting.checks import CheckOutcome, evaluate
from genims_platform.reporting.inputs import Inputs
from genims_platform.reporting.periods import DAY, Window, moved, period_of
from genims_platform.reporting.registry import reporting_tables
from genims_platform.reporting.table import ReportingTable
from genims_platform.settings import Settings
from genims_platform.sources.reader import SourceReader
from genims_platform_tests.factory_group import TODAY, UNTIL

Break = Callable[[ReportingTable, pl.LazyFrame], pl.LazyFrame]

NOTHING_TO_COMPARE = {
    # A snapshot that this test does not keep.
    "financial_ratios": {"working_capital_vs_snapshots"},
}
"""Reconciliations whose totals are 0 or unknown on both sides in the small factory group."""


def twice(table: ReportingTable, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every measure doubled, as by a join that multiplies rows before they are added up."""
    measures = [c.name for c in table.contract.computed_columns if c.dtype.is_numeric()]
    return rows.with_columns(pl.col(set(measures) - set(table.contract.primary_key)) * 2)


def lost(_table: ReportingTable, rows: pl.LazyFrame) -> pl.LazyFrame:
    """One row less, as by an inner join with master data."""
    return rows.slice(1)


def repeated(_table: ReportingTable, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every row again, as by a join with a key that is not unique."""
    return pl.concat([rows, rows])


def renamed(table: ReportingTable, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Keys that no source knows, as by cutting their prefix."""
    texts = [c.name for c in table.contract.columns if c.name in table.contract.primary_key and c.dtype == pl.String]
    return rows.with_columns(pl.col(texts) + "?") if texts else rows.slice(1)


def window_of(table: ReportingTable) -> Window:
    """The last closed month; for snapshots today."""
    if table.period == "snapshot":
        return Window(TODAY, TODAY + DAY, UNTIL)
    month = moved(period_of(TODAY, "month"), -1, "month")
    return Window(month, moved(month, 1, "month"), UNTIL)


@pytest.mark.parametrize("name", sorted(reporting_tables()))
def test_a_broken_model_is_noticed(name: str, factory: Settings, reporting: Database) -> None:
    table, inputs = reporting_tables()[name], Inputs(SourceReader(factory), reporting)
    window = window_of(table)

    def outcomes(breaking: Break | None) -> dict[str, CheckOutcome]:
        def broken(**inputs: object) -> pl.LazyFrame:
            rows = table.model(**inputs)
            return breaking(table, rows) if breaking else rows

        rows, overflows = table.contract.cast(replace(table, model=broken).compute(inputs, window).collect())
        checks = evaluate(
            table.checks,
            table.contract,
            rows,
            sources=inputs,
            window=window,
            overflows=overflows,
            period=table.period,
        )
        return {check.name: check for check in checks}

    sound = outcomes(None)
    assert [check.findings for check in sound.values() if check.blocks] == []
    assert sound["rows"].facts["rows"]

    assert outcomes(lost)["rows"].blocks
    assert outcomes(renamed)["rows"].blocks
    assert outcomes(repeated)["keys"].blocks
    doubled = outcomes(twice)
    noticed = "; ".join((*doubled["reconcile"].findings, *doubled["values"].findings))
    silent = {rule.name for rule in table.checks.reconcile if rule.name not in noticed}
    assert silent == NOTHING_TO_COMPARE.get(name, set())
