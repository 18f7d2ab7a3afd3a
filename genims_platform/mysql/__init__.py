"""The two MySQL databases: connections, schema deployment, and atomic replacement of slices.

The only package that writes the reporting database. It knows nothing of PostgreSQL or Dagster.
"""
