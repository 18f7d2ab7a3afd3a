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
    costs = materials.select("material_id", unit_cost=pl.col("standard_cost").cast(EXACT))
    quantity, price, discount = (
        pl.col(name).cast(EXACT) for name in ("order_quantity", "unit_price", "discount_percentage")
    )
    return (
        with_product(lines.filter(~pl.col("deletion_indicator").fill_null(value=False)), materials)
        .join(_once(costs), on="material_id", how="left")
        .with_columns(
            line_value=quantity * price * (100 - discount.fill_null(0)) / 100,
            standard_cost=quantity * pl.col("unit_cost"),
        )
        .drop("unit_cost")
    )


def with_product(rows: pl.LazyFrame, materials: pl.LazyFrame) -> pl.LazyFrame:
    """Rows with the `product_id` they name, else that of their `material_id`; `UNKNOWN` if neither names one."""
    named = kpi.present(pl.col("product_id")) if "product_id" in rows.collect_schema() else pl.lit(None, pl.String)
    products = materials.select("material_id", material_product_id=kpi.present(pl.col("product_id")))
    return (
        rows.with_columns(product_id=named)
        .join(_once(products), on="material_id", how="left")
        .with_columns(product_id=kpi.key(pl.coalesce("product_id", "material_product_id")))
        .drop("material_product_id")
    )


def _once(materials: pl.LazyFrame) -> pl.LazyFrame:
    """One row a material: a join to it never multiplies rows."""
    return materials.unique(subset="material_id", keep="first", maintain_order=True)
