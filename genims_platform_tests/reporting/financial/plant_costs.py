"""One day of one plant, small enough to work out by hand: two products, their orders, bookings and maintenance."""

from datetime import date, datetime
from decimal import Decimal

from genims_platform_tests.reporting.frames import TUESDAY, Rows, at

AS_OF = at(TUESDAY, 20)


def order(order_id: str, product: str | None, ended: datetime, good: int, **others: object) -> dict[str, object]:
    usual: dict[str, object] = {"status": "completed", "factory_id": "FAC-1", "produced_quantity": good}
    return (
        usual
        | {"work_order_id": order_id, "product_id": product, "actual_end_time": ended, "good_quantity": good}
        | others
    )


def material(order_id: str, amount: str, kind: str = "issue", when: datetime | None = None) -> dict[str, object]:
    return {
        "work_order_id": order_id,
        "transaction_date": when or at(TUESDAY, 1),
        "transaction_type": kind,
        "total_cost": Decimal(amount),
    }


def labor(order_id: str, minutes: int, cost: str, day: date = TUESDAY) -> dict[str, object]:
    return {
        "work_order_id": order_id,
        "clock_in_time": at(day, 2),
        "duration_minutes": minutes,
        "labor_cost": Decimal(cost),
    }


DAY_OF_PLANT: dict[str, Rows] = {
    "mes.work_orders": [
        order("WO-1", "P-1", at(TUESDAY, 5), 10, run_time_minutes=30, rejected_quantity=1, scrapped_quantity=2),
        order("WO-2", "P-1", at(TUESDAY, 6), 30, run_time_minutes=60, produced_quantity=40),
        order("WO-3", None, at(TUESDAY, 7), 0, run_time_minutes=30),
        order("WO-4", "P-1", at(TUESDAY, 21), 500, run_time_minutes=500),  # its end is still to come
        order("WO-5", "P-1", at(TUESDAY, 7), 500, status="in_progress"),
    ],
    "mes.material_transactions": [
        material("WO-1", "100"),
        material("WO-1", "20", "return"),
        material("WO-2", "200"),
        material("WO-2", "900", when=at(TUESDAY, 22)),
    ],
    "mes.labor_transactions": [labor("WO-1", 60, "25"), labor("WO-2", 120, "55")],
    "cmms.work_orders": [
        {
            "asset_id": "A-1",
            "actual_end_date": at(TUESDAY, 9),
            "actual_total_cost": Decimal(60),
            "estimated_cost": Decimal(50),
        },
        {"asset_id": "A-2", "actual_end_date": at(TUESDAY, 9), "actual_total_cost": Decimal(9)},
    ],
    "cmms.maintenance_assets": [
        {"asset_id": "A-1", "factory_id": "FAC-1", "asset_name": "Press"},
        {"asset_id": "A-2", "factory_id": "FAC-2"},
    ],
    "erp.materials": [
        {"material_id": "M-1", "product_id": "P-1", "standard_cost": Decimal(10), "material_name": "Gear blank"},
    ],
    "master.products": [
        {"product_id": "P-1", "product_name": "Gear", "standard_cycle_time_seconds": 180},
        {"product_id": "P-2", "product_name": "Shaft"},
    ],
}
