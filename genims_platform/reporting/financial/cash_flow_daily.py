"""cash_flow_daily: what cash is due in and out, and what moved."""

from datetime import timedelta
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expectation, Identity, Reconciliation, sql
from genims_platform.reporting.exchange import inr, total_inr, with_inr_rate
from genims_platform.reporting.financial.cash_calendar import due_calendar
from genims_platform.reporting.inr_check import in_inr
from genims_platform.reporting.ledger import summed_postings, sums_of_accounts, total_posted
from genims_platform.reporting.order_lines import EXACT
from genims_platform.reporting.periods import Window
from genims_platform.reporting.purchase_orders import standing_lines
from genims_platform.reporting.recognition import (
    candidate_orders,
    candidate_proofs,
    candidate_shipments,
    linked_revenue_dates,
    recognised_orders,
)
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between, Earliest, KeyIn

_LONGEST_TERMS = 120
_TERMS = timedelta(days=_LONGEST_TERMS)
_AHEAD = timedelta(days=30)
_FIRST_CASH_ACCOUNT, _LAST_CASH_ACCOUNT = "1110", "1139"
_DUE_AMOUNTS = (
    "receipts_due_inr",
    "invoiced_inr",
    "supplier_due_inr",
    "freight_paid_usd",
    "payroll_due_inr",
    "refunds_inr",
    "po_deliveries_value_inr",
    "supplier_due_next_30d_inr",
    "receipts_due_next_30d_inr",
)

_DAYS = sql(
    "erp",
    """
    SELECT day::date AS cash_flow_date
    FROM generate_series(%(first_day)s::date, %(last_day)s::date, interval '1 day') AS day
    WHERE day >= (SELECT min(order_date) FROM sales_orders)
    """,
)
_DUE = sql(
    "supplier",
    """
    SELECT due_date AS cash_flow_date, currency_code AS currency,
      CASE WHEN currency_code <> 'INR' THEN invoice_date END AS rate_day, SUM(total_amount) AS amount
    FROM supplier_invoices
    WHERE due_date BETWEEN %(first_day)s AND %(last_day)s
    GROUP BY 1, 2, 3
    """,
)
_FREIGHT = sql(
    "tms",
    """
    SELECT payment_date AS cash_flow_date, SUM(total_amount) AS freight_paid_usd
    FROM freight_invoices
    WHERE paid AND currency = 'USD' AND payment_date BETWEEN %(first_day)s AND %(last_day)s
    GROUP BY 1
    """,
)
_UNKNOWN_TERMS = sql(
    "master",
    f"SELECT COUNT(*) FROM customers WHERE payment_terms_days IS NULL OR payment_terms_days > {_LONGEST_TERMS}",  # noqa: S608
)


def _supplier_due(sources: Sources, window: Window) -> pl.DataFrame:
    amounts = in_inr(sources, _DUE(sources, window), ["cash_flow_date", "currency", "rate_day"])
    return amounts.group_by("cash_flow_date").agg(supplier_due_inr=pl.col("amount").sum())


def _without_rate(sources: Sources, window: Window) -> pl.DataFrame:
    """How many amounts of supplier invoices due in the window cannot be converted."""
    amounts = in_inr(sources, _DUE(sources, window), ["cash_flow_date", "currency", "rate_day"])
    return amounts.select(pl.col("amount").null_count())


_LINKED_INVOICES = sql(
    "supplier",
    """
    SELECT unnest(ARRAY[due_date, paid_date]) AS day
    FROM supplier_invoices
    WHERE invoice_date >= %(start)s AND invoice_date < %(end)s
    """,
)
_LINKED_STATEMENTS = sql(
    "financial",
    """
    SELECT end_date AS day FROM financial_statements
    WHERE statement_type = 'cash_flow' AND generated_at >= %(start)s AND generated_at < %(end)s
    """,
)
_TERMS_IN_USE = sql("master", "SELECT DISTINCT payment_terms_days AS terms FROM customers")


