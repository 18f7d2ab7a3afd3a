"""A small trail written by the platform's own writer: routed events of three sources, control batches, checkpoints."""

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.encryption.cipher import DataKey, SubjectCipher
from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.batch import Batch, Head, Span, build_batch
from genims_platform.audit.ledger.entries import Columns, Entry
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.routing.router import Router
from genims_platform.audit.sealer.checkpoint import Checkpoint, Statement
from genims_platform.audit.sealer.signing import SigningKey, add_public_key
from genims_platform.audit.sealer.worm import CheckpointFolder
from genims_platform.settings import Settings

START = datetime(2026, 11, 22, 12)
INSTANCE = "3f0c1f6e-8a55-4d0e-9d0a-000000000001"
KEY = SigningKey(bytes(range(32)))
_SUBJECTS = ("contact:CONT-000001", "employee:EMP-000001")


class Trail:
    """Writes batches as the relay and the appender would, a minute apart, so that every run gives the same trail.

    Args:
        settings: of the audit database and its accounts.
        home: folder for checkpoints and public keys.
    """

    def __init__(self, settings: Settings, home: Path) -> None:
        self.ledger = Ledger(settings.mysql_audit_as("writer"))
        self.home = home
        self.head: Head | None = None
        self.ticks: dict[str, tuple[int, int, int]] = {}
        self.rows: Counter[str] = Counter()
        self.newest: Checkpoint | None = None
        cipher = SubjectCipher({ref: DataKey(f"{n:016x}.1", bytes([n]) * 32) for n, ref in enumerate(_SUBJECTS, 1)})
        self.router = Router(audit_policy(), cipher)
        self.worm = home / "worm"
        self.worm.mkdir()
        self.keys = home / "keys.txt"
        add_public_key(self.keys, KEY.public)
        self.settings = settings.model_copy(
            update={"audit_worm_uri": self.worm.as_uri(), "audit_public_keys_file": self.keys}
        )

    def build(self) -> None:
        """22 numbers in 16 batches: see the calls."""
        self.control("GENESIS", "MARK", "GENESIS", payload={"instance": INSTANCE})
        for source in ("crm", "hcm", "erp"):
            self.stream(source, [], kind="OPEN")
        account = {"account_id": "ACC-000001", "account_name": "Müller & Söhne", "credit_limit": "100.10"}
        contact = {"contact_id": "CONT-000001", "phone": "+91 22 1", "department": "Sales"}
        self.stream(
            "crm",
            [
                row_event(1, "INSERT", "accounts", "customer", "ACC-000001", None, account),
                row_event(
                    2, "UPDATE", "accounts", "customer", "ACC-000001", account, {**account, "credit_limit": "250.00"}
                ),
                row_event(
                    3, "UPDATE", "contacts", "customer", "CONT-000001", contact, {**contact, "phone": "+91 22 2"}
                ),
            ],
        )
        employee = {"employee_id": "EMP-000001", "annual_salary": "1250000.00", "job_role_id": "ROLE-1"}
        self.stream(
            "hcm",
            [
                row_event(
                    1,
                    "UPDATE",
                    "employees",
                    "personnel",
                    "EMP-000001",
                    employee,
                    {**employee, "annual_salary": "1300000.00"},
                ),
                row_event(2, "DELETE", "employees", "personnel", "EMP-000001", employee, None),
            ],
        )
        self.seal()
        material = {"material_id": "MAT-000001", "standard_cost": "12.500000", "material_name": "Bearing"}
        dearer = {**material, "standard_cost": "13.000000"}
        self.stream(
            "erp",
            [
                row_event(1, "INSERT", "materials", "master", "MAT-000001", None, material),
                row_event(2, "UPDATE", "materials", "master", "MAT-000001", material, dearer),
            ],
            is_last_part=False,
        )
        self.stream("erp", [row_event(3, "DELETE", "materials", "master", "MAT-000001", dearer, None)])
        self.stream(
            "crm",
            [
                event(
                    4,
                    "ACTIVITY",
                    "READ",
                    {"resource_type": "crm.contacts", "resource_id": "CONT-000001", "rows": 1, "status": "SUCCESS"},
                ),
                event(
                    5,
                    "LOGIN",
                    "FAILED",
                    {"user": "anna", "realm": "service.portal", "success": False, "failure_reason": "password"},
                ),
            ],
        )
        self.seal()
        self.stream(
            "crm",
            [
                row_event(
                    6, "UPDATE", "accounts", "customer", "ACC-000001", account, {**account, "account_name": "Müller"}
                )
            ],
        )
        lost = self.control("VOID", "", "", count=5)
        first = lost.spine["first_sequence"]
        description = "numbers lost by a restore"
        self.control(
            "CONTROL",
            "CONTROL",
            "VIOLATION",
            details=(
                (
                    "security_events",
                    {
                        "event_timestamp": START,
                        "event_type": "RESTORE_VOID",
                        "event_severity": "CRITICAL",
                        "rule_id": "STREAM",
                        "description": description,
                        "evidence_from": first,
                        "evidence_to": lost.spine["last_sequence"],
                    },
                ),
            ),
        )
        self.stream("erp", [row_event(4, "INSERT", "materials", "master", "MAT-000001", None, material)])
        self.seal()

    def next_time(self) -> datetime:
        """When the next batch is recorded."""
        return self.head.recorded_at + timedelta(minutes=1) if self.head else START

    def stream(
        self,
        source: str,
        events: Sequence[Event],
        *,
        kind: str = "STREAM",
        is_last_part: bool = True,
        entries: Sequence[Entry] | None = None,
        recorded_at: datetime | None = None,
        upto: int | None = None,
    ) -> Batch:
        """Append a batch of a source, by default of one tick more.

        `entries` stand instead of routed events where a faulty writer is played.
        """
        done, until, part = self.ticks.get(source, (0, 0, -1))
        if done == until:  # the last range is delivered whole
            until, part = upto or until + 1, -1
        span = Span(source, 1, done, until, bytes([1]) * 16, part + 1, is_last_part)
        self.ticks[source] = (until, until, -1) if is_last_part else (done, until, part + 1)
        routed = [self.router.route(source, 1, found) for found in events] if entries is None else list(entries)
        return self._append(kind, span, routed, recorded_at=recorded_at)

    def control(
        self,
        kind: str,
        event_kind: str,
        operation: str,
        *,
        details: tuple[tuple[str, Columns], ...] = (),
        payload: Mapping[str, Any] | None = None,
        count: int | None = None,
        recorded_at: datetime | None = None,
    ) -> Batch:
        """Append a control batch of one fact, or of `count` numbers without any."""
        done, *_ = self.ticks.get("audit", (0, 0, -1))
        self.ticks["audit"] = (done + 1, done + 1, -1)
        entries = [] if count else [control_entry((done + 1) * 1000, event_kind, operation, details, payload)]
        span = Span("audit", 1, done, done + 1, bytes(16))
        return self._append(kind, span, entries, count=count, recorded_at=recorded_at)

    def seal(self) -> Checkpoint:
        """Sign a checkpoint of the head, keep it, and record it."""
        assert self.head
        number = self.newest.statement.checkpoint_no + 1 if self.newest else 1
        statement = Statement(
            instance=INSTANCE,
            checkpoint_no=number,
            batch_no=self.head.batch_no,
            last_sequence=self.head.last_sequence,
            batch_hash=self.head.batch_hash,
            recorded_at=self.head.recorded_at,
            issued_at=self.head.recorded_at + timedelta(seconds=1),
            cursors={source: (1, tick, max(part, 0)) for source, (_, tick, part) in sorted(self.ticks.items())},
            table_rows=dict(self.rows),
            prev_sha256=self.newest.sha256 if self.newest else None,
        )
        checkpoint = Checkpoint.sign(statement, KEY)
        CheckpointFolder(self.worm).write(checkpoint)
        self.control("CONTROL", "CONTROL", "CHECKPOINT", details=((*_COPY, copy_of(checkpoint)),))
        self.newest = checkpoint
        return checkpoint

    def _append(
        self,
        kind: str,
        span: Span,
        entries: Sequence[Entry],
        *,
        count: int | None = None,
        recorded_at: datetime | None = None,
    ) -> Batch:
        number = self.head.batch_no + 1 if self.head else 0
        batch = build_batch(
            self.head,
            kind,
            span,
            entries,
            recorded_at=recorded_at or self.next_time(),
            writer_id="test",
            batch_uid=sha256(f"batch {number}".encode()).digest()[:16],
            routing_version=audit_policy().version,
            event_count=count,
        )
        self.ledger.append([batch])
        self.head = batch.head
        for table, rows in batch.literals.items():
            self.rows[table] += len(rows)
        return batch


