"""The audit database is append-only: how it is recognised, and what only a person may do to it."""

from collections.abc import Container

COLLATION = "utf8mb4_bin"
"""Of the database and all its texts: two texts are equal only if their bytes are."""

SPINE, LEDGER = "audit_sequence_manager", "system_audit_log"
"""The two tables that no audit database is without."""

_HASHED = (
    "stored values are part of the hash chain and are never converted or removed; find out who changed the database. "
    "A value that is needed anew gets a nullable column of its own in the schema file"
)
_SURPLUS = (
    "it is not in the schema files; find out who made it and why, keep the answer as evidence, then let the owner of "
    "the schema run the statement"
)
_REMEDIES = {
    "compare procedure": (
        "the server shows its text to its definer only; deploy as the account that deployed it, or with the right "
        "SHOW_ROUTINE"
    ),
    "add column": (
        "rows that are stored already would get a value nobody wrote and no longer match their hashes; make the "
        "column nullable in the schema file"
    ),
    "change column": _HASHED,
    "drop column": _HASHED,
    "drop table": _HASHED,
    "change primary key": _HASHED,
    "change partitioning": _HASHED,
}


def holds_audit_tables(tables: Container[str]) -> bool:
    """Whether these tables of a database are, at least in part, those of an audit database."""
    return SPINE in tables or LEDGER in tables


def remedy(kind: str) -> str:
    """What a person has to do about a difference that deployment leaves, by the kind of change."""
    return _REMEDIES.get(kind, _SURPLUS)
