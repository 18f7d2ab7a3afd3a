from datetime import date, datetime, timedelta
from decimal import Decimal

import polars as pl

from genims_platform.reporting.abc_classes import with_abc_class
from genims_platform.reporting.inventory.abc_analysis import abc_analysis
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import Rows, rows_of
from genims_platform_tests.reporting.inventory.stores import MATERIALS

MAY = Window(date(2026, 5, 1), date(2026, 6, 1), as_of=datetime(2026, 5, 20, 12))
TODAY = date(2026, 5, 20)


def _booking(day: date, code: str | None, quantity: int, **values: object) -> dict[str, object]:
    usual = {"transaction_type": "issue", "day": day, "bookings": 1, "total_cost": 0}
    return usual | {"material_code": code, "quantity": quantity} | values


def _sources(bookings: Rows, shipped: dict[date, int]) -> dict[str, Rows]:
    return {
        "erp.materials": MATERIALS,
        "mes.bookings_by_day": bookings,
        "tms.shipments": [{"shipment_id": f"S-{day}", "ship_date": day} for day in shipped],
        "tms.shipment_lines": [
            {"shipment_id": f"S-{day}", "material_id": "MAT-1", "quantity": quantity}
            for day, quantity in shipped.items()
        ],
    }


def test_value_of_a_year_up_to_today() -> None:
    rows = rows_of(
        abc_analysis,
        _sources(
            [
                _booking(date(2026, 5, 19), "RM-1", 700),
                _booking(date(2026, 4, 1), "RM-1", 100, transaction_type="return"),
                _booking(TODAY - 364 * DAY, "X-1", 10, total_cost=40, material_name="Odd", material_type="component"),
                _booking(TODAY - 365 * DAY, "X-1", 77, total_cost=1),
                _booking(TODAY, None, 3, transaction_type="return"),
            ],
            {date(2026, 5, 1): 80, date(2026, 5, 21): 900},
        ),
        MAY,
    )
    found = {row["material_id"]: row for row in rows.iter_rows(named=True)}
    assert set(found) == {"MAT-1", "MAT-2", "MAT-3", "X-1", "UNKNOWN"}
    values = {key: (row["consumption_qty_12m"], row["consumption_value_inr"]) for key, row in found.items()}
    assert values == {
        "MAT-1": (80, 8000),
        "MAT-2": (600, 1200),
        "MAT-3": (0, None),
        "X-1": (10, 40),
        "UNKNOWN": (-3, None),
    }
    assert {key: (row["value_rank"], row["abc_class"]) for key, row in found.items()} == {
        "MAT-1": (1, "A"),
        "MAT-2": (2, "B"),
        "X-1": (3, "C"),
        "MAT-3": (4, "C"),
        "UNKNOWN": (5, "C"),
    }
    assert found["MAT-2"]["value_share_pct"] == Decimal("12.99")
    assert found["MAT-2"]["cumulative_share_pct"] == Decimal("99.57")
    assert found["MAT-3"]["value_share_pct"] is None
    assert (found["MAT-1"]["class_differs"], found["MAT-2"]["class_differs"], found["X-1"]["class_differs"]) == (
        0,
        1,
        None,
    )
    odd = found["X-1"]
    assert (odd["unit_cost_inr"], odd["material_name"], odd["material_type"]) == (4, "Odd", "component")
    assert odd["source_row_count"] == 1
    # The year up to the end of April held 77 + 10 of the odd code at 41 / 87 each, and a return of steel.
    previous = {key: row["previous_abc_class"] for key, row in found.items()}
    assert previous == {"MAT-1": "C", "MAT-2": "C", "MAT-3": "C", "X-1": "A", "UNKNOWN": None}


def test_steadiness_counts_complete_months_that_hold_data() -> None:
    bookings = [
        _booking(date(2026, month, 15), "RM-1", quantity) for month, quantity in ((1, 90), (2, 100), (3, 110), (5, 7))
    ] + [_booking(date(2026, 4, 30), "X-1", 12), _booking(date(2025, 5, 25), "RM-1", 1_000)]
    found = {
        row["material_id"]: row for row in rows_of(abc_analysis, _sources(bookings, {}), MAY).iter_rows(named=True)
    }
    assert {row["months_of_history"] for row in found.values()} == {4}
    steel = found["MAT-2"]
    assert (steel["monthly_avg_qty"], steel["monthly_std_qty"]) == (75, Decimal("50.6623"))
    assert (steel["variation_coefficient"], steel["xyz_class"]) == (Decimal("0.6755"), "Y")
    assert (found["X-1"]["monthly_avg_qty"], found["X-1"]["xyz_class"]) == (3, "Z")
    unused = found["MAT-1"]
    assert (unused["monthly_avg_qty"], unused["variation_coefficient"], unused["xyz_class"]) == (0, None, None)

    two_months = rows_of(abc_analysis, _sources(bookings[:2], {}), MAY).row(1, named=True)
    assert (two_months["months_of_history"], two_months["monthly_avg_qty"]) == (2, 95)
    assert (two_months["variation_coefficient"], two_months["xyz_class"]) == (None, None)


def test_without_any_consumption_everything_is_c() -> None:
    rows = rows_of(abc_analysis, {"erp.materials": MATERIALS}, MAY)
    assert rows["abc_class"].to_list() == ["C"] * 3
    assert rows["value_rank"].to_list() == [1, 2, 3]
    assert rows["cumulative_share_pct"].null_count() == 3
    assert rows["previous_abc_class"].null_count() == 3
    assert rows["months_of_history"].to_list() == [0] * 3


def test_a_share_of_exactly_80_percent_before_an_item_makes_it_b() -> None:
    values = pl.LazyFrame(
        {
            "material_id": ["b", "a", "d", "c"],
            "consumption_value_inr": [Decimal(15), Decimal(80), Decimal(-9), Decimal(5)],
        }
    )
    classes = with_abc_class(values).collect()
    assert dict(zip(classes["material_id"], classes["abc_class"], strict=True)) == {
        "a": "A",
        "b": "B",
        "c": "C",
        "d": "C",
    }
    assert classes["cumulative_share_pct"].to_list() == [80, 95, 100, 100]


def test_a_closed_month_looks_back_from_its_last_day() -> None:
    over = Window(date(2026, 5, 1), date(2026, 6, 1), as_of=datetime(2026, 7, 1))
    first_day = date(2026, 5, 31) - timedelta(days=364)
    bookings = [_booking(first_day, "RM-1", 5), _booking(first_day - DAY, "RM-1", 100)]
    assert rows_of(abc_analysis, _sources(bookings, {}), over).row(1, named=True)["consumption_qty_12m"] == 5
