from datetime import date, datetime
from decimal import Decimal

import polars as pl

from genims_platform.reporting.inventory.material_flow_checks import CHECKS
from genims_platform.reporting.inventory.material_flow_daily import material_flow_daily
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import Rows, at, rows_of
from genims_platform_tests.reporting.inventory.stores import MATERIALS, WAREHOUSES

TODAY = date(2026, 5, 20)
WINDOW = Window(TODAY, TODAY + DAY, as_of=datetime(2026, 5, 20, 12))


def _snapshot(day: date, material: str, location: str, quantity: int | None) -> dict[str, object]:
    place: dict[str, object] = {"inventory_date": day, "plant_id": "FAC-1", "storage_location": location}
    return place | {"material_id": material, "qty_on_hand": quantity}


def _booking(kind: str, day: date, code: str, quantity: int, **values: object) -> dict[str, object]:
    usual = {"transaction_type": kind, "transaction_date": at(day, 8), "work_order_id": "WO-1"}
    return usual | {"material_code": code, "quantity": quantity} | values


SOURCES: dict[str, Rows] = {
    "erp.materials": MATERIALS,
    "wms.warehouses": WAREHOUSES,
    "wms.receiving_tasks": [
        {"completed_at": at(TODAY, 9), "material_id": "MAT-2", "received_quantity": 50}
        | {"warehouse_id": "WH-1", "task_status": "completed"},
        {"completed_at": at(TODAY, 9), "material_id": "MAT-2", "received_quantity": 9}
        | {"warehouse_id": "WH-1", "task_status": "in_progress"},
        {"completed_at": at(TODAY, 13), "material_id": "MAT-2", "received_quantity": 99}
        | {"warehouse_id": "WH-1", "task_status": "completed"},
    ],
    "mes.work_orders": [
        {"work_order_id": "WO-1", "factory_id": "FAC-1", "product_id": "P-1"}
        | {"status": "completed", "actual_end_time": at(TODAY, 10), "good_quantity": 12},
        {"work_order_id": "WO-2", "factory_id": "FAC-1", "product_id": "P-9"}
        | {"status": "closed", "actual_end_time": at(TODAY, 10), "good_quantity": 4},
    ],
    "mes.material_transactions": [
        _booking("issue", TODAY, "RM-1", 30),
        _booking("return", TODAY, "RM-1", 6),
        _booking("issue", TODAY - 29 * DAY, "RM-1", 36),
        _booking("issue", TODAY - 30 * DAY, "RM-1", 1_000),
        _booking("issue", TODAY, "X-1", 2, total_cost=Decimal("7.50"), material_name="Odd", material_type="component"),
        _booking("return", TODAY, "X-1", 1, total_cost=Decimal("3.75"), work_order_id="WO-LOST"),
    ],
    "tms.shipments": [{"shipment_id": "S-1", "ship_date": TODAY, "warehouse_id": "WH-2"}],
    "tms.shipment_lines": [{"shipment_id": "S-1", "material_id": "MAT-1", "quantity": 5}],
    "tms.return_orders": [{"return_order_id": "R-1", "created_at": at(TODAY, 7), "return_to_warehouse_id": "WH-1"}],
    "tms.return_order_lines": [{"return_order_id": "R-1", "material_id": "MAT-1", "quantity_received": 1}],
    "erp.inventory_transactions": [
        {"transaction_type": kind, "posting_date": TODAY, "plant_id": "FAC-1", "material_id": "MAT-2"}
        | {"quantity": quantity, "cancelled": cancelled, "reversal_indicator": None}
        for kind, quantity, cancelled in (
            ("adjustment", -3, False),
            ("adjustment", 70, True),
            ("goods_issue", 8, False),
        )
    ],
    "reporting.inventory_value_summary": [
        _snapshot(TODAY - DAY, "MAT-2", "L-1", 100),
        _snapshot(TODAY - DAY, "MAT-2", "L-2", 20),
        _snapshot(TODAY, "MAT-2", "L-1", 140),
        _snapshot(TODAY, "MAT-1", "L-1", None),
        _snapshot(TODAY, "HELD", "L-1", 3),
    ],
}


