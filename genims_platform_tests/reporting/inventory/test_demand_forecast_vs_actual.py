from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.inventory.demand_forecast_vs_actual import demand_forecast_vs_actual
from genims_platform.reporting.periods import Window
from genims_platform_tests.reporting.frames import Rows, rows_of

APRIL = date(2026, 4, 1)
# Half of April has begun.
WINDOW = Window(APRIL, date(2026, 5, 1), datetime(2026, 4, 15, 9))


def _ordered(*quantities: tuple[date, str | None, int]) -> dict[str, Rows]:
    orders = [{"sales_order_id": f"SO-{n}", "order_date": day} for n, (day, _, _) in enumerate(quantities)]
    lines = [
        {"sales_order_id": f"SO-{n}", "product_id": product, "order_quantity": quantity}
        for n, (_, product, quantity) in enumerate(quantities)
    ]
    return {"erp.sales_orders": orders, "erp.sales_order_lines": lines}


def _contract(
    product: str | None, customer: str | None, volume: int | None, *, active: bool = True
) -> dict[str, object]:
    return {"product_id": product, "customer_id": customer, "annual_volume": volume, "is_active": active}


def _rows(sources: Mapping[str, Rows], window: Window = WINDOW) -> dict[str, dict[str, object]]:
    rows = rows_of(demand_forecast_vs_actual, sources, window)
    return {row["product_id"]: row for row in rows.iter_rows(named=True)}


PLAN: dict[str, Rows] = {
    "master.products": [{"product_id": "P-1", "product_name": "Housing", "product_category": "engine"}],
    "master.customer_product_mapping": [
        _contract("P-1", "C-1", 600),
        _contract("P-1", "C-2", 600),
        _contract("P-1", "C-2", None),
        _contract("P-1", "C-3", 7, active=False),
        _contract("P-2", None, None),
    ],
}


def test_plan_demand_and_supply_of_a_running_month() -> None:
    # The year begins with February, the first month in which anybody ordered; nobody did in March.
    orders = _ordered(
        (date(2026, 4, 15), "P-1", 40),
        (date(2026, 4, 16), "P-1", 7),
        (date(2026, 2, 1), "P-1", 130),
        (date(2025, 12, 31), "P-1", 70),
        (date(2025, 11, 1), "P-9", 4),
        (date(2025, 10, 31), "P-1", 9999),
    )
    supply: dict[str, Rows] = {
        "erp.materials": [{"material_id": "M-1", "product_id": "P-1"}],
        "tms.shipments": [
            {"shipment_id": "SH-1", "ship_date": date(2026, 4, 15)},
            {"shipment_id": "SH-2", "ship_date": date(2026, 4, 16)},
        ],
        "tms.shipment_lines": [
            {"shipment_id": f"SH-{n}", "material_id": material, "quantity": quantity}
            for n, material, quantity in ((1, "M-1", 12), (1, "M-LOST", 5), (2, "M-1", 3))
        ],
        "mes.work_orders": [
            {"product_id": "P-1", "status": "closed", "good_quantity": 25, "actual_end_time": datetime(2026, 4, 2)}
        ],
    }
    found = _rows(PLAN | orders | supply)
    assert list(found) == ["P-1", "P-2"]
    assert found["P-1"] == {
        "forecast_month": APRIL,
        "product_id": "P-1",
        "product_name": "Housing",
        "product_category": "engine",
        "customer_count": 2,
        "forecast_full_month_qty": Decimal("100.0000"),
        "forecast_qty": Decimal("50.0000"),
        "actual_order_qty": Decimal("40.0000"),
        "actual_shipped_qty": Decimal("12.0000"),
        "produced_good_qty": 25,
        "error_qty": Decimal("-10.0000"),
        "abs_pct_error": Decimal("25.00"),
        "forecast_accuracy_pct": Decimal("75.00"),
        "bias_pct": Decimal("25.00"),
        # November -100, December -30, February +30, April -10: -110 over a mean of 42.5.
        "tracking_signal": Decimal("-2.5882"),
        "ytd_forecast_qty": Decimal("250.0000"),
        "ytd_actual_qty": Decimal("170.0000"),
        "ytd_accuracy_pct": Decimal("52.94"),
        "supply_gap_qty": Decimal("-15.0000"),
        "source_row_count": 4,
    }
    empty = found["P-2"]
    assert (empty["customer_count"], empty["forecast_qty"], empty["error_qty"]) == (1, None, None)
    assert (empty["actual_order_qty"], empty["forecast_accuracy_pct"], empty["ytd_forecast_qty"]) == (0, None, None)


def test_demand_outside_the_plan_has_a_row_but_no_error() -> None:
    row = _rows(_ordered((APRIL, " ", 3)))["UNKNOWN"]
    assert (row["actual_order_qty"], row["ytd_actual_qty"], row["supply_gap_qty"]) == (3, 3, -3)
    assert (row["forecast_qty"], row["abs_pct_error"], row["tracking_signal"]) == (None, None, None)
    assert (row["customer_count"], row["source_row_count"]) == (0, 1)


def test_a_signal_needs_three_months_and_accuracy_does_not_fall_below_zero() -> None:
    orders = _ordered((date(2026, 3, 3), "P-1", 1), (APRIL, "P-1", 10))
    row = _rows(PLAN | orders)["P-1"]
    assert (row["tracking_signal"], row["abs_pct_error"]) == (None, Decimal("400.00"))
    assert (row["forecast_accuracy_pct"], row["bias_pct"]) == (0, Decimal("400.00"))
