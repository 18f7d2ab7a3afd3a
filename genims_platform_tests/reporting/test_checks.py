"""Each check can fail, and says what is wrong."""

from dataclasses import replace
from datetime import date, datetime

import polars as pl

from genims_platform.mysql.contract import TableContract
from genims_platform.reporting.checks import (
    CheckOutcome,
    Checks,
    Expectation,
    Expected,
    Identity,
    Reconciliation,
    evaluate,
)
from genims_platform.reporting.inputs import input_schema
from genims_platform.reporting.periods import Window
from genims_platform.reporting.registry import reporting_tables
from genims_platform.sources.reader import EmptySources, Sources

DAY = date(2026, 3, 2)
WINDOW = Window(DAY, date(2026, 3, 3), datetime(2026, 3, 10))
CONTRACT: TableContract = reporting_tables()["production_summary_daily"].contract


def answer(**columns: object) -> Expected:
    """A second way to the figures that always says the same."""

    def expected(_sources: Sources, _window: Window) -> pl.DataFrame:
        return pl.DataFrame({"production_date": [DAY], **{name: [value] for name, value in columns.items()}})

    return expected


CHECKS = Checks(
    rows=answer(line_id="LINE-1"),
    reconcile=[Reconciliation("units", answer(units_good=5, labor_hours=2.004))],
    identities=[Identity("good", pl.col("units_produced") - pl.col("units_good"))],
    orphans={"line_id": "line_name"},
)


def evaluate_row(checks: Checks = CHECKS, **changes: object) -> dict[str, CheckOutcome]:
    row = {column.name: 0 if column.dtype.is_numeric() else None for column in CONTRACT.computed_columns}
    row |= {"production_date": DAY, "line_id": "LINE-1", "line_name": "Line", "units_produced": 5, "units_good": 5}
    row |= {"labor_hours": 2.0, **changes}
    rows, overflows = CONTRACT.cast(pl.DataFrame([row], schema_overrides={"line_id": pl.String}))
    outcomes = evaluate(checks, CONTRACT, rows, sources=EmptySources(input_schema), window=WINDOW, overflows=overflows)
    return {outcome.name: outcome for outcome in outcomes}


def test_a_sound_row_passes_and_rounding_is_tolerated() -> None:
    assert all(outcome.passed for outcome in evaluate_row().values())


def test_missing_and_surplus_keys_block() -> None:
    outcome = evaluate_row(line_id="LINE-2")["rows"]
    assert outcome.blocks
    assert any("missing" in finding and "LINE-1" in finding for finding in outcome.findings)
    assert any("not in the sources" in finding and "LINE-2" in finding for finding in outcome.findings)


def test_a_null_key_is_expected_as_unknown() -> None:
    checks = replace(CHECKS, rows=answer(line_id=None))
    assert evaluate_row(checks, line_id="UNKNOWN")["rows"].passed


def test_a_null_where_the_schema_forbids_it_blocks() -> None:
    outcome = evaluate_row(orders_completed=None)["keys"]
    assert outcome.blocks
    assert "orders_completed is NULL in 1 rows" in outcome.findings


def test_a_broken_identity_blocks_and_an_odd_value_warns() -> None:
    assert evaluate_row(units_produced=6)["values"].blocks
    odd = evaluate_row(first_pass_yield_pct=100.6)["values"]
    assert (odd.passed, odd.blocks) == (False, False)


def test_a_value_that_does_not_fit_is_reported() -> None:
    outcome = evaluate_row(plan_attainment_pct=1e6)["values"]
    assert any("plan_attainment_pct" in finding for finding in outcome.findings)


def test_totals_that_differ_block() -> None:
    outcome = evaluate_row(units_produced=4, units_good=4)["reconcile"]
    assert outcome.blocks
    assert "units: units_good of 2026-03-02 is 4, the sources say 5" in outcome.findings
    assert evaluate_row(labor_hours=2.02)["reconcile"].blocks


def test_sources_that_contradict_each_other_only_warn() -> None:
    doubt = Reconciliation("headers", answer(units_good=7), blocks=False)
    outcomes = evaluate_row(replace(CHECKS, reconcile=[doubt]))
    assert (outcomes["values"].passed, outcomes["values"].blocks) == (False, False)
    assert outcomes["values"].findings == ("headers: units_good of 2026-03-02 is 5, the sources say 7",)
    assert outcomes["reconcile"].passed


def test_a_total_of_values_that_do_not_fit_is_not_compared() -> None:
    outcomes = evaluate_row(labor_hours=1e20)
    assert (outcomes["values"].passed, outcomes["values"].blocks) == (False, False)
    assert outcomes["reconcile"].passed


def test_orphans_are_counted_and_warn() -> None:
    outcome = evaluate_row(line_name=None)["orphans"]
    assert (outcome.passed, outcome.blocks) == (False, False)
    assert outcome.facts["line_id_orphan_share"] == 1


def test_an_identity_of_a_whole_period_blocks() -> None:
    half = Identity("shares add up", pl.col("plan_attainment_pct").sum() - 100, 0.5, by_period=True)
    checks = replace(CHECKS, identities=[half])
    assert evaluate_row(checks, plan_attainment_pct=100.4)["values"].passed
    outcome = evaluate_row(checks, plan_attainment_pct=101)["values"]
    assert outcome.blocks
    assert outcome.findings == ("shares add up does not hold: 1 rows, such as 2026-03-02",)


def test_an_unusual_row_is_reported_and_published() -> None:
    usual = Expectation("no overtime", pl.col("labor_hours") <= 2)
    outcome = evaluate_row(replace(CHECKS, warnings=[usual]), labor_hours=2.004)["values"]
    assert (outcome.passed, outcome.blocks) == (True, False)
    outcome = evaluate_row(replace(CHECKS, reconcile=(), warnings=[usual]), labor_hours=3)["values"]
    assert (outcome.passed, outcome.blocks) == (False, False)
    assert outcome.findings == ("no overtime: 1 rows, such as 2026-03-02, LINE-1",)


def test_source_rows_without_a_date_are_counted() -> None:
    def undated(_sources: Sources, _window: Window) -> pl.DataFrame:
        return pl.DataFrame({"count": [3]})

    outcome = evaluate_row(replace(CHECKS, left_out={"undated orders": undated}))["orphans"]
    assert (outcome.passed, outcome.blocks) == (False, False)
    assert outcome.facts["undated_orders"] == 3
