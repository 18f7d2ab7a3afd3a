"""Rules that every table of the audit database keeps with the ledger and the spine, as SQL; none reads a hash.

They find what bugs, lost rows and clumsy hands do. Who recomputes hashes to hide a change is found by the verifier.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.connection import identifier, read_frame

FUTURE_YEARS = 2
"""Partitions that must exist for years to come: a row without a partition stops delivery."""

CLOCK_SECONDS = 5

# The newest rows of a table are found through its primary key, which begins with the number of the event.
_DETAIL_RULES: Mapping[str, str] = {
    "not_in_ledger": """
        SELECT COUNT(*) FROM {table} t LEFT JOIN {ledger} l
            ON l.audit_sequence = t.audit_sequence AND l.item_no = 0 AND l.recorded_at = t.recorded_at
        WHERE t.audit_sequence BETWEEN %(first)s AND %(last)s
            AND (l.audit_sequence IS NULL OR l.batch_no <> t.batch_no OR l.source_db <> t.source_db)""",
    "items_not_0_to_k": """
        SELECT COUNT(*) FROM (
            SELECT audit_sequence FROM {table} WHERE audit_sequence BETWEEN %(first)s AND %(last)s
            GROUP BY audit_sequence HAVING MIN(item_no) <> 0 OR MAX(item_no) + 1 <> COUNT(*)) e""",
}
_RULES: Mapping[str, str] = {
    "outside_its_batch": """
        SELECT COUNT(*) FROM {table} t LEFT JOIN {spine} s ON s.batch_no = t.batch_no
        WHERE t.audit_sequence BETWEEN %(first)s AND %(last)s AND (s.batch_no IS NULL
            OR t.audit_sequence NOT BETWEEN s.first_sequence AND s.last_sequence OR s.recorded_at <> t.recorded_at)""",
    "batches_with_other_row_counts": """
        SELECT COUNT(*) FROM {spine} s LEFT JOIN (
            SELECT batch_no, COUNT(*) AS found FROM {table}
            WHERE audit_sequence BETWEEN %(first)s AND %(last)s GROUP BY batch_no) t ON t.batch_no = s.batch_no
        WHERE s.batch_no BETWEEN %(first_batch)s AND %(last_batch)s AND COALESCE(t.found, 0) <> IF(
            LOCATE(%(named)s, CONCAT(';', s.table_counts)) = 0, 0,
            CAST(SUBSTRING_INDEX(SUBSTRING_INDEX(CONCAT(';', s.table_counts), %(named)s, -1), ';', 1) AS UNSIGNED))""",
    "in_the_future": """
        SELECT COUNT(*) FROM {table}
        WHERE audit_sequence BETWEEN %(first)s AND %(last)s
            AND recorded_at > UTC_TIMESTAMP(6) + INTERVAL %(clock)s SECOND""",
    "future_partitions_missing": """
        SELECT GREATEST(0, %(years)s - COUNT(*)) FROM information_schema.partitions
        WHERE table_schema = DATABASE() AND table_name = %(name)s AND CAST(SUBSTR(partition_name, 2) AS UNSIGNED)
            > YEAR(UTC_TIMESTAMP())""",
}
_LEDGER_RULES: Mapping[str, str] = {
    "numbers_missing_or_twice": """
        SELECT ABS(COUNT(*) - (%(last)s - %(first)s + 1 - %(void)s)) FROM {ledger}
        WHERE audit_sequence BETWEEN %(first)s AND %(last)s""",
    "numbers_not_unique": """
        SELECT COUNT(*) - COUNT(DISTINCT audit_sequence) FROM {ledger}
        WHERE audit_sequence BETWEEN %(first)s AND %(last)s""",
    "events_twice": """
        SELECT COUNT(*) FROM {ledger} l JOIN {ledger} o ON o.source_db = l.source_db AND o.event_id = l.event_id
            AND o.incarnation = l.incarnation AND o.audit_sequence < l.audit_sequence
        WHERE l.audit_sequence BETWEEN %(first)s AND %(last)s""",
}
_SPINE_RULES: Mapping[str, str] = {
    "batches_missing": """
        SELECT ABS(COUNT(*) - (%(last_batch)s - %(first_batch)s + 1)) FROM {spine}
        WHERE batch_no BETWEEN %(first_batch)s AND %(last_batch)s""",
    "batches_not_linked": """
        SELECT COUNT(*) FROM {spine} s JOIN {spine} p ON p.batch_no = s.batch_no - 1
        WHERE s.batch_no BETWEEN %(first_batch)s AND %(last_batch)s AND NOT (
            s.prev_hash <=> p.batch_hash AND s.prev_last_sequence <=> p.last_sequence
            AND s.prev_recorded_at <=> p.recorded_at AND s.first_sequence = p.last_sequence + 1)""",
    "time_runs_backwards": """
        SELECT COUNT(*) FROM {spine} s JOIN {spine} p ON p.batch_no = s.batch_no - 1
        WHERE s.batch_no BETWEEN %(first_batch)s AND %(last_batch)s AND s.recorded_at < p.recorded_at""",
}


_PART = """
    SELECT MIN(batch_no), MAX(batch_no), MIN(first_sequence), MAX(last_sequence),
        CAST(COALESCE(SUM(IF(batch_kind = 'VOID', event_count, 0)), 0) AS SIGNED)
    FROM {spine} WHERE recorded_at >= %s"""


@dataclass(frozen=True)
class Part:
    """Consecutive batches, and the numbers they gave out, of which `void` name no event."""

    first_batch: int
    last_batch: int
    first: int
    last: int
    void: int = 0


def part_since(connection: MySQLConnectionAbstract, since: datetime) -> Part | None:
    """The batches recorded at the naive UTC instant `since` or later; None if there are none."""
    found = read_frame(
        connection,
        _PART.format(spine=identifier(SPINE)),
        (since,),
    ).row(0)
    return None if found[0] is None else Part(*map(int, found))


def broken_rules(connection: MySQLConnectionAbstract, table: str, part: Part) -> dict[str, int]:
    """Rule → rows, events or batches of the table that break it in this part; 0 where it is kept.

    The 29 tables of rows share their rules, but that the ledger needs no comparison with itself; the spine has its own.
    """
    rules = _SPINE_RULES if table == SPINE else _RULES if table == LEDGER else {**_RULES, **_DETAIL_RULES}
    return _evaluate(connection, table, rules, part)


def broken_sequence(connection: MySQLConnectionAbstract, part: Part) -> dict[str, int]:
    """Rule → numbers that are missing or given out twice, and events that are there twice, in this part."""
    return _evaluate(connection, LEDGER, _LEDGER_RULES, part)


def _evaluate(connection: MySQLConnectionAbstract, table: str, rules: Mapping[str, str], part: Part) -> dict[str, int]:
    names = {"table": identifier(table), "ledger": identifier(LEDGER), "spine": identifier(SPINE)}
    values = {**asdict(part), "name": table, "named": f";{table}=", "clock": CLOCK_SECONDS, "years": FUTURE_YEARS}
    return {
        rule: int(read_frame(connection, statement.format_map(names), values).item())
        for rule, statement in rules.items()
    }
