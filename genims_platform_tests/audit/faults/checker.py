"""Is every committed change in the audit database, once, unchanged and in order?

    python -m genims_platform_tests.audit.faults.checker ADDRESSES [--history FILE …] [--wait 30] [--heads FILE]

A program of its own that shares no code with the platform: it reads the queues of the sources and the audit database by
plain SELECT, has its own encoder and its own decryption, and prints a verdict as JSON. Exit code 1 if anything is
wrong.

It reads the audit database first and the queues after it, so whatever it finds only in the audit database was never
committed in a source. What is in the queues at its start must arrive within `--wait` seconds.
"""

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import mysql.connector
import psycopg2
from mysql.connector.abstracts import MySQLConnectionAbstract
from psycopg2 import extensions

from genims_platform_tests.audit.faults import hashing
from genims_platform_tests.audit.faults.addresses import Addresses, read
from genims_platform_tests.audit.faults.stored_values import Keys, differences, parsed

SPINE, LEDGER, CHANGES = "audit_sequence_manager", "system_audit_log", "data_change_audit"
COUNTERS = "fault_counters"
# The order of leaves: by number of the table in the specification.
TABLES = (
    LEDGER,
    "user_activity_log",
    "login_audit",
    "database_changes",
    "permission_changes",
    "configuration_changes",
    "security_events",
    "backup_recovery",
    SPINE,
    "audit_etl_sync_log",
    CHANGES,
    "bulk_operation_audit",
    "financial_data_changes",
    "master_data_changes",
    "price_cost_changes",
    "customer_data_changes",
    "supplier_data_changes",
    "personnel_data_changes",
    "sla_compliance_tracking",
    "gdpr_data_request_log",
    "legal_hold_tracking",
    "sox_compliance_log",
    "hipaa_compliance_log",
    "audit_trail_completeness",
    "audit_report_schedule",
    "retention_policy_tracking",
    "audit_archive_log",
    "audit_integrity_checkpoints",
    "compliance_violations",
    "certification_compliance_tracking",
)
BATCHES_AT_ONCE = 300

Row = dict[str, Any]

# Lost events leave no trace but this: the digest is over everything, with a salt that never leaves the source.
_QUEUE = """
    SELECT event_id, xid::text, kind, op, schema_name, table_name, pk, old::text, new::text, ctx, detail::text, db_user,
        occurred_at AT TIME ZONE 'UTC',
        sha256(convert_to(jsonb_build_array(event_id, xid::text, (extract(epoch FROM occurred_at) * 1000000)::bigint,
            kind, op, schema_name, table_name, class, pk, old, new, ctx, detail, db_user, set_role, host(client_addr),
            app_name, pid, nonce)::text, 'UTF8')),
        pg_xact_commit_timestamp(xid::xid) AT TIME ZONE 'UTC'
    FROM audit.queue WHERE event_id = ANY (%s::bigint[])
"""
_QUEUE_COLUMNS = (
    "event_id",
    "xid",
    "kind",
    "op",
    "schema_name",
    "table_name",
    "pk",
    "old",
    "new",
    "ctx",
    "detail",
    "db_user",
    "occurred_at",
    "digest",
    "committed_at",
)


@dataclass
class Verdict:
    """What was found; every count but those of `context` should be 0."""

    events: int = 0
    delivered: int = 0
    lost: int = 0
    phantom: int = 0
    repeated: int = 0
    reordered: int = 0
    split: int = 0
    holes: int = 0
    inconsistent: int = 0
    value_differences: int = 0
    chain: int = 0
    heads_changed: int = 0
    quarantined: int = 0
    not_captured: int = 0
    """Acknowledged row changes, durable ones, that are not in the queue of their own source."""
    invented: int = 0
    """Row changes in a queue whose transaction was rolled back or failed."""
    context: dict[str, Any] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def found(self, counter: str, example: str, number: int = 1) -> None:
        setattr(self, counter, getattr(self, counter) + number)
        if sum(1 for text in self.examples if text.startswith(counter)) < 5:
            self.examples.append(f"{counter}: {example}"[:600])

    @property
    def clean(self) -> bool:
        return not any(
            value for name, value in vars(self).items() if name not in ("events", "delivered", "context", "examples")
        )


