from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.inventory.warehouse_operations_daily import warehouse_operations_daily
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import MONDAY, TUESDAY, at, rows_of

NOON = datetime(2026, 3, 3, 12)
TODAY = Window(TUESDAY, TUESDAY + DAY, as_of=NOON)


def _receipt(
    task_id: str, completed: datetime, received: str | None, expected: str, **values: object
) -> dict[str, object]:
    quantities = {"received_quantity": received and Decimal(received), "expected_quantity": Decimal(expected)}
    usual = {"task_status": "completed", "warehouse_id": "WH-1"}
    return usual | {"receiving_task_id": task_id, "completed_at": completed} | quantities | values


def _putaway(receipt_id: str | None, completed: datetime, warehouse: str = "WH-1") -> dict[str, object]:
    return {"receiving_task_id": receipt_id, "completed_at": completed, "warehouse_id": warehouse}


def _pick(number: str, picked: str | None, status: str | None = "completed", **values: object) -> dict[str, object]:
    quantities = {"quantity_picked": picked and Decimal(picked), "quantity_to_pick": Decimal(10)}
    return {"task_number": number, "task_status": status, "warehouse_id": "WH-1"} | quantities | values


TABLES = {
    "wms.receiving_tasks": [
        _receipt("R-1", at(TUESDAY, 8), "90", "100"),
        _receipt("R-2", at(TUESDAY, 9), None, "20"),
        _receipt("R-3", at(TUESDAY, 9), "5", "5", task_status="cancelled"),
        _receipt("R-4", at(TUESDAY, 13), "7", "7"),
        _receipt("R-5", at(MONDAY, 23), "7", "7", warehouse_id="WH-2"),
    ],
    "wms.putaway_tasks": [
        _putaway("R-1", at(TUESDAY, 8, 30)),
        _putaway("R-5", at(TUESDAY, 1, 30)),
        _putaway("R-LOST", at(TUESDAY, 11)),
        _putaway(None, at(TUESDAY, 11), "WH-2"),
        _putaway("R-2", at(TUESDAY, 14)),
    ],
    "wms.pick_waves": [
        {"wave_number": "WAVE-20260303-000001", "warehouse_id": "WH-1", "total_lines": 12},
        {"wave_number": "WAVE-20260303-000002", "warehouse_id": "WH-1", "total_lines": None},
    ],
    "wms.picking_tasks": [
        _pick("PICK-20260303-000001", "10"),
        _pick("PICK-20260303-000002", "9", "pending"),
        _pick("PICK-20260303-000003", None, None),
        _pick("PICK-20260303-000004", "10", "cancelled"),
        _pick("PICK-20260302-000005", "10", "pending"),
        _pick("PICK-20260399-000006", "10"),
        _pick("PICK-303", "10"),
    ],
    "wms.packing_tasks": [{"task_number": "PACK-20260303-000001", "warehouse_id": "WH-1"}] * 2,
    "wms.shipping_tasks": [{"task_number": "SHIP-20260303-000001", "warehouse_id": "WH-1"}],
    "tms.shipments": [
        {"ship_date": TUESDAY, "warehouse_id": "WH-1", "total_weight_kg": Decimal("12.50")},
        {"ship_date": TUESDAY, "warehouse_id": "", "total_weight_kg": None},
        {"ship_date": None, "warehouse_id": "WH-1", "total_weight_kg": Decimal(1)},
        {"ship_date": date(2026, 3, 4), "warehouse_id": "WH-1", "total_weight_kg": Decimal(1)},
    ],
    "wms.cycle_count_tasks": [
        {"count_date": TUESDAY, "warehouse_id": "WH-1"}
        | {"variance_quantity": Decimal(variance), "expected_quantity": Decimal(expected)}
        for variance, expected in ((-3, 100), (2, 150))
    ]
    + [{"count_date": TUESDAY, "warehouse_id": "WH-9"}],
    "wms.warehouses": [
        {"warehouse_id": "WH-1", "plant_id": "FAC-1", "warehouse_name": "Chennai"},
        {"warehouse_id": "WH-2", "plant_id": None, "warehouse_name": "Detroit"},
    ],
}


def test_work_of_a_day_up_to_the_run() -> None:
    rows = rows_of(warehouse_operations_daily, TABLES, TODAY)
    found = {row["warehouse_id"]: row for row in rows.iter_rows(named=True)}
    assert set(found) == {"WH-1", "WH-2", "WH-9", "UNKNOWN"}
    assert found["WH-1"] == {
        "operation_date": TUESDAY,
        "warehouse_id": "WH-1",
        "plant_id": "FAC-1",
        "warehouse_name": "Chennai",
        "receipts": 2,
        "received_qty": Decimal("90.0000"),
        "expected_qty": Decimal("120.0000"),
        "receipt_fill_pct": Decimal("75.00"),
        "putaways": 3,
        "dock_to_stock_minutes": Decimal("90.00"),
        "waves": 2,
        "wave_lines": 12,
        "pick_tasks": 4,
        "picked_qty": Decimal("29.0000"),
        "pick_accuracy_pct": Decimal("66.67"),
        "picks_open": 2,
        "pack_tasks": 2,
        "ship_tasks": 1,
        "shipments": 1,
        "shipped_weight_kg": Decimal("12.5000"),
        "cycle_counts": 2,
        "count_variance_pct": Decimal("2.00"),
        "source_row_count": 17,
    }
    second = found["WH-2"]
    assert (second["putaways"], second["dock_to_stock_minutes"], second["plant_id"]) == (1, None, None)
    assert [second[name] for name in ("received_qty", "receipt_fill_pct", "picked_qty", "pick_accuracy_pct")] == [
        None
    ] * 4
    assert (second["receipts"], second["pick_tasks"], second["picks_open"], second["wave_lines"]) == (0, 0, 0, 0)
    assert (found["UNKNOWN"]["shipments"], found["UNKNOWN"]["shipped_weight_kg"]) == (1, None)
    assert (found["WH-9"]["cycle_counts"], found["WH-9"]["count_variance_pct"]) == (1, None)


def test_day_before() -> None:
    rows = rows_of(warehouse_operations_daily, TABLES, Window(MONDAY, TUESDAY, as_of=NOON))
    assert rows.select("warehouse_id", "receipts", "pick_tasks", "picks_open").rows() == [
        ("WH-1", 0, 1, 1),
        ("WH-2", 1, 0, 0),
    ]
