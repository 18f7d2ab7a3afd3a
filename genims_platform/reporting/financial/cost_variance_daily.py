"""cost_variance_daily: which price, efficiency or estimate deviates."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expectation, Identity, Reconciliation, sql
from genims_platform.reporting.exchange import inr, total_inr, with_inr_rate
from genims_platform.reporting.financial.production_costs import production_costs
from genims_platform.reporting.inr_check import in_inr
from genims_platform.reporting.maintenance_costs import ended_maintenance
from genims_platform.reporting.order_lines import EXACT
from genims_platform.reporting.periods import Window
from genims_platform.reporting.production_orders import (
    COMPLETION_DAYS_OF_BOOKINGS,
    completed_orders,
    order_costs,
    standard_unit_costs,
)
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between, KeyIn

_COMPLETED = Between("actual_end_time")
_OF_COMPLETED = KeyIn("work_order_id", "work_orders", "work_order_id", _COMPLETED)
_PRODUCT = ("factory_id", "product_id")

_BOUGHT = sql(
    "erp",
    """
    SELECT po_date AS day, 'purchase_price' AS variance_type, plant_id AS factory_id, material_id AS object_id,
      currency, po_date AS rate_day, sum(order_quantity * unit_price)::float8 AS amount
    FROM purchase_orders JOIN purchase_order_lines USING (purchase_order_id)
    WHERE po_date >= %(first_day)s AND po_date <= %(last_day)s AND deletion_indicator IS NOT TRUE
    GROUP BY 1, 3, 4, 5
    """,
)
_MAINTAINED = sql(
    "cmms",
    """
    SELECT actual_end_date::date AS day, 'maintenance' AS variance_type, factory_id, asset_id AS object_id,
      sum(actual_total_cost) AS actual, sum(estimated_cost) AS estimated
    FROM work_orders LEFT JOIN maintenance_assets USING (asset_id)
    WHERE actual_end_date >= %(start)s AND actual_end_date < %(end)s
    GROUP BY 1, 3, 4
    """,
)
_CARRIED = sql(
    "tms",
    """
    SELECT invoice_date AS day, 'freight' AS variance_type, NULL AS factory_id, carrier_id AS object_id,
      sum(charge_amount) FILTER (WHERE currency = 'USD') AS charged_usd
    FROM freight_invoices LEFT JOIN freight_invoice_lines USING (invoice_id)
    WHERE invoice_date >= %(first_day)s AND invoice_date <= %(last_day)s
    GROUP BY 1, 4
    """,
)
_PRODUCED = sql(
    "mes",
    """
    SELECT DISTINCT actual_end_time::date AS day, variance_type, factory_id, product_id AS object_id
    FROM work_orders, (VALUES ('production_cost'), ('labor_efficiency')) AS types (variance_type)
    WHERE status IN ('completed', 'closed') AND actual_end_time >= %(start)s AND actual_end_time < %(end)s
    """,
)
_KEY = ("day", "variance_type", "factory_id", "object_id")


def _objects(sources: Sources, window: Window) -> pl.DataFrame:
    found = [rule(sources, window) for rule in (_BOUGHT, _MAINTAINED, _CARRIED, _PRODUCED)]
    keys = [
        frame.select(pl.col("day").cast(pl.Date), pl.col(_KEY[1:]).cast(pl.String)) for frame in found if frame.height
    ]
    return pl.concat(keys).unique().rename({"day": "variance_date"}) if keys else pl.DataFrame()


def _bought(sources: Sources, window: Window) -> pl.DataFrame:
    found = _BOUGHT(sources, window)
    if found.is_empty():
        return pl.DataFrame()
    key = ["day", "factory_id", "object_id"]
    return in_inr(sources, found, key).group_by(variance_date="day").agg(ppv=pl.col("amount").sum())


def _maintained(sources: Sources, window: Window) -> pl.DataFrame:
    found = _MAINTAINED(sources, window)
    if found.is_empty():
        return pl.DataFrame()
    return found.group_by(variance_date="day").agg(pl.col("actual", "estimated").sum())


def _carried(sources: Sources, window: Window) -> pl.DataFrame:
    found = _CARRIED(sources, window)
    if found.is_empty():
        return pl.DataFrame()
    return found.group_by(variance_date="day").agg(actual_amount_usd=pl.col("charged_usd").sum())


def _sum_of(variance_type: str, column: str) -> pl.Expr:
    return pl.col(column).filter(pl.col("variance_type") == variance_type).sum()


_CHECKS = Checks(
    rows=_objects,
    reconcile=(
        Reconciliation("ppv_vs_erp", _bought, measures={"ppv": _sum_of("purchase_price", "actual_amount_inr")}),
        Reconciliation(
            "maintenance_estimate_vs_cmms",
            _maintained,
            measures={
                "actual": _sum_of("maintenance", "actual_amount_inr"),
                "estimated": _sum_of("maintenance", "standard_amount_inr"),
            },
        ),
        Reconciliation("freight_vs_tms", _carried),
    ),
    identities=(
        Identity(
            "variance = price variance + quantity variance",
            pl.col("variance_inr") - (pl.col("price_variance_inr") + pl.col("quantity_variance_inr")),
            tolerance=0.02,
        ),
        Identity(
            "variance = actual - standard",
            pl.col("variance_inr") - (pl.col("actual_amount_inr") - pl.col("standard_amount_inr")),
            tolerance=0.02,
        ),
    ),
    warnings=(
        Expectation(
            "fx_missing",
            pl.col("actual_amount_inr").is_not_null() | ~pl.col("variance_type").is_in(["purchase_price", "freight"]),
        ),
    ),
    orphans={"object_id": "object_name"},
)


@reporting_table(group="financial", recompute=1, horizon=35, touched=COMPLETION_DAYS_OF_BOOKINGS, checks=_CHECKS)
def cost_variance_daily(
    *,
    window: Window,
    purchase_orders: Annotated[pl.LazyFrame, Read("erp.purchase_orders", Between("po_date"))],
    purchase_lines: Annotated[
        pl.LazyFrame,
        Read(
            "erp.purchase_order_lines",
            KeyIn("purchase_order_id", "purchase_orders", "purchase_order_id", Between("po_date")),
        ),
    ],
    work_orders: Annotated[pl.LazyFrame, Read("mes.work_orders", _COMPLETED)],
    order_materials: Annotated[pl.LazyFrame, Read("mes.material_transactions", _OF_COMPLETED)],
    order_labor: Annotated[pl.LazyFrame, Read("mes.labor_transactions", _OF_COMPLETED)],
    maintenance_orders: Annotated[pl.LazyFrame, Read("cmms.work_orders", Between("actual_end_date"))],
    assets: Annotated[pl.LazyFrame, Read("cmms.maintenance_assets")],
    freight_invoices: Annotated[pl.LazyFrame, Read("tms.freight_invoices", Between("invoice_date"))],
    freight_lines: Annotated[
        pl.LazyFrame,
        Read(
            "tms.freight_invoice_lines",
            KeyIn("invoice_id", "freight_invoices", "invoice_id", Between("invoice_date")),
        ),
    ],
    carriers: Annotated[pl.LazyFrame, Read("tms.carriers")],
    materials: Annotated[pl.LazyFrame, Read("erp.materials")],
    products: Annotated[pl.LazyFrame, Read("master.products")],
    rates: Annotated[pl.LazyFrame, Read("financial.exchange_rates")],
) -> pl.LazyFrame:
    """Actual against standard by type; one row a day, type, factory and object with an event of the type.

    Split by the formulas of standard costing (CIMA), INR, positive is unfavourable: price variance = (actual - standard
    price) x actual quantity, quantity variance = (actual - standard quantity) x standard price. Purchases (material,
    order date) and production (product, day of completion) deviate in price; labour (hours against earned hours of the
    product's cycle time, at the actual rate) in quantity; maintenance (asset, day it ended, against its estimate) and
    freight (carrier, invoice date, against the expected charge) have no quantity. Without a standard the variance is
    NULL. `transaction_count` counts order lines, completed orders, maintenance orders and invoice lines.
    """
    orders = completed_orders(work_orders, window)
    material_names = materials.select("material_id", "material_name", "standard_cost").unique(
        "material_id", keep="first", maintain_order=True
    )
    product_names = products.select("product_id", "product_name", "standard_cycle_time_seconds").unique(
        "product_id", keep="first", maintain_order=True
    )
    produced = production_costs(
        orders,
        costs=order_costs(order_materials, order_labor, window),
        standards=standard_unit_costs(materials),
        maintenance=ended_maintenance(maintenance_orders, assets, window),
    )
    rows = pl.concat(
        [
            _purchases(purchase_orders, purchase_lines, material_names, rates, window),
            _production(produced, product_names),
            _labor(orders, order_labor, product_names, window),
            _maintenance(ended_maintenance(maintenance_orders, assets, window)),
            _freight(freight_invoices, freight_lines, carriers, rates, window),
        ],
        how="diagonal_relaxed",
    )
    quantity, amount = pl.col("actual_qty"), pl.col("actual_amount_inr")
    standard_price = pl.col("standard_price_inr")
    return (
        rows.with_columns(actual_price_inr=amount / pl.when(quantity != 0).then(quantity))
        .with_columns(
            standard_price_inr=pl.when(pl.col("variance_type") == "labor_efficiency")
            .then("actual_price_inr")
            .otherwise("standard_price_inr")
        )
        .with_columns(
            standard_amount_inr=pl.coalesce("standard_amount_inr", pl.col("standard_qty") * standard_price),
            # The same as (actual price - standard price) x actual quantity, without rounding a price first.
            price_variance_inr=pl.when(pl.col("actual_price_inr").is_not_null()).then(
                amount - standard_price * quantity
            ),
            quantity_variance_inr=(quantity - pl.col("standard_qty")) * standard_price,
        )
        .with_columns(variance_inr=amount - pl.col("standard_amount_inr"))
        .with_columns(
            variance_pct=kpi.percent(pl.col("variance_inr"), pl.col("standard_amount_inr")),
            is_favourable=(pl.col("variance_inr") <= 0),
            source_row_count=pl.col("transaction_count"),
        )
        .rename({"day": "variance_date"})
    )


def _purchases(
    orders: pl.LazyFrame, lines: pl.LazyFrame, materials: pl.LazyFrame, rates: pl.LazyFrame, window: Window
) -> pl.LazyFrame:
    quantity = pl.col("order_quantity").cast(EXACT)
    value = pl.col("value")
    dated = orders.filter(pl.col("po_date") <= window.last_day).select("purchase_order_id", "currency", day="po_date")
    bought = lines.filter(~pl.col("deletion_indicator").fill_null(value=False)).join(
        with_inr_rate(dated, rates, currency="currency", on="day"), on="purchase_order_id", how="inner"
    )
    return (
        bought.with_columns(value=quantity * pl.col("unit_price").cast(EXACT))
        .group_by("day", factory_id=kpi.key(pl.col("plant_id")), object_id=kpi.key(pl.col("material_id")))
        .agg(
            transaction_count=pl.len(),
            actual_qty=kpi.total(quantity),
            actual_amount_inr=total_inr(value, inr(value)),
        )
        .join(materials, left_on="object_id", right_on="material_id", how="left")
        .select(
            pl.exclude("material_name", "standard_cost"),
            variance_type=pl.lit("purchase_price"),
            object_name="material_name",
            standard_qty="actual_qty",
            standard_price_inr=pl.col("standard_cost").cast(EXACT),
        )
    )


def _production(produced: pl.LazyFrame, products: pl.LazyFrame) -> pl.LazyFrame:
    pieces = pl.col("units_good").cast(EXACT)
    return produced.join(products, on="product_id", how="left").select(
        "day",
        "factory_id",
        variance_type=pl.lit("production_cost"),
        object_id="product_id",
        object_name="product_name",
        transaction_count="orders_completed",
        actual_qty=pieces,
        standard_qty=pieces,
        standard_price_inr=pl.col("standard_unit_cost_inr").cast(EXACT),
        actual_amount_inr=pl.col("actual_cost_inr").cast(EXACT),
        standard_amount_inr=pl.col("standard_cost_inr").cast(EXACT),
    )


def _labor(orders: pl.LazyFrame, labor: pl.LazyFrame, products: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    clocked = (
        labor.filter(pl.col("clock_in_time") < window.as_of)
        .group_by("work_order_id")
        .agg(minutes=kpi.total(pl.col("duration_minutes")), cost=kpi.total(pl.col("labor_cost")))
    )
    minutes, produced, cycle = (
        pl.col(name).cast(EXACT) for name in ("minutes", "produced_quantity", "standard_cycle_time_seconds")
    )
    return (
        orders.with_columns(kpi.key(pl.col(name)) for name in _PRODUCT)
        .join(clocked, on="work_order_id", how="left")
        .group_by("day", *_PRODUCT)
        .agg(
            transaction_count=pl.len(),
            actual_qty=kpi.total(minutes) / 60,
            actual_amount_inr=kpi.total(pl.col("cost").cast(EXACT)),
            produced_quantity=kpi.total(produced),
        )
        .join(products, on="product_id", how="left")
        .select(
            "day",
            "factory_id",
            "transaction_count",
            "actual_qty",
            "actual_amount_inr",
            variance_type=pl.lit("labor_efficiency"),
            object_id="product_id",
            object_name="product_name",
            standard_qty=produced * cycle / 3600,
        )
    )


def _maintenance(ended: pl.LazyFrame) -> pl.LazyFrame:
    return ended.group_by("day", "factory_id", object_id="asset_id").agg(
        variance_type=pl.lit("maintenance").first(),
        object_name=pl.col("asset_name").first(),
        transaction_count=pl.len(),
        actual_amount_inr=kpi.total(pl.col("actual_cost")),
        standard_amount_inr=kpi.total(pl.col("estimated_cost")),
    )


def _freight(
    invoices: pl.LazyFrame, lines: pl.LazyFrame, carriers: pl.LazyFrame, rates: pl.LazyFrame, window: Window
) -> pl.LazyFrame:
    charged, expected = pl.col("charge_amount").cast(EXACT), pl.col("expected_amount").cast(EXACT)
    dated = invoices.filter(pl.col("invoice_date") <= window.last_day)
    names = carriers.select("carrier_id", "carrier_name").unique("carrier_id", keep="first", maintain_order=True)
    return (
        with_inr_rate(dated, rates, currency="currency", on="invoice_date")
        .join(lines, on="invoice_id", how="left")
        .group_by(day="invoice_date", object_id=kpi.key(pl.col("carrier_id")))
        .agg(
            transaction_count=pl.col("invoice_line_id").count(),
            actual_amount_inr=total_inr(charged, inr(charged)),
            standard_amount_inr=total_inr(expected, inr(expected)),
            actual_amount_usd=kpi.total(charged.filter(pl.col("currency") == "USD")),
        )
        .join(names, left_on="object_id", right_on="carrier_id", how="left")
        .with_columns(variance_type=pl.lit("freight"), factory_id=pl.lit(kpi.UNKNOWN))
        .rename({"carrier_name": "object_name"})
    )
