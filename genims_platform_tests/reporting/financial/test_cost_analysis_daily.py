from collections.abc import Mapping
from decimal import Decimal

import pytest

from genims_platform.reporting.financial.cost_analysis_daily import cost_analysis_daily
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.financial.plant_costs import AS_OF, DAY_OF_PLANT, material, order
from genims_platform_tests.reporting.frames import TUESDAY, Rows, at, rows_of

Row = Mapping[str, object]


def _rows(tables: Mapping[str, Rows]) -> dict[tuple[object, object], Row]:
    rows = rows_of(cost_analysis_daily, tables, Window(TUESDAY, TUESDAY + DAY, AS_OF))
    return {(row["factory_id"], row["product_id"]): row for row in rows.iter_rows(named=True)}


def test_all_cost_of_the_orders_completed_on_the_day() -> None:
    rows = _rows(DAY_OF_PLANT)
    assert set(rows) == {("FAC-1", "P-1"), ("FAC-1", "UNKNOWN")}
    assert rows["FAC-1", "P-1"] == {
        "cost_date": TUESDAY,
        "factory_id": "FAC-1",
        "product_id": "P-1",
        "product_name": "Gear",
        "orders_completed": 2,
        "units_good": 40,
        "material_issued_inr": Decimal(300),
        "material_returned_inr": Decimal(20),
        "material_net_inr": Decimal(280),
        "labor_cost_inr": Decimal(80),
        "overhead_cost_inr": Decimal(45),  # 60 x 90 of the factory's 120 minutes
        "actual_cost_inr": Decimal(405),
        "actual_unit_cost_inr": Decimal("10.125"),
        "standard_unit_cost_inr": Decimal(10),
        "standard_cost_inr": Decimal(400),
        "variance_inr": Decimal(5),
        "variance_pct": Decimal("1.25"),
        "scrap_cost_inr": Decimal(30),
        "units_sold": Decimal(0),
        "cost_of_sales_std_inr": Decimal(0),
        "cost_trend": None,
        "source_row_count": 2 + 3 + 2,
    }
    unnamed = rows["FAC-1", "UNKNOWN"]
    assert (unnamed["overhead_cost_inr"], unnamed["actual_cost_inr"]) == (15, 15)
    assert (unnamed["material_net_inr"], unnamed["labor_cost_inr"], unnamed["standard_cost_inr"]) == (None, None, None)
    assert (unnamed["actual_unit_cost_inr"], unnamed["variance_inr"], unnamed["variance_pct"]) == (None, None, None)


def test_overhead_is_shared_equally_where_no_order_ran() -> None:
    orders = [order("WO-1", "P-1", at(TUESDAY, 5), 1), order("WO-2", "P-2", at(TUESDAY, 5), 1, run_time_minutes=0)]
    rows = _rows(DAY_OF_PLANT | {"mes.work_orders": orders})
    assert [rows["FAC-1", product]["overhead_cost_inr"] for product in ("P-1", "P-2")] == [30, 30]


def test_a_product_that_was_only_sold_has_no_cost_of_production() -> None:
    sale = {"sales_order_id": "SO-1"}
    rows = _rows(
        DAY_OF_PLANT
        | {
            "erp.sales_orders": [sale | {"order_status": "closed", "requested_delivery_date": TUESDAY}],
            "erp.sales_order_lines": [
                sale
                | {"product_id": "P-2", "material_id": "M-1", "plant_id": "FAC-2", "order_quantity": Decimal("1.5")}
            ],
        }
    )
    row = rows["FAC-2", "P-2"]
    assert (row["units_sold"], row["cost_of_sales_std_inr"], row["product_name"]) == (Decimal("1.5"), 15, "Shaft")
    assert (row["orders_completed"], row["units_good"], row["source_row_count"]) == (0, 0, 0)
    # Its factory's maintenance is not absorbed.
    assert [row[name] for name in ("overhead_cost_inr", "actual_cost_inr", "standard_cost_inr", "variance_inr")] == [
        None
    ] * 4


@pytest.mark.parametrize(("cost", "trend"), [("103", "up"), ("102", "stable"), ("98", "stable"), ("97", "down")])
def test_the_trend_compares_with_the_seven_days_before(cost: str, trend: str) -> None:
    earlier = [(1, 1, "150"), (7, 9, "850"), (8, 5, "9999"), (3, 0, "9999")]
    orders = [order("WO-0", "P-1", at(TUESDAY, 1), 1)] + [
        order(f"WO-{back}", "P-1", at(TUESDAY - back * DAY, 1), good) for back, good, _ in earlier
    ]
    bookings = [material("WO-0", cost)] + [
        material(f"WO-{back}", amount, when=at(TUESDAY - back * DAY, 1)) for back, _, amount in earlier
    ]
    rows = _rows({"mes.work_orders": orders, "mes.material_transactions": bookings})
    assert rows["FAC-1", "P-1"]["cost_trend"] == trend
