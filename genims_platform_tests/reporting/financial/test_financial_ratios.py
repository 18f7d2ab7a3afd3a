import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.financial.financial_ratios import financial_ratios
from genims_platform.reporting.periods import Window
from genims_platform_tests.reporting.frames import Rows, rows_of

MARCH = date(2026, 3, 1)
LAST = date(2026, 3, 31)
WINDOW = Window(MARCH, date(2026, 4, 1), datetime(2026, 6, 1))

PROFIT = {"revenue": 1000, "cost_of_goods_sold": 700, "gross_profit": 310, "operating_expenses": 200, "net_income": 50}
BALANCE = {
    "current_assets": 900,
    "inventory": 300,
    "total_assets": 2000,
    "current_liabilities": 400,
    "total_liabilities": 1200,
    "equity": 750.5,
}
CASH = {"ending_cash": 100, "operating_cash_flow": -20}


def _statement(kind: str, ends: date, figures: Mapping[str, object], made: int = 1) -> dict[str, object]:
    return {
        "statement_id": f"{kind}-{made}",
        "statement_type": kind,
        "fiscal_year": ends.year,
        "fiscal_period": ends.month // 3,
        "end_date": ends,
        "generated_at": datetime(2026, 5, made),
        "statement_data": json.dumps(figures),
    }


def _row(sources: Mapping[str, Rows]) -> dict[str, object]:
    return rows_of(financial_ratios, sources, WINDOW).row(0, named=True)


def _figures(row: Mapping[str, object], *names: str) -> list[object]:
    return [row[name] for name in names]


def test_ratios_of_the_latest_quarter() -> None:
    row = _row(
        {
            "financial.financial_statements": [
                _statement("profit_loss", date(2026, 3, 31), PROFIT | {"revenue": 1}),
                _statement("profit_loss", date(2026, 3, 31), PROFIT, made=2),
                _statement("balance_sheet", date(2026, 3, 31), BALANCE),
                _statement("cash_flow", date(2026, 3, 31), CASH),
                _statement("cash_flow", date(2025, 12, 31), {"ending_cash": 5}, made=9),
                _statement("profit_loss", date(2026, 6, 30), {"revenue": 5}),
            ]
        }
    )
    assert row["statement_quarter"] == "2026-Q1"
    assert _figures(row, "gross_margin_pct", "operating_margin_pct", "net_margin_pct") == [30, 10, 5]
    assert _figures(row, "roa_pct", "roe_pct") == [10, Decimal("26.65")]
    liquidity = ("current_ratio", "quick_ratio", "cash_ratio", "operating_cash_ratio")
    assert _figures(row, *liquidity) == [Decimal("2.25"), Decimal("1.5"), Decimal("0.25"), Decimal("-0.05")]
    leverage = ("debt_to_equity", "equity_ratio_pct", "asset_turnover")
    assert _figures(row, *leverage) == [Decimal("1.5989"), Decimal("37.52"), 2]
    assert _figures(row, "gross_profit_gap_inr", "balance_gap_inr") == [10, Decimal("49.50")]
    assert row["source_row_count"] == 3


def test_figures_that_no_statement_gives_are_unknown() -> None:
    row = _row(
        {
            "financial.financial_statements": [
                _statement("profit_loss", date(2025, 12, 31), {"revenue": 0, "cost_of_goods_sold": "much"}),
                _statement("balance_sheet", date(2025, 9, 30), BALANCE),
            ]
        }
    )
    assert (row["statement_quarter"], row["source_row_count"]) == ("2025-Q4", 1)
    known = {name for name, value in row.items() if value is not None}
    assert known == {"ratio_month", "statement_quarter", "source_row_count"}


def test_a_month_without_any_source_has_a_row_all_the_same() -> None:
    row = _row({})
    assert {name: value for name, value in row.items() if value is not None} == {
        "ratio_month": MARCH,
        "source_row_count": 0,
    }


def _order(order_id: str, delivered: date, currency: str = "INR") -> dict[str, object]:
    return {
        "sales_order_id": order_id,
        "order_date": date(2025, 11, 1),
        "requested_delivery_date": delivered,
        "order_status": "closed",
        "currency": currency,
    }


WORKING_CAPITAL: dict[str, Rows] = {
    "erp.sales_orders": [_order("SO-1", date(2026, 1, 1)), _order("SO-2", LAST), _order("SO-3", date(2025, 12, 31))],
    "erp.sales_order_lines": [
        {"sales_order_id": f"SO-{n}", "order_quantity": 4, "unit_price": price, "material_id": "M-1"}
        for n, price in ((1, 100), (2, 50), (3, 9999))
    ],
    "erp.materials": [{"material_id": "M-1", "standard_cost": 60}],
    "erp.purchase_orders": [
        {"po_date": day, "po_status": status, "total_value": 250}
        for day, status in (
            (date(2026, 1, 1), "released"),
            (LAST, "released"),
            (LAST, "created"),
            (date(2025, 12, 31), "released"),
        )
    ],
    "reporting.accounts_payable_aging": [
        {"aging_date": date(2026, 3, 29), "supplier_id": name, "open_amount_inr": amount}
        for name, amount in (("S-1", 70), ("S-2", 30), ("S-3", None))
    ],
    "reporting.inventory_value_summary": [
        {"inventory_date": LAST, "material_id": name, "stock_value_inr": 120} for name in ("M-1", "M-2")
    ],
    "financial.receivables_by_month": [
        {"day": day, "functional_debit": debit, "functional_credit": credit}
        for day, debit, credit in ((date(2025, 1, 1), 500, 0), (LAST, 100, 200))
    ],
}


def test_working_capital_turns_over_in_days() -> None:
    row = _row(WORKING_CAPITAL)
    assert _figures(row, "accounts_payable_inr", "inventory_value_inr") == [100, 240]
    # 400 of 600 sold, 100 of 500 ordered, 240 of 480 at cost: in 90 days each.
    assert _figures(row, "dso_days", "dpo_days", "dio_days", "cash_conversion_days") == [60, 18, 45, 87]


def test_revenue_without_a_rate_makes_dso_unknown_and_nothing_else() -> None:
    row = _row(WORKING_CAPITAL | {"erp.sales_orders": [_order("SO-1", LAST, "USD"), _order("SO-2", LAST)]})
    columns = ("dso_days", "dpo_days", "dio_days", "cash_conversion_days")
    assert _figures(row, *columns) == [None, 18, 45, None]


def test_no_snapshot_was_kept() -> None:
    row = _row({**WORKING_CAPITAL, "reporting.accounts_payable_aging": []})
    assert _figures(row, "accounts_payable_inr", "dpo_days", "dso_days", "cash_conversion_days") == [
        None,
        None,
        60,
        None,
    ]
