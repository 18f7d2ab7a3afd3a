from datetime import date, datetime
from decimal import Decimal

import pytest

from genims_platform.reporting.inventory.supplier_performance import supplier_performance
from genims_platform.reporting.periods import Window
from genims_platform_tests.reporting.frames import rows_of

MONTH = date(2026, 3, 1)
CLOSED = Window(MONTH, date(2026, 4, 1), as_of=datetime(2026, 4, 20, 12))
RUNNING = Window(MONTH, date(2026, 4, 1), as_of=datetime(2026, 3, 20, 12))


def _order(number: int, day: date, value: float | None, **values: object) -> dict[str, object]:
    usual = {"supplier_id": "SUP-1", "currency": "INR", "purchase_order_id": f"PO-{number}"}
    return usual | {"po_date": day, "total_value": value} | values


def _due(order: int, day: date) -> dict[str, object]:
    return {"purchase_order_id": f"PO-{order}", "delivery_date": day}


def _receipt(order: int, day: date) -> dict[str, object]:
    at = datetime(day.year, day.month, day.day, 15)
    return {"purchase_order_id": f"PO-{order}", "completed_at": at, "task_status": "completed"}


TABLES = {
    "erp.suppliers": [
        {"supplier_id": "SUP-1", "supplier_name": "Iyer Steel", "supplier_type": "Components"},
        {"supplier_id": "SUP-IDLE", "supplier_name": "Idle"},
        {"supplier_id": "SUP-OLD", "supplier_name": "Old papers"},
    ],
    "erp.purchase_orders": [
        _order(1, date(2026, 3, 2), 600),
        _order(2, date(2026, 3, 25), 150),
        _order(3, date(2026, 2, 20), 99),
        _order(4, date(2026, 2, 21), 99),
        _order(5, date(2026, 2, 22), 99),
        _order(6, date(2026, 3, 3), 250, supplier_id="SUP-RAW"),
    ],
    "erp.purchase_order_lines": [
        _due(1, date(2026, 4, 2)),
        _due(3, date(2026, 2, 27)),
        _due(3, date(2026, 3, 10)),
        _due(4, date(2026, 3, 10)),
        _due(5, date(2026, 3, 30)),
    ],
    "wms.receiving_tasks": [
        _receipt(1, date(2026, 3, 5)),
        _receipt(3, date(2026, 3, 10)),
        _receipt(4, date(2026, 3, 9)),
        _receipt(4, date(2026, 3, 11)),
        # Late, but that is not known at the end of the month.
        _receipt(5, date(2026, 4, 1)),
    ],
    "supplier.supplier_performance_metrics": [
        {"metric_id": "SPM-1", "supplier_id": "SUP-1", "metric_period": "2026-03"}
        | {"average_lead_time_days": 12.5, "overall_score": 91.25, "performance_rating": "good"},
        {"metric_id": "SPM-2", "supplier_id": "SUP-1", "metric_period": "2026-03", "overall_score": 5},
        {"metric_id": "SPM-0", "supplier_id": "SUP-1", "metric_period": "2026-02", "overall_score": 5},
    ],
    "qms.supplier_quality_metrics": [
        {"metric_id": "SQM-1", "supplier_id": "SUP-1", "metric_period": "2026-03", "acceptance_rate_pct": 97.9}
        | {"defect_ppm": 800, "rejection_cost": 10, "sorting_cost": 2.5}
    ],
    "qms.ncr_headers": [
        {"detected_date": date(2026, 3, 5), "supplier_id": "SUP-1"},
        {"detected_date": date(2026, 3, 6), "supplier_id": None},
        {"detected_date": date(2026, 3, 6), "supplier_id": None},
    ],
    "supplier.supplier_invoices": [
        {"invoice_date": date(2026, 3, 8), "supplier_id": "SUP-1", "matching_status": status}
        | {"total_amount": 100, "currency_code": "INR"}
        for status in ("matched", "variance", None)
    ],
    "supplier.supplier_audits": [
        {"audit_id": f"AUD-{number}", "supplier_id": "SUP-1", "actual_date": day, "audit_score": score}
        for number, (day, score) in enumerate(
            [(date(2025, 5, 1), 90), (date(2026, 3, 31), 74), (date(2026, 4, 1), 99), (None, 1)]
        )
    ],
    "supplier.supplier_documents": [
        {"supplier_id": supplier, "document_type": kind, "expiry_date": day}
        for supplier, kind, day in [
            ("SUP-OLD", "iso_9001", date(2026, 1, 1)),
            ("SUP-OLD", "iso_9001", date(2026, 3, 1)),
            ("SUP-OLD", "tax_certificate", date(2026, 1, 1)),
            ("SUP-OLD", "tax_certificate", None),
            ("SUP-OLD", "business_license", date(2026, 1, 1)),
            ("SUP-OLD", "business_license", date(2026, 3, 31)),
        ]
    ],
}


