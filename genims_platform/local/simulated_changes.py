"""What the live simulator writes: which tables change, how often, and how a row of each changes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from random import Random

Row = dict[str, object]

_HOUR_NOW = "(EXTRACT(hour FROM now() AT TIME ZONE 'utc'))"


@dataclass(frozen=True)
class Insert:
    """A copy of a sampled row under a new key, its dates moved so that `anchor` is now.

    `reset` overwrites columns (a new order is open); rows of `child` (reference, referring column) are copied with it.
    """

    table: str
    weight: int
    anchor: str
    reset: Mapping[str, object] = field(default_factory=dict[str, object])
    child: tuple[str, str] | None = None
    where: str = "true"


@dataclass(frozen=True)
class Update:
    """A change of a sampled row; `change` returns the new values, nothing if this row should stay."""

    table: str
    weight: int
    change: Callable[[Random, Row, datetime], Row]
    where: str = "true"


@dataclass(frozen=True)
class Delete:
    """Removal of a row that this simulation inserted earlier: a mistyped booking, a duplicate lead."""

    table: str
    weight: int


Change = Insert | Update | Delete


def _number(row: Row, column: str, default: float = 0) -> float:
    value = row.get(column)
    return float(value) if isinstance(value, int | float | Decimal) else default


def _money(value: float) -> Decimal:
    return Decimal(str(round(value, 2)))


def _scaled(rng: Random, value: float, low: float, high: float) -> Decimal:
    return _money(value * rng.uniform(low, high))


def _work_order_progress(rng: Random, row: Row, now: datetime) -> Row:
    if row["status"] == "on_hold":
        return {"status": "in_progress", "actual_start_time": row["actual_start_time"] or now, "updated_at": now}
    if row["status"] != "in_progress":
        return {}
    planned, done = int(_number(row, "planned_quantity")), int(_number(row, "produced_quantity"))
    pieces = min(rng.randint(1, max(planned // 10, 1)), max(planned - done, 0))
    if pieces == 0:
        return {"status": "completed", "actual_end_time": now, "updated_at": now}
    rejected = 1 if rng.random() < 0.2 else 0
    return {
        "produced_quantity": done + pieces,
        "good_quantity": int(_number(row, "good_quantity")) + pieces - rejected,
        "rejected_quantity": int(_number(row, "rejected_quantity")) + rejected,
        "updated_at": now,
    }


def _ticket_resolved(rng: Random, row: Row, now: datetime) -> Row:
    if row["resolved_datetime"] is not None:
        return {"ticket_status": "closed", "closed_datetime": now, "updated_at": now}
    answered = row["first_response_datetime"]
    return {
        "ticket_status": "resolved",
        "first_response_datetime": now if answered is None else answered,
        "resolved_datetime": now,
        "csat_rating": rng.choices((1, 2, 3, 4, 5), (1, 1, 3, 8, 7))[0],
        "updated_at": now,
    }


def _invoice_paid(_: Random, row: Row, now: datetime) -> Row:
    if row["payment_status"] == "paid":
        return {}
    return {
        "payment_status": "paid",
        "invoice_status": "paid",
        "paid_amount": row["total_amount"],
        "paid_date": now.date(),
        "updated_at": now,
    }


def _stock_counted(rng: Random, row: Row, now: datetime) -> Row:
    held = _number(row, "unrestricted_stock")
    counted = max(round(held + rng.randint(-5, 5)), 0)
    value = _number(row, "stock_value") * counted / held if held else 0.0
    return {"unrestricted_stock": Decimal(counted), "stock_value": _money(value), "updated_at": now}


def _salary_raised(rng: Random, row: Row, now: datetime) -> Row:
    return {"annual_salary": _scaled(rng, _number(row, "annual_salary", 500_000), 1.01, 1.08), "updated_at": now}


def _credit_limit_changed(rng: Random, row: Row, now: datetime) -> Row:
    return {"credit_limit": _scaled(rng, _number(row, "credit_limit", 5_000_000), 0.9, 1.15), "updated_at": now}


def _payment_terms_changed(rng: Random, _: Row, __: datetime) -> Row:
    return {"payment_terms_days": rng.choice((30, 45, 60, 90))}


def _price_changed(rng: Random, row: Row, now: datetime) -> Row:
    return {
        "last_purchase_price": _scaled(rng, _number(row, "last_purchase_price", 100), 0.97, 1.04),
        "updated_at": now,
    }


def _order_delivered(_: Random, row: Row, now: datetime) -> Row:
    return {"order_status": "delivered", "updated_at": now} if row["order_status"] == "open" else {}


_NEW_TICKET: Row = {
    "ticket_status": "new",
    "reopened_count": 0,
    **dict.fromkeys(
        (
            "first_response_datetime",
            "resolved_datetime",
            "closed_datetime",
            "csat_rating",
            "csat_comment",
            "resolution_summary",
            "first_response_time_minutes",
            "resolution_time_minutes",
        )
    ),
}

_NEW_WORK_ORDER: Row = {
    "status": "in_progress",
    "actual_end_time": None,
    "closed_at": None,
    "yield_percentage": None,
    "first_pass_yield_percentage": None,
    **dict.fromkeys(
        (
            "produced_quantity",
            "good_quantity",
            "rejected_quantity",
            "scrapped_quantity",
            "rework_quantity",
            "run_time_minutes",
            "downtime_minutes",
        ),
        0,
    ),
}

CHANGES: tuple[Change, ...] = (
    Insert(
        "operational.scada_machine_data",
        30,
        "timestamp",
        where=f'abs(EXTRACT(hour FROM "timestamp") - {_HOUR_NOW}) < 2',
    ),
    Insert("mes.work_orders", 2, "actual_start_time", _NEW_WORK_ORDER, where="actual_start_time IS NOT NULL"),
    Insert("mes.labor_transactions", 10, "clock_out_time", where="clock_out_time IS NOT NULL"),
    Insert("mes.material_transactions", 10, "transaction_date"),
    Insert("mes.defects", 3, "detected_date", {"status": "open"}),
    Insert("erp.sales_orders", 4, "order_date", {"order_status": "open"}, ("erp.sales_order_lines", "sales_order_id")),
    Insert(
        "financial.journal_entry_headers",
        2,
        "posting_date",
        child=("financial.journal_entry_lines", "journal_entry_id"),
    ),
    Insert("service.service_tickets", 3, "created_at", _NEW_TICKET),
    Insert("crm.leads", 3, "created_at", {"lead_status": "new", "converted": False}),
    Update("mes.work_orders", 20, _work_order_progress, "status IN ('in_progress', 'on_hold')"),
    Update("service.service_tickets", 4, _ticket_resolved, "closed_datetime IS NULL"),
    Update("supplier.supplier_invoices", 2, _invoice_paid, "payment_status <> 'paid'"),
    Update("erp.sales_orders", 2, _order_delivered, "order_status = 'open'"),
    Update("erp.inventory_balances", 3, _stock_counted),
    Update("erp.materials", 1, _price_changed),
    Update("hcm.employees", 1, _salary_raised, "annual_salary IS NOT NULL"),
    Update("crm.accounts", 1, _credit_limit_changed),
    Update("master.customers", 1, _payment_terms_changed),
    Delete("mes.labor_transactions", 1),
    Delete("mes.defects", 1),
    Delete("crm.leads", 1),
)
"""Everything the simulator does; a weight is the share of turns."""
