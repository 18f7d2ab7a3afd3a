"""Documentation generated from the schema and the declarations of the reporting tables: it cannot contradict them."""