def test_a_month_as_known_at_its_end() -> None:
    found = {row["supplier_id"]: row for row in rows_of(supplier_performance, TABLES, CLOSED).iter_rows(named=True)}
    assert set(found) == {"SUP-1", "SUP-IDLE", "SUP-OLD", "SUP-RAW", "UNKNOWN"}
    assert found["SUP-1"] == {
        "performance_month": MONTH,
        "supplier_id": "SUP-1",
        "supplier_name": "Iyer Steel",
        "supplier_type": "Components",
        "po_count": 2,
        "spend_inr": 750,
        "spend_share_pct": 75,
        "otd_pct": None,
        # Orders 3 and 4 were due and had come, 3 on time.
        "otd_receipts_pct": 50,
        "avg_lead_days": Decimal("12.5"),
        "quality_acceptance_pct": Decimal("97.9"),
        "response_rate_pct": None,
        "overall_score": Decimal("91.25"),
        "performance_rating": "good",
        "defect_ppm": 800,
        "copq_inr": Decimal("12.5"),
        "ncr_count": 1,
        "invoiced_inr": 300,
        "match_variance_count": 1,
        "last_audit_score": 74,
        "expired_documents": 0,
        # On time 2, acceptance 1, audit 1, nonconformance 1.
        "risk_level": "high",
        # 2 orders, 2 rows of the portal, 1 of quality, 1 nonconformance, 3 invoices.
        "source_row_count": 9,
    }
    idle = found["SUP-IDLE"]
    assert (idle["po_count"], idle["spend_inr"], idle["spend_share_pct"], idle["invoiced_inr"]) == (0, 0, 0, 0)
    assert (idle["risk_level"], idle["otd_receipts_pct"], idle["source_row_count"]) == (None, None, 0)
    assert (found["SUP-OLD"]["expired_documents"], found["SUP-OLD"]["risk_level"]) == (1, "low")
    assert (found["SUP-RAW"]["supplier_name"], found["SUP-RAW"]["spend_inr"]) == (None, 250)
    assert (found["UNKNOWN"]["ncr_count"], found["UNKNOWN"]["risk_level"]) == (2, "low")


def test_a_month_that_runs_leaves_out_what_is_still_to_come() -> None:
    found = {row["supplier_id"]: row for row in rows_of(supplier_performance, TABLES, RUNNING).iter_rows(named=True)}
    assert (found["SUP-1"]["po_count"], found["SUP-1"]["spend_inr"]) == (1, 600)
    assert found["SUP-1"]["last_audit_score"] == 90
    # The licence that ends on the last of the month is still valid.
    assert found["SUP-OLD"]["expired_documents"] == 1


def test_spend_without_a_rate_is_unknown_and_so_are_all_shares() -> None:
    orders = [_order(1, MONTH, 10, currency="EUR"), _order(2, MONTH, 10, supplier_id="SUP-2")]
    rows = rows_of(supplier_performance, {"erp.purchase_orders": orders}, CLOSED)
    assert rows["spend_inr"].to_list() == [None, 10]
    assert rows["spend_share_pct"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("on_time", "accepted", "audited", "expected"),
    [(95, 99, 80, "low"), (89, 99, 80, "low"), (79, 99, 80, "medium"), (79, 97, 80, "medium"), (79, 94, None, "high")],
)
def test_risk_adds_up_points(on_time: float, accepted: float, audited: float | None, expected: str) -> None:
    scores = {"metric_id": "SPM-1", "supplier_id": "SUP-1", "metric_period": "2026-03"}
    rows = rows_of(
        supplier_performance,
        {
            "supplier.supplier_performance_metrics": [
                scores | {"ontime_delivery_pct": on_time, "quality_acceptance_pct": accepted}
            ],
            "supplier.supplier_audits": [
                {"audit_id": "AUD-1", "supplier_id": "SUP-1", "actual_date": MONTH, "audit_score": audited}
            ],
        },
        CLOSED,
    )
    assert rows["risk_level"].to_list() == [expected]