def _linked_days(sources: Sources, window: Window) -> pl.DataFrame:
    """Days that invoices and statements of the window name, and those on which its orders are or were receivable."""
    revenue, terms = linked_revenue_dates(sources, window), _TERMS_IN_USE(sources, window)
    days = [
        frame.select(pl.col("day").cast(pl.Date))
        for link in (_LINKED_INVOICES, _LINKED_STATEMENTS)
        if (frame := link(sources, window)).height
    ]
    if revenue.height and terms.height:
        days.append(_receivable(revenue, terms.filter(pl.col("terms").is_between(0, _LONGEST_TERMS))))
    return pl.concat(days).drop_nulls().unique() if days else pl.DataFrame(schema={"day": pl.Date})


def _receivable(revenue: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """The days on which an order of a revenue date falls due, or is known to fall due within 30 days."""
    day, due = pl.col("day"), pl.col("day") + pl.duration(days=pl.col("terms"))
    return (
        revenue.join(terms, how="cross")
        .select(day=pl.date_ranges(pl.max_horizontal(day, due - _AHEAD), due))
        .explode("day")
    )


_CHECKS = Checks(
    rows=_DAYS,
    reconcile=(Reconciliation("due_vs_supplier", _supplier_due), Reconciliation("freight_paid_vs_tms", _FREIGHT)),
    identities=(
        Identity(
            "net cash flow = receipts - payments",
            pl.col("net_cash_flow_inr") - (pl.col("ledger_receipts_inr") - pl.col("ledger_payments_inr")),
            tolerance=0.01,
        ),
        Identity(
            "expected net = receipts due - supplier due - freight - payroll due - refunds",
            pl.col("expected_net_inr")
            - pl.col("receipts_due_inr")
            + pl.sum_horizontal(
                "supplier_due_inr", "freight_paid_inr", "payroll_due_inr", "refunds_inr", ignore_nulls=False
            ),
            tolerance=0.03,  # six columns, each rounded by up to 0.005
        ),
    ),
    warnings=(Expectation("fx_missing", pl.col("freight_paid_inr").is_not_null()),),
    left_out={
        "supplier invoices without an exchange rate": _without_rate,
        "customers whose payment terms are unknown or over 120 days": _UNKNOWN_TERMS,
    },
)


@reporting_table(group="financial", recompute=1, horizon=35, rolling_days=366, touched=_linked_days, checks=_CHECKS)
def cash_flow_daily(
    *,
    window: Window,
    orders: Annotated[pl.LazyFrame, Read("erp.sales_orders", candidate_orders(_TERMS))],
    first_orders: Annotated[pl.LazyFrame, Read("erp.sales_orders", Earliest("sales_orders", "order_date"))],
    shipments: Annotated[pl.LazyFrame, Read("tms.shipments", candidate_shipments(_TERMS))],
    proofs: Annotated[pl.LazyFrame, Read("tms.proof_of_delivery", candidate_proofs(_TERMS))],
    customers: Annotated[pl.LazyFrame, Read("master.customers")],
    invoices: Annotated[
        pl.LazyFrame,
        Read(
            "supplier.supplier_invoices",
            Between("invoice_date") | Between("due_date", after=_AHEAD) | Between("paid_date"),
        ),
    ],
    freight_invoices: Annotated[pl.LazyFrame, Read("tms.freight_invoices", Between("payment_date"))],
    returns: Annotated[pl.LazyFrame, Read("tms.return_orders", Between("created_at"))],
    employees: Annotated[pl.LazyFrame, Read("hcm.employees")],
    purchase_lines: Annotated[pl.LazyFrame, Read("erp.purchase_order_lines", Between("delivery_date"))],
    purchase_orders: Annotated[
        pl.LazyFrame,
        Read(
            "erp.purchase_orders",
            KeyIn("purchase_order_id", "purchase_order_lines", "purchase_order_id", Between("delivery_date")),
        ),
    ],
    cash: Annotated[pl.LazyFrame, sums_of_accounts("cash_by_day", _FIRST_CASH_ACCOUNT, _LAST_CASH_ACCOUNT, by="day")],
    statements: Annotated[pl.LazyFrame, Read("financial.financial_statements", Between("end_date"))],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """Cash of the group, direct method (IAS 7); one row a calendar day from the first sales order on, in INR.

    Ledger columns are what moved on the cash and bank accounts (1110 to 1139), and their balance; NULL without a
    posting. The others are what operations expect: recognised orders (with tax) on their revenue date plus the
    customer's payment terms of at most 120 days, supplier invoices on their due date, paid or not, freight on its
    payment date, a twelfth of the salaries of those employed on the last day of a month, refunds when the return was
    opened. Commitments to suppliers count on the delivery date of the order line. `_next_30d` is known by that day and
    due in the 30 days after it. Amounts without an exchange rate are left out, but freight without one is NULL.
    """
    first_order = first_orders.select(first_order=pl.col("order_date").min())
    days = (
        pl.LazyFrame({"day": window.days}, schema={"day": pl.Date})
        .filter(pl.col("day") <= window.last_day)
        .join(first_order, how="cross")
        .filter(pl.col("day") >= pl.col("first_order"))
        .select("day")
    )
    receivables = _receivables(recognised_orders(orders, shipments, proofs, window), customers, rates)
    ledger = _cash(summed_postings(cash, rates))
    movements = [
        due_calendar(receivables).select("day", receipts_due_inr="due", receipts_due_next_30d_inr="due_next_30d"),
        receivables.group_by(day="due").agg(order_rows=pl.len()),
        *_payables(invoices, rates),
        _freight(freight_invoices, rates),
        _refunds(returns, window),
        _payroll(days, employees),
        _commitments(purchase_lines, purchase_orders, rates),
        _statements(statements),
        ledger.select("day", "ledger_receipts_inr", "ledger_payments_inr"),
    ]
    facts = pl.concat(movements, how="diagonal_relaxed").group_by("day").agg(pl.all().drop_nulls().first())
    amount = {name: pl.col(name).fill_null(0) for name in _DUE_AMOUNTS}
    freight = pl.when(pl.col("freight_rows") > 0).then(pl.col("freight_paid_inr")).otherwise(0)
    return (
        days.join(facts, on="day", how="left")
        .sort("day")
        .join_asof(ledger.select("day", "cash_position_inr"), on="day")
        .select(
            "ledger_receipts_inr",
            "ledger_payments_inr",
            "cash_position_inr",
            "supplier_paid_inr",
            "statement_ending_cash_inr",
            cash_flow_date="day",
            **amount,
            net_cash_flow_inr=pl.col("ledger_receipts_inr") - pl.col("ledger_payments_inr"),
            freight_paid_inr=freight,
            expected_net_inr=amount["receipts_due_inr"]
            - amount["supplier_due_inr"]
            - freight
            - amount["payroll_due_inr"]
            - amount["refunds_inr"],
            source_row_count=pl.sum_horizontal("order_rows", "invoice_rows", "freight_rows", "return_rows"),
        )
    )


def _cash(ledger: pl.LazyFrame) -> pl.LazyFrame:
    """Receipts and payments by day of posting, and the balance at its end."""
    receipts, payments = pl.col("ledger_receipts_inr"), pl.col("ledger_payments_inr")
    # A movement that cannot be converted leaves the balance unknown from then on.
    unknown = (receipts.is_null() | payments.is_null()).cast(pl.Int32).cum_sum() > 0
    return (
        ledger.group_by("day")
        .agg(ledger_receipts_inr=total_posted(pl.col("debit")), ledger_payments_inr=total_posted(pl.col("credit")))
        .sort("day")
        .with_columns(cash_position_inr=pl.when(~unknown).then((receipts - payments).cum_sum()))
    )


def _receivables(recognised: pl.LazyFrame, customers: pl.LazyFrame, rates: pl.LazyFrame) -> pl.LazyFrame:
    """`amount` (INR) of recognised orders, the day it is `due`, and the revenue date, since when it is `known`."""
    terms = customers.select("customer_id", terms="payment_terms_days").unique("customer_id", keep="first")
    dated = recognised.join(terms, on="customer_id").filter(pl.col("terms").is_between(0, _LONGEST_TERMS))
    return with_inr_rate(dated, rates, currency="currency", on="revenue_date").select(
        known="revenue_date",
        due=pl.col("revenue_date") + pl.duration(days=pl.col("terms")),
        amount=inr(pl.col("total_value")),
    )


def _payables(invoices: pl.LazyFrame, rates: pl.LazyFrame) -> list[pl.LazyFrame]:
    """Supplier invoices by the days on which they were received, fall due and were paid."""
    invoiced = with_inr_rate(invoices, rates, currency="currency_code", on="invoice_date").select(
        known="invoice_date", due="due_date", amount=inr(pl.col("total_amount"))
    )
    paid = with_inr_rate(
        invoices.filter(pl.col("paid_date").is_not_null()), rates, currency="currency_code", on="paid_date"
    )
    events = invoices.select(day=pl.concat_list("invoice_date", "due_date", "paid_date").list.unique()).explode("day")
    return [
        invoiced.group_by(day="known").agg(invoiced_inr=pl.col("amount").sum()),
        due_calendar(invoiced).select("day", supplier_due_inr="due", supplier_due_next_30d_inr="due_next_30d"),
        paid.group_by(day="paid_date").agg(
            supplier_paid_inr=total_inr(pl.col("paid_amount"), inr(pl.col("paid_amount")))
        ),
        events.group_by("day").agg(invoice_rows=pl.len()),
    ]


def _freight(freight_invoices: pl.LazyFrame, rates: pl.LazyFrame) -> pl.LazyFrame:
    amount = pl.col("total_amount").fill_null(0)
    paid = freight_invoices.filter(pl.col("paid"))
    return (
        with_inr_rate(paid, rates, currency="currency", on="payment_date")
        .group_by(day="payment_date")
        .agg(
            freight_paid_usd=amount.filter(pl.col("currency") == "USD").sum(),
            freight_paid_inr=total_inr(amount, inr(amount)),
            freight_rows=pl.len(),
        )
    )


def _refunds(returns: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    return (
        returns.filter(pl.col("refund_processed"), pl.col("created_at") < window.span.end)
        .group_by(day=kpi.day(pl.col("created_at")))
        .agg(refunds_inr=pl.col("refund_amount").sum(), return_rows=pl.len())
    )


def _payroll(days: pl.LazyFrame, employees: pl.LazyFrame) -> pl.LazyFrame:
    """A month's salary of those employed on the last day of a month."""
    day, left = pl.col("day"), pl.col("termination_date")
    return (
        days.filter(day == day.dt.month_end())
        .join(employees.select("hire_date", "termination_date", "annual_salary"), how="cross")
        .filter(pl.col("hire_date") <= day, left.is_null() | (left > day))
        .group_by("day")
        .agg(payroll_due_inr=pl.col("annual_salary").sum() / 12)
    )


def _commitments(lines: pl.LazyFrame, orders: pl.LazyFrame, rates: pl.LazyFrame) -> pl.LazyFrame:
    currencies = orders.select("purchase_order_id", "currency")
    standing = standing_lines(lines).join(currencies, on="purchase_order_id", how="left")
    value = pl.col("order_quantity").cast(EXACT) * pl.col("unit_price").cast(EXACT)
    return (
        with_inr_rate(standing, rates, currency="currency", on="delivery_date")
        .group_by(day="delivery_date")
        .agg(po_deliveries_value_inr=inr(value).sum())
    )


def _statements(statements: pl.LazyFrame) -> pl.LazyFrame:
    """What the latest statement of cash flows that ends on a day says about it."""
    ending = pl.col("statement_data").str.json_path_match("$.ending_cash").cast(pl.Float64, strict=False)
    return (
        statements.filter(pl.col("statement_type") == "cash_flow")
        .sort("generated_at", "statement_id")
        .group_by(day="end_date", maintain_order=True)
        .agg(statement_ending_cash_inr=ending.last())
    )
