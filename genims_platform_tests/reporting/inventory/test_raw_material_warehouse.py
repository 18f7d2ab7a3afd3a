from collections.abc import Generator
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from genims_platform.reporting.inventory.raw_material_warehouse import raw_material_warehouse
from genims_platform.reporting.periods import DAY, Window
from genims_platform.settings import Settings
from genims_platform.sources.reader import Read, SourceReader
from genims_platform.sources.summary import Summary
from genims_platform_tests.factory_group import TODAY as FACTORY_TODAY
from genims_platform_tests.factory_group import UNTIL, copy_row, write
from genims_platform_tests.reporting.frames import Rows, at, rows_of
from genims_platform_tests.reporting.inventory.stores import MATERIALS, WAREHOUSES

TODAY = date(2026, 5, 20)
WINDOW = Window(TODAY, TODAY + DAY, as_of=datetime(2026, 5, 20, 12))

PLAN: dict[str, object] = {
    "safety_stock": 10,
    "reorder_point": 50,
    "maximum_stock": 100,
    "lead_time_days": 20,
    "minimum_order_quantity": 5,
    "order_multiple": Decimal("0.3"),
    "last_purchase_price": Decimal("1.9"),
}


def _sources(stock: int | None, plan: dict[str, object] = PLAN, **others: Rows) -> dict[str, Rows]:
    tables: dict[str, Rows] = {
        "erp.inventory_balances": [
            {"plant_id": "FAC-1", "material_id": "MAT-2", "unrestricted_stock": stock, "stock_value": 80},
            {"plant_id": "FAC-1", "material_id": "MAT-1", "unrestricted_stock": 1, "stock_value": 1},
        ],
        "erp.materials": [MATERIALS[0], MATERIALS[1] | plan],
        "wms.warehouses": WAREHOUSES,
        "mes.material_transactions": [
            {"transaction_type": "issue", "transaction_date": at(day, 8), "material_code": "RM-1"}
            | {"quantity": quantity, "work_order_id": "WO-1"}
            for day, quantity in ((TODAY, 40), (TODAY - 29 * DAY, 20), (TODAY - 30 * DAY, 1_000))
        ],
        "mes.work_orders": [{"work_order_id": "WO-1", "factory_id": "FAC-1"}],
    }
    return tables | {name.replace("__", "."): rows for name, rows in others.items()}


def _on_order(due: date, **values: object) -> dict[str, object]:
    usual: dict[str, object] = {"material_id": "MAT-2", "deletion_indicator": False, "order_quantity": 10}
    return usual | {"delivery_date": due} | values


def test_stock_use_receipts_and_purchases() -> None:
    (row,) = rows_of(
        raw_material_warehouse,
        _sources(
            40,
            wms__warehouse_inventory=[{"warehouse_id": "WH-1", "material_id": "MAT-2", "quantity_on_hand": 41}],
            wms__receipts_by_material=[
                {
                    "warehouse_id": warehouse,
                    "material_id": "MAT-2",
                    "last_day": TODAY - days * DAY,
                    "recent_qty": recent,
                }
                for warehouse, days, recent in (("WH-1", 3, 17), ("WH-LOST", 1, 100))
            ],
            erp__last_purchase_prices=[
                {"material_id": "MAT-2", "po_date": TODAY - 2 * DAY, "currency": "USD", "unit_price": Decimal("0.04")}
            ],
            erp__purchase_order_lines=[
                _on_order(TODAY),
                _on_order(TODAY + 5 * DAY),
                _on_order(TODAY + DAY, deletion_indicator=True),
                _on_order(TODAY - DAY),
            ],
            financial__exchange_rates=[
                {"from_currency": "USD", "to_currency": "INR", "rate_type": "spot", "rate_id": "R-1"}
                | {"effective_date": TODAY - 3 * DAY, "exchange_rate": Decimal("0.0125"), "inverse_rate": 80}
            ],
        ),
        WINDOW,
    ).iter_rows(named=True)
    assert row == {
        "stock_date": TODAY,
        "plant_id": "FAC-1",
        "material_id": "MAT-2",
        "material_name": "Steel",
        "material_type": "raw_material",
        "stock_qty": 40,
        "stock_value_inr": 80,
        "wms_on_hand_qty": 41,
        "safety_stock": 10,
        "reorder_point": 50,
        "lead_time_days": 20,
        "received_30d_qty": 17,
        "issued_30d_qty": 60,
        "avg_daily_usage": 2,
        "days_of_cover": 20,
        "stockout_risk": "watch",
        "last_receipt_date": TODAY - 3 * DAY,
        "open_po_qty_group": 20,
        "next_po_date": TODAY,
        "last_purchase_price_inr": Decimal("3.2"),
        # The 60 that are missing are whole multiples of 0.3.
        "suggested_order_qty": 60,
        "stock_status": "below_reorder",
        "source_row_count": 2,
    }


