from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.financial.accounts_payable_aging import accounts_payable_aging
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import Rows, rows_of

TODAY = date(2026, 3, 10)
WINDOW = Window(TODAY, TODAY + DAY, datetime(2026, 3, 10, 14))

RATE: dict[str, object] = {"rate_id": "1", "from_currency": "USD", "to_currency": "INR", "rate_type": "spot"}
RATES = [RATE | {"effective_date": TODAY - 10 * DAY, "exchange_rate": Decimal("0.0125"), "inverse_rate": 80}]


def _invoice(supplier: str | None, amount: str | None, overdue_days: int | None, **values: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "supplier_id": supplier,
        "total_amount": amount and Decimal(amount),
        "invoice_date": TODAY - 60 * DAY,
        "due_date": None if overdue_days is None else TODAY - overdue_days * DAY,
        "payment_status": "pending",
        "currency_code": "INR",
    }
    return usual | values


def _rows(invoices: list[dict[str, object]], rates: Rows = RATES) -> dict[str, dict[str, object]]:
    sources: dict[str, Rows] = {
        "supplier.supplier_invoices": invoices,
        "erp.suppliers": [{"supplier_id": "SUP-1", "supplier_name": "Iyer Steel", "payment_terms": "NET30"}],
        "financial.exchange_rates": rates,
    }
    rows = rows_of(accounts_payable_aging, sources, WINDOW)
    return {row["supplier_id"]: row for row in rows.iter_rows(named=True)}


def test_open_invoices_by_days_overdue() -> None:
    found = _rows(
        [
            _invoice("SUP-1", "1000", 0),
            _invoice("SUP-1", "100", -7, invoice_date=TODAY),
            _invoice("SUP-1", "200", -30),
            _invoice("SUP-1", "50", -31),
            _invoice("SUP-1", "10", 1, invoice_status="paid"),
            _invoice("SUP-1", "20", 30),
            _invoice("SUP-1", "30", 31, matching_status="variance"),
            _invoice("SUP-1", "40", 61),
            _invoice("SUP-1", "70", 91, paid_amount=Decimal(20), payment_status=None),
            _invoice("SUP-1", "999", 5, payment_status="paid", invoice_date=TODAY - 90 * DAY),
            _invoice("SUP-1", "500", 5, payment_status="paid", invoice_date=TODAY - 89 * DAY),
            _invoice("SUP-1", "999", 5, invoice_date=TODAY + DAY),
            _invoice("SUP-2", "999", 5, payment_status="paid"),
        ]
    )
    assert found == {
        "SUP-1": {
            "aging_date": TODAY,
            "supplier_id": "SUP-1",
            "supplier_name": "Iyer Steel",
            "payment_terms": "NET30",
            "open_invoice_count": 9,
            "open_amount_inr": Decimal("1500.00"),
            "not_due_inr": Decimal("1350.00"),
            "overdue_1_30_inr": Decimal("30.00"),
            "overdue_31_60_inr": Decimal("30.00"),
            "overdue_61_90_inr": Decimal("40.00"),
            "overdue_over_90_inr": Decimal("50.00"),
            "overdue_amount_inr": Decimal("150.00"),
            "overdue_pct": Decimal("10.00"),
            "oldest_overdue_days": 91,
            # (-700 - 6000 - 1550 + 10 + 600 + 930 + 2440 + 4550) / 1500
            "weighted_overdue_days": Decimal("0.1867"),
            "due_next_7d_inr": Decimal("100.00"),
            "due_next_30d_inr": Decimal("300.00"),
            "match_variance_inr": Decimal("30.00"),
            # The nine as invoiced, 1520, and a paid one.
            "invoiced_90d_inr": Decimal("2020.00"),
            "dpo_days": Decimal("66.8317"),
            "status_conflict_count": 1,
            "source_row_count": 9,
        }
    }


def test_a_currency_without_a_rate_leaves_the_amounts_that_rest_on_it_unknown() -> None:
    found = _rows(
        [
            _invoice(" ", "10", 3, currency_code="USD"),
            _invoice("SUP-9", "10", 3, currency_code="JPY"),
            _invoice("SUP-9", "70", None),
            _invoice("SUP-8", None, -2),
        ]
    )
    unknown, orphan, blank = found["UNKNOWN"], found["SUP-9"], found["SUP-8"]
    # 80 a dollar today; there was no rate yet when it was invoiced.
    assert (unknown["open_amount_inr"], unknown["invoiced_90d_inr"], unknown["dpo_days"]) == (Decimal(800), None, None)
    assert (orphan["supplier_name"], orphan["open_amount_inr"], orphan["not_due_inr"]) == (None, None, Decimal(70))
    assert (orphan["overdue_amount_inr"], orphan["overdue_31_60_inr"], orphan["overdue_pct"]) == (None, 0, None)
    assert (orphan["weighted_overdue_days"], orphan["open_invoice_count"]) == (None, 2)
    assert (blank["open_amount_inr"], blank["oldest_overdue_days"], blank["overdue_amount_inr"]) == (None, None, 0)


def test_nothing_open() -> None:
    assert _rows([], rates=[]) == {}