def test_flows_stock_and_what_they_do_not_explain() -> None:
    rows = rows_of(material_flow_daily, SOURCES, WINDOW)
    found = {(row["plant_id"], row["material_id"]): row for row in rows.iter_rows(named=True)}
    assert set(found) == {
        ("FAC-1", "MAT-1"),
        ("FAC-1", "MAT-2"),
        ("FAC-1", "P-9"),
        ("FAC-1", "X-1"),
        ("FAC-1", "HELD"),
        ("UNKNOWN", "X-1"),
    }
    assert found["FAC-1", "MAT-2"] == {
        "flow_date": TODAY,
        "plant_id": "FAC-1",
        "material_id": "MAT-2",
        "material_name": "Steel",
        "material_type": "raw_material",
        "opening_qty": 120,
        "receipts_qty": 50,
        "production_in_qty": 0,
        "production_issue_qty": 30,
        "production_return_qty": 6,
        "shipped_qty": 0,
        "customer_return_qty": 0,
        "adjustment_qty": -3,
        "net_flow_qty": 23,
        "closing_qty": 140,
        "unexplained_qty": -3,
        "unit_cost_inr": 2,
        "inflow_value_inr": 112,
        "outflow_value_inr": 60,
        "avg_daily_usage_30d": 2,
        "source_row_count": 4,
    }
    gear = found["FAC-1", "MAT-1"]
    assert (gear["production_in_qty"], gear["shipped_qty"], gear["customer_return_qty"]) == (12, 5, 1)
    assert (gear["opening_qty"], gear["closing_qty"], gear["unexplained_qty"]) == (None, None, None)
    assert (gear["net_flow_qty"], gear["inflow_value_inr"], gear["outflow_value_inr"]) == (8, 1300, 500)
    assert gear["avg_daily_usage_30d"] == Decimal("0.1667")
    assert (found["FAC-1", "P-9"]["production_in_qty"], found["FAC-1", "P-9"]["outflow_value_inr"]) == (4, None)
    odd = found["FAC-1", "X-1"]
    assert (odd["material_name"], odd["material_type"]) == ("Odd", "component")
    assert (odd["unit_cost_inr"], odd["inflow_value_inr"], odd["outflow_value_inr"]) == (None, None, Decimal("7.50"))
    assert (found["UNKNOWN", "X-1"]["production_return_qty"], found["UNKNOWN", "X-1"]["outflow_value_inr"]) == (1, None)
    held = found["FAC-1", "HELD"]
    assert (held["closing_qty"], held["net_flow_qty"], held["source_row_count"]) == (3, 0, 0)
    assert held["avg_daily_usage_30d"] is None


def test_a_day_of_a_longer_window_is_the_same_day() -> None:
    days = rows_of(material_flow_daily, SOURCES, Window(TODAY - 19 * DAY, TODAY + DAY, WINDOW.as_of))
    alone = rows_of(material_flow_daily, SOURCES, WINDOW)
    assert days.filter(pl.col("flow_date") == TODAY).equals(alone)
    assert set(days["flow_date"]) == {TODAY - DAY, TODAY}


def test_stock_of_the_next_morning_is_that_of_the_evening() -> None:
    (rolls_on,) = [identity for identity in CHECKS.identities if "opening" in identity.name]
    stock = pl.DataFrame(
        {
            "flow_date": [TODAY, TODAY + DAY, TODAY + 2 * DAY, TODAY + 4 * DAY],
            "plant_id": ["FAC-1"] * 4,
            "material_id": ["MAT-1"] * 4,
            "opening_qty": [None, 5, 7, 1],
            "closing_qty": [5, 6, 9, None],
        }
    )
    assert stock.select(rolls_on.difference).to_series().to_list() == [None, 0, 1, None]