@pytest.mark.parametrize(
    ("stock", "plan", "risk", "suggestion"),
    [
        (0, {}, "high", Decimal("100.2")),
        (39, {}, "high", Decimal("61.2")),
        (60, {}, "none", 0),
        (50, {"maximum_stock": 52, "order_multiple": 4}, "watch", 8),
        (50, {"maximum_stock": None, "order_multiple": None}, "watch", 5),
        (50, {"lead_time_days": None, "reorder_point": None}, None, None),
        (None, {}, None, None),
    ],
)
def test_risk_and_suggestion(
    stock: int | None, plan: dict[str, object], risk: str | None, suggestion: Decimal | None
) -> None:
    (row,) = rows_of(raw_material_warehouse, _sources(stock, PLAN | plan), WINDOW).iter_rows(named=True)
    assert (row["stockout_risk"], row["suggested_order_qty"]) == (risk, suggestion)


def test_unused_and_unknown_materials() -> None:
    balances = [
        {"plant_id": "FAC-1", "material_id": "LOST", "unrestricted_stock": 3},
        {"plant_id": "FAC-2", "material_id": "MAT-2", "unrestricted_stock": 0},
    ]
    lost, unused = rows_of(raw_material_warehouse, _sources(0, erp__inventory_balances=balances), WINDOW).iter_rows(
        named=True
    )
    assert (lost["material_id"], lost["stockout_risk"], lost["suggested_order_qty"]) == ("LOST", "none", None)
    assert (lost["last_purchase_price_inr"], lost["open_po_qty_group"], lost["next_po_date"]) == (None, 0, None)
    assert (unused["issued_30d_qty"], unused["days_of_cover"], unused["stockout_risk"]) == (0, None, "none")
    assert (unused["stock_status"], unused["last_purchase_price_inr"]) == ("out", Decimal("1.9"))


def test_a_price_without_a_usable_rate_is_unknown() -> None:
    (row,) = rows_of(
        raw_material_warehouse,
        _sources(
            1,
            erp__last_purchase_prices=[{"material_id": "MAT-2", "po_date": TODAY, "currency": "USD", "unit_price": 3}],
        ),
        WINDOW,
    ).iter_rows(named=True)
    assert row["last_purchase_price_inr"] is None


@pytest.fixture
def sources(factory: Settings) -> Generator[SourceReader]:
    """Receipts that are old, not completed or later, and lines that were deleted, beside the usual."""
    receipts: tuple[dict[str, object], ...] = (
        {"warehouse_id": "WH-LOST", "completed_at": UNTIL - 40 * DAY, "task_status": "completed"},
        {"task_status": "in_progress"},
        {"completed_at": UNTIL, "received_quantity": 1000},
        {"completed_at": UNTIL - DAY, "received_quantity": None},
    )
    lines: tuple[dict[str, object], ...] = ({"deletion_indicator": True}, {"unit_price": 7})
    for number, change in enumerate(receipts):
        assert copy_row(factory, "wms.receiving_tasks", {"task_number": f"LATE-{number}"} | change, "true")
    for change in lines:
        assert copy_row(factory, "erp.purchase_order_lines", change, "true", 20)
    with closing(SourceReader(factory)) as reader:
        yield reader
    write(factory, "wms.receiving_tasks", "DELETE FROM {table} WHERE receiving_task_id LIKE '%%-late%%'")
    write(factory, "erp.purchase_order_lines", "DELETE FROM {table} WHERE po_line_id LIKE '%%-late%%'")


def _summary(name: str) -> Summary:
    claim = raw_material_warehouse.reads[name]
    assert isinstance(claim, Summary)
    return claim


def test_receipts_are_added_up_by_warehouse_and_material(sources: SourceReader) -> None:
    span = Window(FACTORY_TODAY, FACTORY_TODAY + DAY, UNTIL).span
    day = pl.col("completed_at").dt.date()
    quantity = pl.col("received_quantity").filter(day > FACTORY_TODAY - 30 * DAY)
    expected = (
        sources.scan(Read("wms.receiving_tasks"), span)
        .filter(pl.col("task_status") == "completed", pl.col("completed_at") < UNTIL)
        .group_by("warehouse_id", "material_id")
        .agg(last_day=day.max(), recent_qty=quantity.sum())
        .collect()
    )
    found = sources.scan(_summary("receipts"), span).collect()
    assert_frame_equal(found, expected, check_row_order=False, check_dtypes=False)
    assert found.filter(pl.col("warehouse_id") == "WH-LOST")["recent_qty"].unique().to_list() == [0]
    assert found["recent_qty"].sum() > 0


def test_the_last_price_is_that_of_the_latest_line(sources: SourceReader) -> None:
    span = Window(FACTORY_TODAY - 9 * DAY, FACTORY_TODAY - 8 * DAY, UNTIL).span
    orders = sources.scan(Read("erp.purchase_orders"), span).filter(pl.col("po_date") < span.end)
    latest = pl.col("po_date", "currency", "unit_price").sort_by("po_date", "po_line_id").last()
    expected = (
        sources.scan(Read("erp.purchase_order_lines"), span)
        .filter(~pl.col("deletion_indicator").fill_null(value=False), pl.col("unit_price").is_not_null())
        .join(orders.select("purchase_order_id", "po_date", "currency"), on="purchase_order_id")
        .group_by("material_id")
        .agg(latest)
        .collect()
    )
    found = sources.scan(_summary("purchase_prices"), span).collect()
    assert_frame_equal(found, expected, check_row_order=False)
    assert found.height > 10
