"""Present stock of a material in a plant: in the books of the ERP and in the bins of the plant's warehouses."""

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.consumption import at_plant_of_warehouse

STOCK_KEYS = ("plant_id", "material_id")


def plant_stock(balances: pl.LazyFrame, bins: pl.LazyFrame, warehouses: pl.LazyFrame) -> pl.LazyFrame:
    """One row a plant and material of `erp.inventory_balances`.

    `stock_qty` is the unrestricted stock and `stock_value_inr` its ledger value, `wms_on_hand_qty` what `bins`
    (`wms.warehouse_inventory`) hold in the warehouses of the plant; each NULL where no row carries a value.
    `source_row_count` counts the rows of both.
    """
    keys = [kpi.key(pl.col(name)).alias(name) for name in STOCK_KEYS]
    booked = balances.group_by(keys).agg(
        stock_qty=kpi.total(pl.col("unrestricted_stock")),
        stock_value_inr=kpi.total(pl.col("stock_value")),
        balance_rows=pl.len(),
    )
    on_hand = (
        at_plant_of_warehouse(bins, warehouses)
        .group_by(keys)
        .agg(wms_on_hand_qty=kpi.total(pl.col("quantity_on_hand")), bin_rows=pl.len())
    )
    return (
        booked.join(on_hand, on=STOCK_KEYS, how="left")
        .with_columns(source_row_count=pl.col("balance_rows") + pl.col("bin_rows").fill_null(0))
        .drop("balance_rows", "bin_rows")
    )
