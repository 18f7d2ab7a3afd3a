from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.periods import Window
from genims_platform.reporting.sales.product_sales_performance import product_sales_performance
from genims_platform_tests.reporting.frames import Rows, rows_of

MARCH = date(2026, 3, 1)
RUNNING = Window(MARCH, date(2026, 4, 1), datetime(2026, 3, 20, 14))
OVER = Window(MARCH, date(2026, 4, 1), datetime(2026, 4, 1))


def _order(order_id: str, ordered: date, customer: str | None = "C-1", currency: str = "INR") -> dict[str, object]:
    return {"sales_order_id": order_id, "order_date": ordered, "customer_id": customer, "currency": currency}


def _line(order_id: str, quantity: int, price: int, **values: object) -> dict[str, object]:
    line = {"sales_order_id": order_id, "order_quantity": quantity, "unit_price": price, "product_id": "P-1"}
    return line | {"material_id": "M-1"} | values


SOURCES: dict[str, Rows] = {
    "master.products": [{"product_id": "P-1", "product_name": "Housing", "product_category": "engine"}],
    "erp.materials": [
        {"material_id": "M-1", "product_id": "P-1", "standard_cost": Decimal("6")},
        {"material_id": "M-2", "product_id": "P-2"},
    ],
    "erp.sales_orders": [
        _order("SO-1", date(2026, 3, 1)),
        _order("SO-2", date(2026, 3, 20), None),
        _order("SO-3", date(2026, 3, 21)),
        _order("SO-4", date(2026, 2, 20)),
        _order("SO-5", date(2026, 2, 21)),
        _order("SO-6", date(2025, 3, 20)),
        _order("SO-7", date(2025, 3, 31)),
    ],
    "erp.sales_order_lines": [
        _line("SO-1", 10, 10, discount_percentage=5),
        _line("SO-1", 2, 50),
        _line("SO-2", 8, 10, discount_percentage=0),
        _line("SO-2", 100, 10, deletion_indicator=True),
        _line("SO-2", 5, 5, product_id=" ", material_id="M-2"),
        _line("SO-2", 1, 275, product_id=None, material_id="M-LOST"),
        _line("SO-3", 1, 1000),
        _line("SO-4", 1, 250),
        _line("SO-5", 1, 300),
        _line("SO-6", 1, 110),
        _line("SO-7", 1, 300),
    ],
    "master.customer_product_mapping": [
        {"product_id": "P-1", "is_active": True, "unit_price_usd": Decimal("0.20")},
        {"product_id": "P-1", "is_active": True, "unit_price_usd": Decimal("0.40")},
        {"product_id": "P-1", "is_active": False, "unit_price_usd": Decimal("9")},
    ],
    "financial.exchange_rates": [
        {"rate_id": "R-1", "from_currency": "USD", "to_currency": "INR", "rate_type": "spot"}
        | {"effective_date": date(2026, 3, 9), "exchange_rate": Decimal("0.0125"), "inverse_rate": Decimal(80)}
    ],
    "tms.return_orders": [
        {"return_order_id": "RT-1", "created_at": datetime(2026, 3, 20, 13)},
        {"return_order_id": "RT-2", "created_at": datetime(2026, 3, 20, 15)},
    ],
    "tms.return_order_lines": [
        {"return_order_id": "RT-1", "material_id": "M-1"},
        {"return_order_id": "RT-2", "material_id": "M-1"},
    ],
    "mes.work_orders": [
        {"product_id": "P-1", "status": "completed", "good_quantity": 40, "actual_end_time": datetime(2026, 3, 2)}
    ],
}


def _rows(sources: Mapping[str, Rows], window: Window) -> dict[str, dict[str, object]]:
    rows = rows_of(product_sales_performance, SOURCES | dict(sources), window)
    return {row["product_id"]: row for row in rows.iter_rows(named=True)}


def test_price_margin_and_growth_over_as_many_days() -> None:
    found = _rows({}, RUNNING)
    assert list(found) == ["P-1", "P-2", "UNKNOWN"]
    assert found["P-1"] == {
        "sales_month": MARCH,
        "product_id": "P-1",
        "product_name": "Housing",
        "product_category": "engine",
        "order_count": 2,
        "customer_count": 2,
        "units_ordered": Decimal("20.0000"),
        "revenue_inr": Decimal("275.00"),
        "avg_unit_price_inr": Decimal("13.7500"),
        "contract_price_usd": Decimal("0.3000"),
        "contract_price_inr": Decimal("24.0000"),
        "price_realization_pct": Decimal("57.29"),
        "standard_cost_inr": Decimal("120.00"),
        "gross_margin_inr": Decimal("155.00"),
        "gross_margin_pct": Decimal("56.36"),
        "revenue_share_pct": Decimal("47.83"),
        "revenue_rank": 1,
        "mom_growth_pct": Decimal("10.00"),
        "yoy_growth_pct": Decimal("150.00"),
        "return_line_count": 1,
        "return_rate_pct": Decimal("33.33"),
        "units_produced_good": 40,
        "source_row_count": 3,
    }
    # The two sell for as much; the smaller product id ranks first.
    assert [row["revenue_rank"] for row in found.values()] == [1, 3, 2]
    lost = found["P-2"]
    assert (lost["product_name"], lost["standard_cost_inr"], lost["gross_margin_inr"]) == (None, None, None)
    assert (lost["mom_growth_pct"], lost["price_realization_pct"], lost["return_rate_pct"]) == (None, None, 0)


def test_a_month_that_is_over_is_compared_with_whole_months() -> None:
    row = _rows({}, OVER)["P-1"]
    assert (row["revenue_inr"], row["mom_growth_pct"]) == (Decimal("1275.00"), Decimal("131.82"))
    assert (row["yoy_growth_pct"], row["return_line_count"]) == (Decimal("210.98"), 2)


def test_revenue_without_a_rate_leaves_no_share_to_anyone() -> None:
    orders = [_order("SO-1", MARCH), _order("SO-2", MARCH, currency="EUR")]
    lines = [_line("SO-1", 1, 5), _line("SO-2", 1, 5, product_id="P-2"), _line("SO-2", 0, 5, product_id="P-3")]
    found = _rows({"erp.sales_orders": orders, "erp.sales_order_lines": lines}, OVER)
    assert {key: (row["revenue_inr"], row["revenue_rank"], row["revenue_share_pct"]) for key, row in found.items()} == {
        "P-1": (Decimal("5.00"), 1, None),
        "P-2": (None, None, None),
        "P-3": (Decimal("0.00"), 2, None),
    }
    assert found["P-3"]["avg_unit_price_inr"] is None
