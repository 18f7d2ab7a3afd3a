"""Relays as one would write them first, to prove that the checker finds what they lose and repeat.

    python -m genims_platform_tests.audit.faults.naive ADDRESSES --kind by-number --seconds 10

`by-number` goes on after the highest number that it has seen: numbers commit out of order, so it loses events.
`cursor-file` reads right, but keeps its place in a file that it writes after COMMIT: killed between the two, it
repeats. `ranges` reads right and keeps its place in the audit database: the reference, of which the checker must find
nothing. All three store values in the clear and only in the ledger and its changes.
"""

import argparse
import json
import os
import signal
import time
import uuid
from pathlib import Path
from typing import Any, cast

import mysql.connector
import psycopg2
from mysql.connector.abstracts import MySQLConnectionAbstract
from psycopg2 import extensions

from genims_platform_tests.audit.faults import hashing
from genims_platform_tests.audit.faults.addresses import Addresses, read
from genims_platform_tests.audit.faults.stored_values import parsed, typed

Row = dict[str, Any]
SPINE, LEDGER, CHANGES = "audit_sequence_manager", "system_audit_log", "data_change_audit"

_EVENTS = """
    SELECT event_id, xid::text, kind, op, schema_name, table_name, pk, old::text, new::text, ctx, db_user,
        occurred_at AT TIME ZONE 'UTC',
        sha256(convert_to(jsonb_build_array(event_id, xid::text, (extract(epoch FROM occurred_at) * 1000000)::bigint,
            kind, op, schema_name, table_name, class, pk, old, new, ctx, detail, db_user, set_role, host(client_addr),
            app_name, pid, nonce)::text, 'UTF8'))
    FROM audit.queue
"""
_COLUMNS = (
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
    "db_user",
    "occurred_at",
    "digest",
)
_AFTER_NUMBER = _EVENTS + " WHERE event_id > %(last)s ORDER BY event_id LIMIT 500"
_BETWEEN_TICKS = (
    _EVENTS
    + """, LATERAL (SELECT max(m.event_id) AS m FROM audit.queue m WHERE m.xid = queue.xid) t
    WHERE pg_visible_in_snapshot(xid, (SELECT snap FROM audit.tick WHERE tick_id = %(upto)s))
        AND NOT pg_visible_in_snapshot(xid, (SELECT snap FROM audit.tick WHERE tick_id = %(last)s))
    ORDER BY m, event_id"""
)


