from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.periods import Window
from genims_platform.reporting.sales.customer_service_summary import customer_service_summary
from genims_platform_tests.reporting.frames import MONDAY, TUESDAY, at, rows_of

WEDNESDAY = date(2026, 3, 4)
NOON = datetime(2026, 3, 4, 12)
THREE_DAYS = Window(MONDAY, date(2026, 3, 5), as_of=NOON)


def _ticket(ticket_id: str, created: datetime | None, account: str = "ACC-1", **values: object) -> dict[str, object]:
    usual = {"escalation_level": 0, "reopened_count": 0, "priority": "low", "ticket_type": "incident"}
    return usual | {"ticket_id": ticket_id, "account_id": account, "created_at": created} | values


TABLES = {
    "service.service_tickets": [
        _ticket(
            "T-1",
            at(MONDAY, 8),
            first_response_datetime=at(MONDAY, 9),
            response_due_datetime=at(MONDAY, 9),
            resolved_datetime=at(TUESDAY, 8),
            resolution_due_datetime=at(TUESDAY, 8),
            closed_datetime=at(WEDNESDAY, 8),
            csat_rating=4,
            priority="urgent",
        ),
        _ticket(
            "T-2",
            at(MONDAY, 10),
            first_response_datetime=at(TUESDAY, 10),
            response_due_datetime=at(MONDAY, 14),
            resolved_datetime=at(TUESDAY, 20),
            resolution_due_datetime=at(TUESDAY, 19),
            csat_rating=1,
            escalation_level=2,
            reopened_count=3,
            ticket_type="complaint",
        ),
        # Neither answered nor due: no verdict yet. Its resolution of this evening is still to come.
        _ticket(
            "T-3",
            at(TUESDAY, 23),
            response_due_datetime=at(WEDNESDAY, 13),
            resolution_due_datetime=at(WEDNESDAY, 11),
            resolved_datetime=at(WEDNESDAY, 18),
        ),
        _ticket("T-4", at(TUESDAY, 22), response_due_datetime=at(WEDNESDAY, 1), priority="critical"),
        _ticket("T-5", at(WEDNESDAY, 13)),
        # Closed without being resolved; of an account without customer.
        _ticket("T-6", at(date(2026, 2, 1), 9), "ACC-9", closed_datetime=at(TUESDAY, 6)),
        _ticket("T-7", None, " ", resolved_datetime=at(TUESDAY, 7)),
    ],
    "service.warranty_claims": [
        {"claim_date": TUESDAY, "ticket_id": "T-6", "total_claim_amount": Decimal("100.25")},
        {"claim_date": TUESDAY, "ticket_id": "T-6", "total_claim_amount": None},
        {"claim_date": MONDAY, "ticket_id": "T-2", "total_claim_amount": None},
        {"claim_date": MONDAY, "ticket_id": "T-LOST", "total_claim_amount": Decimal("7.00")},
    ],
    "crm.accounts": [
        {"account_id": "ACC-1", "customer_id": "CUST-1"},
        {"account_id": "ACC-9", "customer_id": ""},
    ],
    "master.customers": [{"customer_id": "CUST-1", "customer_name": "Great Lakes"}],
}


def test_a_day_of_tickets() -> None:
    rows = rows_of(customer_service_summary, TABLES, THREE_DAYS)
    found = {(row["service_date"], row["customer_id"]): row for row in rows.iter_rows(named=True)}
    assert set(found) == {
        (MONDAY, "CUST-1"),
        (MONDAY, "ACC-9"),
        (TUESDAY, "CUST-1"),
        (TUESDAY, "ACC-9"),
        (TUESDAY, "UNKNOWN"),
        (WEDNESDAY, "CUST-1"),
    }
    assert found[TUESDAY, "CUST-1"] == {
        "service_date": TUESDAY,
        "customer_id": "CUST-1",
        "customer_name": "Great Lakes",
        "tickets_created": 2,
        "tickets_resolved": 2,
        "tickets_closed": 0,
        "backlog_open": 2,
        "backlog_overdue": 0,
        "response_sla_met_pct": Decimal("0.00"),
        "resolution_sla_met_pct": Decimal("50.00"),
        "avg_first_response_minutes": None,
        "avg_resolution_minutes": Decimal("1740.00"),
        "p90_resolution_minutes": Decimal("1980.00"),
        "escalated_count": 0,
        "reopened_count": 0,
        "fcr_pct": Decimal("50.00"),
        "urgent_created": 1,
        "complaints_created": 0,
        "csat_responses": 2,
        "csat_avg": Decimal("2.50"),
        "csat_satisfied_pct": Decimal("50.00"),
        "warranty_claims": 0,
        "warranty_amount_inr": None,
        "source_row_count": 4,
    }
    monday = found[MONDAY, "CUST-1"]
    assert (monday["response_sla_met_pct"], monday["avg_first_response_minutes"]) == (Decimal(50), Decimal(750))
    assert [monday[name] for name in ("escalated_count", "reopened_count", "urgent_created")] == [1, 3, 1]
    assert (monday["complaints_created"], monday["warranty_claims"], monday["warranty_amount_inr"]) == (1, 1, None)
    assert (monday["fcr_pct"], monday["csat_avg"], monday["resolution_sla_met_pct"]) == (None, None, None)
    account, unknown = found[TUESDAY, "ACC-9"], found[TUESDAY, "UNKNOWN"]
    assert (account["tickets_closed"], account["backlog_open"], account["customer_name"]) == (1, 0, None)
    assert (account["warranty_claims"], account["warranty_amount_inr"]) == (2, Decimal("100.25"))
    assert (unknown["tickets_resolved"], unknown["avg_resolution_minutes"], unknown["source_row_count"]) == (1, None, 1)


def test_backlog_rolls_forward_up_to_the_run() -> None:
    rows = rows_of(customer_service_summary, TABLES, THREE_DAYS).filter(customer_id="CUST-1")
    assert rows["backlog_open"].to_list() == [2, 2, 2]
    assert rows["tickets_created"].to_list() == [2, 2, 0]
    # At noon of Wednesday one ticket is overdue; at the end of Tuesday it was not.
    assert rows["backlog_overdue"].to_list() == [0, 0, 1]


def test_days_alone_equal_days_together() -> None:
    together = rows_of(customer_service_summary, TABLES, THREE_DAYS)
    for day in THREE_DAYS.days:
        alone = rows_of(customer_service_summary, TABLES, Window(day, date(2026, 3, day.day + 1), as_of=NOON))
        assert alone.equals(together.filter(service_date=day)), day
