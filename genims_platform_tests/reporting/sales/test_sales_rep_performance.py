from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.periods import Window
from genims_platform.reporting.sales.sales_rep_performance import sales_rep_performance
from genims_platform_tests.reporting.frames import Rows, rows_of

MARCH = date(2026, 3, 1)
WINDOW = Window(MARCH, date(2026, 4, 1), datetime(2026, 3, 20, 14))


def _order(order_id: str, customer: str | None, ordered: date, net: int, **values: object) -> dict[str, object]:
    return {"sales_order_id": order_id, "customer_id": customer, "order_date": ordered, "total_net_value": net} | values


def _opportunity(
    number: int, owner: str | None, stage: str, closes: date, created: datetime, amount: int | None = 100
) -> dict[str, object]:
    deal: dict[str, object] = {"opportunity_id": f"O-{number}", "opportunity_owner": owner, "stage": stage}
    return deal | {"account_id": "A-1", "close_date": closes, "created_at": created, "amount": amount}


def _quota(forecast_id: str, quarter: int, amount: int, **values: object) -> dict[str, object]:
    quota = {"forecast_id": forecast_id, "forecast_period": "quarterly", "forecast_year": 2026}
    return quota | {"sales_rep_id": "R-1", "forecast_quarter": quarter, "quota_amount": amount} | values


SOURCES: dict[str, Rows] = {
    "crm.sales_reps": [
        {"sales_rep_id": "R-1", "rep_code": "ONE", "sales_role": "AE", "territory_id": "T-1", "win_rate_pct": 40},
        {"sales_rep_id": "R-2", "rep_code": "TWO"},
    ],
    "crm.accounts": [
        {"account_id": "A-1", "customer_id": "C-1", "account_owner": "R-1"},
        {"account_id": "A-2", "customer_id": "C-1", "account_owner": "R-2"},
        {"account_id": "A-3", "customer_id": "C-2", "account_owner": "R-GONE"},
        {"account_id": "A-4", "customer_id": None, "account_owner": "R-1"},
    ],
    "erp.sales_orders": [
        _order("SO-1", "C-1", date(2026, 3, 1), 900),
        _order("SO-2", "C-1", date(2026, 3, 20), 100),
        _order("SO-3", "C-1", date(2026, 1, 1), 500),
        _order("SO-4", "C-1", date(2025, 12, 31), 70),
        _order("SO-5", "C-1", date(2026, 3, 21), 70),
        _order("SO-6", "C-1", date(2026, 3, 2), 70, currency="USD"),
        _order("SO-7", "C-2", date(2026, 2, 2), 30),
        _order("SO-8", None, date(2026, 3, 2), 11),
    ],
    "crm.opportunities": [
        _opportunity(1, "R-1", "closed_won", date(2026, 3, 20), datetime(2026, 3, 1), 600),
        _opportunity(2, None, "closed_won", date(2026, 3, 1), datetime(2026, 1, 1), 200),
        _opportunity(3, "R-1", "closed_lost", date(2026, 3, 5), datetime(2026, 1, 1)),
        _opportunity(4, "R-1", "closed_won", date(2026, 3, 25), datetime(2026, 1, 1)),
        _opportunity(5, "R-1", "proposal", date(2026, 3, 10), datetime(2026, 3, 20, 13), None),
        _opportunity(6, "R-1", "proposal", date(2026, 3, 10), datetime(2026, 3, 20, 15)),
        _opportunity(7, "R-2", "prospecting", date(2026, 3, 10), datetime(2026, 1, 1)),
    ],
    "crm.sales_forecasts": [
        _quota("F-2", 1, 999999),
        _quota("F-1", 1, 4000),
        _quota("F-3", 1, 7, forecast_year=2025),
        _quota("F-4", 1, 7, forecast_period="annual"),
        _quota("F-5", 2, 7),
    ],
}


def test_bookings_and_deals_against_quota() -> None:
    rows = {row["sales_rep_id"]: row for row in rows_of(sales_rep_performance, SOURCES, WINDOW).iter_rows(named=True)}
    assert list(rows) == ["R-1", "R-2", "R-GONE", "UNKNOWN"]
    assert rows["R-1"] == {
        "performance_month": MARCH,
        "sales_rep_id": "R-1",
        "rep_code": "ONE",
        "sales_role": "AE",
        "territory_id": "T-1",
        "account_count": 2,
        "order_count": 3,
        "booked_revenue_inr": Decimal("1000.00"),
        "quota_month_inr": Decimal("1333.33"),
        "quota_attainment_pct": Decimal("75.00"),
        "ytd_revenue_inr": Decimal("1500.00"),
        "ytd_quota_inr": Decimal("4000.00"),
        "ytd_attainment_pct": Decimal("37.50"),
        "opp_created_count": 2,
        "opp_created_amount_inr": Decimal("600.00"),
        "opp_won_count": 2,
        "opp_won_amount_inr": Decimal("800.00"),
        "opp_lost_count": 1,
        "win_rate_pct": Decimal("66.67"),
        "avg_deal_inr": Decimal("400.00"),
        "reported_win_rate_pct": Decimal("40.00"),
        "source_row_count": 7,
    }
    idle = rows["R-2"]
    assert (idle["account_count"], idle["order_count"], idle["booked_revenue_inr"]) == (1, 0, Decimal("0.00"))
    assert (idle["win_rate_pct"], idle["avg_deal_inr"], idle["quota_attainment_pct"]) == (None, None, None)
    gone, nobody = rows["R-GONE"], rows["UNKNOWN"]
    assert (gone["rep_code"], gone["order_count"], gone["ytd_revenue_inr"]) == (None, 0, Decimal("30.00"))
    assert (nobody["order_count"], nobody["booked_revenue_inr"], nobody["account_count"]) == (1, Decimal("11.00"), 0)


def test_the_second_quarter_adds_its_months_to_the_quota() -> None:
    may = Window(date(2026, 5, 1), date(2026, 6, 1), datetime(2026, 7, 1))
    quotas = [_quota("F-1", 1, 3000), _quota("F-2", 2, 4500), _quota("F-3", 3, 9)]
    rows = rows_of(
        sales_rep_performance, {"crm.sales_reps": [{"sales_rep_id": "R-1"}], "crm.sales_forecasts": quotas}, may
    )
    assert rows.select("quota_month_inr", "ytd_quota_inr").row(0) == (Decimal("1500.00"), Decimal("6000.00"))
    assert rows.select("quota_attainment_pct", "booked_revenue_inr").row(0) == (Decimal("0.00"), Decimal("0.00"))
