"""purchase_order_performance: price and delivery discipline of each supplier."""

from datetime import date
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expectation, Reconciliation, sql
from genims_platform.reporting.exchange import inr, total_inr, with_inr_rate
from genims_platform.reporting.order_lines import EXACT
from genims_platform.reporting.periods import Window
from genims_platform.reporting.purchase_order_check import ordered_by, orders_received
from genims_platform.reporting.purchase_orders import ON_TIME, standing_lines, with_deliveries
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between, KeyFrom, KeyIn

_KEY = ("po_date", "supplier_id")
_ORDERED = Between("po_date")
_ORDER = ("purchase_order_id", "po_date", "supplier_id", "currency", "total_value", "po_status")
_LINE = ("po_line_id", "purchase_order_id", "material_id", "order_quantity", "unit_price", "delivery_date")

_SUPPLIERS = sql(
    "erp", "SELECT DISTINCT po_date, supplier_id FROM purchase_orders WHERE po_date >= %(start)s AND po_date < %(end)s"
)


def _order_days_of_deliveries(sources: Sources, window: Window) -> pl.DataFrame:
    """Order days of the goods that came in the window and of the orders that became overdue in it."""
    return sources.query(
        "erp",
        """
        SELECT po_date FROM purchase_orders WHERE purchase_order_id = ANY(%(orders)s)
        UNION
        SELECT po_date FROM purchase_orders o JOIN purchase_order_lines USING (purchase_order_id)
        WHERE delivery_date >= %(start)s - interval '1 day' AND delivery_date < %(end)s
        """,
        {"start": window.span.start, "end": window.span.end, "orders": orders_received(sources, window)},
    )


_CHECKS = Checks(
    rows=_SUPPLIERS,
    reconcile=(Reconciliation("po_value_vs_erp", ordered_by("day", column="po_date", spend="po_value_inr")),),
    warnings=(
        Expectation("fx_missing", pl.col("po_value_inr").is_not_null()),
        Expectation(
            "po_lines_vs_header: order value = standard value + price variance",
            (pl.col("po_value_inr") - pl.col("standard_value_inr") - pl.col("ppv_inr")).abs()
            <= 0.01 * pl.sum_horizontal("po_count", "line_count"),
        ),
        Expectation(
            "on time <= received <= ordered",
            (pl.col("on_time_po_count") <= pl.col("received_po_count"))
            & (pl.col("received_po_count") <= pl.col("po_count")),
        ),
    ),
    orphans={"supplier_id": "supplier_name"},
)


