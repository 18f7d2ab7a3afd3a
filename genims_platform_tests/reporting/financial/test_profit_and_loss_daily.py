from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from genims_platform.reporting.financial.profit_and_loss_daily import profit_and_loss_daily
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import MONDAY, TUESDAY, Rows, at, rows_of

MONTH_START = TUESDAY.replace(day=1)
AS_OF = at(TUESDAY, 12)


def _sold(order_id: str, status: str = "closed", **others: object) -> dict[str, object]:
    usual: dict[str, object] = {"order_date": MONTH_START - DAY, "requested_delivery_date": TUESDAY}
    return usual | {"sales_order_id": order_id, "order_status": status} | others


def _line(order_id: str, quantity: int, price: str = "10", **others: object) -> dict[str, object]:
    usual: dict[str, object] = {"material_id": "M-1", "plant_id": "FAC-1", "product_id": "P-1"}
    return (
        usual | {"sales_order_id": order_id, "order_quantity": Decimal(quantity), "unit_price": Decimal(price)} | others
    )


def _shipment(number: int, order_id: str, shipped: date, delivered: date | None) -> dict[str, object]:
    return {
        "shipment_id": f"S-{number}",
        "sales_order_id": order_id,
        "ship_date": shipped,
        "actual_delivery_date": delivered,
    }


SALES: dict[str, Rows] = {
    "erp.sales_orders": [
        _sold("SO-1"),
        _sold("SO-2", requested_delivery_date=TUESDAY + DAY),
        _sold("SO-3"),
        _sold("SO-4", "open"),
        _sold("SO-5", currency="EUR"),
        _sold("SO-6", requested_delivery_date=MONTH_START),
        _sold("SO-7"),
    ],
    "erp.sales_order_lines": [
        _line("SO-1", 8, discount_percentage=Decimal(25)),
        _line("SO-1", 100, deletion_indicator=True),
        _line("SO-1", 2, material_id="M-9", plant_id=" "),
        _line("SO-2", 3),
        _line("SO-3", 1000),
        _line("SO-4", 1000),
        _line("SO-5", 1, plant_id="FAC-2"),
        _line("SO-6", 50, "1"),
        _line("SO-7", 1000),
    ],
    "erp.production_orders": [
        {"sales_order_id": "SO-1", "material_id": "M-1", "plant_id": plant, "order_quantity": Decimal(quantity)}
        for plant, quantity in (("FAC-1", 1), ("FAC-2", 2), ("FAC-1", 1))
    ],
    "erp.materials": [{"material_id": "M-1", "standard_cost": Decimal(4)}] * 2 + [{"material_id": "M-9"}],
    "tms.shipments": [
        # SO-1 was never shipped, so that its requested date counts: a shipment cannot leave before its order.
        _shipment(1, "SO-1", MONTH_START - 5 * DAY, MONTH_START),
        # SO-2 came in two parts; the proof of the second outweighs its note.
        _shipment(2, "SO-2", MONTH_START, MONTH_START),
        _shipment(3, "SO-2", MONTH_START, MONTH_START),
        # SO-3 is complete tomorrow only, SO-7 not yet on its way to an end.
        _shipment(4, "SO-3", MONTH_START, TUESDAY),
        _shipment(5, "SO-3", MONTH_START, TUESDAY + DAY),
        _shipment(6, "SO-7", MONTH_START, None),
    ],
    "tms.proof_of_delivery": [{"shipment_id": "S-3", "delivery_timestamp": at(TUESDAY, 23)}],
    "master.factories": [{"factory_id": "FAC-1", "factory_name": "Pune"}, {"factory_id": "FAC-2"}],
}


def _rows(tables: Mapping[str, Rows], day: date = TUESDAY) -> dict[str, dict[str, object]]:
    rows = rows_of(profit_and_loss_daily, tables, Window(day, day + DAY, AS_OF))
    return {row["factory_id"]: row for row in rows.iter_rows(named=True)}


def test_revenue_counts_on_the_last_valid_delivery_at_the_plants_that_make_the_goods() -> None:
    rows = _rows(SALES)
    assert set(rows) == {"FAC-1", "FAC-2", "UNKNOWN"}
    pune = rows["FAC-1"]
    # Half of SO-1's 8 x 10 less 25 %, and SO-2 as a whole.
    assert (pune["recognised_orders"], pune["revenue_inr"], pune["cogs_std_inr"]) == (2, Decimal(60), Decimal(28))
    assert (pune["gross_margin_inr"], pune["gross_margin_pct"]) == (Decimal(32), Decimal("53.33"))
    assert (pune["factory_name"], pune["source_row_count"], pune["opex_basis"]) == ("Pune", 2, "operational")
    assert pune["mtd_revenue_inr"] == Decimal(110)  # SO-6 on the first of the month
    unplaced = rows["UNKNOWN"]
    assert (unplaced["revenue_inr"], unplaced["cogs_std_inr"], unplaced["factory_name"]) == (Decimal(20), 0, None)


