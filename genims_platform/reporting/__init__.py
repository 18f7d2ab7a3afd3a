"""The reporting tables: one pure model a file, shared formulas, and the publication of one slice.

Models take LazyFrames and return a LazyFrame; they use no clock, no environment, no SQL and no Dagster.
"""
