"""Cost centres of the ledger and the factory that each belongs to."""

import polars as pl

from genims_platform.reporting import kpi

_FACTORY_NUMBER = r"^FAC(\d{2})-"


def cost_centres_with_factory(cost_centres: pl.LazyFrame) -> pl.LazyFrame:
    """`cost_center_id`, `cost_center_name`, `cost_center_type` and `factory_id`, from `financial.cost_centers`.

    The factory is the one that the cost centre names, else the one whose number leads its code (`FAC01-PROD` belongs to
    `FAC-000001`), else `UNKNOWN`: the group itself.
    """
    number = pl.col("cost_center_code").str.extract(_FACTORY_NUMBER)
    by_code = pl.lit("FAC-") + number.str.zfill(6)
    return cost_centres.select(
        "cost_center_id",
        "cost_center_name",
        "cost_center_type",
        factory_id=pl.coalesce(kpi.present(pl.col("factory_id")), by_code, pl.lit(kpi.UNKNOWN)),
    )
