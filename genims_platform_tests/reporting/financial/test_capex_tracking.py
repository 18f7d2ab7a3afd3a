from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.financial.capex_tracking import capex_tracking
from genims_platform.reporting.periods import Window
from genims_platform_tests.reporting.frames import Rows, rows_of

MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)
CLOSED = Window(MARCH, APRIL, datetime(2026, 6, 1))

RATE: dict[str, object] = {"rate_id": "1", "from_currency": "USD", "to_currency": "INR", "rate_type": "spot"}
SOURCES: dict[str, Rows] = {
    "master.machines": [
        {
            "machine_id": name,
            "machine_name": f"Press {name}",
            "factory_id": "FAC-1",
            "line_id": "L-1",
            "installation_date": installed,
            "asset_value_usd": Decimal(value),
            "expected_life_years": life,
        }
        for name, installed, value, life in (
            ("M-1", date(2025, 1, 1), "1461", 4),  # a dollar a day
            ("M-2", date(2026, 3, 11), "2922", 8),
            ("M-3", date(1999, 1, 1), "500", 10),
            ("M-4", date(2026, 3, 31), "700", None),
            ("M-5", APRIL, "700", 4),
            ("M-6", None, "700", 4),
        )
    ],
    "cmms.maintenance_assets": [
        {"asset_id": "A-2", "machine_id": "M-1", "purchase_cost": 9, "replacement_cost": 9},
        {"asset_id": "A-1", "machine_id": "M-1", "purchase_cost": 100, "replacement_cost": 150},
    ],
    "master.employees": [{"employee_id": "E-1", "factory_id": "FAC-000001"}],
    "supplier.purchase_requisitions": [
        {
            "requisition_id": name,
            "requisition_number": f"PR-{name}",
            "requisition_type": kind,
            "requisition_status": status,
            "requisition_date": day,
            "requested_by": by,
            "estimated_total": 5000,
        }
        for name, kind, status, day, by in (
            ("R-1", "capital", "approved", date(2025, 10, 1), "E-1"),
            ("R-2", "capital", "rejected", date(2026, 3, 5), "E-LOST"),
            ("R-3", "capital", "rejected", date(2026, 2, 28), "E-1"),
            ("R-4", "capital", None, date(2026, 3, 31), None),
            ("R-5", "capital", "draft", APRIL, "E-1"),
            ("R-6", "standard", "approved", MARCH, "E-1"),
        )
    ],
    "financial.budget_headers": [
        {"budget_id": "B", "fiscal_year": 2026, "budget_type": "x", "budget_version": 1, "budget_status": "active"}
    ],
    "financial.budget_lines": [
        {"budget_id": "B", "cost_center_id": centre, "account_id": account, "period_03": amount}
        for centre, account, amount in (("CC-1", "ACC-P", 300), ("CC-2", "ACC-P", 40), ("CC-1", "ACC-W", 7000))
    ],
    "financial.chart_of_accounts": [
        {"account_id": "ACC-P", "account_code": "1519"},
        {"account_id": "ACC-W", "account_code": "1520"},
    ],
    "financial.cost_centers": [
        {"cost_center_id": "CC-1", "cost_center_code": "FAC01-ENG"},
        {"cost_center_id": "CC-2", "factory_id": "FAC-000001", "cost_center_code": "FAC09-ENG"},
    ],
    "financial.exchange_rates": [
        RATE | {"effective_date": date(2026, 3, 20), "exchange_rate": 80, "inverse_rate": Decimal("0.0125")}
    ],
}


def _rows(window: Window = CLOSED) -> dict[str, dict[str, object]]:
    return {row["capex_object_id"]: row for row in rows_of(capex_tracking, SOURCES, window).iter_rows(named=True)}


def test_a_machine_loses_value_day_by_day() -> None:
    found = _rows()
    assert found["M-1"] == {
        "capex_month": MARCH,
        "capex_object_type": "machine",
        "capex_object_id": "M-1",
        "factory_id": "FAC-1",
        "line_id": "L-1",
        "object_name": "Press M-1",
        "acquisition_date": date(2025, 1, 1),
        "acquisition_value_usd": Decimal("1461.00"),
        "purchase_cost_inr": Decimal("100.00"),
        "replacement_cost_inr": Decimal("150.00"),
        "useful_life_years": 4,
        "remaining_life_years": Decimal("2.7570"),  # 4 - 454 / 365.25
        "depreciation_month_usd": Decimal("31.00"),
        "accumulated_depreciation_usd": Decimal("454.00"),
        "net_book_value_usd": Decimal("1007.00"),
        "net_book_value_inr": Decimal("80560.00"),
        "addition_usd": Decimal("0.00"),
        "requested_inr": None,
        "requisition_status": None,
        "budget_inr": None,
        "source_row_count": 2,
    }
    new, old, endless = found["M-2"], found["M-3"], found["M-4"]
    columns = ("addition_usd", "depreciation_month_usd", "net_book_value_usd", "remaining_life_years")
    assert [new[name] for name in columns] == [2922, 20, 2902, Decimal("7.9452")]
    assert [old[name] for name in columns] == [0, 0, 0, 0]
    assert [endless[name] for name in columns] == [700, None, None, None]
    assert (endless["net_book_value_inr"], endless["source_row_count"]) == (None, 1)


def test_the_month_that_runs_ends_today() -> None:
    row = _rows(Window(MARCH, APRIL, datetime(2026, 3, 10, 8)))
    assert set(row) == {"M-1", "M-3", "R-1", "R-2"}
    assert (row["M-1"]["depreciation_month_usd"], row["M-1"]["accumulated_depreciation_usd"]) == (10, 433)
    assert (row["M-1"]["net_book_value_usd"], row["M-1"]["net_book_value_inr"]) == (1028, None)  # no rate as yet


def test_capital_requests_stand_beside_the_budget_of_their_factory() -> None:
    found = {name: row for name, row in _rows().items() if row["capex_object_type"] == "requisition"}
    assert set(found) == {"R-1", "R-2", "R-4"}
    assert {name: value for name, value in found["R-1"].items() if value is not None} == {
        "capex_month": MARCH,
        "capex_object_type": "requisition",
        "capex_object_id": "R-1",
        "factory_id": "FAC-000001",
        "object_name": "PR-R-1",
        "acquisition_date": date(2025, 10, 1),
        "requested_inr": Decimal("5000.00"),
        "requisition_status": "approved",
        "budget_inr": Decimal("340.00"),
        "source_row_count": 1,
    }
    assert (found["R-2"]["factory_id"], found["R-2"]["budget_inr"]) == (None, None)
