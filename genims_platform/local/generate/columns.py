"""Shapes that domains share: cutting a frame to its table, and document numbers."""

import polars as pl

from genims_platform.sources.catalogue import source_table


def catalogued(reference: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame without columns that the table does not have."""
    known = source_table(reference).polars_schema
    return frame.select(name for name in frame.columns if name in known)


def document_numbers(prefix: str, moments: pl.Series) -> pl.Series:
    """`PREFIX-YYYYMMDD-000123`, numbered in the order given; reports date a document without dates by them."""
    running = pl.int_range(1, len(moments) + 1, eager=True).cast(pl.String).str.zfill(6)
    return (
        pl.Series("number", [prefix + "-"]).new_from_index(0, len(moments)) + moments.dt.strftime("%Y%m%d-") + running
    )
