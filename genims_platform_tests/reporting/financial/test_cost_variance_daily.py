from collections.abc import Mapping
from decimal import Decimal

from genims_platform.reporting.financial.cost_variance_daily import cost_variance_daily
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.financial.plant_costs import AS_OF, DAY_OF_PLANT
from genims_platform_tests.reporting.frames import TUESDAY, Rows, rows_of

MEASURES = (
    "actual_qty",
    "standard_qty",
    "actual_price_inr",
    "standard_price_inr",
    "actual_amount_inr",
    "standard_amount_inr",
    "variance_inr",
    "price_variance_inr",
    "quantity_variance_inr",
    "is_favourable",
)
UNITS = (None,) * 4


def _rows(tables: Mapping[str, Rows]) -> dict[tuple[object, ...], dict[str, object]]:
    rows = rows_of(cost_variance_daily, tables, Window(TUESDAY, TUESDAY + DAY, AS_OF))
    key = ("variance_type", "factory_id", "object_id")
    return {tuple(row[name] for name in key): row for row in rows.iter_rows(named=True)}


def _measures(row: Mapping[str, object]) -> tuple[float | None, ...]:
    return tuple(None if row[name] is None else float(str(row[name])) for name in MEASURES)


def test_production_and_labour_of_completed_orders() -> None:
    rows = _rows(DAY_OF_PLANT)
    produced = rows["production_cost", "FAC-1", "P-1"]
    assert _measures(produced) == (40, 40, 10.125, 10, 405, 400, 5, 5, 0, 0)
    assert (produced["object_name"], produced["transaction_count"], produced["variance_pct"]) == (
        "Gear",
        2,
        Decimal("1.25"),
    )
    # 3 hours for 80, against 50 pieces of 180 seconds each: half an hour less at the actual rate of 80 / 3.
    labour = rows["labor_efficiency", "FAC-1", "P-1"]
    assert _measures(labour) == (3, 2.5, 26.6667, 26.6667, 80, 66.67, 13.33, 0, 13.33, 0)
    unnamed = rows["production_cost", "FAC-1", "UNKNOWN"]
    assert _measures(unnamed) == (0, 0, None, None, 15, None, None, None, None, None)


def test_maintenance_against_its_estimate() -> None:
    rows = _rows(DAY_OF_PLANT)
    assert _measures(rows["maintenance", "FAC-1", "A-1"]) == (*UNITS, 60, 50, 10, None, None, 0)
    assert rows["maintenance", "FAC-1", "A-1"]["object_name"] == "Press"
    assert _measures(rows["maintenance", "FAC-2", "A-2"]) == (*UNITS, 9, None, None, None, None, None)


def test_purchases_against_standard_prices() -> None:
    order = {"purchase_order_id": "PO-1", "po_date": TUESDAY}
    lines = (("M-1", "FAC-1", 10, "12", False), ("M-1", "FAC-1", 30, "8", None), ("M-1", "FAC-1", 99, "99", True))
    lost = (("M-LOST", None, 2, "3", False),)
    rows = _rows(
        {
            "erp.purchase_orders": [order],
            "erp.purchase_order_lines": [
                {"purchase_order_id": "PO-1", "material_id": material, "plant_id": plant}
                | {"order_quantity": Decimal(quantity), "unit_price": Decimal(price), "deletion_indicator": deleted}
                for material, plant, quantity, price, deleted in lines + lost
            ],
            "erp.materials": [{"material_id": "M-1", "material_name": "Steel", "standard_cost": Decimal(10)}] * 2,
        }
    )
    bought = rows["purchase_price", "FAC-1", "M-1"]
    assert _measures(bought) == (40, 40, 9, 10, 360, 400, -40, -40, 0, 1)
    assert (bought["object_name"], bought["transaction_count"]) == ("Steel", 2)
    unknown = rows["purchase_price", "UNKNOWN", "M-LOST"]
    assert _measures(unknown) == (2, 2, 3, None, 6, None, None, None, None, None)


def test_freight_keeps_its_dollars_without_a_rate() -> None:
    tables: dict[str, Rows] = {
        "tms.freight_invoices": [
            {"invoice_id": "I-1", "carrier_id": "C-1", "invoice_date": TUESDAY, "currency": "USD"},
            {"invoice_id": "I-2", "carrier_id": "C-2", "invoice_date": TUESDAY, "currency": "USD"},
        ],
        "tms.freight_invoice_lines": [
            {
                "invoice_id": "I-1",
                "invoice_line_id": number,
                "charge_amount": Decimal(charge),
                "expected_amount": Decimal(5),
            }
            for number, charge in (("1", 6), ("2", 3))
        ],
        "tms.carriers": [{"carrier_id": "C-1", "carrier_name": "Swift"}],
    }
    rows = _rows(tables)
    row = rows["freight", "UNKNOWN", "C-1"]
    assert (row["actual_amount_usd"], row["transaction_count"], row["object_name"]) == (9, 2, "Swift")
    assert _measures(row) == (None,) * len(MEASURES)
    assert rows["freight", "UNKNOWN", "C-2"]["transaction_count"] == 0
    rate = {"from_currency": "USD", "to_currency": "INR", "rate_type": "spot", "effective_date": TUESDAY}
    rates = [rate | {"exchange_rate": Decimal("0.0125"), "inverse_rate": Decimal(80)}]
    row = _rows(tables | {"financial.exchange_rates": rates})["freight", "UNKNOWN", "C-1"]
    assert _measures(row) == (*UNITS, 720, 800, -80, None, None, 1)


def test_nothing_happened() -> None:
    assert _rows({}) == {}
