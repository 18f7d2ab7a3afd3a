from datetime import date, datetime
from decimal import Decimal

import pytest

from genims_platform.reporting.inventory.inventory_value_summary import inventory_value_summary
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import Rows, at, rows_of
from genims_platform_tests.reporting.inventory.stores import MATERIALS, WAREHOUSES

TODAY = date(2026, 5, 20)
WINDOW = Window(TODAY, TODAY + DAY, as_of=datetime(2026, 5, 20, 12))

LEVELS = {"safety_stock": 10, "reorder_point": 30, "maximum_stock": 100}


def _balance(material: str, quantity: int | None, value: int | None, **values: object) -> dict[str, object]:
    place = {"plant_id": "FAC-1", "storage_location": "L-1", "quality_inspection_stock": 1}
    return place | {"material_id": material, "unrestricted_stock": quantity, "stock_value": value} | values


def _sources(balances: Rows) -> dict[str, Rows]:
    return {
        "erp.inventory_balances": balances,
        "erp.materials": [MATERIALS[0], MATERIALS[1] | LEVELS | {"moving_average_cost": 3}],
        "wms.warehouses": WAREHOUSES,
        "tms.shipments": [
            {"shipment_id": "S-1", "ship_date": TODAY - 29 * DAY, "warehouse_id": "WH-1"},
            {"shipment_id": "S-2", "ship_date": TODAY - 30 * DAY, "warehouse_id": "WH-2"},
            {"shipment_id": "S-3", "ship_date": TODAY, "warehouse_id": "WH-9"},
        ],
        "tms.shipment_lines": [
            {"shipment_id": f"S-{number}", "material_id": "MAT-2", "quantity": quantity}
            for number, quantity in ((1, 20), (2, 30), (3, 999))
        ],
        "mes.material_transactions": [
            {"transaction_type": kind, "transaction_date": at(day, 8), "material_code": "RM-1"}
            | {"quantity": quantity, "work_order_id": "WO-1"}
            for kind, day, quantity in (
                ("issue", TODAY, 15),
                ("return", TODAY, 5),
                ("issue", TODAY - 89 * DAY, 40),
                ("issue", TODAY - 90 * DAY, 7_000),
            )
        ],
        "mes.work_orders": [{"work_order_id": "WO-1", "factory_id": "FAC-1"}],
    }


def test_batches_are_summed_valued_and_set_against_consumption() -> None:
    balances = [_balance("MAT-2", 30, 61), _balance("MAT-2", 15, 31, quality_inspection_stock=None)]
    (row,) = rows_of(inventory_value_summary, _sources(balances), WINDOW).iter_rows(named=True)
    assert row == {
        "inventory_date": TODAY,
        "plant_id": "FAC-1",
        "storage_location": "L-1",
        "material_id": "MAT-2",
        "material_name": "Steel",
        "material_type": "raw_material",
        "abc_class": "A",
        "qty_on_hand": 45,
        "qty_quality": 1,
        "qty_blocked": None,
        "qty_in_transit": None,
        "stock_value_inr": 92,
        "standard_value_inr": 90,
        "valuation_diff_inr": 2,
        "moving_avg_value_inr": 135,
        "safety_stock": 10,
        "reorder_point": 30,
        "maximum_stock": 100,
        "stock_status": "ok",
        "consumption_30d_qty": 30,
        "days_of_supply": 45,
        # 100 used in 90 days at 2 INR, a year of which is 811.11 INR, over a stock of 92 INR.
        "turnover_annual": Decimal("8.8164"),
        "source_row_count": 2,
    }


def test_what_is_not_known_is_null_and_an_orphan_stays() -> None:
    balances = [_balance("MAT-1", None, None), _balance("LOST", 4, 0), _balance("MAT-2", 0, 0, plant_id=" ")]
    rows = rows_of(inventory_value_summary, _sources(balances), WINDOW)
    orphan, unvalued, unplaced = rows.iter_rows(named=True)
    assert (orphan["material_id"], orphan["material_name"], orphan["standard_value_inr"]) == ("LOST", None, None)
    assert (orphan["abc_class"], orphan["stock_status"], orphan["days_of_supply"]) == (None, None, None)
    assert (unvalued["qty_on_hand"], unvalued["stock_value_inr"], unvalued["valuation_diff_inr"]) == (None, None, None)
    assert (unvalued["stock_status"], unvalued["consumption_30d_qty"], unvalued["abc_class"]) == (None, None, "C")
    assert (unplaced["plant_id"], unplaced["stock_status"]) == ("UNKNOWN", "out")
    # What left a warehouse without a plant is used up nowhere else.
    assert (unplaced["consumption_30d_qty"], unplaced["turnover_annual"]) == (999, None)


@pytest.mark.parametrize(
    ("quantity", "status"),
    [(-1, "out"), (0, "out"), (9, "below_safety"), (30, "below_reorder"), (31, "ok"), (100, "ok"), (101, "over_max")],
)
def test_stock_status(quantity: int, status: str) -> None:
    rows = rows_of(inventory_value_summary, _sources([_balance("MAT-2", quantity, 0)]), WINDOW)
    assert rows["stock_status"].to_list() == [status]
