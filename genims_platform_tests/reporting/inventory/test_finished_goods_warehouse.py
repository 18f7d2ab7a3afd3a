from datetime import date, datetime

from genims_platform.reporting.inventory.finished_goods_warehouse import finished_goods_warehouse
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import Rows, at, rows_of
from genims_platform_tests.reporting.inventory.stores import MATERIALS, WAREHOUSES

TODAY = date(2026, 5, 20)
WINDOW = Window(TODAY, TODAY + DAY, as_of=datetime(2026, 5, 20, 12))

SOURCES: dict[str, Rows] = {
    "erp.materials": [MATERIALS[0] | {"safety_stock": 5, "reorder_point": 8, "maximum_stock": 20}, *MATERIALS[1:]],
    "wms.warehouses": WAREHOUSES,
    "erp.inventory_balances": [
        {"plant_id": "FAC-1", "material_id": "MAT-1", "unrestricted_stock": 20, "stock_value": 2100},
        {"plant_id": "FAC-1", "material_id": "MAT-1", "unrestricted_stock": 5, "stock_value": 500},
        {"plant_id": "FAC-2", "material_id": "MAT-1"},
        {"plant_id": "FAC-1", "material_id": "MAT-2", "unrestricted_stock": 9},
        {"plant_id": "FAC-1", "material_id": "LOST", "unrestricted_stock": 9},
    ],
    "wms.warehouse_inventory": [
        {"warehouse_id": warehouse, "material_id": "MAT-1", "quantity_on_hand": quantity}
        for warehouse, quantity in (("WH-1", 10), ("WH-2", 12), ("WH-9", 100))
    ],
    "erp.sales_orders": [
        {"sales_order_id": order, "order_status": status, "order_date": ordered, "requested_delivery_date": requested}
        for order, status, ordered, requested in (
            ("SO-1", "open", TODAY, TODAY - DAY),
            ("SO-2", None, TODAY, TODAY),
            ("SO-3", "delivered", TODAY, TODAY - DAY),
            ("SO-4", "open", TODAY + DAY, TODAY + DAY),
        )
    ],
    "erp.sales_order_lines": [
        {"sales_order_id": order, "material_id": "MAT-1", "plant_id": plant, "order_quantity": quantity}
        | {"deletion_indicator": deleted}
        for order, plant, quantity, deleted in (
            ("SO-1", "FAC-9", 40, None),
            ("SO-1", "FAC-9", 500, True),
            ("SO-2", "FAC-1", 7, False),
            ("SO-2", "FAC-9", 1, False),
            ("SO-3", "FAC-1", 600, False),
            ("SO-4", "FAC-1", 700, False),
        )
    ],
    # The first order is made in two plants, three parts to one.
    "erp.production_orders": [
        {"sales_order_id": "SO-1", "material_id": "MAT-1", "plant_id": plant, "order_quantity": quantity}
        for plant, quantity in (("FAC-1", 20), ("FAC-1", 10), ("FAC-2", 10))
    ],
    "mes.work_orders": [
        {"status": "completed", "actual_end_time": ended, "factory_id": "FAC-1", "product_id": "P-1"}
        | {"good_quantity": 6}
        for ended in (at(TODAY, 8), at(TODAY, 13), at(TODAY - 29 * DAY, 0), at(TODAY - 30 * DAY, 23))
    ],
    "tms.shipments": [
        {"shipment_id": f"S-{back}", "ship_date": TODAY - back * DAY, "warehouse_id": "WH-1"} for back in (0, 29, 30)
    ],
    "tms.shipment_lines": [
        {"shipment_id": f"S-{back}", "material_id": "MAT-1", "quantity": 15} for back in (0, 29, 30)
    ],
}


def test_stock_against_open_orders_and_shipments() -> None:
    stocked, unknown = rows_of(finished_goods_warehouse, SOURCES, WINDOW).iter_rows(named=True)
    assert stocked == {
        "stock_date": TODAY,
        "plant_id": "FAC-1",
        "material_id": "MAT-1",
        "warehouse_id": "WH-1",
        "product_id": "P-1",
        "material_name": "Gear",
        "stock_qty": 25,
        "stock_value_inr": 2600,
        "wms_on_hand_qty": 22,
        "erp_wms_diff_qty": 3,
        "safety_stock": 5,
        "reorder_point": 8,
        "maximum_stock": 20,
        "open_order_qty": 37,
        "backorder_qty": 12,
        "overdue_order_qty": 30,
        "produced_30d_qty": 12,
        "shipped_30d_qty": 30,
        "days_of_cover": 25,
        "overstock_qty": 5,
        "stock_status": "over_max",
        "source_row_count": 4,
    }
    assert (unknown["plant_id"], unknown["warehouse_id"], unknown["stock_qty"]) == ("FAC-2", None, None)
    assert (unknown["open_order_qty"], unknown["overdue_order_qty"], unknown["backorder_qty"]) == (10, 10, None)
    assert (unknown["overstock_qty"], unknown["days_of_cover"], unknown["stock_status"]) == (None, None, None)
    assert (unknown["shipped_30d_qty"], unknown["produced_30d_qty"], unknown["wms_on_hand_qty"]) == (0, 0, None)


def test_stock_above_demand_is_no_backorder() -> None:
    (row,) = rows_of(
        finished_goods_warehouse,
        {name: SOURCES[name] for name in ("erp.materials", "wms.warehouses")}
        | {"erp.inventory_balances": [{"plant_id": "FAC-1", "material_id": "MAT-1", "unrestricted_stock": 6}]},
        WINDOW,
    ).iter_rows(named=True)
    assert (row["open_order_qty"], row["backorder_qty"], row["overstock_qty"]) == (0, 0, 0)
    assert (row["days_of_cover"], row["stock_status"]) == (None, "below_reorder")
