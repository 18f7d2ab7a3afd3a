from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.periods import Window
from genims_platform.reporting.sales.sales_pipeline_summary import sales_pipeline_summary
from genims_platform_tests.reporting.frames import rows_of

TODAY = date(2026, 3, 31)
WINDOW = Window(TODAY, date(2026, 4, 1), as_of=datetime(2026, 3, 31, 9))


def _opportunity(stage: str | None, amount: str, created: datetime, close: date, **values: object) -> dict[str, object]:
    usual = {"account_id": "ACC-1", "probability_pct": 40}
    return usual | {"stage": stage, "amount": Decimal(amount), "created_at": created, "close_date": close} | values


def _lead(number: str, **values: object) -> dict[str, object]:
    return {"lead_status": "new", "lead_number": number, "lead_score": 69} | values


def _quotation(status: str, amount: str, **values: object) -> dict[str, object]:
    usual = {"account_id": "ACC-1", "quotation_date": date(2026, 3, 1), "valid_until_date": date(2026, 3, 30)}
    return usual | {"quotation_status": status, "total_amount": Decimal(amount), "currency": "INR"} | values


def test_present_pipeline() -> None:
    rows = rows_of(
        sales_pipeline_summary,
        {
            "crm.opportunities": [
                _opportunity("proposal", "1000.00", datetime(2026, 3, 1, 23), date(2026, 3, 30)),
                _opportunity("proposal", "500.00", datetime(2026, 3, 2), TODAY, account_id="ACC-2"),
                _opportunity("proposal", "250.00", datetime(2026, 3, 31, 8), date(2026, 4, 29), probability_pct=None),
                _opportunity("proposal", "70.00", datetime(2026, 2, 1), date(2026, 4, 30)),
                _opportunity("closed_won", "9.00", datetime(2026, 2, 1), date(2026, 3, 1)),
                _opportunity(" ", "8.00", datetime(2026, 2, 1), date(2026, 3, 1), account_id="", probability_pct=None),
            ],
            "crm.leads": [
                _lead("LEAD-20260301-000001", estimated_deal_value=Decimal("20.50"), lead_score=70),
                _lead("LEAD-20261331-000002", lead_score=None),
                _lead("X-1", lead_status="unqualified"),
            ],
            "crm.quotations": [
                _quotation("sent", "100.00", valid_until_date=TODAY),
                _quotation("sent", "2.00", currency="USD"),
                _quotation("accepted", "300.00", valid_until_date=TODAY, converted=True),
                _quotation("rejected", "40.00"),
                _quotation("rejected", "1.00", currency="USD", quotation_date=date(2026, 1, 15)),
            ],
            "financial.exchange_rates": [
                {"from_currency": "USD", "to_currency": "INR", "rate_type": "spot"}
                | {"effective_date": date(2026, 2, 20), "inverse_rate": Decimal("83.50"), "exchange_rate": None}
            ],
        },
        WINDOW,
    )
    found = {(row["record_type"], row["stage"]): row for row in rows.iter_rows(named=True)}
    assert found["opportunity", "proposal"] == {
        "pipeline_date": TODAY,
        "record_type": "opportunity",
        "stage": "proposal",
        "is_open": 1,
        "record_count": 4,
        "account_count": 2,
        "amount_inr": Decimal("1820.00"),
        "avg_amount_inr": Decimal("455.00"),
        "reported_weighted_inr": Decimal("628.00"),
        "stage_weighted_inr": Decimal("910.00"),
        "avg_age_days": Decimal("29.2500"),
        "oldest_age_days": 58,
        "new_30d_count": 2,
        "overdue_close_count": 1,
        "closing_30d_amount_inr": Decimal("750.00"),
        "hot_lead_count": 0,
        "source_row_count": 4,
    }
    won, unnamed = found["opportunity", "closed_won"], found["opportunity", "UNKNOWN"]
    assert (won["is_open"], won["overdue_close_count"], won["stage_weighted_inr"]) == (0, 0, Decimal("9.00"))
    assert (unnamed["is_open"], unnamed["overdue_close_count"]) == (1, 1)
    assert [unnamed[name] for name in ("account_count", "reported_weighted_inr", "stage_weighted_inr")] == [None] * 3

    new, unqualified = found["lead", "new"], found["lead", "unqualified"]
    assert (new["record_count"], new["hot_lead_count"], new["amount_inr"]) == (2, 1, Decimal("20.50"))
    assert (new["avg_age_days"], new["oldest_age_days"], new["new_30d_count"]) == (Decimal("30.0000"), 30, 0)
    assert (new["account_count"], new["reported_weighted_inr"], new["stage_weighted_inr"]) == (None, None, None)
    assert (unqualified["is_open"], unqualified["amount_inr"], unqualified["avg_amount_inr"]) == (0, None, None)
    assert (unqualified["avg_age_days"], unqualified["closing_30d_amount_inr"]) == (None, Decimal("0.00"))

    sent, rejected = found["quotation", "sent"], found["quotation", "rejected"]
    assert (sent["is_open"], sent["amount_inr"], sent["account_count"]) == (1, Decimal("267.00"), 1)
    # One of the two amounts has no rate: the rest of the sum would be no total.
    assert (rejected["is_open"], rejected["amount_inr"], rejected["record_count"]) == (0, None, 2)
    assert found["quotation", "accepted"]["is_open"] == 0
    assert len(found) == 8


def test_nothing_in_the_pipeline() -> None:
    assert rows_of(sales_pipeline_summary, {}, WINDOW).is_empty()
