from datetime import datetime
from decimal import Decimal

from genims_platform.reporting.inventory.work_in_process import work_in_process
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import MONDAY, TUESDAY, Rows, at, rows_of

WEDNESDAY = TUESDAY + DAY
AS_OF = at(WEDNESDAY, 12)
LONG_AGO = MONDAY - 10 * DAY


def _order(
    order_id: str, status: str, started: datetime | None, ended: datetime | None = None, **others: object
) -> dict[str, object]:
    usual: dict[str, object] = {"line_id": "L-1", "product_id": "P-1", "factory_id": "FAC-9", "planned_quantity": 100}
    times = {"actual_start_time": started, "actual_end_time": ended, "good_quantity": 70}
    return usual | {"work_order_id": order_id, "status": status} | times | others


def _material(order_id: str, when: datetime, amount: str, kind: str = "issue") -> dict[str, object]:
    return {
        "work_order_id": order_id,
        "transaction_date": when,
        "total_cost": Decimal(amount),
        "transaction_type": kind,
    }


SOURCES: dict[str, Rows] = {
    "mes.work_orders": [
        # Material issued on the day before the start, a return on the day after the end.
        _order("WO-1", "completed", at(MONDAY, 6), at(TUESDAY, 18), planned_end_date=at(TUESDAY, 3)),
        _order("WO-2", "on_hold", at(LONG_AGO, 0), planned_end_date=at(MONDAY, 0)),
        _order("WO-3", "cancelled", at(MONDAY, 1)),
        _order("WO-4", "closed", at(TUESDAY, 1), at(WEDNESDAY, 20)),  # its end is still to come
        _order("WO-5", "completed", None, at(MONDAY, 20), line_id=" ", product_id="P-9", good_quantity=None),
        _order("WO-6", "in_progress", at(WEDNESDAY, 13)),  # its start is still to come
    ],
    "mes.material_transactions": [
        _material("WO-1", at(MONDAY - DAY, 23), "100"),
        _material("WO-1", at(WEDNESDAY, 1), "30", "return"),
        _material("WO-1", at(WEDNESDAY, 13), "999"),
        _material("WO-2", at(LONG_AGO, 1), "40"),
        _material("WO-2", at(TUESDAY, 1), "60", "return"),
        _material("WO-5", at(LONG_AGO, 1), "7"),
        _material("WO-3", at(MONDAY, 1), "1000"),
        _material("WO-LOST", at(MONDAY, 1), "1000"),
    ],
    "mes.labor_transactions": [
        {"work_order_id": "WO-1", "clock_in_time": at(TUESDAY, 8), "labor_cost": Decimal("20.50")},
        {"work_order_id": "WO-4", "clock_in_time": at(TUESDAY, 8), "labor_cost": Decimal(5)},
    ],
    "master.production_lines": [{"line_id": "L-1", "factory_id": "FAC-1"}],
    "master.products": [{"product_id": "P-1", "product_name": "Gear"}] * 2,
}
FLOW = ("opening_value_inr", "added_value_inr", "completed_value_inr", "closing_value_inr")


def test_value_rolls_from_day_to_day() -> None:
    rows = rows_of(work_in_process, SOURCES, Window(MONDAY, WEDNESDAY + DAY, AS_OF))
    flow = {
        row["wip_date"]: tuple(float(row[column]) for column in FLOW)
        for row in rows.iter_rows(named=True)
        if row["line_id"] == "L-1"
    }
    # WO-1: 100 from its start, 20.50 of labour, and the later return of 30 as added and completed with it.
    assert flow == {
        MONDAY: (40, 100, 0, 140),
        TUESDAY: (140, 20.5 - 30 - 60 + 5, 90.5, -15),
        WEDNESDAY: (-15, 0, 0, -15),
    }


def test_orders_of_a_day() -> None:
    window = Window(TUESDAY, WEDNESDAY, AS_OF)
    (row,) = rows_of(work_in_process, SOURCES, window).iter_rows(named=True)
    assert (row["started_orders"], row["completed_orders"], row["wip_orders"], row["wip_qty"]) == (1, 1, 2, 200)
    assert (row["factory_id"], row["product_name"], row["source_row_count"]) == ("FAC-1", "Gear", 3)
    # WO-2 for 12 days, WO-4 for 23 hours.
    assert (row["avg_age_hours"], row["max_age_hours"]) == (Decimal("155.50"), Decimal("288.00"))
    assert (row["orders_over_5d"], row["late_orders"]) == (1, 1)
    assert row["wip_days"] == Decimal("20.00")  # 200 / (70 / 7)
    assert (row["closing_material_inr"], row["closing_labor_inr"]) == (Decimal(-20), Decimal(5))


def test_an_order_that_never_started_comes_and_goes_on_its_day_of_completion() -> None:
    rows = rows_of(work_in_process, SOURCES, Window(MONDAY, TUESDAY, AS_OF))
    (row,) = [row for row in rows.iter_rows(named=True) if row["line_id"] == "UNKNOWN"]
    assert tuple(row[column] for column in FLOW) == (0, 7, 7, 0)
    assert (row["completed_orders"], row["wip_orders"], row["avg_age_hours"], row["wip_days"]) == (1, 0, None, None)
    assert (row["factory_id"], row["product_name"]) == ("FAC-9", None)


def test_today_ends_with_the_run() -> None:
    (row,) = rows_of(work_in_process, SOURCES, Window(WEDNESDAY, WEDNESDAY + DAY, AS_OF)).iter_rows(named=True)
    assert (row["started_orders"], row["completed_orders"], row["wip_orders"]) == (0, 0, 2)
    assert row["max_age_hours"] == Decimal("300.00")


def test_days_do_not_depend_on_how_they_are_cut() -> None:
    together = rows_of(work_in_process, SOURCES, Window(MONDAY, WEDNESDAY + DAY, AS_OF))
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        alone = rows_of(work_in_process, SOURCES, Window(day, day + DAY, AS_OF))
        assert alone.equals(together.filter(together["wip_date"] == day))
