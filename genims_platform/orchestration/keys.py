"""Asset keys: `[database, table]` on both sides, with the catalogue's database names."""

import dagster as dg

REPORTING_DATABASE_NAME = "genims_reporting_db"


def source_key(table: str) -> dg.AssetKey:
    """Key of a source table given as `mes.work_orders`."""
    database, _, name = table.partition(".")
    return dg.AssetKey([f"genims_{database}_db", name])


def reporting_key(table: str) -> dg.AssetKey:
    """Key of a reporting table."""
    return dg.AssetKey([REPORTING_DATABASE_NAME, table])
