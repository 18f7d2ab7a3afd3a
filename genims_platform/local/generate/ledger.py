"""Double-entry postings of the group: every entry's debits equal its credits, to the paisa."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from genims_platform.local.generate.plan import Plan
from genims_platform.local.generate.purchasing import Purchasing
from genims_platform.local.generate.world import World

# Daily expense of a plant as a share of its mean daily revenue, and the account that is credited.
_RUNNING_COSTS: Mapping[str, tuple[float, str]] = {
    "5210": (0.055, "2130"),
    "5220": (0.006, "2130"),
    "5230": (0.017, "2130"),
    "5240": (0.018, "2130"),
    "5250": (0.046, "2130"),
    "5260": (0.005, "2130"),
    "5270": (0.014, "1590"),
    "5310": (0.004, "2130"),
    "5320": (0.016, "2140"),
}
_OTHER_INCOME_SHARE = 0.002
_LABOUR_IN_COST = 0.06
"""Share of standard cost that is labour and overhead, the rest is material."""
_COST_CENTRE = {
    "4100": "SALE",
    "4200": "FIN",
    "5110": "PROD",
    "5210": "PROD",
    "5220": "ADM",
    "5230": "PROD",
    "5240": "MAIN",
    "5250": "WHSE",
    "5260": "SALE",
    "5270": "PROD",
    "5310": "FIN",
    "5320": "FIN",
}
"""Account → function whose cost centre in the plant carries it; balance sheet accounts have none."""
_OPENING = {"1120": 0.16, "1310": 0.05, "1330": 0.05, "1500": 0.6, "2210": -0.3, "3110": -0.4, "3120": -0.16}
"""Opening balances, debit positive, as shares of a year's revenue."""
_PAYDAY = 20


def cost_centres(world: World) -> pl.DataFrame:
    """Ten cost centres a plant, coded `FAC01-PROD`; the plant is told by the code alone."""
    functions = pl.DataFrame(
        {
            "function": ["PROD", "MAIN", "WHSE", "SALE", "FIN", "ADM", "ENG", "QUAL", "LOG", "HR"],
            "cost_center_type": [
                *("production", "engineering", "warehouse", "sales", "finance"),
                *("admin", "engineering", "production", "warehouse", "admin"),
            ],
        }
    )
    frame = world.factories.select("factory_id", "factory_name").join(
        functions, how="cross", maintain_order="left_right"
    )
    number = pl.col("factory_id").str.slice(-2)
    return frame.select(
        world.keys("financial.cost_centers").head(len(frame)),
        "factory_id",
        "function",
        "cost_center_type",
        cost_center_code=pl.lit("FAC") + number + "-" + pl.col("function"),
        cost_center_name=pl.col("factory_name") + " " + pl.col("cost_center_type") + " " + pl.col("function"),
    )


def postings(world: World, plan: Plan, bought: Purchasing) -> pl.DataFrame:
    """All lines, in order of entry: date, account, debit, credit, plant, cost centre and the document behind them."""
    sold = _sold(world)
    daily = sold.group_by("factory_id").agg(revenue=pl.col("total_net_value").sum() / len(plan.days)).sort("factory_id")
    current = pl.concat(
        [
            _opening(plan, float(daily["revenue"].sum())),
            _sales(sold),
            _customer_payments(world, plan, sold),
            _cost_of_sales(world, sold),
            _purchases(bought, plan),
            _running_costs(plan, daily),
        ],
        how="diagonal",
    )
    lines = pl.concat([current, _settlements(current, plan)], how="diagonal").sort(
        "posting_date", "entry", maintain_order=True
    )
    centres = cost_centres(world).select("cost_center_id", "factory_id", "function")
    return lines.with_columns(function=pl.col("account_code").replace_strict(_COST_CENTRE, default=None)).join(
        centres, on=["factory_id", "function"], how="left", maintain_order="left"
    )