class NaiveRelay:
    def __init__(self, addresses: Addresses, kind: str, place: Path, die_after: int) -> None:
        self.kind = kind
        self.place = place
        self.die_after = die_after
        self.sources: dict[str, extensions.connection] = {}
        for source, address in addresses.sources.items():
            self.sources[source] = psycopg2.connect(address)
            self.sources[source].autocommit = True
        self.audit = cast("MySQLConnectionAbstract", mysql.connector.connect(**addresses.mysql))
        self.head: Row | None = None
        self.types = self._types()
        self.commits = 0

    def run(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            moved = [self.step(source) for source in self.sources]
            if not any(moved):
                time.sleep(0.02)

    def step(self, source: str) -> bool:
        """Deliver what is new in one source; whether there was anything."""
        head, cursor = self._head(source)
        if cursor is None:
            self._append(source, [], "OPEN" if head else "GENESIS", 0, 1)
            return True
        last = self._last(source, cursor)
        upto, events = self._read(source, last)
        if upto == last:
            return False
        # Numbers of events serve as ticks where those are not used; the audit database wants its ranges to go on.
        tick_to = upto if self.kind == "ranges" else cursor["tick_to"] + 1
        for start in range(0, len(events), 500):
            part = events[start : start + 500]
            self._append(source, part, "STREAM", cursor["tick_to"], tick_to, start // 500, start + 500 >= len(events))
        if not events and self.kind == "ranges":
            return False
        if self.kind == "cursor-file" and self.commits == self.die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        self._remember(source, upto)
        return bool(events)

    def _read(self, source: str, last: int) -> tuple[int, list[Row]]:
        with self.sources[source].cursor() as cursor:
            if self.kind == "by-number":
                cursor.execute(_AFTER_NUMBER, {"last": last})
                rows = cursor.fetchall()
                upto = rows[-1][0] if rows else last
            else:
                cursor.execute("SELECT tick_id FROM audit.make_tick()")
                (found,) = cursor.fetchall()
                upto = int(found[0])
                cursor.execute(_BETWEEN_TICKS, {"last": last, "upto": upto})
                rows = cursor.fetchall()
            return upto, [dict(zip(_COLUMNS, row, strict=True)) for row in rows]

    def _last(self, source: str, cursor: Row) -> int:
        if self.kind == "ranges":
            return int(cursor["tick_to"])
        return int(self._remembered().get(source, 0 if self.kind == "by-number" else 1))

    def _remembered(self) -> dict[str, int]:
        return json.loads(self.place.read_text()) if self.place.exists() else {}

    def _remember(self, source: str, upto: int) -> None:
        self.place.write_text(json.dumps({**self._remembered(), source: upto}))

    def _head(self, source: str) -> tuple[Row | None, Row | None]:
        self.audit.rollback()
        rows = self._query(f"SELECT * FROM {SPINE} ORDER BY batch_no DESC LIMIT 1")
        self.head = rows[0] if rows else None
        rows = self._query(
            f"SELECT * FROM {SPINE} WHERE source_db = %s ORDER BY tick_from DESC, part_no DESC LIMIT 1", (source,)
        )
        return self.head, rows[0] if rows else None

    def _append(
        self, source: str, events: list[Row], kind: str, tick_from: int, tick_to: int, part: int = 0, last: bool = True
    ) -> None:
        head = self.head
        now = self._query("SELECT UTC_TIMESTAMP(6) AS now")[0]["now"]
        first = head["last_sequence"] + 1 if head else 1
        common = {
            "recorded_at": max(now, head["recorded_at"]) if head else now,
            "batch_no": head["batch_no"] + 1 if head else 0,
            "source_db": source,
        }
        rows = [row for n, event in enumerate(events) for row in _rows(event, {**common, "audit_sequence": first + n})]
        order = {LEDGER: 1, CHANGES: 11}
        leaves = [
            hashing.leaf(table, row, self.types[table])
            for table, row in sorted(rows, key=lambda r: (r[1]["audit_sequence"], order[r[0]], r[1]["item_no"]))
        ]
        counts = {table: sum(1 for name, _ in rows if name == table) for table in (CHANGES, LEDGER)}
        spine: Row = {
            **common,
            "batch_kind": kind,
            "incarnation": 1,
            "tick_from": tick_from,
            "tick_to": tick_to,
            "tick_token": bytes(16),
            "part_no": part,
            "is_last_part": int(last),
            "prev_batch_no": head["batch_no"] if head else None,
            "prev_last_sequence": head["last_sequence"] if head else None,
            "prev_hash": head["batch_hash"] if head else None,
            "prev_recorded_at": head["recorded_at"] if head else None,
            "first_sequence": first,
            "last_sequence": first + len(events) - 1,
            "event_count": len(events),
            "row_count": len(rows),
            "table_counts": ";".join(f"{table}={count}" for table, count in counts.items() if count),
            "merkle_root": hashing.root(leaves),
            "writer_id": "naive",
            "batch_uid": uuid.uuid4().bytes,
            "hash_version": 1,
            "routing_version": 1,
        }
        spine["batch_hash"] = hashing.batch_hash(SPINE, spine, self.types[SPINE])
        self._insert(SPINE, spine)
        for table, row in sorted(rows, key=lambda item: order[item[0]]):
            self._insert(table, row)
        self.audit.commit()
        self.commits += 1
        self.head = spine

    def _insert(self, table: str, row: Row) -> None:
        with self.audit.cursor() as cursor:
            marks = ", ".join(["%s"] * len(row))
            cursor.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))

    def _query(self, query: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
        with self.audit.cursor(dictionary=True) as cursor:
            cursor.execute(query, parameters)
            rows = cast("list[Row]", cursor.fetchall())
            return [{n: bytes(v) if isinstance(v, bytearray) else v for n, v in row.items()} for row in rows]

    def _types(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {SPINE: {}, LEDGER: {}, CHANGES: {}}
        for row in self._query(
            "SELECT table_name AS t, column_name AS c, column_type AS k FROM information_schema.columns "
            f"WHERE table_schema = DATABASE() AND table_name IN ('{SPINE}', '{LEDGER}', '{CHANGES}')"
        ):
            found[row["t"]][row["c"]] = row["k"] if isinstance(row["k"], str) else row["k"].decode()
        return found


def _rows(event: Row, common: Row) -> list[tuple[str, Row]]:
    context = json.loads(event["ctx"] or "{}")
    ledger: Row = {
        **common,
        "item_no": 0,
        "incarnation": 1,
        "event_id": event["event_id"],
        "transaction_id": int(event["xid"]),
        "audit_timestamp": event["occurred_at"],
        "event_kind": event["kind"],
        "operation_type": event["op"],
        "schema_name": event["schema_name"],
        "table_name": event["table_name"],
        "primary_key_value": event["pk"],
        "user_id": context.get("user"),
        "session_id": context.get("session"),
        "db_user": event["db_user"],
        "status": "OK",
        "event_digest": bytes(event["digest"]),
    }
    rows: list[tuple[str, Row]] = [(LEDGER, ledger)]
    if event["kind"] != "ROW":
        return rows
    old, new = parsed(event["old"]), parsed(event["new"])
    if old is None or new is None:
        changed = {"*": (event["old"], event["new"])}
    else:
        changed = {
            name: tuple(value and value[1] for value in (typed(old[name]), typed(new[name])))
            for name in sorted(new)
            if old[name] != new[name]
        }
    for item, (name, (before, after)) in enumerate(changed.items()):
        row: Row = {
            **common,
            "item_no": item,
            "change_timestamp": event["occurred_at"],
            "table_name": event["table_name"],
            "primary_key_value": event["pk"],
            "change_type": event["op"],
            "column_name": name,
            "value_state": "IMAGE" if name == "*" else "PLAIN",
            "old_value": before,
            "new_value": after,
            "chunk_no": 1,
            "chunk_count": 1,
        }
        rows.append((CHANGES, row))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("addresses", type=Path)
    parser.add_argument("--kind", choices=["by-number", "cursor-file", "ranges"], required=True)
    parser.add_argument("--place", type=Path, required=True, help="where the first two keep their place")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--die-after", type=int, default=0, help="cursor-file: batches before it kills itself")
    options = parser.parse_args()
    NaiveRelay(read(options.addresses), options.kind, options.place, options.die_after).run(options.seconds)


if __name__ == "__main__":
    main()
