"""GenIMS data platform: reporting and audit databases in MySQL, kept by Dagster beside 13 factory databases."""
