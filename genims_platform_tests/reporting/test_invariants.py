"""The equations between tables hold on a published factory group, and each of their statements can fail."""

from collections.abc import Iterator
from datetime import date

import pytest

from genims_platform.mysql.connection import Database
from genims_platform.mysql.deploy import deploy
from genims_platform.orchestration.resources import reporting_database
from genims_platform.reporting.invariants.invariant import verify
from genims_platform.reporting.invariants.registry import INVARIANTS
from genims_platform.reporting.periods import DAY
from genims_platform.reporting.publish import refresh
from genims_platform.reporting.registry import reporting_tables
from genims_platform.settings import Settings
from genims_platform.sources.reader import SourceReader
from genims_platform_tests.factory_group import TODAY, UNTIL, clear, days

NOTHING_FLOWED = ("shipped_qty", "production_issue_qty", "production_return_qty")

FIRST, END = date(2026, 2, 1), TODAY + DAY

BREAKS = [
    ("machine_units_of_a_line", "production_summary_daily", "machine_units_counted"),
    ("oee_rolls_up", "oee_summary_daily", "run_minutes"),
    ("energy_of_a_line", "energy_consumption_daily", "total_kwh"),
    ("breakdowns_of_a_machine", "downtime_summary_daily", "breakdown_count"),
    ("units_of_a_factory", "quality_summary_daily", "units_produced"),
    ("units_of_a_factory", "quality_summary_daily", "units_good"),
    ("units_of_a_factory", "quality_summary_daily", "units_rejected"),
    ("units_of_a_factory", "quality_summary_daily", "units_scrapped"),
    ("units_of_a_factory", "quality_summary_daily", "units_rework"),
    ("units_of_a_factory", "cost_analysis_daily", "units_good"),
    ("cost_of_completed_orders", "cost_analysis_daily", "labor_cost_inr"),
    ("cost_of_completed_orders", "work_in_process", "completed_value_inr"),
    ("cost_of_sales_and_overhead", "profit_and_loss_daily", "cogs_std_inr"),
    ("cost_of_sales_and_overhead", "cost_analysis_daily", "overhead_cost_inr"),
    ("balances_roll_forward", "work_in_process", "opening_value_inr"),
    ("balances_roll_forward", "work_in_process", "added_value_inr"),
    ("balances_roll_forward", "material_flow_daily", "closing_qty"),
    ("balances_roll_forward", "customer_service_summary", "tickets_created"),
    ("variances_and_snapshots", "cost_variance_daily", "variance_inr"),
    ("variances_and_snapshots", "financial_ratios", "accounts_payable_inr"),
    ("variances_and_snapshots", "financial_ratios", "inventory_value_inr"),
    ("stock_and_receipts", "finished_goods_warehouse", "stock_value_inr"),
    ("stock_and_receipts", "warehouse_operations_daily", "received_qty"),
    ("sales_of_a_month", "customer_performance", "mtd_sales_inr"),
    ("sales_of_a_month", "sales_rep_performance", "booked_revenue_inr"),
    ("sales_of_a_month", "product_sales_performance", "revenue_inr"),
    ("purchases_of_a_month", "supplier_performance", "spend_inr"),
    ("purchases_of_a_month", "supplier_performance", "po_count"),
    ("consumption_of_a_year", "abc_analysis", "consumption_qty_12m"),
]


@pytest.fixture(scope="module")
def published(factory: Settings) -> Iterator[Database]:
    """Every table, published for the group's whole two months."""
    database = reporting_database(factory)
    deploy(database, "reporting", today=TODAY)
    clear(database)
    sources = SourceReader(factory)
    ordered = sorted(reporting_tables().values(), key=lambda table: len(table.kept_tables))
    for table in ordered:
        span = days(date(2025, 12, 1), END)
        outcome = refresh(table, span, sources=sources, target=database, as_of=UNTIL, lock_timeout=30)
        assert not outcome.failures, table.name
    # The analysis of a year is compared only where material flow reaches back that far.
    contract = reporting_tables()["material_flow_daily"].contract
    columns = [column.name for column in contract.columns]
    values = {
        "flow_date": "'2025-02-01'",
        "shipped_qty": "0",
        "production_issue_qty": "0",
        "production_return_qty": "0",
    }
    selected = ", ".join(values.get(column, column) for column in columns)
    _run(database, f"INSERT INTO material_flow_daily SELECT {selected} FROM material_flow_daily LIMIT 1")
    yield database
    database.close()


@pytest.mark.parametrize("name", [invariant.name for invariant in INVARIANTS])
def test_it_holds(name: str, published: Database) -> None:
    (verdict,) = verify(published, [i for i in INVARIANTS if i.name == name], FIRST, END)
    assert verdict.findings == ()
    assert verdict.holds


@pytest.mark.parametrize(("name", "table", "column"), BREAKS, ids=lambda value: value)
def test_it_can_fail(name: str, table: str, column: str, published: Database) -> None:
    changed = _run(published, f"UPDATE {table} SET {column} = {column} + 1000 WHERE {column} IS NOT NULL")
    assert changed
    try:
        (verdict,) = verify(published, [i for i in INVARIANTS if i.name == name], FIRST, END)
        assert not verdict.holds
        assert verdict.findings
    finally:
        _run(published, f"UPDATE {table} SET {column} = {column} - 1000 WHERE {column} IS NOT NULL")


def test_every_equation_is_broken_once() -> None:
    assert {name for name, _, _ in BREAKS} == {invariant.name for invariant in INVARIANTS}


def _run(database: Database, statement: str) -> int:
    with database.connection() as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        connection.commit()
        return cursor.rowcount