def _entry(
    frame: pl.DataFrame, kind: str, amounts: Mapping[str, tuple[str, str]], factory: str | None = "factory_id"
) -> pl.DataFrame:
    """Lines of one entry a row; `amounts` maps an account to its side and the column that holds the amount."""
    document = pl.col("document") if "document" in frame.columns else pl.lit(None, dtype=pl.String)
    parts = [
        frame.select(
            "posting_date",
            entry=pl.lit(f"{kind}-") + pl.col("entry"),
            source_type=pl.lit(kind),
            source_document_id=document,
            account_code=pl.lit(account.partition("/")[0]),
            factory_id=pl.col(factory) if factory else pl.lit(None, dtype=pl.String),
            debit=pl.col(amount) if side == "debit" else pl.lit(0.0),
            credit=pl.col(amount) if side == "credit" else pl.lit(0.0),
        )
        for account, (side, amount) in amounts.items()
    ]
    return pl.concat(parts).filter((pl.col("debit") != 0) | (pl.col("credit") != 0))


def _sold(world: World) -> pl.DataFrame:
    """Delivered orders with the plant that supplied their first line."""
    plants = world.sales_order_lines.group_by("sales_order_id", maintain_order=True).agg(
        pl.first("plant_id").alias("factory_id")
    )
    orders = world.sales_orders.filter(pl.col("delivery_date").is_not_null())
    return orders.join(plants, on="sales_order_id", how="left", maintain_order="left").with_columns(
        entry="sales_order_id",
        document="sales_order_id",
        posting_date="delivery_date",
        tax=(pl.col("total_value") - pl.col("total_net_value")).round(2),
    )


def _sales(sold: pl.DataFrame) -> pl.DataFrame:
    amounts = {"1210": ("debit", "total_value"), "4100": ("credit", "total_net_value"), "2140": ("credit", "tax")}
    return _entry(sold, "sales_invoice", amounts)


def _customer_payments(world: World, plan: Plan, sold: pl.DataFrame) -> pl.DataFrame:
    rng = plan.rng("ledger.customer_payments")
    terms = world.customers.select("customer_id", "payment_terms_days")
    late = np.where(rng.random(len(sold)) < 0.7, rng.integers(-5, 4, len(sold)), rng.integers(4, 40, len(sold)))
    paid = sold.join(terms, on="customer_id", how="left", maintain_order="left").with_columns(
        posting_date=pl.col("delivery_date") + pl.duration(days=pl.col("payment_terms_days") + pl.lit(pl.Series(late)))
    )
    paid = paid.filter(pl.col("posting_date") <= plan.end.date())
    return _entry(paid, "customer_payment", {"1120": ("debit", "total_value"), "1210": ("credit", "total_value")})


def _cost_of_sales(world: World, sold: pl.DataFrame) -> pl.DataFrame:
    """Per plant and day: goods sold at standard cost, and the stock they came from made good."""
    lines = world.sales_order_lines.join(sold.select("sales_order_id", "posting_date"), on="sales_order_id")
    days = (
        lines.group_by("posting_date", factory_id="plant_id")
        .agg(cost=(pl.col("order_quantity") * pl.col("standard_cost")).sum().round(2))
        .sort("posting_date", "factory_id")
        .with_columns(
            entry=pl.col("posting_date").cast(pl.String) + pl.col("factory_id"),
            labour=(pl.col("cost") * _LABOUR_IN_COST).round(2),
        )
        .with_columns(material=(pl.col("cost") - pl.col("labour")).round(2))
    )
    sale = _entry(days, "cost_of_sales", {"5110": ("debit", "cost"), "1330": ("credit", "cost")})
    amounts = {"1330": ("debit", "cost"), "1310": ("credit", "material"), "2130": ("credit", "labour")}
    return pl.concat([sale, _entry(days, "production", amounts)])


