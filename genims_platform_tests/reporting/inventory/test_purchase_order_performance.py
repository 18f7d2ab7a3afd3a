from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.inventory.purchase_order_performance import purchase_order_performance
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import Rows, rows_of

ORDERED = date(2026, 3, 10)
AS_OF = datetime(2026, 3, 25, 12)
WINDOW = Window(ORDERED, ORDERED + DAY, as_of=AS_OF)


def _order(number: int, value: float | None, **values: object) -> dict[str, object]:
    usual = {"supplier_id": "SUP-1", "po_date": ORDERED, "po_status": "released", "currency": "INR"}
    return usual | {"purchase_order_id": f"PO-{number}", "total_value": value} | values


def _line(order: int, due: date, quantity: float | None, price: float | None, **values: object) -> dict[str, object]:
    usual = {"po_line_id": f"L-{order}-{due}-{quantity}", "purchase_order_id": f"PO-{order}", "material_id": "M-1"}
    return usual | {"delivery_date": due, "order_quantity": quantity, "unit_price": price} | values


def _receipt(order: int, day: date, quantity: float | None, **values: object) -> dict[str, object]:
    return {
        "purchase_order_id": f"PO-{order}",
        "completed_at": datetime(day.year, day.month, day.day, 15),
        "received_quantity": quantity,
        "task_status": "completed",
    } | values


def _price(price: float, begin: date, end: date | None, **values: object) -> dict[str, object]:
    usual: dict[str, object] = {"contract_id": "C-1", "material_id": "M-1", "is_active": True, "currency_code": "INR"}
    return usual | {"unit_price": price, "effective_from": begin, "effective_to": end} | values


def _rows(tables: Mapping[str, Rows]) -> dict[str, dict[str, object]]:
    rows = rows_of(purchase_order_performance, tables, WINDOW)
    return {row["supplier_id"]: row for row in rows.iter_rows(named=True)}


def test_price_and_delivery_of_the_orders_of_a_day() -> None:
    due, late = date(2026, 3, 20), date(2026, 3, 24)
    year = (date(2026, 1, 1), date(2026, 12, 31))
    found = _rows(
        {
            "erp.purchase_orders": [
                _order(1, 1000),
                _order(2, 500, po_status="created"),
                _order(3, None),
                _order(4, 20),
                _order(5, 70, supplier_id=" "),
                _order(6, 70, po_date=date(2027, 9, 1)),
            ],
            "erp.purchase_order_lines": [
                _line(1, date(2026, 3, 12), 10, 60),
                _line(1, due, 4, 100, material_id="M-UNKNOWN"),
                _line(1, date(2026, 4, 30), 999, 999, deletion_indicator=True),
                _line(2, due, 10, 50),
                _line(3, date(2026, 3, 24), None, 1),
                _line(4, date(2026, 3, 25), 1, 20, material_id=None),
            ],
            "wms.receiving_tasks": [
                _receipt(1, date(2026, 3, 11), 6),
                _receipt(1, due, 5),
                # Goods cannot come before their order, nor after the run.
                _receipt(1, date(2026, 3, 9), 900),
                _receipt(1, date(2026, 3, 26), 900),
                _receipt(1, late, 900, task_status="in_progress"),
                _receipt(2, late, None),
                _receipt(99, late, 1),
            ],
            "erp.suppliers": [
                {"supplier_id": "SUP-1", "supplier_name": name, "on_time_delivery_percentage": 97.5}
                for name in ("Iyer Steel", "The same again")
            ],
            "erp.materials": [{"material_id": "M-1", "standard_cost": cost} for cost in (50, 1)],
            "supplier.supplier_contracts": [
                {"contract_id": "C-1", "supplier_id": "SUP-1"},
                {"contract_id": "C-2", "supplier_id": "SUP-2"},
            ],
            "supplier.contract_pricing": [
                _price(55, *year),
                _price(54, date(2026, 1, 1), None),
                _price(1, *year, is_active=False),
                _price(2, *year, contract_id="C-2"),
                _price(3, date(2026, 3, 11), None),
                _price(4, date(2025, 1, 1), date(2026, 3, 9)),
            ],
        }
    )
    assert set(found) == {"SUP-1", "UNKNOWN"}
    assert found["SUP-1"] == {
        "po_date": ORDERED,
        "supplier_id": "SUP-1",
        "supplier_name": "Iyer Steel",
        "po_count": 4,
        "released_count": 3,
        "line_count": 5,
        "order_qty": 25,
        "po_value_inr": 1520,
        "standard_value_inr": 1000,
        "ppv_inr": 100,
        "ppv_pct": 10,
        "contract_line_count": 3,
        "contract_price_var_inr": 20,
        # Due after 10, 10, 14 and 15 days.
        "planned_lead_days": Decimal("12.25"),
        "received_po_count": 2,
        "on_time_po_count": 1,
        "on_time_pct": 50,
        "received_qty": 11,
        "fill_rate_pct": Decimal("45.83"),
        # The first receipts came after 1 and 14 days.
        "actual_lead_days": Decimal("7.5"),
        # Order 3 was due yesterday, order 4 is due today.
        "overdue_po_count": 1,
        "reported_otd_pct": Decimal("97.50"),
        "source_row_count": 4,
    }
    unknown = found["UNKNOWN"]
    assert (unknown["po_value_inr"], unknown["line_count"], unknown["contract_line_count"]) == (70, 0, 0)
    missing = ("order_qty", "ppv_inr", "ppv_pct", "contract_price_var_inr", "planned_lead_days", "on_time_pct")
    assert [unknown[name] for name in missing] == [None] * len(missing)


def test_foreign_orders_are_converted_or_unknown() -> None:
    found = _rows(
        {
            "erp.purchase_orders": [
                _order(1, 10, currency="USD"),
                _order(2, 30),
                _order(3, 10, currency="EUR", supplier_id="SUP-2"),
                _order(4, 30, supplier_id="SUP-2"),
            ],
            "erp.purchase_order_lines": [_line(1, ORDERED, 5, 2), _line(3, ORDERED, 5, 2), _line(4, ORDERED, 1, 30)],
            "erp.materials": [{"material_id": "M-1", "standard_cost": 100}],
            "supplier.supplier_contracts": [{"contract_id": "C-1", "supplier_id": "SUP-1"}],
            "supplier.contract_pricing": [_price(1, ORDERED, None, currency_code="USD"), _price(150, ORDERED, None)],
            "financial.exchange_rates": [
                {"rate_id": "R-1", "from_currency": "USD", "to_currency": "INR", "rate_type": "spot"}
                | {"effective_date": ORDERED, "exchange_rate": 0.0125, "inverse_rate": 80}
            ],
        }
    )
    known, unknown = found["SUP-1"], found["SUP-2"]
    assert (known["po_value_inr"], known["ppv_inr"], known["contract_price_var_inr"]) == (830, 300, 400)
    assert (unknown["po_value_inr"], unknown["standard_value_inr"], unknown["ppv_inr"]) == (None, 600, None)
    assert unknown["order_qty"] == 6