def test_an_amount_without_a_rate_makes_the_revenue_unknown_and_not_smaller() -> None:
    lost = _rows(SALES)["FAC-2"]
    assert (lost["recognised_orders"], lost["cogs_std_inr"]) == (2, Decimal(20))
    assert [lost[name] for name in ("revenue_inr", "gross_margin_inr", "operating_income_inr", "mtd_revenue_inr")] == [
        None
    ] * 4
    rate = {
        "from_currency": "EUR",
        "to_currency": "INR",
        "rate_type": "spot",
        "effective_date": TUESDAY - 3 * DAY,
        "exchange_rate": Decimal("0.01"),
        "inverse_rate": Decimal(100),
    }
    found = _rows(SALES | {"financial.exchange_rates": [rate]})["FAC-2"]
    assert (found["revenue_inr"], found["mtd_revenue_inr"]) == (Decimal(1030), Decimal(1030))


def test_a_day_without_sales_is_a_true_zero() -> None:
    row = _rows(SALES, MONDAY)["FAC-1"]
    assert (row["revenue_inr"], row["freight_cost_inr"], row["operating_income_inr"]) == (0, 0, 0)
    assert (row["gross_margin_pct"], row["operating_margin_pct"], row["source_row_count"]) == (None, None, 0)


OPERATIONS: dict[str, Rows] = {
    "cmms.work_orders": [
        {"asset_id": "A-1", "actual_end_date": at(TUESDAY, 3), "actual_total_cost": Decimal("30.50")},
        {"asset_id": "A-1", "actual_end_date": at(TUESDAY, 15), "actual_total_cost": Decimal(900)},
        {"asset_id": "A-LOST", "actual_end_date": at(TUESDAY, 4), "actual_total_cost": Decimal(5)},
    ],
    "cmms.maintenance_assets": [{"asset_id": "A-1", "factory_id": "FAC-1"}],
    "tms.shipments": [
        {"warehouse_id": "W-1", "ship_date": TUESDAY, "total_cost": Decimal(7), "currency": "INR"},
        {"warehouse_id": "W-1", "ship_date": TUESDAY, "total_cost": None},
    ],
    "wms.warehouses": [{"warehouse_id": "W-1", "plant_id": "FAC-1"}],
    "hcm.employees": [
        {"primary_factory_id": "FAC-1", "annual_salary": Decimal(36500), "hire_date": TUESDAY},
        {
            "primary_factory_id": "FAC-1",
            "annual_salary": Decimal(73000),
            "hire_date": date(2020, 1, 1),
            "termination_date": TUESDAY,
        },
        {"primary_factory_id": "FAC-1", "annual_salary": Decimal(99), "hire_date": TUESDAY + DAY},
    ],
    "qms.ncr_headers": [{"detected_date": TUESDAY, "detection_location": "FAC-1", "total_cost": Decimal("2.50")}],
    "master.factories": [{"factory_id": "FAC-1"}],
}


def test_operating_expenses_of_operations() -> None:
    rows = _rows(OPERATIONS)
    row = rows["FAC-1"]
    assert row["maintenance_cost_inr"] == Decimal("30.50")
    assert (row["freight_cost_inr"], row["payroll_cost_inr"]) == (Decimal(7), Decimal(100))
    assert (row["quality_cost_inr"], row["operating_expenses_inr"]) == (Decimal("2.50"), Decimal(140))
    assert (row["operating_income_inr"], row["net_income_inr"]) == (Decimal(-140), None)
    assert rows["UNKNOWN"]["maintenance_cost_inr"] == 5


def test_the_ledger_and_the_budget_prevail_where_they_are_kept() -> None:
    entry = {"journal_entry_id": "J-1"}
    accounts = (("5210", "expense", "Rent"), ("4200", "revenue", "Interest"), ("6100", "expense", "Income TAX"))
    amounts = ((Decimal(80), Decimal(0)), (Decimal(0), Decimal(15)), (Decimal(20), Decimal(0)))
    rows = _rows(
        OPERATIONS
        | {
            "financial.journal_entry_headers": [entry | {"posted": True, "reversed": False, "posting_date": TUESDAY}],
            "financial.journal_entry_lines": [
                entry
                | {"account_id": code, "functional_debit": debit, "functional_credit": credit, "cost_center_id": "C-1"}
                for (code, _, _), (debit, credit) in zip(accounts, amounts, strict=True)
            ],
            "financial.chart_of_accounts": [
                {"account_id": code, "account_code": code, "account_type": kind, "account_name": name}
                for code, kind, name in accounts
            ],
            "financial.cost_centers": [{"cost_center_id": "C-1", "factory_id": "FAC-1"}],
            "financial.budget_headers": [
                {"budget_id": "B-1", "fiscal_year": TUESDAY.year, "budget_status": "active", "budget_version": 1}
            ],
            "financial.budget_lines": [
                {"budget_id": "B-1", "account_id": "4200", "cost_center_id": "C-1", "period_03": Decimal(310)}
            ],
        }
    )
    row = rows["FAC-1"]
    assert (row["opex_basis"], row["ledger_opex_inr"], row["operating_expenses_inr"]) == ("ledger", 80, 80)
    assert (row["other_income_inr"], row["tax_inr"], row["net_income_inr"]) == (15, 20, -85)
    assert (row["budget_revenue_inr"], row["revenue_vs_budget_inr"]) == (10, -10)