_COPY = ("audit_integrity_checkpoints",)


def copy_of(checkpoint: Checkpoint) -> Columns:
    """What MySQL keeps of a checkpoint."""
    said = checkpoint.statement
    return {
        "checkpoint_timestamp": said.issued_at,
        "record_type": "CHECKPOINT",
        "checkpoint_no": said.checkpoint_no,
        "covers_batch_no": said.batch_no,
        "covers_sequence": said.last_sequence,
        "covers_hash": said.batch_hash,
        "previous_sha256": said.prev_sha256,
        "body": checkpoint.body.decode(),
        "signature": checkpoint.signature,
        "key_id": checkpoint.key_id,
        "worm_location": checkpoint.name,
        "worm_sha256": sha256(checkpoint.content).digest(),
        "tool_version": "test",
    }


def control_entry(
    event_id: int,
    kind: str,
    operation: str,
    details: tuple[tuple[str, Columns], ...],
    payload: Mapping[str, Any] | None,
) -> Entry:
    """One fact as the appender would store it."""
    text = None if payload is None else json.dumps(payload, sort_keys=True)
    header: dict[str, Any] = {
        "event_id": event_id,
        "audit_timestamp": START,
        "event_kind": kind,
        "operation_type": operation,
        "status": "OK",
        "event_digest": sha256(f"{event_id} {text}".encode()).digest(),
        "payload": text,
    }
    return Entry(header, details)


