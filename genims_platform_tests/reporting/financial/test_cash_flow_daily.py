from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.financial.cash_flow_daily import cash_flow_daily
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import Rows, rows_of

FIRST = date(2026, 3, 29)
MONTHS_END = date(2026, 3, 31)
WINDOW = Window(FIRST, date(2026, 4, 1), datetime(2026, 3, 31, 18))

RATES: Rows = [
    {
        "rate_id": "1",
        "from_currency": "USD",
        "to_currency": "INR",
        "rate_type": "spot",
        "effective_date": FIRST - DAY,
        "exchange_rate": 80,
        "inverse_rate": Decimal("0.0125"),
    }
]


def _order(order_id: str, requested: date, customer: str = "C-30", **values: object) -> dict[str, object]:
    usual: dict[str, object] = {"order_date": date(2026, 1, 1), "order_status": "closed", "total_value": 100}
    return usual | {"sales_order_id": order_id, "requested_delivery_date": requested, "customer_id": customer} | values


FIRST_ORDER = _order("SO-0", date(2026, 1, 1), order_status="cancelled")


def _rows(sources: Mapping[str, Rows], window: Window = WINDOW) -> dict[date, dict[str, object]]:
    usual: dict[str, Rows] = {
        "erp.sales_orders": [FIRST_ORDER],
        "master.customers": [
            {"customer_id": "C-30", "payment_terms_days": 30},
            {"customer_id": "C-60", "payment_terms_days": 60},
            {"customer_id": "C-121", "payment_terms_days": 121},
        ],
        "financial.exchange_rates": RATES,
    }
    rows = rows_of(cash_flow_daily, usual | dict(sources), window)
    return {row["cash_flow_date"]: row for row in rows.iter_rows(named=True)}


def _posted(sums: list[tuple[date, int, int, str]]) -> dict[str, Rows]:
    columns = ("day", "debit_amount", "credit_amount", "currency_code")
    return {"financial.cash_by_day": [dict(zip(columns, values, strict=True)) for values in sums]}


def test_a_day_without_events() -> None:
    row = _rows({})[FIRST]
    unknown = {name for name, value in row.items() if value is None}
    assert unknown == {
        "ledger_receipts_inr",
        "ledger_payments_inr",
        "net_cash_flow_inr",
        "cash_position_inr",
        "supplier_paid_inr",
        "statement_ending_cash_inr",
    }
    assert {value for name, value in row.items() if name not in unknown and name != "cash_flow_date"} == {0}


def test_days_begin_with_the_first_order() -> None:
    late = FIRST_ORDER | {"order_date": MONTHS_END}
    assert set(_rows({"erp.sales_orders": [late]})) == {MONTHS_END}
    assert _rows({"erp.sales_orders": []}) == {}


def test_the_balance_runs_on_over_all_postings() -> None:
    found = _rows(
        _posted(
            [
                (date(2025, 6, 1), 1000, 0, "INR"),
                (FIRST, 0, 300, "INR"),
                (FIRST, 50, 0, "INR"),
                (MONTHS_END, 5, 0, "JPY"),
            ]
        )
    )
    columns = ("ledger_receipts_inr", "ledger_payments_inr", "net_cash_flow_inr", "cash_position_inr")
    assert [[row[name] for name in columns] for row in found.values()] == [
        [50, 300, -250, 750],
        [None, None, None, 750],
        [None, 0, None, None],  # no rate for the yen
    ]


def test_orders_fall_due_after_the_terms_of_their_customer() -> None:
    orders = [
        FIRST_ORDER,
        _order("SO-1", MONTHS_END - 30 * DAY),  # never shipped: due on the last day
        _order("SO-2", date(2026, 1, 2), order_status="delivered", total_value=20),  # delivered on the 30th
        _order("SO-3", MONTHS_END - 59 * DAY, "C-60", total_value=7),  # due tomorrow
        _order("SO-4", MONTHS_END - 29 * DAY, "C-60", total_value=3),  # due in 31 days
        _order("SO-5", MONTHS_END - 30 * DAY, total_value=1000, order_status="open"),
        _order("SO-6", MONTHS_END - 30 * DAY, "C-LOST", total_value=1000),
        _order("SO-7", MONTHS_END - 100 * DAY, "C-121", total_value=1000),
    ]
    found = _rows(
        {
            "erp.sales_orders": orders,
            "tms.shipments": [
                {
                    "shipment_id": "S-1",
                    "sales_order_id": "SO-2",
                    "ship_date": FIRST,
                    "actual_delivery_date": FIRST + DAY,
                }
            ],
        }
    )
    assert [row["receipts_due_inr"] for row in found.values()] == [0, 0, 100]
    assert [row["receipts_due_next_30d_inr"] for row in found.values()] == [107, 127, 27]
    assert [row["source_row_count"] for row in found.values()] == [0, 0, 1]
    assert found[MONTHS_END]["expected_net_inr"] == 100


