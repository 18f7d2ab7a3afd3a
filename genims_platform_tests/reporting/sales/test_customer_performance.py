from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from genims_platform.reporting.periods import Window
from genims_platform.reporting.sales.customer_performance import customer_performance
from genims_platform_tests.reporting.frames import Rows, rows_of

JULY = date(2026, 7, 1)
TODAY = date(2026, 7, 20)
WINDOW = Window(JULY, date(2026, 8, 1), datetime(2026, 7, 20, 14))
# The last 90 days begin on April 22, the 90 before them on January 22.
SINCE = date(2026, 4, 22)
BEFORE = date(2026, 1, 22)
LONG_AGO = date(2025, 3, 1)

MASTER: dict[str, Rows] = {
    "master.customers": [
        {"customer_id": "C-1", "customer_name": "Acme", "sla_on_time_delivery_percentage": Decimal("95.5")},
        {"customer_id": "C-2", "customer_name": "Idle"},
    ],
    "crm.accounts": [
        {"account_id": "A-1", "customer_id": "C-1", "account_owner": "REP-1", "account_tier": "key"},
        {"account_id": "A-2", "customer_id": "C-1", "account_owner": "REP-2", "account_tier": "standard"},
        {"account_id": "A-3", "customer_id": None},
    ],
}


def _order(order_id: str, ordered: date, net: int, customer: str | None = "C-1", **values: object) -> dict[str, object]:
    order: dict[str, object] = {"sales_order_id": order_id, "customer_id": customer, "order_date": ordered}
    return order | {"total_net_value": net, "requested_delivery_date": date(2026, 7, 10)} | values


def _shipment(number: int, order_id: str, delivered: date | None, shipped: date = SINCE) -> dict[str, object]:
    shipment: dict[str, object] = {"shipment_id": f"SH-{number}", "sales_order_id": order_id, "customer_id": "C-1"}
    return shipment | {"ship_date": shipped, "actual_delivery_date": delivered}


def _posting(posted: date, document: str, debit: int = 0, credit: int = 0) -> dict[str, object]:
    amounts: dict[str, object] = {"functional_debit": debit, "functional_credit": credit}
    return amounts | {"day": posted, "source_document_id": document}


def _rows(sources: Mapping[str, Rows]) -> dict[str, dict[str, object]]:
    rows = rows_of(customer_performance, MASTER | dict(sources), WINDOW)
    return {row["customer_id"]: row for row in rows.iter_rows(named=True)}