def _purchases(bought: Purchasing, plan: Plan) -> pl.DataFrame:
    """A day's supplier invoices in one entry, and a day's payments in another."""
    sums = [pl.col("subtotal").sum().round(2), pl.col("tax_amount").sum().round(2)]
    received = bought.invoices.group_by(posting_date="invoice_date").agg(sums)
    paid = bought.invoices.filter(pl.col("paid_date") <= plan.end.date()).group_by(posting_date="paid_date").agg(sums)
    received, paid = (
        frame.sort("posting_date").with_columns(
            entry=pl.col("posting_date").cast(pl.String), total=(pl.col("subtotal") + pl.col("tax_amount")).round(2)
        )
        for frame in (received, paid)
    )
    invoiced = {"1310": ("debit", "subtotal"), "2140": ("debit", "tax_amount"), "2110": ("credit", "total")}
    return pl.concat(
        [
            _entry(received, "purchase_invoice", invoiced, factory=None),
            _entry(paid, "supplier_payment", {"2110": ("debit", "total"), "1120": ("credit", "total")}, factory=None),
        ]
    )


def _running_costs(plan: Plan, daily: pl.DataFrame) -> pl.DataFrame:
    """Accruals of each plant and day, so that every day of the flash result carries its costs."""
    frame = plan.days.rename("posting_date").to_frame().join(daily, how="cross", maintain_order="left_right")
    busy = np.repeat(plan.day_weights / plan.day_weights.mean(), len(daily))
    frame = frame.with_columns(entry=pl.col("posting_date").cast(pl.String) + pl.col("factory_id"))
    parts: list[pl.DataFrame] = []
    for account, (share, credited) in _RUNNING_COSTS.items():
        noise = plan.rng(f"ledger.{account}").normal(1, 0.07, len(frame)).clip(0.7, 1.3)
        level = pl.lit(pl.Series((0.75 + 0.25 * busy) * noise * share))
        cost = frame.with_columns(amount=(pl.col("revenue") * level).round(2))
        parts.append(_entry(cost, "accrual", {account: ("debit", "amount"), credited: ("credit", "amount")}))
    income = frame.with_columns(amount=(pl.col("revenue") * _OTHER_INCOME_SHARE).round(2))
    parts.append(_entry(income, "accrual", {"1120": ("debit", "amount"), "4200": ("credit", "amount")}))
    return _merged(pl.concat(parts))


def _merged(lines: pl.DataFrame) -> pl.DataFrame:
    """One line an entry and account."""
    keys = ["posting_date", "entry", "source_type", "source_document_id", "account_code", "factory_id"]
    return lines.group_by(keys, maintain_order=True).agg(
        pl.col("debit").sum().round(2), pl.col("credit").sum().round(2)
    )


def _settlements(lines: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """What a month accrued of expenses and taxes is paid (or refunded) in the next one."""
    balance = (
        lines.filter(pl.col("account_code").is_in(["2130", "2140"]))
        .group_by("account_code", month=pl.col("posting_date").dt.truncate("1mo"))
        .agg(owed=(pl.col("credit") - pl.col("debit")).sum().round(2))
        .sort("month", "account_code")
        .with_columns(posting_date=pl.col("month").dt.offset_by("1mo") + pl.duration(days=_PAYDAY - 1))
        .filter(pl.col("posting_date") <= plan.end.date())
        .with_columns(entry=pl.col("posting_date").cast(pl.String) + "-" + pl.col("account_code"))
        .with_columns(amount=pl.col("owed").abs())
    )
    parts = [
        _entry(
            balance.filter(pl.col("account_code") == account, pl.col("owed") >= 0 if owed else pl.col("owed") < 0),
            "settlement",
            {account: ("debit" if owed else "credit", "amount"), "1120": ("credit" if owed else "debit", "amount")},
            factory=None,
        )
        for account in ("2130", "2140")
        for owed in (True, False)
    ]
    return pl.concat(parts)


def _opening(plan: Plan, daily_revenue: float) -> pl.DataFrame:
    values = {account: round(share * daily_revenue * 365, -3) for account, share in _OPENING.items()}
    values["3120"] -= sum(values.values())
    frame = pl.DataFrame({"posting_date": [plan.start.date()], "entry": ["balance"]}).with_columns(
        **{account: pl.lit(abs(value)) for account, value in values.items()}
    )
    amounts = {account: ("debit" if value > 0 else "credit", account) for account, value in values.items()}
    return _entry(frame, "opening", amounts, factory=None)
