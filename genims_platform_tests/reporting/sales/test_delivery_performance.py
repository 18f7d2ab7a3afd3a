from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.periods import Window
from genims_platform.reporting.sales.delivery_performance import delivery_performance
from genims_platform_tests.reporting.frames import rows_of

DAY = date(2026, 3, 10)
WINDOW = Window(DAY, date(2026, 3, 11), as_of=datetime(2026, 3, 20, 12))


def _shipment(shipment_id: str, order_id: str | None, **values: object) -> dict[str, object]:
    usual = {"warehouse_id": "WH-1", "carrier_id": "CARR-1", "service_id": "SVC-1", "ship_date": date(2026, 3, 7)}
    return usual | {"shipment_id": shipment_id, "sales_order_id": order_id, "actual_delivery_date": DAY} | values


def _proof(shipment_id: str, day: int, condition: str | None = "good") -> dict[str, object]:
    at = datetime(2026, 3, day, 15)
    return {"shipment_id": shipment_id, "delivery_timestamp": at, "packages_condition": condition}


TABLES = {
    "tms.shipments": [
        # The proof decides, not the date in the shipment.
        _shipment(
            "SHIP-1",
            "SO-1",
            actual_delivery_date=date(2026, 3, 9),
            estimated_delivery_date=DAY,
            number_of_packages=2,
            total_weight_kg=Decimal("40.50"),
            total_cost=Decimal("300.00"),
            currency="INR",
        ),
        # Completes its order, but after the requested date.
        _shipment("SHIP-2", "SO-2", ship_date=date(2026, 3, 4), total_cost=Decimal("100.00"), currency="USD"),
        # Left before its order: not valid, and its pieces fill nothing.
        _shipment("SHIP-3", "SO-3", ship_date=date(2026, 3, 1), estimated_delivery_date=date(2026, 3, 9)),
        _shipment("SHIP-4", None, warehouse_id=" ", carrier_id="CARR-LOST", service_id=None, ship_date=None)
        | {"total_cost": Decimal("70.00"), "currency": "XYZ", "total_weight_kg": Decimal("7.00")},
        # Deliveries of other days count towards the orders' pieces only.
        _shipment("SHIP-5", "SO-2", actual_delivery_date=date(2026, 3, 8)),
        _shipment("SHIP-6", "SO-1", actual_delivery_date=date(2026, 3, 11)),
        _shipment("SHIP-7", "SO-4", actual_delivery_date=None),
    ],
    "tms.proof_of_delivery": [
        _proof("SHIP-1", 9),
        _proof("SHIP-1", 10, "damaged"),
        _proof("SHIP-3", 10, None),
        _proof("SHIP-LOST", 10, "damaged"),
    ],
    "tms.shipment_lines": [
        {"shipment_id": shipment, "quantity": Decimal(quantity)}
        for shipment, quantity in (("SHIP-1", 60), ("SHIP-6", 40), ("SHIP-2", 30), ("SHIP-5", 70), ("SHIP-3", 500))
    ],
    "erp.sales_orders": [
        {"sales_order_id": order, "order_date": ordered, "requested_delivery_date": requested}
        for order, ordered, requested in (
            ("SO-1", date(2026, 3, 7), date(2026, 3, 10)),
            ("SO-2", date(2026, 3, 2), date(2026, 3, 9)),
            ("SO-3", date(2026, 3, 2), date(2026, 3, 30)),
        )
    ],
    "erp.sales_order_lines": [
        {"sales_order_id": order, "order_quantity": Decimal(quantity), "deletion_indicator": deleted}
        for order, quantity, deleted in (
            ("SO-1", 100, False),
            ("SO-2", 100, None),
            ("SO-2", 900, True),
            ("SO-3", 1, False),
        )
    ],
    "tms.return_orders": [
        {"original_shipment_id": shipment, "created_at": created}
        for shipment, created in (
            ("SHIP-1", datetime(2026, 3, 19)),
            ("SHIP-1", datetime(2026, 3, 18)),
            ("SHIP-2", datetime(2026, 3, 21)),
        )
    ],
    "tms.carriers": [
        {"carrier_id": "CARR-1", "carrier_name": "Blue Road", "on_time_delivery_pct": Decimal("91.50")},
    ],
    "tms.carrier_services": [{"service_id": "SVC-1", "transit_days_max": 3}],
    "wms.warehouses": [{"warehouse_id": "WH-1", "plant_id": "FAC-1"}],
    "financial.exchange_rates": [
        {"from_currency": "USD", "to_currency": "INR", "rate_type": "spot", "effective_date": date(2026, 3, day)}
        | {"exchange_rate": Decimal("0.0125"), "inverse_rate": Decimal(80 + day)}
        for day in (3, 6)
    ],
}


def test_deliveries_of_a_day() -> None:
    rows = rows_of(delivery_performance, TABLES, WINDOW)
    found = {(row["warehouse_id"], row["carrier_id"]): row for row in rows.iter_rows(named=True)}
    assert set(found) == {("WH-1", "CARR-1"), ("UNKNOWN", "CARR-LOST")}
    assert found["WH-1", "CARR-1"] == {
        "delivery_date": DAY,
        "warehouse_id": "WH-1",
        "carrier_id": "CARR-1",
        "factory_id": "FAC-1",
        "carrier_name": "Blue Road",
        "shipment_count": 3,
        "package_count": 2,
        "weight_kg": Decimal("40.5000"),
        "on_time_estimate_pct": Decimal("50.00"),
        "on_time_transit_pct": Decimal("33.33"),
        "valid_shipments": 2,
        "on_time_request_count": 1,
        "on_time_request_pct": Decimal("50.00"),
        "in_full_count": 1,
        "otif_count": 0,
        "otif_pct": Decimal("0.00"),
        "avg_transit_days": Decimal("6.0000"),
        "freight_cost_inr": Decimal("8600.00"),
        "cost_per_kg_inr": Decimal("212.3457"),
        "damaged_count": 1,
        "returned_shipments": 1,
        "carrier_reported_otd_pct": Decimal("91.50"),
        "source_row_count": 3,
    }
    lost = found["UNKNOWN", "CARR-LOST"]
    assert (lost["shipment_count"], lost["valid_shipments"], lost["package_count"]) == (1, 0, None)
    assert (lost["freight_cost_inr"], lost["cost_per_kg_inr"], lost["weight_kg"]) == (None, None, Decimal("7.0000"))
    measures = ("on_time_request_pct", "otif_pct", "on_time_estimate_pct", "on_time_transit_pct", "avg_transit_days")
    assert [lost[name] for name in measures] == [None] * 5
    assert (lost["factory_id"], lost["carrier_name"], lost["damaged_count"]) == (None, None, 0)


def test_last_shipment_fills_its_order() -> None:
    """In full needs all pieces up to the day: the second shipment has them, the first did not."""
    window = Window(date(2026, 3, 8), date(2026, 3, 12), as_of=datetime(2026, 3, 11, 9))
    of_pair = rows_of(delivery_performance, TABLES, window).filter(carrier_id="CARR-1")
    assert of_pair["delivery_date"].dt.day().to_list() == [8, 10, 11]
    assert of_pair["in_full_count"].to_list() == [0, 1, 1]
    assert of_pair["on_time_request_count"].to_list() == [1, 1, 0]
    assert of_pair["returned_shipments"].to_list() == [0, 0, 0]


def test_without_shipments_there_is_no_row() -> None:
    assert rows_of(delivery_performance, {}, WINDOW).is_empty()
