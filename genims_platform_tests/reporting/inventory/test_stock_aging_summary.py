from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.inventory.stock_aging_summary import stock_aging_summary
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import rows_of

TODAY = date(2026, 11, 22)
WINDOW = Window(TODAY, TODAY + DAY, as_of=datetime(2026, 11, 22, 14))
CLASSES = ("qty_0_30", "qty_31_60", "qty_61_90", "qty_91_180", "qty_over_180", "qty_age_unknown")


def _lot(material: str, on_hand: float | None, **values: object) -> dict[str, object]:
    return {"warehouse_id": "WH-1", "material_id": material, "quantity_on_hand": on_hand} | values


def _receipt(number: int, material: str, days_ago: int, quantity: float | None, **values: object) -> dict[str, object]:
    came = datetime(2026, 11, 22, 9) - DAY * days_ago
    usual = {"warehouse_id": "WH-1", "task_status": "completed", "completed_at": came, "material_id": material}
    return usual | {"receiving_task_id": f"RCV-{number}", "received_quantity": quantity} | values


def test_newest_receipts_make_up_what_is_on_hand() -> None:
    rows = rows_of(
        stock_aging_summary,
        {
            "wms.warehouse_inventory": [
                _lot("M-1", 60, lot_number="A", reserved_quantity=10, available_quantity=50, expiry_date=TODAY - DAY),
                _lot("M-1", 40, lot_number="B", reserved_quantity=0, available_quantity=39, expiry_date=TODAY),
                _lot("M-1", 100, lot_number="B", reserved_quantity=0, available_quantity=100)
                | {"expiry_date": TODAY + 90 * DAY},
                _lot("M-LOST", 5, expiry_date=TODAY + 91 * DAY),
                _lot("M-OWED", -4),
                _lot("M-BLANK", None),
                _lot(" ", 3),
            ],
            "wms.receiving_tasks": [
                _receipt(1, "M-1", 30, 70),
                _receipt(2, "M-1", 31, 30),
                _receipt(3, "M-1", 180, 50),
                # 200 on hand - 150 = 50 of these 80; nothing of what came before.
                _receipt(4, "M-1", 181, 80),
                _receipt(5, "M-1", 300, 500),
                _receipt(6, "M-1", 1, 999, task_status="in_progress"),
                _receipt(7, "M-1", -1, 999),
                _receipt(8, "M-1", 2, None),
                _receipt(9, "M-1", 2, -7),
                _receipt(10, "M-1", 2, 999, warehouse_id="WH-2"),
                _receipt(11, "M-LOST", 60, 2),
                _receipt(12, "M-OWED", 3, 2),
            ],
            "wms.warehouses": [{"warehouse_id": "WH-1", "plant_id": "FAC-1"}],
            "erp.materials": [
                {"material_id": "M-1", "material_name": name, "material_type": "raw_material", "standard_cost": 2.5}
                for name in ("Bar", "The same again")
            ],
        },
        WINDOW,
    )
    found = {row["material_id"]: row for row in rows.iter_rows(named=True)}
    assert set(found) == {"M-1", "M-LOST", "M-OWED", "M-BLANK", "UNKNOWN"}
    assert found["M-1"] == {
        "aging_date": TODAY,
        "warehouse_id": "WH-1",
        "material_id": "M-1",
        "plant_id": "FAC-1",
        "material_name": "Bar",
        "material_type": "raw_material",
        "lot_count": 2,
        "on_hand_qty": 200,
        "reserved_qty": 10,
        "available_qty": 189,
        "stock_value_inr": Decimal("500.00"),
        "qty_0_30": 70,
        "qty_31_60": 30,
        "qty_61_90": 0,
        "qty_91_180": 50,
        "qty_over_180": 50,
        "qty_age_unknown": 0,
        # (70 x 30 + 30 x 31 + 50 x 180 + 50 x 181) / 200
        "weighted_age_days": Decimal("105.4000"),
        "slow_moving_value_inr": Decimal("250.00"),
        "expired_qty": 60,
        "expiring_90d_qty": 140,
        "reservation_gap_qty": 1,
        "source_row_count": 3,
    }
    lost = found["M-LOST"]
    assert [lost[name] for name in CLASSES] == [0, 2, 0, 0, 0, 3]
    assert (lost["material_name"], lost["stock_value_inr"], lost["slow_moving_value_inr"]) == (None, None, None)
    assert (lost["weighted_age_days"], lost["expiring_90d_qty"], lost["reservation_gap_qty"]) == (60, 0, None)
    owed = found["M-OWED"]
    assert [owed[name] for name in CLASSES] == [0, 0, 0, 0, 0, -4]
    assert owed["weighted_age_days"] is None
    blank = found["M-BLANK"]
    assert (blank["on_hand_qty"], blank["lot_count"], blank["expired_qty"]) == (None, 0, 0)
    assert [blank[name] for name in CLASSES] == [0] * 6
    assert found["UNKNOWN"]["qty_age_unknown"] == 3


def test_an_empty_warehouse_has_no_rows() -> None:
    assert rows_of(stock_aging_summary, {"wms.receiving_tasks": [_receipt(1, "M-1", 3, 5)]}, WINDOW).is_empty()