@reporting_table(group="inventory", recompute=1, horizon=120, touched=_order_days_of_deliveries, checks=_CHECKS)
def purchase_order_performance(
    *,
    window: Window,
    orders: Annotated[pl.LazyFrame, Read("erp.purchase_orders", _ORDERED)],
    lines: Annotated[
        pl.LazyFrame,
        Read("erp.purchase_order_lines", KeyIn("purchase_order_id", "purchase_orders", "purchase_order_id", _ORDERED)),
    ],
    receipts: Annotated[
        pl.LazyFrame,
        Read("wms.receiving_tasks", KeyFrom("purchase_order_id", "erp.purchase_orders", "purchase_order_id", _ORDERED)),
    ],
    suppliers: Annotated[pl.LazyFrame, Read("erp.suppliers")],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
    contracts: Annotated[pl.LazyFrame, Read("supplier.supplier_contracts")],
    prices: Annotated[pl.LazyFrame, Read("supplier.contract_pricing")],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """Price and delivery of purchase orders; one row a day of order and supplier with an order on it.

    A cohort: receipts, and due dates that pass, still change the row of the day on which the goods were ordered.
    Purchase price variance (CIMA) = quantity x (order price - standard cost), positive when unfavourable, over lines
    whose material has a standard cost; contract variance likewise against the lowest active contract price of the day.
    An order is due on the latest delivery date of its lines and on time if its last receipt so far came by then; both
    are by order, in calendar days. Lines marked as deleted count nowhere. Money in INR at the rate of the order's day,
    quantities in mixed units.
    """
    rates = rates.cache()
    lines = standing_lines(lines).select(*_LINE).cache()
    dated = orders.filter(pl.col("po_date") <= window.last_day).select(*_ORDER, supplier=kpi.key(pl.col("supplier_id")))
    priced = with_inr_rate(dated, rates, currency="currency", on="po_date").cache()
    placed = with_deliveries(priced, lines, receipts, until=window.as_of)
    known = suppliers.unique("supplier_id", keep="first", maintain_order=True).select(
        "supplier_id", "supplier_name", reported_otd_pct="on_time_delivery_percentage"
    )
    bought = _lines(priced, lines, materials, _contract_prices(contracts, prices), rates).cache()
    return (
        _by_supplier(placed, bought, today=window.as_of.date())
        .join(_prices_by_supplier(bought), on=_KEY, how="left")
        .with_columns(pl.col("line_count", "contract_line_count").fill_null(0))
        .join(known, on="supplier_id", how="left")
    )


def _by_supplier(placed: pl.LazyFrame, bought: pl.LazyFrame, *, today: date) -> pl.LazyFrame:
    ordered = bought.group_by("purchase_order_id").agg(ordered_quantity=kpi.total(pl.col("quantity")))
    received = pl.col("first_received").is_not_null()
    value = inr(pl.col("total_value"))
    return (
        placed.join(ordered, on="purchase_order_id", how="left")
        .group_by("po_date", supplier_id="supplier")
        .agg(
            po_count=pl.len(),
            released_count=(pl.col("po_status") == "released").sum(),
            po_value_inr=total_inr(pl.col("total_value"), value),
            planned_lead_days=(pl.col("due_date") - pl.col("po_date")).dt.total_days().mean(),
            received_po_count=received.sum(),
            on_time_po_count=ON_TIME.sum(),
            received_qty=kpi.total(pl.col("received_quantity")),
            received_orders_qty=kpi.total(pl.col("ordered_quantity").filter(received)),
            actual_lead_days=(pl.col("first_received") - pl.col("po_date")).dt.total_days().mean(),
            overdue_po_count=(~received & (pl.col("due_date") < today)).sum(),
            source_row_count=pl.len(),
        )
        .with_columns(
            on_time_pct=kpi.percent(pl.col("on_time_po_count"), pl.col("received_po_count")),
            fill_rate_pct=kpi.percent(pl.col("received_qty"), pl.col("received_orders_qty")),
        )
        .drop("received_orders_qty")
    )


def _prices_by_supplier(bought: pl.LazyFrame) -> pl.LazyFrame:
    quantity, price, standard, contract = (
        pl.col(name) for name in ("quantity", "price_inr", "standard_cost", "contract_price_inr")
    )
    with_standard = pl.col("native_price").is_not_null() & (quantity * standard).is_not_null()
    with_contract = pl.col("native_price").is_not_null() & (quantity * contract).is_not_null()
    return (
        bought.group_by("po_date", supplier_id="supplier")
        .agg(
            line_count=pl.len(),
            order_qty=kpi.total(quantity),
            standard_value_inr=kpi.total(quantity * standard),
            ppv_inr=total_inr(quantity.filter(with_standard), (quantity * (price - standard)).filter(with_standard)),
            priced_standard_value=kpi.total((quantity * standard).filter(with_standard)),
            contract_line_count=contract.is_not_null().sum(),
            contract_price_var_inr=total_inr(
                quantity.filter(with_contract), (quantity * (price - contract)).filter(with_contract)
            ),
        )
        .with_columns(ppv_pct=kpi.percent(pl.col("ppv_inr"), pl.col("priced_standard_value")))
        .drop("priced_standard_value")
    )


def _lines(
    priced: pl.LazyFrame, lines: pl.LazyFrame, materials: pl.LazyFrame, offers: pl.LazyFrame, rates: pl.LazyFrame
) -> pl.LazyFrame:
    """Lines with `quantity`, `native_price`, `price_inr`, `standard_cost` and `contract_price_inr`."""
    costs = materials.unique("material_id", keep="first", maintain_order=True).select(
        "material_id", pl.col("standard_cost").cast(EXACT)
    )
    bought = lines.join(
        priced.select("purchase_order_id", "po_date", "supplier_id", "supplier", "inr_rate"), on="purchase_order_id"
    )
    offered = (
        with_inr_rate(
            bought.select("po_line_id", "po_date", "supplier_id", "material_id")
            .join(offers, on=["supplier_id", "material_id"])
            .filter(
                pl.col("effective_from") <= pl.col("po_date"),
                pl.col("effective_to").is_null() | (pl.col("po_date") <= pl.col("effective_to")),
            ),
            rates,
            currency="currency_code",
            on="po_date",
        )
        .group_by("po_line_id")
        .agg(contract_price_inr=inr(pl.col("contract_price")).min())
    )
    native = pl.col("unit_price").cast(EXACT)
    return (
        bought.select(
            "po_line_id",
            "purchase_order_id",
            "po_date",
            "supplier",
            "material_id",
            quantity=pl.col("order_quantity").cast(EXACT),
            native_price=native,
            price_inr=inr(native),
        )
        .join(costs, on="material_id", how="left")
        .join(offered, on="po_line_id", how="left")
    )


def _contract_prices(contracts: pl.LazyFrame, prices: pl.LazyFrame) -> pl.LazyFrame:
    """Active prices by supplier and material; one without an end holds until it is replaced."""
    parties = contracts.unique("contract_id", keep="first", maintain_order=True).select("contract_id", "supplier_id")
    return (
        prices.filter("is_active")
        .join(parties, on="contract_id")
        .select(
            "supplier_id",
            "material_id",
            "effective_from",
            "effective_to",
            "currency_code",
            contract_price=pl.col("unit_price").cast(EXACT),
        )
    )
