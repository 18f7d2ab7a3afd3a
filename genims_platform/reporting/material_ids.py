"""Ids of materials where a source names something else: a material code, or a product."""

import polars as pl

from genims_platform.reporting import kpi


def master(materials: pl.LazyFrame) -> pl.LazyFrame:
    """`erp.materials` with each `material_id` once, so that a join to it never multiplies rows."""
    return materials.unique("material_id", keep="first", maintain_order=True)


def with_material_id(rows: pl.LazyFrame, materials: pl.LazyFrame) -> pl.LazyFrame:
    """Rows of the MES with the `material_id` of their `material_code`; a code without a material is its own id.

    Where several materials bear the code, the one with the smallest id counts. A code may be a material id itself.
    """
    coded = (
        materials.filter(kpi.present(pl.col("material_code")).is_not_null())
        .group_by("material_code")
        .agg(coded_id=pl.col("material_id").min())
    )
    return (
        rows.join(coded, on="material_code", how="left")
        .with_columns(material_id=kpi.key(pl.coalesce("coded_id", "material_code")))
        .drop("coded_id")
    )


def with_material_of_product(rows: pl.LazyFrame, materials: pl.LazyFrame) -> pl.LazyFrame:
    """Rows with the `material_id` of their `product_id`; a product without a material is its own id.

    Where several materials are linked to a product, the one with the smallest id counts.
    """
    linked = (
        materials.filter(kpi.present(pl.col("product_id")).is_not_null())
        .group_by("product_id")
        .agg(linked_id=pl.col("material_id").min())
    )
    return (
        rows.join(linked, on="product_id", how="left")
        .with_columns(material_id=kpi.key(pl.coalesce("linked_id", "product_id")))
        .drop("linked_id")
    )
