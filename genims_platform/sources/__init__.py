"""The 13 PostgreSQL databases: their catalogue, schema, and the reader that turns their tables into LazyFrames.

The only package that reads PostgreSQL for reporting. It knows nothing of MySQL or Dagster.
"""
