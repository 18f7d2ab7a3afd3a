"""Asset keys of the audit trail: its tables, and the queue in each source that feeds it."""

import dagster as dg

AUDIT_DATABASE_NAME = "genims_audit_db"


def audit_key(table: str) -> dg.AssetKey:
    """Key of a table of the audit database."""
    return dg.AssetKey([AUDIT_DATABASE_NAME, table])


def queue_key(source: str) -> dg.AssetKey:
    """Key of the queue of a source, where its events wait for delivery."""
    return dg.AssetKey([f"genims_{source}_db", "audit", "queue"])
