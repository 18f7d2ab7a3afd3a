from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.inventory.spare_parts_inventory import spare_parts_inventory
from genims_platform.reporting.periods import Window
from genims_platform_tests.reporting.frames import rows_of

TODAY = date(2026, 3, 31)
WINDOW = Window(TODAY, date(2026, 4, 1), as_of=datetime(2026, 3, 31, 12))


def _part(part_id: str, stock: str | None, **values: object) -> dict[str, object]:
    levels = {"min_stock_level": Decimal(10), "reorder_point": Decimal(20), "standard_cost": Decimal("2.5000")}
    usual = {"mro_part_id": part_id, "part_number": f"N-{part_id}", "criticality": "low", "lead_time_days": 30}
    return usual | levels | {"current_stock": stock and Decimal(stock)} | values


def _issue(part_id: str, at: datetime, quantity: str, cost: str, **values: object) -> dict[str, object]:
    amounts = {"quantity": Decimal(quantity), "unit_cost": Decimal(cost)}
    total = {"total_cost": Decimal(quantity) * Decimal(cost)}
    return {"mro_part_id": part_id, "transaction_date": at, "transaction_type": "issued"} | amounts | total | values


TABLES = {
    "cmms.mro_parts": [
        _part("P-1", "40", part_name="Bearing", part_category="spare_part", warehouse_id="WH-1")
        | {"reorder_quantity": Decimal(25), "criticality": "critical"},
        _part("P-2", "20", criticality="high"),
        _part("P-3", "20", criticality=None),
        _part("P-4", "9"),
        _part("P-5", "-1", reorder_point=None),
        _part("P-6", None),
        _part("P-7", "40", lead_time_days=None, standard_cost=None),
    ],
    "cmms.mro_parts_transactions": [
        _issue("P-1", datetime(2026, 3, 31, 11), "10", "3"),
        _issue("P-1", datetime(2026, 3, 2, 0), "20", "3"),
        _issue("P-1", datetime(2026, 3, 1, 23), "40", "3"),
        _issue("P-1", datetime(2026, 1, 1, 0), "110", "1"),
        # A day too old, after the run, and no issue at all.
        _issue("P-1", datetime(2025, 12, 31, 23), "1000", "1"),
        _issue("P-1", datetime(2026, 3, 31, 13), "1000", "1"),
        _issue("P-1", datetime(2026, 3, 30), "1000", "1", transaction_type="returned"),
        _issue("P-2", datetime(2025, 6, 1), "5", "1"),
        _issue("P-LOST", datetime(2026, 2, 1), "1", "2"),
        _issue("P-LOST", datetime(2026, 3, 20), "2", "3.5", total_cost=None),
        _issue("P-OLD", datetime(2025, 6, 1), "1", "2"),
    ],
    "service.service_parts": [
        {"service_part_id": "P-1", "part_number": "S-1", "current_stock": Decimal(6), "standard_cost": Decimal(100)}
        | {"min_stock_level": Decimal(5), "reorder_point": None},
    ],
    "service.service_parts_usage": [
        {"service_part_id": "P-1", "usage_date": day, "quantity_used": Decimal(quantity), "unit_cost": Decimal("1.1")}
        for day, quantity in ((date(2026, 3, 31), 2), (date(2026, 2, 1), 7), (date(2026, 4, 1), 50))
    ],
}


def test_stock_usage_and_risk() -> None:
    rows = rows_of(spare_parts_inventory, TABLES, WINDOW)
    found = {(row["part_register"], row["part_id"]): row for row in rows.iter_rows(named=True)}
    assert set(found) == {*(("mro", f"P-{n}") for n in range(1, 8)), ("mro", "P-LOST"), ("service", "P-1")}
    assert found["mro", "P-1"] == {
        "stock_date": TODAY,
        "part_register": "mro",
        "part_id": "P-1",
        "part_number": "N-P-1",
        "part_name": "Bearing",
        "part_category": "spare_part",
        "criticality": "critical",
        "warehouse_id": "WH-1",
        "on_hand_qty": Decimal("40.0000"),
        "min_stock": Decimal("10.0000"),
        "reorder_point": Decimal("20.0000"),
        "reorder_qty": Decimal("25.0000"),
        "unit_cost_inr": Decimal("2.5000"),
        "stock_value_inr": Decimal("100.00"),
        "stock_status": "ok",
        "issued_30d_qty": Decimal("30.0000"),
        "issued_90d_qty": Decimal("180.0000"),
        "issued_90d_value_inr": Decimal("320.00"),
        "last_issue_date": TODAY,
        "days_of_cover": Decimal("20.00"),
        "lead_time_days": 30,
        "stockout_risk": "high",
        "is_orphan": 0,
        "source_row_count": 5,
    }
    status = {part: (row["stock_status"], row["stockout_risk"]) for (_, part), row in found.items() if part != "P-1"}
    assert status == {
        "P-2": ("below_reorder", "high"),
        "P-3": ("below_reorder", "watch"),
        "P-4": ("below_min", "watch"),
        "P-5": ("out", "none"),
        "P-6": (None, None),
        "P-7": ("ok", "none"),
        "P-LOST": (None, None),
    }
    unused = found["mro", "P-2"]
    assert (unused["issued_90d_qty"], unused["days_of_cover"], unused["last_issue_date"]) == (0, None, date(2025, 6, 1))
    assert (unused["source_row_count"], found["mro", "P-7"]["stock_value_inr"]) == (1, None)
    lost = found["mro", "P-LOST"]
    assert (lost["is_orphan"], lost["unit_cost_inr"], lost["issued_90d_value_inr"]) == (
        1,
        Decimal("2.7500"),
        Decimal(2),
    )
    assert (lost["part_number"], lost["stock_value_inr"], lost["source_row_count"]) == (None, None, 2)
    service = found["service", "P-1"]
    assert (service["issued_30d_qty"], service["issued_90d_qty"]) == (Decimal(2), Decimal(9))
    assert (service["issued_90d_value_inr"], service["days_of_cover"]) == (Decimal("9.90"), Decimal("60.00"))
    assert (service["stock_status"], service["stockout_risk"], service["criticality"]) == ("ok", "none", None)


def test_registers_may_be_empty() -> None:
    assert rows_of(spare_parts_inventory, {}, WINDOW).is_empty()
