from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

import pytest

from genims_platform.reporting.budget import PERIODS
from genims_platform.reporting.financial.budget_vs_actual import budget_vs_actual
from genims_platform.reporting.periods import Window
from genims_platform_tests.reporting.frames import Rows, rows_of

MARCH = date(2026, 3, 1)
WINDOW = Window(MARCH, date(2026, 4, 1), datetime(2026, 3, 20, 12))

ACCOUNTS = [
    {"account_id": f"ACC-{name}", "account_code": code, "account_name": name, "account_type": kind}
    for name, code, kind in (("wages", "5210", "expense"), ("sales", "4100", "revenue"), ("plant", "1500", "asset"))
]
CENTRES = [
    {"cost_center_id": "CC-1", "cost_center_code": "FAC02-PROD", "cost_center_name": "Press shop"},
    {"cost_center_id": "CC-2", "cost_center_code": "HQ-1", "cost_center_name": "Board"},
]
HEADERS = [
    {"budget_id": name, "fiscal_year": year, "budget_type": kind, "budget_version": version, "budget_status": status}
    for name, year, kind, version, status in (
        ("OLD", 2026, "operating", 1, "active"),
        ("NOW", 2026, "operating", 2, "active"),
        ("DRAFT", 2026, "operating", 3, "draft"),
        ("CAPITAL", 2026, "capital", 1, "active"),
        ("LAST", 2025, "operating", 9, "active"),
    )
]


def _line(budget: str, centre: str | None, account: str, month: int, **other: int) -> dict[str, object]:
    """The same amount in every month, but for the `other` ones."""
    amounts: dict[str, object] = {**dict.fromkeys(PERIODS, month), **other}
    return {"budget_id": budget, "cost_center_id": centre, "account_id": account} | amounts


def _posting(
    day: date, account: str, debit: str = "0", credit: str = "0", centre: str | None = "CC-1", **other: object
) -> dict[str, object]:
    amounts: dict[str, object] = {"functional_debit": Decimal(debit), "functional_credit": Decimal(credit)}
    return {"day": day, "account_id": account, "cost_center_id": centre} | amounts | other


def _rows(budget: list[dict[str, object]], posted: list[dict[str, object]]) -> dict[tuple[str, str], dict[str, object]]:
    sources: dict[str, Rows] = {
        "financial.budget_headers": HEADERS,
        "financial.budget_lines": budget,
        "financial.sums_of_year": [{"lines": 1} | posting for posting in posted],
        "financial.chart_of_accounts": ACCOUNTS,
        "financial.cost_centers": CENTRES,
    }
    rows = rows_of(budget_vs_actual, sources, WINDOW)
    return {(row["cost_center_id"], row["account_id"]): row for row in rows.iter_rows(named=True)}


def test_actual_against_the_budget_in_force() -> None:
    found = _rows(
        [
            _line("NOW", "CC-1", "ACC-wages", 60, period_03=80),
            _line("NOW", "CC-1", "ACC-wages", 40, period_03=20),
            _line("OLD", "CC-1", "ACC-wages", 999),
            _line("DRAFT", "CC-1", "ACC-wages", 999),
            _line("LAST", "CC-1", "ACC-wages", 999),
        ],
        [
            _posting(date(2026, 1, 1), "ACC-wages", debit="205"),
            _posting(date(2026, 3, 1), "ACC-wages", debit="130", credit="5"),
            _posting(date(2026, 3, 20), "ACC-wages", credit="15.50"),
        ],
    )
    assert found == {
        ("CC-1", "ACC-wages"): {
            "budget_month": MARCH,
            "cost_center_id": "CC-1",
            "account_id": "ACC-wages",
            "cost_center_name": "Press shop",
            "cost_center_type": None,
            "factory_id": "FAC-000002",
            "account_code": "5210",
            "account_name": "wages",
            "account_type": "expense",
            "budget_inr": Decimal("100.00"),
            "actual_inr": Decimal("109.50"),
            "variance_inr": Decimal("9.50"),
            "variance_pct": Decimal("9.50"),
            "is_favourable": 0,
            "ytd_budget_inr": Decimal("300.00"),
            "ytd_actual_inr": Decimal("314.50"),
            "ytd_variance_inr": Decimal("14.50"),
            "ytd_variance_pct": Decimal("4.83"),
            "annual_budget_inr": Decimal("1200.00"),
            "full_year_forecast_inr": Decimal("1258.00"),
            "status": "on_track",
            "source_row_count": 4,
        }
    }


@pytest.mark.parametrize(
    ("account", "posted", "favourable", "status"),
    [
        ("ACC-wages", {"debit": "315"}, 0, "caution"),
        ("ACC-wages", {"debit": "329.99"}, 0, "caution"),
        ("ACC-wages", {"debit": "330"}, 0, "risk"),
        ("ACC-wages", {"debit": "100"}, 1, "on_track"),
        ("ACC-sales", {"credit": "300"}, 1, "on_track"),
        ("ACC-sales", {"credit": "280"}, 0, "caution"),
        ("ACC-plant", {"debit": "900"}, None, None),
    ],
)
def test_what_is_unfavourable_depends_on_the_account(
    account: str, posted: Mapping[str, str], favourable: int | None, status: str | None
) -> None:
    budget = [_line("CAPITAL", "CC-1", account, 0, period_01=0, period_03=300)]
    row = _rows(budget, [_posting(MARCH, account, **posted)])["CC-1", account]
    assert (row["is_favourable"], row["status"]) == (favourable, status)


def test_a_line_without_amounts_was_not_entered() -> None:
    found = _rows(
        [
            _line("NOW", "CC-2", "ACC-wages", 0, annual_total=0),
            _line("NOW", None, "ACC-lost", 0, period_07=5, annual_total=5),
        ],
        [
            _posting(date(2026, 2, 1), "ACC-sales", credit="9"),  # neither budgeted nor posted to in March
            _posting(MARCH, "ACC-plant", centre="CC-9", functional_debit=None, debit_amount=5, currency_code="USD"),
        ],
    )
    assert set(found) == {("CC-2", "ACC-wages"), ("UNKNOWN", "ACC-lost"), ("CC-9", "ACC-plant")}
    not_entered, nothing_yet, unrated = (
        found["CC-2", "ACC-wages"],
        found["UNKNOWN", "ACC-lost"],
        found["CC-9", "ACC-plant"],
    )
    budgets = ("budget_inr", "ytd_budget_inr", "annual_budget_inr")
    assert [not_entered[name] for name in (*budgets, "actual_inr", "variance_pct", "status")] == [None] * 6
    assert not_entered["factory_id"] == "UNKNOWN"
    assert [nothing_yet[name] for name in (*budgets, "variance_inr")] == [0, 0, 5, None]
    assert (nothing_yet["factory_id"], nothing_yet["account_code"]) == (None, None)
    # No rate for the dollars posted.
    assert [unrated[name] for name in ("actual_inr", "ytd_actual_inr", "factory_id", "source_row_count")] == [
        *(None, None, None),
        1,
    ]