def test_value_service_and_collection_of_a_customer() -> None:
    orders = [
        _order("SO-0", LONG_AGO, 1, "C-9"),
        _order("SO-1", date(2026, 7, 5), 300),
        _order("SO-2", SINCE, 100),
        _order("SO-3", SINCE - timedelta(days=1), 250),
        _order("SO-4", BEFORE, 250),
        _order("SO-5", BEFORE - timedelta(days=1), 40),
        _order("SO-6", date(2026, 7, 21), 7),
        _order("SO-7", date(2026, 6, 1), 5, None),
    ]
    found = _rows(
        {
            "erp.sales_orders": orders,
            "tms.shipments": [
                _shipment(1, "SO-2", date(2026, 7, 10)),
                _shipment(2, "SO-2", date(2026, 7, 9)),
                _shipment(3, "SO-2", date(2026, 7, 20)),
                _shipment(4, "SO-2", SINCE - timedelta(days=1)),
                _shipment(5, "SO-1", date(2026, 6, 30), SINCE),
                _shipment(6, "SO-2", date(2026, 7, 21)),
                _shipment(7, "SO-3", None),
            ],
            "tms.proof_of_delivery": [{"shipment_id": "SH-2", "delivery_timestamp": datetime(2026, 7, 11)}],
            "tms.return_orders": [
                {"customer_id": "C-1", "created_at": datetime(2026, 7, 1)},
                {"customer_id": "C-1", "created_at": datetime(2026, 7, 20, 15)},
            ],
            "service.service_tickets": [
                {"account_id": account, "csat_rating": rating, "ticket_type": kind}
                | {"created_at": created, "resolved_datetime": resolved}
                for account, rating, kind, created, resolved in (
                    ("A-1", 5, "complaint", datetime(2026, 4, 22), datetime(2026, 7, 1)),
                    ("A-2", 2, "incident", datetime(2026, 4, 1), datetime(2026, 4, 22)),
                    ("A-2", 1, "complaint", datetime(2026, 4, 1), datetime(2026, 4, 21, 23)),
                    ("A-1", None, "complaint", datetime(2026, 7, 20), None),
                    ("A-3", 1, "complaint", datetime(2026, 7, 1), datetime(2026, 7, 1)),
                )
            ],
            "service.survey_responses": [
                {"account_id": "A-1", "nps_score": score, "responded_at": datetime(2026, 7, 1)}
                for score in (10, 9, 7, 6, None)
            ],
            "financial.open_receivables": [
                _posting(date(2026, 1, 1), "SO-1", debit=354),
                _posting(date(2026, 4, 25), "SO-1", credit=54),
                _posting(date(2026, 1, 1), "SO-2", debit=118),
                _posting(date(2026, 4, 21), "SO-2", credit=18),
            ],
        }
    )
    assert list(found) == ["C-1", "C-2", "UNKNOWN"]
    assert found["C-1"] == {
        "performance_month": JULY,
        "customer_id": "C-1",
        "customer_name": "Acme",
        "account_tier": "key",
        "sales_rep_id": "REP-1",
        "mtd_orders": 1,
        "mtd_sales_inr": Decimal("300.00"),
        "ytd_orders": 5,
        "ytd_sales_inr": Decimal("940.00"),
        "last_order_date": date(2026, 7, 5),
        "days_since_last_order": 15,
        "orders_90d": 2,
        "sales_change_pct": Decimal("-20.00"),
        "churn_risk_score": 20,
        "churn_risk_band": "low",
        # Two of three in time; one that left before its order does not count.
        "on_time_pct_90d": Decimal("33.33"),
        "sla_on_time_pct": Decimal("95.50"),
        "csat_avg_90d": Decimal("3.50"),
        "nps_score": Decimal("25.00"),
        "return_rate_pct": Decimal("33.33"),
        "complaint_tickets_90d": 2,
        "payment_days_avg": Decimal("114.0000"),
        "open_receivable_inr": Decimal("400.00"),
        "source_row_count": 5,
    }
    idle = found["C-2"]
    assert (idle["mtd_sales_inr"], idle["last_order_date"], idle["churn_risk_score"]) == (Decimal("0.00"), None, None)
    assert (idle["csat_avg_90d"], idle["return_rate_pct"], idle["open_receivable_inr"]) == (None, None, None)
    assert found["UNKNOWN"]["open_receivable_inr"] == 0
    assert (found["UNKNOWN"]["customer_name"], found["UNKNOWN"]["ytd_orders"]) == (None, 1)


@pytest.mark.parametrize(
    ("sales", "score", "band"),
    [
        # Nothing in 180 days; new after a pause; half the orders and sales; fewer orders and sales; a short history.
        ([(LONG_AGO, 100)], 100, "high"),
        ([(LONG_AGO, 100), (date(2026, 7, 1), 1)], 0, "low"),
        ([(LONG_AGO, 1), (BEFORE, 100), (BEFORE, 100), (SINCE, 100)], 30 + 20 + 30, "high"),
        ([(LONG_AGO, 1), *[(BEFORE, 100)] * 5, *[(date(2026, 6, 1), 120)] * 4], 20 + 10 + 0, "medium"),
        ([(BEFORE + timedelta(days=1), 100), (TODAY, 100)], None, None),
    ],
)
def test_churn_score(sales: list[tuple[date, int]], score: int | None, band: str | None) -> None:
    orders = [_order(f"SO-{n}", ordered, net) for n, (ordered, net) in enumerate(sales)]
    row = _rows({"erp.sales_orders": orders})["C-1"]
    assert (row["churn_risk_score"], row["churn_risk_band"]) == (score, band)


def test_sales_without_a_rate_have_no_change_and_no_score() -> None:
    orders = [_order("SO-1", LONG_AGO, 1), _order("SO-2", BEFORE, 9), _order("SO-3", JULY, 9, currency="EUR")]
    row = _rows({"erp.sales_orders": [*orders, _order("SO-4", JULY, 5)]})["C-1"]
    assert (row["mtd_orders"], row["mtd_sales_inr"]) == (2, Decimal("5.00"))
    assert (row["sales_change_pct"], row["churn_risk_score"]) == (None, None)