def row_event(
    number: int,
    op: str,
    table: str,
    table_class: str,
    pk: str,
    old: Mapping[str, str] | None,
    new: Mapping[str, str] | None,
) -> Event:
    """A captured change; values that look like numbers are numbers."""
    return _event(number, "ROW", op, "public", table, table_class, pk, _image(old), _image(new), None)


def event(number: int, kind: str, op: str, detail: Mapping[str, Any]) -> Event:
    """Something an application reported."""
    return _event(number, kind, op, None, None, None, None, None, None, json.dumps(detail))


def _event(number: int, *rest: str | None) -> Event:
    kind, op, schema, table, table_class, pk, old, new, detail = rest
    assert kind is not None
    assert op is not None
    context = json.dumps({"user": "anna", "reason": "R1", "approval": "AP-1"})
    occurred = (START + timedelta(seconds=number)).replace(tzinfo=UTC)
    digest = sha256(f"{number} {kind} {table}".encode()).digest()
    return Event(
        0, number, 700 + number, occurred, kind, op, schema, table, table_class, pk, old, new, context, detail,
        "app", None, "10.0.0.1", "test", 4711, digest,
    )  # fmt: skip


def _image(row: Mapping[str, str] | None) -> str | None:
    if row is None:
        return None
    tokens = (f"{json.dumps(name)}: {value if _is_number(value) else json.dumps(value)}" for name, value in row.items())
    return f"{{{', '.join(tokens)}}}"


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def public_key_line(seed: bytes) -> str:
    """A line of the file of public keys."""
    key = SigningKey(seed).public
    return f"{key.key_id} {base64.b64encode(key.raw).decode()}\n"
