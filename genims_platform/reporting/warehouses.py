"""Warehouses and the plants that they belong to."""

import polars as pl


def plant_of_warehouse(warehouses: pl.LazyFrame) -> pl.LazyFrame:
    """`plant_id`, the factory, by `warehouse_id` of `wms.warehouses`; each warehouse once."""
    return warehouses.select("warehouse_id", "plant_id").unique("warehouse_id", keep="first", maintain_order=True)