def _invoice(number: int, received: date | None, due: date | None, amount: int, **values: object) -> dict[str, object]:
    return {"invoice_id": f"I-{number}", "invoice_date": received, "due_date": due, "total_amount": amount} | values


def test_supplier_invoices_count_when_received_due_and_paid() -> None:
    found = _rows(
        {
            "supplier.supplier_invoices": [
                _invoice(1, FIRST, MONTHS_END + 30 * DAY, 100),
                _invoice(2, FIRST + DAY, FIRST + DAY, 20, paid_date=FIRST + DAY, paid_amount=15),
                _invoice(3, None, MONTHS_END, 7, currency_code="INR"),
                _invoice(4, FIRST - 90 * DAY, MONTHS_END, 3, paid_date=FIRST),
                _invoice(5, FIRST, FIRST + DAY, 2, currency_code="USD", paid_date=FIRST, paid_amount=1),
                _invoice(6, FIRST, FIRST + DAY, 1, currency_code="JPY"),
            ]
        }
    )
    columns = ("invoiced_inr", "supplier_due_inr", "supplier_due_next_30d_inr", "supplier_paid_inr", "source_row_count")
    assert [[row[name] for name in columns] for row in found.values()] == [
        [260, 0, 163, 80, 4],
        [20, 180, 3, 15, 3],
        [0, 10, 100, None, 2],
    ]


def test_other_movements_and_what_is_expected_net() -> None:
    freight: dict[str, object] = {"paid": True, "payment_date": FIRST, "currency": "USD"}
    refund: dict[str, object] = {"refund_processed": True, "created_at": datetime(2026, 3, 29, 9), "refund_amount": 9}
    found = _rows(
        {
            "tms.freight_invoices": [
                freight | {"total_amount": Decimal("1.50")},
                freight | {"total_amount": 1, "paid": False},
                freight | {"total_amount": 100, "currency": "INR"},
                freight | {"total_amount": 1, "currency": "JPY", "payment_date": FIRST + DAY},
            ],
            "tms.return_orders": [
                refund,
                refund | {"refund_processed": False},
                refund | {"created_at": datetime(2026, 3, 31, 19)},
            ],
            "hcm.employees": [
                {"hire_date": hired, "termination_date": left, "annual_salary": 1200}
                for hired, left in (
                    (MONTHS_END, None),
                    (date(2020, 1, 1), MONTHS_END + DAY),
                    (date(2020, 1, 1), MONTHS_END),
                    (MONTHS_END + DAY, None),
                )
            ],
            "erp.purchase_order_lines": [
                {"purchase_order_id": order, "order_quantity": 3, "unit_price": Decimal("2.5"), "delivery_date": FIRST}
                | {"deletion_indicator": deleted}
                for order, deleted in (("PO-1", False), ("PO-1", True), ("PO-LOST", None))
            ],
            "erp.purchase_orders": [{"purchase_order_id": "PO-1", "currency": "USD"}],
            "financial.financial_statements": [
                {
                    "statement_id": name,
                    "statement_type": kind,
                    "end_date": MONTHS_END,
                    "generated_at": datetime(2026, 4, hour),
                    "statement_data": data,
                }
                for name, kind, hour, data in (
                    ("F-1", "cash_flow", 9, '{"ending_cash": 12.5}'),
                    ("F-2", "cash_flow", 8, '{"ending_cash": 99}'),
                    ("F-3", "balance_sheet", 10, '{"ending_cash": 77}'),
                )
            ],
        }
    )
    first, second, last = found.values()
    assert (first["freight_paid_usd"], first["freight_paid_inr"]) == (Decimal("1.50"), 220)
    assert (first["refunds_inr"], first["expected_net_inr"], first["source_row_count"]) == (9, -229, 3)
    assert first["po_deliveries_value_inr"] == Decimal("607.50")
    assert (second["freight_paid_inr"], second["expected_net_inr"]) == (None, None)
    assert (last["payroll_due_inr"], last["refunds_inr"], last["expected_net_inr"]) == (200, 0, -200)
    assert last["statement_ending_cash_inr"] == Decimal("12.50")
    assert (first["payroll_due_inr"], first["statement_ending_cash_inr"]) == (0, None)
