from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.periods import Window
from genims_platform.reporting.sales.sales_order_summary import sales_order_summary
from genims_platform_tests.reporting.frames import Rows, rows_of

DAY = date(2026, 3, 10)
WINDOW = Window(DAY, date(2026, 3, 11), datetime(2026, 3, 20, 14))

MASTER: dict[str, Rows] = {
    "master.customers": [{"customer_id": "C-1", "customer_name": "Acme", "region": "EMEA"}],
    "crm.accounts": [
        {"account_id": "A-2", "customer_id": "C-1", "account_owner": "REP-2"},
        {"account_id": "A-1", "customer_id": "C-1", "account_owner": "REP-1"},
    ],
    "erp.materials": [
        {"material_id": "M-1", "standard_cost": Decimal("4.5")},
        {"material_id": "M-2", "standard_cost": None},
    ],
    "financial.exchange_rates": [
        {"rate_id": "R-1", "from_currency": "USD", "to_currency": "INR", "rate_type": "spot"}
        | {"effective_date": date(2026, 3, 9), "exchange_rate": Decimal("0.0125"), "inverse_rate": Decimal(80)}
    ],
}


def _order(order_id: str, **values: object) -> dict[str, object]:
    usual = {"customer_id": "C-1", "order_date": DAY, "order_status": "open", "currency": "INR"}
    return usual | {"sales_order_id": order_id, "requested_delivery_date": date(2026, 3, 20)} | values


def _value(net: str, gross: str) -> dict[str, object]:
    return {"total_net_value": Decimal(net), "total_value": Decimal(gross)}


def _line(order_id: str, quantity: int, material: str = "M-1", **values: object) -> dict[str, object]:
    return {"sales_order_id": order_id, "order_quantity": quantity, "material_id": material} | values


def _shipment(shipment_id: str, order_id: str, shipped: date, delivered: date | None = None) -> dict[str, object]:
    shipment: dict[str, object] = {"shipment_id": shipment_id, "sales_order_id": order_id, "ship_date": shipped}
    return shipment | {"actual_delivery_date": delivered}


def _rows(sources: Mapping[str, Rows]) -> dict[str, dict[str, object]]:
    rows = rows_of(sales_order_summary, MASTER | dict(sources), WINDOW)
    return {row["customer_id"]: row for row in rows.iter_rows(named=True)}


def test_intake_margin_and_delivery_of_a_customer() -> None:
    orders = [
        _order("SO-1", order_status="closed", requested_delivery_date=date(2026, 3, 14)) | _value("1000", "1180"),
        _order("SO-2", order_status="delivered", requested_delivery_date=date(2026, 3, 14)) | _value("10", "11.80"),
        _order("SO-3", order_status="cancelled", requested_delivery_date=date(2026, 3, 15)) | _value("500", "590"),
        _order("SO-4", requested_delivery_date=date(2026, 3, 19)) | _value("300", "354"),
        _order("SO-5", order_status=None) | _value("0.50", "0.60"),
        _order("SO-6", order_date=date(2026, 3, 11)) | _value("7", "8"),
    ]
    orders[1] |= {"currency": "USD"}
    lines = [
        _line("SO-1", 100),
        _line("SO-1", 40, "M-2"),
        _line("SO-2", 20, deletion_indicator=False),
        _line("SO-3", 1000, deletion_indicator=True),
        _line("SO-4", 10, "M-LOST"),
        _line("SO-6", 3),
    ]
    shipments = [
        # The proof moves the first to the requested day; the second left before it was ordered.
        _shipment("SH-1", "SO-1", date(2026, 3, 12), date(2026, 3, 19)),
        _shipment("SH-2", "SO-1", date(2026, 3, 9), date(2026, 3, 18)),
        _shipment("SH-3", "SO-2", date(2026, 3, 10), date(2026, 3, 13)),
        _shipment("SH-4", "SO-2", date(2026, 3, 11), date(2026, 3, 15)),
        # Delivered tomorrow, and never.
        _shipment("SH-5", "SO-4", date(2026, 3, 11), date(2026, 3, 21)),
        _shipment("SH-6", "SO-4", date(2026, 3, 11)),
    ]
    proofs = [{"shipment_id": "SH-1", "delivery_timestamp": datetime(2026, 3, 14, 23)}]
    found = _rows(
        {
            "erp.sales_orders": orders,
            "erp.sales_order_lines": lines,
            "tms.shipments": shipments,
            "tms.proof_of_delivery": proofs,
        }
    )
    assert found == {
        "C-1": {
            "order_date": DAY,
            "customer_id": "C-1",
            "customer_name": "Acme",
            "region": "EMEA",
            "sales_rep_id": "REP-1",
            "order_count": 5,
            "line_count": 4,
            "order_qty": Decimal("170.0000"),
            "net_revenue_inr": Decimal("2600.50"),
            "gross_value_inr": Decimal("3068.60"),
            "avg_order_value_inr": Decimal("520.10"),
            "standard_cost_inr": Decimal("540.00"),
            "gross_margin_inr": Decimal("2060.50"),
            "gross_margin_pct": Decimal("79.23"),
            "open_orders": 2,
            "delivered_orders": 2,
            "cancelled_orders": 1,
            "shipped_orders": 2,
            "on_time_orders": 1,
            "on_time_pct": Decimal("50.00"),
            "overdue_orders": 1,
            "avg_promised_days": Decimal("6.4000"),
            "source_row_count": 5,
        }
    }


def test_a_missing_rate_hides_the_revenue_of_the_whole_row_only() -> None:
    orders = [
        _order("SO-1") | _value("100", "118"),
        _order("SO-2", currency="EUR") | _value("5", "6"),
        _order("SO-3", currency="EUR", customer_id=" ") | _value("0", "0"),
        _order("SO-4", customer_id="C-LOST"),
    ]
    found = _rows({"erp.sales_orders": orders})
    assert [(key, row["net_revenue_inr"], row["order_count"]) for key, row in found.items()] == [
        ("C-1", None, 2),
        ("C-LOST", None, 1),
        ("UNKNOWN", Decimal("0.00"), 1),
    ]
    lost = found["C-LOST"]
    assert (lost["customer_name"], lost["sales_rep_id"], lost["line_count"], lost["order_qty"]) == (None, None, 0, None)
    assert (lost["on_time_pct"], lost["gross_margin_inr"], found["UNKNOWN"]["gross_margin_pct"]) == (None, None, None)
