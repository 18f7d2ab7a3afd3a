"""What no single batch shows: partitions, numbers beyond the spine, events that stand twice, numbers declared void."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.verify.findings import Finding
from genims_platform.audit.verify.spine import SpineRow
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.connection import identifier
from genims_platform.mysql.contract import contracts

FUTURE_YEARS = 2
IDS_AT_ONCE = 1_000_000
_CANDIDATES_AT_ONCE = 1000

Years = Mapping[tuple[str, int], tuple[int, int]]
"""(table, year) → how many rows it must have, and the first number of the first batch that has some."""


@dataclass(frozen=True)
class PartitionState:
    """Which yearly partitions exist, and which of them are empty."""

    present: frozenset[tuple[str, int]]
    empty: frozenset[tuple[str, int]]

    def is_lost(self, table: str, year: int) -> bool:
        """Whether rows of this table and year cannot be there."""
        return (table, year) not in self.present or (table, year) in self.empty


def detail_tables() -> tuple[str, ...]:
    """All tables but the spine."""
    return tuple(name for name in contracts("audit") if name != SPINE)


def partition_state(connection: MySQLConnectionAbstract, database: str) -> PartitionState:
    """The yearly partitions of all tables as the server lists them."""
    with connection.cursor(raw=True) as cursor:
        cursor.execute(
            "SELECT table_name, partition_name FROM information_schema.partitions "
            "WHERE table_schema = %s AND partition_name IS NOT NULL",
            (database,),
        )
        listed = [(_text(table), _text(name)) for table, name in cursor.fetchall()]  # pyright: ignore
        present = {(table, int(name[1:])) for table, name in listed if name[:1] == "p" and name[1:].isdigit()}
        empty: set[tuple[str, int]] = set()
        for table, year in sorted(present):
            cursor.execute(f"SELECT 1 FROM {identifier(table)} PARTITION (p{year}) LIMIT 1")  # noqa: S608
            if not cursor.fetchall():
                empty.add((table, year))
    return PartitionState(frozenset(present), frozenset(empty))


def lost_partitions(state: PartitionState, years: Years) -> Iterator[Finding]:
    """Partitions that must have rows and have none."""
    for (table, year), (number, sequence) in sorted(years.items()):
        if number and state.is_lost(table, year):
            what = "is empty" if (table, year) in state.present else "is gone"
            sentence = f"partition p{year} of {table} {what}; {number} rows belong there"
            yield Finding("V9", None, sequence, table, sentence)


def missing_partitions(state: PartitionState, this_year: int) -> Iterator[Finding]:
    """Partitions of this year and the next ones that rows will need."""
    for table in detail_tables():
        for year in range(this_year, this_year + FUTURE_YEARS + 1):
            if (table, year) not in state.present:
                yield Finding("V15", None, None, table, f"{table} has no partition for {year}")


def miscounted_partitions(
    connection: MySQLConnectionAbstract, state: PartitionState, years: Years, head: SpineRow
) -> Iterator[Finding]:
    """Partitions with rows of another year, or with another number of rows than the batches of their year have."""
    with connection.cursor() as cursor:
        for table, year in sorted(state.present - state.empty):
            cursor.execute(
                # A condition on recorded_at would keep the server from looking for other years here.
                "SELECT COUNT(*), COALESCE(SUM(YEAR(recorded_at) <> %s), 0), "  # noqa: S608
                "MIN(CASE WHEN YEAR(recorded_at) <> %s THEN audit_sequence END) "
                f"FROM {identifier(table)} PARTITION (p{year}) WHERE audit_sequence BETWEEN 1 AND %s",
                (year, year, head.last_sequence),
            )
            ((present, strange, sequence),) = cursor.fetchall()  # pyright: ignore
            expected, first = years.get((table, year), (0, 1))
            if strange:
                sentence = f"partition p{year} of {table} holds {strange} rows of another year"
                yield Finding("V9", None, int(sequence), table, sentence)  # pyright: ignore
            elif present != expected:
                sentence = f"partition p{year} of {table} holds {present} rows, its batches have {expected}"
                yield Finding("V9", None, first, table, sentence)


def beyond_the_spine(connection: MySQLConnectionAbstract, head: SpineRow) -> Iterator[Finding]:
    """Rows whose numbers no batch gave out; `connection` must see the state in which `head` is the newest batch."""
    with connection.cursor() as cursor:
        for table in detail_tables():
            for condition, bound in (("> %s", head.last_sequence), ("< %s", 1)):
                cursor.execute(
                    f"SELECT MIN(audit_sequence) FROM {identifier(table)} WHERE audit_sequence {condition}",  # noqa: S608
                    (bound,),
                )
                ((found,),) = cursor.fetchall()  # pyright: ignore
                if found is not None:
                    sentence = f"{table} has a row with number {found}, which no batch gave out"
                    yield Finding("V7", None, int(found), table, sentence)  # pyright: ignore


def repeated_events(connection: MySQLConnectionAbstract, first: int, last: int) -> Iterator[Finding]:
    """Events of a source that stand twice in the ledger, one of them with a number from `first` to `last`."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT source_db, MIN(event_id), MAX(event_id) FROM {LEDGER} "  # noqa: S608
            "WHERE audit_sequence BETWEEN %s AND %s GROUP BY source_db ORDER BY source_db",
            (first, last),
        )
        sources: list[tuple[str, int, int]] = cursor.fetchall()  # pyright: ignore
        for source, low, high in sources:
            for start in range(low, high + 1, IDS_AT_ONCE):
                cursor.execute(
                    # Answered by the index on (source_db, event_id) alone.
                    f"SELECT event_id FROM {LEDGER} WHERE source_db = %s AND event_id BETWEEN %s AND %s "  # noqa: S608
                    "GROUP BY event_id HAVING COUNT(*) > 1 ORDER BY event_id",
                    (source, start, min(start + IDS_AT_ONCE - 1, high)),
                )
                candidates = [int(number) for (number,) in cursor.fetchall()]  # pyright: ignore
                for place in range(0, len(candidates), _CANDIDATES_AT_ONCE):
                    some = candidates[place : place + _CANDIDATES_AT_ONCE]
                    cursor.execute(
                        f"SELECT incarnation, event_id, COUNT(*), MAX(audit_sequence) FROM {LEDGER} "  # noqa: S608
                        f"WHERE source_db = %s AND event_id IN ({', '.join(['%s'] * len(some))}) "
                        "GROUP BY incarnation, event_id HAVING COUNT(*) > 1 ORDER BY 4",
                        (source, *some),
                    )
                    for incarnation, event, number, sequence in cursor.fetchall():  # pyright: ignore
                        sentence = f"event {event} of {source}, incarnation {incarnation}, stands {number} times"
                        yield Finding("V20", None, int(sequence), LEDGER, sentence)  # pyright: ignore


def unrecorded_voids(connection: MySQLConnectionAbstract, voids: Sequence[SpineRow]) -> Iterator[Finding]:
    """Batches that declare numbers void without a later security event that says why."""
    with connection.cursor() as cursor:
        for batch in voids:
            cursor.execute(
                "SELECT COUNT(*) FROM security_events WHERE event_type = 'RESTORE_VOID' AND audit_sequence > %s "
                "AND COALESCE(evidence_from, %s) <= %s AND COALESCE(evidence_to, %s) >= %s",
                (
                    batch.last_sequence,
                    batch.first_sequence,
                    batch.first_sequence,
                    batch.last_sequence,
                    batch.last_sequence,
                ),
            )
            if cursor.fetchall() == [(0,)]:
                numbers = f"{batch.first_sequence} to {batch.last_sequence}"
                sentence = f"batch {batch.batch_no} declares the numbers {numbers} void; nothing records why"
                yield Finding("V19", batch.batch_no, batch.first_sequence, SPINE, sentence)


def _text(value: object) -> str:
    return bytes(value).decode()  # pyright: ignore
