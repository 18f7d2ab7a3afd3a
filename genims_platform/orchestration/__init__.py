"""Everything that imports Dagster: one module a Dagster concept."""
