"""Events as capture makes them, and entries as the audit database would take them."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.encryption.cipher import DataKey, Place, SubjectCipher, decrypt, stored_key_id
from genims_platform.audit.ledger.entries import Columns, Entry
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.routing.bulk import BulkGroup
from genims_platform.audit.routing.router import Router
from genims_platform.mysql.contract import contracts

AT = datetime(2026, 11, 22, 10, 30, 0, 123456, UTC)
CONTEXT = {
    "user": "u.miller",
    "role": "controller",
    "session": "s-1",
    "ip": "10.0.0.9",
    "app": "portal",
    "reason": "LIMIT",
    "approval": "APP-77",
    "request": "r-1",
}
_COMMON = frozenset({"audit_sequence", "item_no", "recorded_at", "batch_no", "source_db", "incarnation"})
_PYTHON = {
    "bigint": int,
    "int": int,
    "smallint": int,
    "tinyint": int,
    "datetime": datetime,
    "date": date,
    "varchar": str,
    "longtext": str,
    "binary": bytes,
    "decimal": Decimal,
}


class Text(str):
    """A piece of JSON that stands as it is, such as a number with its trailing zeros."""


def image(row: Mapping[str, Any] | None) -> str | None:
    """A row as jsonb prints it."""
    if row is None:
        return None

    def token(value: object) -> str:
        return str(value) if isinstance(value, Text) else json.dumps(value, ensure_ascii=False)

    return f"{{{', '.join(f'{json.dumps(name)}: {token(value)}' for name, value in row.items())}}}"


_PLAIN = Event(
    slot=1,
    event_id=99,
    xid=7001,
    occurred_at=AT,
    kind="ROW",
    op="UPDATE",
    schema_name=None,
    table_name=None,
    table_class=None,
    pk=None,
    old=None,
    new=None,
    ctx=json.dumps(CONTEXT),
    detail=None,
    db_user="app_login",
    set_role=None,
    client_addr="127.0.0.1",
    app_name="psql",
    pid=4711,
    digest=bytes(range(32)),
)


def row_event(
    reference: str, old: Mapping[str, Any] | None = None, new: Mapping[str, Any] | None = None, **changes: Any
) -> Event:
    """A change of an audited table, `source.table`."""
    _, _, table = reference.partition(".")
    rule = audit_policy().table(reference)
    key = rule.key if rule else "id"
    row: Mapping[str, Any] = (new if new is not None else old) or {}
    return replace(
        _PLAIN,
        **{
            "op": "INSERT" if old is None else "DELETE" if new is None else "UPDATE",
            "schema_name": "public",
            "table_name": table,
            "table_class": rule.table_class if rule else "operational",
            "pk": row.get(key),
            "old": image(old),
            "new": image(new),
            **changes,
        },
    )


def other_event(kind: str, op: str, detail: Mapping[str, Any] | None = None, **changes: Any) -> Event:
    """An event of another kind."""
    return replace(_PLAIN, kind=kind, op=op, detail=None if detail is None else json.dumps(detail), **changes)


def data_key(subject_ref: str) -> DataKey:
    """A key that belongs to this person alone."""
    material = hashlib.sha256(subject_ref.encode()).digest()
    return DataKey(f"{material.hex()[:16]}.1", material)


def keys_of(subjects: Iterable[str]) -> SubjectCipher:
    return SubjectCipher({subject: data_key(subject) for subject in subjects})


def router() -> Router:
    return Router(audit_policy(), keys_of(()))


def routed(source: str, event: Event, group: BulkGroup | None = None, by: Router | None = None) -> Entry:
    """The entry of an event, with no more keys than it asked for; it fits the tables."""
    mapper = by or router()
    mapper.cipher = keys_of(mapper.subjects(source, event))
    entry = mapper.route(source, 1, event, group)
    assert_fits(entry)
    return entry


def rows_of(entry: Entry, table: str) -> list[Columns]:
    return [row for name, row in entry.details if name == table]


def row_of(entry: Entry, table: str) -> Columns:
    (row,) = rows_of(entry, table)
    return row


def tables_of(entry: Entry) -> list[str]:
    return sorted(name for name, _ in entry.details)


def opened(source: str, event: Event, stored: str, column: str, side: str, subjects: Collection[str]) -> str:
    """The text of an encrypted value."""
    by_id = {data_key(subject).key_id: subject for subject in subjects}
    subject = by_id[stored_key_id(stored)]
    place = Place(source, 1, event.event_id, column, "o" if side == "o" else "n")
    return decrypt(data_key(subject), subject, place, stored)[1]


def assert_fits(entry: Entry) -> None:
    """Every column exists, has its type, fits, and is there where it must not be NULL."""
    for table, row in (("system_audit_log", entry.ledger), *entry.details):
        contract = contracts("audit")[table]
        known = {column.name: column for column in contract.columns}
        assert row.keys() <= known.keys() - _COMMON, (table, row.keys() - known.keys())
        for name, column in known.items():
            value = row.get(name)
            if value is None:
                assert column.nullable or name in _COMMON, f"{table}.{name} is NULL"
                continue
            where = f"{table}.{name}: {value!r}"
            assert type(value) is _PYTHON[column.sql_type.split("(")[0].split(" ")[0]], where
            if column.max_length is not None:
                assert isinstance(value, str), where
                assert len(value) <= column.max_length, where
            if isinstance(value, datetime):
                assert value.tzinfo is None, where
            if isinstance(value, Decimal):
                assert value.as_tuple().exponent == -6, where
            if column.sql_type == "tinyint" and "flag" in column.comment:
                assert value in (0, 1), where


def everything(entry: Entry) -> str:
    """All that is stored of an event, as one text."""
    return repr((entry.ledger, entry.details))