@dataclass
class Walk:
    """What is remembered of one source while its events are read in the order of the ledger."""

    transaction: int | None = None
    ended: set[int] = field(default_factory=set)
    event: int = 0
    images: dict[tuple[str, str], bytes | None] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    seen: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)


class Checker:
    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses
        self.verdict = Verdict()
        self.walks: dict[str, Walk] = {}
        self.types: dict[str, dict[str, str]] = {}
        self.sources: dict[str, extensions.connection] = {}
        self.keys = Keys(addresses.key_store, addresses.key_encryption_key)

    def run(self, histories: Sequence[Path], wait: float, heads: Path | None) -> Verdict:
        for source, address in self.addresses.sources.items():
            connection = psycopg2.connect(address)
            connection.autocommit = True
            self.sources[source] = connection
        self.walks = {source: Walk() for source in self.sources}
        started = time.monotonic()
        queued = {source: self._queued(source) for source in self.sources}
        self._wait(queued, wait)
        self.verdict.context["seconds_until_delivered"] = round(time.monotonic() - started, 2)
        with closing(mysql.connector.connect(**self.addresses.mysql)) as connection:
            audit = cast("MySQLConnectionAbstract", connection)
            _read(audit, "SET SESSION time_zone = '+00:00'")
            _read(audit, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
            self.types = _column_types(audit)
            self._walk_batches(audit)
            if heads:
                self._compare_heads(audit, heads)
        for source, expected in queued.items():
            self._missing(source, expected)
        self._history(histories)
        self._latency()
        for connection in self.sources.values():
            connection.close()
        return self.verdict

    def _queued(self, source: str) -> set[int]:
        with self.sources[source].cursor() as cursor:
            cursor.execute("SELECT event_id FROM audit.queue")
            return {number for (number,) in cursor.fetchall()}

    def _wait(self, queued: Mapping[str, set[int]], seconds: float) -> None:
        """Until the audit database holds as many events as the queues did, or time is up."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with closing(mysql.connector.connect(**self.addresses.mysql)) as connection:
                    audit = cast("MySQLConnectionAbstract", connection)
                    query = f"SELECT COUNT(*) AS n FROM {LEDGER} WHERE source_db = %s"
                    if all(_read(audit, query, (name,))[0]["n"] >= len(ids) for name, ids in queued.items()):
                        return
            except mysql.connector.Error:
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                return
            time.sleep(0.2)

    def _walk_batches(self, audit: MySQLConnectionAbstract) -> None:
        spine = _read(audit, f"SELECT * FROM {SPINE} ORDER BY batch_no")
        previous: Row | None = None
        cursors: dict[tuple[str, int], Row] = {}
        for batch in spine:
            self._check_link(batch, previous)
            self._check_cursor(batch, cursors)
            previous = batch
        totals: Counter[str] = Counter()
        for start in range(0, len(spine), BATCHES_AT_ONCE):
            part = spine[start : start + BATCHES_AT_ONCE]
            rows = self._rows(audit, part[0]["first_sequence"], part[-1]["last_sequence"])
            for table, found in rows.items():
                totals[table] += len(found)
            self._check_rows(part, rows)
            self._check_events(rows)
        for table in TABLES:
            if table == SPINE:
                continue
            (count,) = _read(audit, f"SELECT COUNT(*) AS n FROM {table}")
            if count["n"] != totals[table]:
                self.verdict.found(
                    "inconsistent", f"{table}: rows outside every batch", abs(count["n"] - totals[table])
                )
        self.verdict.context["batches"] = len(spine)
        self.verdict.context["rows"] = sum(totals.values())

    def _check_link(self, batch: Row, previous: Row | None) -> None:
        number = batch["batch_no"]
        if hashing.batch_hash(SPINE, batch, self.types[SPINE]) != batch["batch_hash"]:
            self.verdict.found("chain", f"batch {number}: its hash is wrong")
        if previous is None:
            if number != 0 or batch["first_sequence"] != 1:
                self.verdict.found("holes", f"the chain begins with batch {number}")
            return
        if number != previous["batch_no"] + 1 or batch["first_sequence"] != previous["last_sequence"] + 1:
            self.verdict.found("holes", f"batch {number} does not follow {previous['batch_no']}")
        linked = (batch["prev_batch_no"], batch["prev_hash"], batch["prev_last_sequence"], batch["prev_recorded_at"])
        expected = tuple(previous[name] for name in ("batch_no", "batch_hash", "last_sequence", "recorded_at"))
        if linked != expected or batch["recorded_at"] < previous["recorded_at"]:
            self.verdict.found("chain", f"batch {number}: wrong predecessor")

    def _check_cursor(self, batch: Row, cursors: dict[tuple[str, int], Row]) -> None:
        key = batch["source_db"], batch["incarnation"]
        before = cursors.get(key)
        cursors[key] = batch
        if before is None:
            return
        if before["is_last_part"]:
            goes_on = (batch["tick_from"], batch["part_no"]) == (before["tick_to"], 0)
        else:
            goes_on = all(batch[name] == before[name] for name in ("tick_from", "tick_to", "tick_token"))
            goes_on = goes_on and batch["part_no"] == before["part_no"] + 1
        if not goes_on:
            self.verdict.found("holes", f"batch {batch['batch_no']}: the range of {key[0]} does not continue")

    def _rows(self, audit: MySQLConnectionAbstract, first: int, last: int) -> dict[str, list[Row]]:
        return {
            table: _read(
                audit,
                f"SELECT * FROM {table} WHERE audit_sequence BETWEEN %s AND %s ORDER BY audit_sequence, item_no",
                (first, last),
            )
            for table in TABLES
            if table != SPINE
        }

    def _check_rows(self, batches: Sequence[Row], rows: Mapping[str, list[Row]]) -> None:
        """Rows against their batches: counts, places, root."""
        by_batch: dict[int, list[tuple[int, int, int, str, Row]]] = defaultdict(list)
        for number, table in enumerate(TABLES, 1):
            for row in rows.get(table, ()):
                by_batch[row["batch_no"]].append((row["audit_sequence"], number, row["item_no"], table, row))
        for batch in batches:
            found = sorted(by_batch.pop(batch["batch_no"], ()), key=lambda item: item[:3])
            name = f"batch {batch['batch_no']}"
            if (
                hashing.root([hashing.leaf(table, row, self.types[table]) for *_, table, row in found])
                != batch["merkle_root"]
            ):
                self.verdict.found("chain", f"{name}: its root is not that of its rows")
            counts = Counter(table for *_, table, _ in found)
            printed = ";".join(f"{table}={counts[table]}" for table in sorted(counts))
            if printed != batch["table_counts"] or len(found) != batch["row_count"]:
                self.verdict.found("inconsistent", f"{name}: {printed}, but it says {batch['table_counts']}")
            numbers = [row["audit_sequence"] for *_, table, row in found if table == LEDGER]
            if numbers != list(range(batch["first_sequence"], batch["last_sequence"] + 1)):
                self.verdict.found("holes", f"{name}: the ledger has {len(numbers)} of {batch['event_count']} events")
            items: Counter[tuple[str, int]] = Counter()
            for sequence, _, item, table, row in found:
                place = (row["recorded_at"], row["source_db"]) == (batch["recorded_at"], batch["source_db"])
                inside = batch["first_sequence"] <= sequence <= batch["last_sequence"]
                if not (place and inside and item == items[table, sequence]):
                    self.verdict.found("inconsistent", f"{name}: {table} {sequence}/{item} is misplaced")
                items[table, sequence] += 1
        for number, strays in by_batch.items():
            self.verdict.found("inconsistent", f"rows name batch {number}, which does not hold them", len(strays))

    def _check_events(self, rows: Mapping[str, list[Row]]) -> None:
        """The events of some batches against the queues, in the order of the ledger."""
        ledger = rows[LEDGER]
        changes: dict[int, list[Row]] = defaultdict(list)
        for row in rows[CHANGES]:
            changes[row["audit_sequence"]].append(row)
        queued = {
            source: self._events(source, [row["event_id"] for row in ledger if row["source_db"] == source])
            for source in self.sources
        }
        for row in ledger:
            source = row["source_db"]
            if source not in self.walks:
                continue
            self.verdict.delivered += 1
            event = queued[source].get(row["event_id"])
            self._order(self.walks[source], row, event)
            if event is None or bytes(event["digest"]) != bytes(row["event_digest"]):
                reason = "was never committed" if event is None else "is another event than the one that was committed"
                self.verdict.found(
                    "phantom", f"{source} event {row['event_id']} (sequence {row['audit_sequence']}) {reason}"
                )
                continue
            if row["status"] == "QUARANTINED":
                self.verdict.found(
                    "quarantined", f"{source} event {row['event_id']}: {row['payload'] and row['payload'][:200]}"
                )
                continue
            if event["committed_at"] is not None:
                self.walks[source].latencies.append((row["recorded_at"] - event["committed_at"]).total_seconds())
            if row["table_name"] == COUNTERS and event["op"] == "UPDATE":
                self._count(self.walks[source], row, changes[row["audit_sequence"]])
            for difference in differences(row, changes[row["audit_sequence"]], event, self.keys):
                self.verdict.found("value_differences", f"{source} event {row['event_id']}: {difference}")

    def _count(self, walk: Walk, row: Row, changes: Sequence[Row]) -> None:
        """A change of a counter, by the audit database alone: one more than after the change before."""
        key = row["primary_key_value"]
        sides: list[int] = []
        for side in ("old", "new"):
            (value,) = (self._plain_text(row, change, side) for change in changes if change["column_name"] == "value")
            sides.append(int(value))
        before, after = sides
        if after != before + 1 or walk.counters.get(key, before) != before:
            self.verdict.found(
                "reordered",
                f"{row['source_db']} {key}: {before} became {after} (sequence {row['audit_sequence']}), "
                f"after it had become {walk.counters.get(key)}",
            )
        walk.counters[key] = after

    def _plain_text(self, row: Row, change: Row, side: str) -> str:
        value = change[f"{side}_value"]
        if change["value_state"] != "ENC":
            return value
        return self.keys.decrypt(value, {**row, "subject_ref": change["subject_ref"]}, "value", side[0])[1]

    def _events(self, source: str, numbers: list[int]) -> dict[int, Row]:
        with self.sources[source].cursor() as cursor:
            cursor.execute(_QUEUE, (numbers,))
            return {row[0]: dict(zip(_QUEUE_COLUMNS, row, strict=True)) for row in cursor.fetchall()}

    def _order(self, walk: Walk, row: Row, event: Row | None) -> None:
        name = f"{row['source_db']} event {row['event_id']} (sequence {row['audit_sequence']})"
        walk.seen[row["event_id"]] += 1
        if walk.seen[row["event_id"]] > 1:
            self.verdict.found("repeated", name)
            return
        transaction = row["transaction_id"]
        if transaction != walk.transaction:
            if walk.transaction is not None:
                walk.ended.add(walk.transaction)
            if transaction in walk.ended:
                self.verdict.found("split", f"{name}: transaction {transaction} goes on after another one")
            walk.transaction, walk.event = transaction, 0
        if row["event_id"] < walk.event:
            self.verdict.found("reordered", f"{name}: after event {walk.event} of its own transaction")
        walk.event = row["event_id"]
        if event is None or event["kind"] != "ROW":
            return
        key = event["table_name"], event["pk"]
        before, after = _fingerprint(event["old"]), _fingerprint(event["new"])
        if key in walk.images and walk.images[key] != before:
            self.verdict.found("reordered", f"{name}: {key} was not as it says before this change")
        walk.images[key] = after

    def _missing(self, source: str, expected: set[int]) -> None:
        self.verdict.events += len(expected)
        for number in sorted(expected - self.walks[source].seen.keys()):
            self.verdict.found("lost", f"{source} event {number}")

    def _compare_heads(self, audit: MySQLConnectionAbstract, heads: Path) -> None:
        """What was published once, by an earlier check, must still be there; then the head of now is added."""
        known: dict[str, list[Any]] = json.loads(heads.read_text()) if heads.exists() else {}
        stored = {
            str(row["batch_no"]): [row["last_sequence"], bytes(row["batch_hash"]).hex()]
            for row in _read(audit, f"SELECT batch_no, last_sequence, batch_hash FROM {SPINE}")
        }
        for number, head in known.items():
            if stored.get(number) != head:
                self.verdict.found("heads_changed", f"batch {number} was {head}, is {stored.get(number)}")
        heads.write_text(json.dumps(stored))

    def _history(self, paths: Iterable[Path]) -> None:
        intents: dict[str, Row] = {}
        outcomes: dict[str, Row] = {}
        for path in paths:
            for entry in map(json.loads, path.read_text().splitlines()):
                if "intent" in entry:
                    intents[entry["intent"]] = entry
                else:
                    outcomes[entry["name"]] = entry
        stored = {source: self._marks(source) for source in self.sources}
        for name, intent in intents.items():
            outcome = outcomes.get(name, {"outcome": "unknown"})["outcome"]
            self._compare_outcome(name, intent, outcome, stored[intent["source"]])
        context = self.verdict.context
        context["outcomes"] = dict(Counter(entry["outcome"] for entry in outcomes.values()))
        errors = Counter(entry["error"].partition(":")[0] for entry in outcomes.values() if entry["error"])
        context["errors"] = dict(errors.most_common(5))
        seconds = sorted(entry["seconds"] for entry in outcomes.values() if entry["kind"] == "plain")
        if seconds:
            context["write_p99_ms"] = round(seconds[len(seconds) * 99 // 100] * 1000, 1)

    def _compare_outcome(self, name: str, intent: Row, outcome: str, stored: Counter[str]) -> None:
        """What a writer was told about a transaction against what the queue of its source has of it."""
        rows, meant = stored[name], intent["rows"]
        for undone in intent["absent"]:
            if stored[undone]:
                self.verdict.found("invented", f"{undone} was rolled back to its savepoint")
        if outcome == "ok" and rows == 0 < meant and not intent["synchronous"]:
            # What asynchronous commit allows: the source lost it in a crash, so nobody may have it.
            self.verdict.context["lost_by_postgresql"] = self.verdict.context.get("lost_by_postgresql", 0) + 1
        elif outcome == "ok" and rows != meant:
            self.verdict.found("not_captured", f"{name}: {rows} of {meant} rows are in the queue")
        elif outcome in ("rolled back", "failed") and rows:
            self.verdict.found("invented", f"{name} ({outcome}): {rows} rows are in the queue")
        elif outcome == "unknown" and rows not in (0, meant):
            self.verdict.found("not_captured", f"{name} (unknown): {rows} of {meant} rows are in the queue")

    def _marks(self, source: str) -> Counter[str]:
        """How many row changes of the queue carry the name of each transaction."""
        with self.sources[source].cursor() as cursor:
            cursor.execute(
                "SELECT coalesce(new ->> 'notes', new ->> 'job_title', new ->> 'dimensions', new ->> 'mark'), count(*) "
                "FROM audit.queue WHERE kind = 'ROW' AND op <> 'DELETE' GROUP BY 1"
            )
            return Counter(dict(cursor.fetchall()))

    def _latency(self) -> None:
        values = sorted(value for walk in self.walks.values() for value in walk.latencies)
        if values:
            at = {"p50": len(values) // 2, "p99": len(values) * 99 // 100, "max": len(values) - 1}
            self.verdict.context["commit_to_batch_ms"] = {
                name: round(values[place] * 1000, 1) for name, place in at.items()
            }


def _column_types(audit: MySQLConnectionAbstract) -> dict[str, dict[str, str]]:
    types: dict[str, dict[str, str]] = defaultdict(dict)
    for row in _read(
        audit,
        "SELECT table_name AS t, column_name AS c, column_type AS k FROM information_schema.columns "
        "WHERE table_schema = DATABASE()",
    ):
        types[row["t"]][row["c"]] = row["k"] if isinstance(row["k"], str) else row["k"].decode()
    return types


def _read(audit: MySQLConnectionAbstract, query: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
    with audit.cursor(dictionary=True) as cursor:
        cursor.execute(query, parameters)
        if cursor.description is None:
            return []
        return [{name: _plain(value) for name, value in row.items()} for row in cast("Iterator[Row]", cursor)]


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, bytearray) else value


def _fingerprint(image: str | None) -> bytes | None:
    """A row as it was, whatever columns without a value were added to its table."""
    if image is None:
        return None
    values = {column: value for column, value in parsed(image).items() if value is not None}
    return sha256(json.dumps(values, sort_keys=True).encode()).digest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("addresses", type=Path)
    parser.add_argument("--history", type=Path, action="append", default=[])
    parser.add_argument("--wait", type=float, default=30)
    parser.add_argument("--heads", type=Path, help="batches of earlier checks; must still be the same")
    options = parser.parse_args()
    verdict = Checker(read(options.addresses)).run(options.history, options.wait, options.heads)
    print(json.dumps({"clean": verdict.clean, **asdict(verdict)}, indent=1, default=str))  # noqa: T201
    sys.exit(0 if verdict.clean else 1)


if __name__ == "__main__":
    main()
