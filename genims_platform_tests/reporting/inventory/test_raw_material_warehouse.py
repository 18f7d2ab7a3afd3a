from datetime import date, datetime
from decimal import Decimal

import pytest

from genims_platform.reporting.inventory.raw_material_warehouse import raw_material_warehouse
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import Rows, at, rows_of
from genims_platform_tests.reporting.inventory.stores import MATERIALS, WAREHOUSES

TODAY = date(2026, 5, 20)
WINDOW = Window(TODAY, TODAY + DAY, as_of=datetime(2026, 5, 20, 12))

PLAN: dict[str, object] = {
    "safety_stock": 10,
    "reorder_point": 50,
    "maximum_stock": 100,
    "lead_time_days": 20,
    "minimum_order_quantity": 5,
    "order_multiple": Decimal("0.3"),
    "last_purchase_price": Decimal("1.9"),
}


def _sources(stock: int | None, plan: dict[str, object] = PLAN, **others: Rows) -> dict[str, Rows]:
    tables: dict[str, Rows] = {
        "erp.inventory_balances": [
            {"plant_id": "FAC-1", "material_id": "MAT-2", "unrestricted_stock": stock, "stock_value": 80},
            {"plant_id": "FAC-1", "material_id": "MAT-1", "unrestricted_stock": 1, "stock_value": 1},
        ],
        "erp.materials": [MATERIALS[0], MATERIALS[1] | plan],
        "wms.warehouses": WAREHOUSES,
        "mes.material_transactions": [
            {"transaction_type": "issue", "transaction_date": at(day, 8), "material_code": "RM-1"}
            | {"quantity": quantity, "work_order_id": "WO-1"}
            for day, quantity in ((TODAY, 40), (TODAY - 29 * DAY, 20), (TODAY - 30 * DAY, 1_000))
        ],
        "mes.work_orders": [{"work_order_id": "WO-1", "factory_id": "FAC-1"}],
    }
    return tables | {name.replace("__", "."): rows for name, rows in others.items()}


def _receipt(day: date, hour: int, quantity: int, **values: object) -> dict[str, object]:
    usual = {"task_status": "completed", "warehouse_id": "WH-1", "material_id": "MAT-2"}
    return usual | {"completed_at": at(day, hour), "received_quantity": quantity} | values


def _purchase(order: str, day: date, price: float, due: date | None = None, **values: object) -> dict[str, object]:
    usual = {"material_id": "MAT-2", "deletion_indicator": False, "order_quantity": 10, "delivery_date": due}
    return usual | {"purchase_order_id": order, "po_line_id": f"{order}-{day}", "unit_price": price} | values


def test_stock_use_receipts_and_purchases() -> None:
    purchases = {
        "PO-1": (TODAY - 9 * DAY, "INR"),
        "PO-2": (TODAY - 2 * DAY, "USD"),
        "PO-3": (TODAY + DAY, "INR"),
    }
    (row,) = rows_of(
        raw_material_warehouse,
        _sources(
            40,
            wms__warehouse_inventory=[{"warehouse_id": "WH-1", "material_id": "MAT-2", "quantity_on_hand": 41}],
            wms__receiving_tasks=[
                _receipt(TODAY - 40 * DAY, 8, 7),
                _receipt(TODAY - 29 * DAY, 8, 8),
                _receipt(TODAY - 3 * DAY, 8, 9),
                _receipt(TODAY, 13, 100),
                _receipt(TODAY - DAY, 8, 100, task_status="in_progress"),
            ],
            erp__purchase_orders=[
                {"purchase_order_id": order, "po_date": day, "currency": currency}
                for order, (day, currency) in purchases.items()
            ],
            erp__purchase_order_lines=[
                _purchase("PO-1", TODAY, 3, TODAY),
                _purchase("PO-2", TODAY, 0.04, TODAY + 5 * DAY),
                _purchase("PO-2", TODAY + DAY, 9, TODAY + DAY, deletion_indicator=True),
                _purchase("PO-3", TODAY, 8, TODAY - DAY),
            ],
            financial__exchange_rates=[
                {"from_currency": "USD", "to_currency": "INR", "rate_type": "spot", "rate_id": "R-1"}
                | {"effective_date": TODAY - 3 * DAY, "exchange_rate": Decimal("0.0125"), "inverse_rate": 80}
            ],
        ),
        WINDOW,
    ).iter_rows(named=True)
    assert row == {
        "stock_date": TODAY,
        "plant_id": "FAC-1",
        "material_id": "MAT-2",
        "material_name": "Steel",
        "material_type": "raw_material",
        "stock_qty": 40,
        "stock_value_inr": 80,
        "wms_on_hand_qty": 41,
        "safety_stock": 10,
        "reorder_point": 50,
        "lead_time_days": 20,
        "received_30d_qty": 17,
        "issued_30d_qty": 60,
        "avg_daily_usage": 2,
        "days_of_cover": 20,
        "stockout_risk": "watch",
        "last_receipt_date": TODAY - 3 * DAY,
        "open_po_qty_group": 20,
        "next_po_date": TODAY,
        "last_purchase_price_inr": Decimal("3.2"),
        # The 60 that are missing are whole multiples of 0.3.
        "suggested_order_qty": 60,
        "stock_status": "below_reorder",
        "source_row_count": 2,
    }


@pytest.mark.parametrize(
    ("stock", "plan", "risk", "suggestion"),
    [
        (0, {}, "high", Decimal("100.2")),
        (39, {}, "high", Decimal("61.2")),
        (60, {}, "none", 0),
        (50, {"maximum_stock": 52, "order_multiple": 4}, "watch", 8),
        (50, {"maximum_stock": None, "order_multiple": None}, "watch", 5),
        (50, {"lead_time_days": None, "reorder_point": None}, None, None),
        (None, {}, None, None),
    ],
)
def test_risk_and_suggestion(
    stock: int | None, plan: dict[str, object], risk: str | None, suggestion: Decimal | None
) -> None:
    (row,) = rows_of(raw_material_warehouse, _sources(stock, PLAN | plan), WINDOW).iter_rows(named=True)
    assert (row["stockout_risk"], row["suggested_order_qty"]) == (risk, suggestion)


def test_unused_and_unknown_materials() -> None:
    balances = [
        {"plant_id": "FAC-1", "material_id": "LOST", "unrestricted_stock": 3},
        {"plant_id": "FAC-2", "material_id": "MAT-2", "unrestricted_stock": 0},
    ]
    lost, unused = rows_of(raw_material_warehouse, _sources(0, erp__inventory_balances=balances), WINDOW).iter_rows(
        named=True
    )
    assert (lost["material_id"], lost["stockout_risk"], lost["suggested_order_qty"]) == ("LOST", "none", None)
    assert (lost["last_purchase_price_inr"], lost["open_po_qty_group"], lost["next_po_date"]) == (None, 0, None)
    assert (unused["issued_30d_qty"], unused["days_of_cover"], unused["stockout_risk"]) == (0, None, "none")
    assert (unused["stock_status"], unused["last_purchase_price_inr"]) == ("out", Decimal("1.9"))


def test_a_price_without_a_usable_rate_is_unknown() -> None:
    (row,) = rows_of(
        raw_material_warehouse,
        _sources(
            1,
            erp__purchase_orders=[{"purchase_order_id": "PO-1", "po_date": TODAY, "currency": "USD"}],
            erp__purchase_order_lines=[_purchase("PO-1", TODAY, 3)],
        ),
        WINDOW,
    ).iter_rows(named=True)
    assert row["last_purchase_price_inr"] is None
