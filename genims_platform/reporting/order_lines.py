"""Lines of sales orders: what they are worth and which product they sell. Deleted lines are no lines."""

import polars as pl

from genims_platform.reporting import kpi

EXACT = pl.Decimal(38, 10)
"""Wide enough for a quantity times a price; Polars would keep only the scale of the wider factor."""


def order_lines(lines: pl.LazyFrame, materials: pl.LazyFrame) -> pl.LazyFrame:
    """Lines of `erp.sales_order_lines` that are not deleted, with `line_value`, `product_id` and `standard_cost`.

    `line_value` is quantity x price x (1 - discount / 100) in the order's currency, before tax; NULL without a quantity
    or a price, and without a discount it is the full price. `standard_cost` (INR) is the quantity at the standard unit
    cost of the line's own material, NULL where that has none. The product is as in `with_product`.
    """
    kept = lines.filter(~pl.col("deletion_indicator").fill_null(value=False))
    quantity, price, discount = (
        pl.col(name).cast(EXACT) for name in ("order_quantity", "unit_price", "discount_percentage")
    )
    return (
        _with_material(kept, materials)
        .with_columns(
            line_value=quantity * price * (100 - discount.fill_null(0)) / 100,
            standard_cost=quantity * pl.col("_unit_cost"),
            product_id=_product(kpi.present(pl.col("product_id"))),
        )
        .drop("_unit_cost", "_material_product_id")
    )


def with_product(rows: pl.LazyFrame, materials: pl.LazyFrame) -> pl.LazyFrame:
    """Rows with the `product_id` they name, else that of their `material_id`; `UNKNOWN` if neither names one."""
    named = kpi.present(pl.col("product_id")) if "product_id" in rows.collect_schema() else pl.lit(None, pl.String)
    return (
        _with_material(rows, materials)
        .with_columns(product_id=_product(named))
        .drop("_unit_cost", "_material_product_id")
    )


def _product(named: pl.Expr) -> pl.Expr:
    return kpi.key(pl.coalesce(named, kpi.present(pl.col("_material_product_id"))))


def _with_material(rows: pl.LazyFrame, materials: pl.LazyFrame) -> pl.LazyFrame:
    """Rows with `_unit_cost` and `_material_product_id`; one row a material, so that the join multiplies nothing."""
    known = materials.select(
        "material_id", _unit_cost=pl.col("standard_cost").cast(EXACT), _material_product_id="product_id"
    )
    return rows.join(known.unique("material_id", keep="first", maintain_order=True), on="material_id", how="left")
