"""Days that stand in document numbers, for documents whose source keeps no date of its own."""

import polars as pl


def day_in_number(number: pl.Expr, prefix: str) -> pl.Expr:
    """The day in a document number, 22 November 2026 of `PICK-20261122-000017` for the prefix `PICK`.

    NULL where the number is shaped otherwise or its eight digits are no day of the calendar.
    """
    return number.str.extract(rf"^{prefix}-(\d{{8}})-").str.to_date("%Y%m%d", strict=False)
