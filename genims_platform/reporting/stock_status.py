"""How a stock stands against its planned levels."""

import polars as pl


def stock_status(quantity: pl.Expr) -> pl.Expr:
    """The first that applies of `out` (nothing left), `below_safety`, `below_reorder`, `over_max` and `ok`.

    The levels are the columns `safety_stock`, `reorder_point` (which itself already asks for an order) and
    `maximum_stock`. A level that is NULL is not tested; NULL without a quantity, or for some stock without any level.
    """
    levels = [pl.col(name) for name in ("safety_stock", "reorder_point", "maximum_stock")]
    safety, reorder, maximum = levels
    return (
        pl.when(quantity <= 0)
        .then(pl.lit("out"))
        .when(quantity < safety)
        .then(pl.lit("below_safety"))
        .when(quantity <= reorder)
        .then(pl.lit("below_reorder"))
        .when(quantity > maximum)
        .then(pl.lit("over_max"))
        .when(quantity.is_not_null() & pl.any_horizontal(level.is_not_null() for level in levels))
        .then(pl.lit("ok"))
    )
