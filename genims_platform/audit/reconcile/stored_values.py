"""Whether the stored rows of an event say what its row in the queue says; personal values are decrypted first.

A reader of its own: it shares no code with what maps events to rows. Differences are named by table and column, values
are only compared.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from hashlib import sha256
from typing import Any

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.encryption.cipher import DecryptionError, Place, Side, decrypt, stored_key_id
from genims_platform.audit.encryption.errors import KeyGoneError
from genims_platform.audit.encryption.keystore import KeyStore
from genims_platform.audit.policy import AuditPolicy
from genims_platform.mysql.append_only import LEDGER
from genims_platform.mysql.contract import contracts

Row = Mapping[str, Any]
Stored = Mapping[str, Sequence[Row]]
"""Table → its rows of one event."""

CHANGES = "data_change_audit"
_IMAGES = ("customer_data_changes", "supplier_data_changes", "personnel_data_changes", "master_data_changes")
_SINGLE = {
    "price_cost_changes": ("column_name", "old_value", "new_value"),
    "configuration_changes": ("column_name", "old_value", "new_value"),
    "permission_changes": ("permission_type", "old_permission", "new_permission"),
}
"""Tables of one value a row: which column names it, and which hold it."""

_NUMBERS = {
    "price_cost_changes": ("column_name", "old_price", "new_price"),
    "financial_data_changes": ("amount_column", "old_amount", "new_amount"),
}
_REPORTED: Mapping[str, Mapping[str, str]] = {
    "user_activity_log": {
        "resource_type": "resource_type",
        "resource_id": "resource_id",
        "rows_returned": "rows",
        "status": "status",
        "duration_ms": "duration_ms",
        "detail": "detail",
    },
    "login_audit": {
        "user_id": "user",
        "realm": "realm",
        "failure_reason": "failure_reason",
        "auth_method": "method",
        "source_ip": "ip",
        "device_id": "device",
        "user_agent": "user_agent",
        "session_id": "session",
        "session_duration_seconds": "duration_s",
    },
    "database_changes": {
        "ddl_statement": "statement",
        "old_definition": "old",
        "new_definition": "new",
        "object_name": "identity",
    },
    "configuration_changes": {"old_value": "old", "new_value": "new", "approval_id": "approval"},
    "security_events": {"description": "description", "detail": "detail"},
}
"""Where what an application or the catalogue reported is stored: table → column → its name in the detail."""

_COUNTS = frozenset({"rows_returned", "duration_ms", "session_duration_seconds"})
"""Columns that stay empty where something else than a number was reported."""

_REPORTING = {
    "ACTIVITY": ("user_activity_log",),
    "LOGIN": ("login_audit",),
    "DDL": ("database_changes",),
    "SCHEMA": ("database_changes",),
    "PERMISSION": ("database_changes",),
    "CONFIG": ("configuration_changes",),
    "SECURITY": ("security_events",),
}
TABLES = (LEDGER, CHANGES, *_IMAGES, *_SINGLE, "financial_data_changes", *(set(_REPORTED) - set(_SINGLE)))
"""All tables that are looked at."""

_WHOLE_ROW = "*"
_CONTEXT = {"user": "user_id", "role": "user_role", "session": "session_id", "reason": "reason_code"}
_SIDES: tuple[tuple[str, Side], ...] = (("old", "o"), ("new", "n"))


class _Number(str):
    """A JSON number as it was printed."""

    __slots__ = ()


@dataclass
class Reader:
    """Compares events of one source with what is stored of them.

    Attributes:
        source: its name.
        incarnation: which life of it.
        policy: names the persons that rows are about.
        keys: of the persons; None where no key store is set up.
        roots: partition → partitioned table.
        unreadable: values that were not compared because the person's key was destroyed.
    """

    source: str
    incarnation: int
    policy: AuditPolicy
    keys: KeyStore | None
    roots: Mapping[str, str]
    unreadable: int = 0

    def differences(self, event: Event, stored: Stored) -> list[str]:
        """`table.column` (of a source column) for everything that is stored otherwise than it was captured."""
        (ledger,) = stored[LEDGER]
        found = list(self._header(event, ledger))
        if ledger["status"] == "OK":
            if event.kind == "ROW":
                found += self._row(event, stored)
            elif event.kind in _REPORTING:
                found += self._reported(event, stored)
            elif event.kind in ("MARK", "TRUNCATE"):
                found += self._kept(event, ledger)
        return list(dict.fromkeys(found))

    # What every event has.

    def _header(self, event: Event, ledger: Row) -> Iterator[str]:
        expected: dict[str, object] = {
            "event_kind": event.kind,
            "operation_type": event.op,
            "transaction_id": event.xid,
            "audit_timestamp": _utc(event.occurred_at),
            "event_digest": event.digest,
        }
        if ledger["status"] != "QUARANTINED":
            table = self._root(event)
            expected |= {"schema_name": event.schema_name, "table_name": table, "primary_key_value": event.pk}
            expected |= self._actor(event)
        for column, value in expected.items():
            if column in ledger and not _same(ledger[column], value, LEDGER, column):
                yield f"{LEDGER}.{column}"

    def _actor(self, event: Event) -> dict[str, object]:
        context = _context(event.ctx)
        found: dict[str, object] = {stored: context.get(name) for name, stored in _CONTEXT.items()}
        found["approval_id"] = context.get("approval")
        found["source_ip"] = context.get("ip") or event.client_addr
        found["application_name"] = context.get("app") or event.app_name or None
        found["db_user"] = event.db_user
        if event.kind == "LOGIN" and found["user_id"] is None:
            found["user_id"] = (_parsed(event.detail) or {}).get("user") or None
        return found

    def _root(self, event: Event) -> str | None:
        if event.kind not in ("ROW", "TRUNCATE") or event.table_name is None:
            return event.table_name
        return self.roots.get(event.table_name, event.table_name)

    def _kept(self, event: Event, ledger: Row) -> Iterator[str]:
        detail = _parsed(event.detail) or {}
        if event.kind == "TRUNCATE":
            if ledger["affected_rows_count"] != int(detail.get("rows", -1)):
                yield f"{LEDGER}.affected_rows_count"
            return
        kept = dict(_parsed(ledger["payload"]) or {})
        kept.pop("bad_ctx", None)
        if _differ(kept, detail):
            yield f"{LEDGER}.payload"

    def _reported(self, event: Event, stored: Stored) -> Iterator[str]:
        detail = _parsed(event.detail) or {}
        for table in _REPORTING[event.kind]:
            if not stored.get(table):
                yield f"{table} has no row"
            for row in stored.get(table, ())[:1]:
                for column, name in _REPORTED[table].items():
                    value = detail.get(name)
                    if value is None or (row[column] is None and column in _COUNTS and not _is_count(value)):
                        continue
                    if column == "detail":
                        same = not _differ(_parsed(row[column]), value)
                    else:
                        same = _same(row[column], _text(value), table, column)
                    if not same:
                        yield f"{table}.{column}"

    # Changes of rows.

    def _row(self, event: Event, stored: Stored) -> Iterator[str]:
        images = {"old": _parsed(event.old), "new": _parsed(event.new)}
        old, new = images["old"] or {}, images["new"] or {}
        secret = self.policy.secret_columns(f"{self.source}.{self._root(event)}")
        withheld = {*((_parsed(event.detail) or {}).get("secret_changed") or ())}
        withheld |= {column for column in secret if old.get(column) != new.get(column)}
        for image in (old, new):
            for column in secret:
                image.pop(column, None)
        changed = {column for column in old.keys() | new.keys() if _differ(old.get(column), new.get(column))}
        is_whole = event.op != "UPDATE" or not (changed or withheld)
        columns = old.keys() | new.keys() if is_whole else changed
        change = _Change(self, event, images, columns, is_whole, withheld)
        common = {"table_name": self._root(event), "primary_key_value": event.pk, "transaction_id": event.xid}
        actor = self._actor(event)
        common |= {name: actor[name] for name in ("user_id", "db_user", "reason_code", "approval_id")}
        for table, rows in stored.items():
            for row in rows if table != LEDGER else ():
                for column, value in common.items():
                    if column in row and not _same(row[column], value, table, column):
                        yield f"{table}.{column}"
        yield from change.values(stored.get(CHANGES, ()))
        for table in _IMAGES:
            for row in stored.get(table, ()):
                yield from change.image(table, row, "old_values", "new_values")
        for table, (named, *places) in _SINGLE.items():
            for row in stored.get(table, ()):
                yield from change.single(table, row, named, *places)
        for table, (named, *places) in _NUMBERS.items():
            for row in stored.get(table, ()):
                yield from change.numbers(table, row, named, *places)

    def opens(self, event: Event, row: Row | None, column: str, side: Side, sealed: str, value: Any) -> bool:
        """Whether a ciphertext holds this value; one whose key is gone is counted and believed."""
        if self.keys is None:
            self.unreadable += 1
            return True
        try:
            key = self.keys.get(stored_key_id(sealed))
        except KeyGoneError:
            self.unreadable += 1
            return True
        except DecryptionError:
            return False
        place = Place(self.source, self.incarnation, event.event_id, column, side)
        for person in dict.fromkeys(self._persons(event, row)):
            try:
                kind, text = decrypt(key, person, place, sealed)
            except DecryptionError:
                continue
            if value is None or kind != _kind(value):
                return False
            return _parsed(text) == value if kind == "j" else text == _text(value)
        return False

    def _persons(self, event: Event, row: Row | None) -> Iterator[str]:
        """Whose key may have sealed a value: who the images name, else the row itself stands for the person."""
        if row and row.get("subject_ref"):
            yield str(row["subject_ref"])
        rule = self.policy.table(f"{self.source}.{self._root(event)}")
        if rule is None or rule.subject is None:
            return
        for image in (event.new, event.old):
            if person := rule.subject.reference(_parsed(image) or {}):
                yield person
        yield f"{rule.subject.type}:{event.pk}"


@dataclass(frozen=True)
class _Change:
    reader: Reader
    event: Event
    images: Mapping[str, Any]
    columns: set[str]
    is_whole: bool
    withheld: set[str]

    def values(self, rows: Sequence[Row]) -> Iterator[str]:
        """The one table that has every value."""
        by_column: dict[str, list[Row]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: row["item_no"]):
            by_column[row["column_name"]].append(row)
        expected = {_WHOLE_ROW} if self.is_whole else self.columns
        for column in sorted(by_column.keys() ^ (expected | self.withheld)):
            yield f"{CHANGES}: {column} is {'missing' if column in expected | self.withheld else 'too much'}"
        for column, parts in by_column.items():
            if column in self.withheld:
                if any(part["old_value"] is not None or part["new_value"] is not None for part in parts):
                    yield f"{CHANGES}: {column} is kept though it is secret"
                continue
            if [part["chunk_no"] for part in parts] != list(range(1, parts[0]["chunk_count"] + 1)):
                yield f"{CHANGES}: parts of {column}"
            for side, letter in _SIDES:
                text = _joined([part[f"{side}_value"] for part in parts])
                image = self.images[side]
                if column == _WHOLE_ROW:
                    same = self._same_image(parts[0], letter, text, image)
                elif column in expected:
                    same = self._same_value(parts[0], column, letter, text, (image or {}).get(column))
                else:
                    continue
                if not same:
                    yield f"{CHANGES}.{side}_value of {column}"

    def image(self, table: str, row: Row, *places: str) -> Iterator[str]:
        """Values that are repeated as JSON."""
        for place, (side, letter) in zip(places, _SIDES, strict=True):
            image = self.images[side]
            if image is not None and not self.is_whole:
                image = {column: image.get(column) for column in self.columns}
            # Where only secret columns changed nothing is left to repeat.
            if not self._same_image(row, letter, row[place], image):
                yield f"{table}.{place}"

    def single(self, table: str, row: Row, named: str, *places: str) -> Iterator[str]:
        """One value a row."""
        column = row[named]
        if column == _WHOLE_ROW:
            yield from self.image(table, row, *places)
            return
        for place, (side, letter) in zip(places, _SIDES, strict=True):
            value = (self.images[side] or {}).get(column)
            if not self._same_value(row, column, letter, row[place], value):
                yield f"{table}.{place} of {column}"

    def numbers(self, table: str, row: Row, named: str, *places: str) -> Iterator[str]:
        """The same as numbers, where they fit."""
        column = row[named]
        if column is None:
            return
        exact = row["price_exact" if table == "price_cost_changes" else "amount_exact"]
        for place, (side, _) in zip(places, _SIDES, strict=True):
            number, value = row[place], (self.images[side] or {}).get(column)
            if number is None and not exact:
                continue
            if (None if number is None else Decimal(number)) != (None if value is None else _decimal(value)):
                yield f"{table}.{place} of {column}"

    def _same_image(self, row: Row, side: Side, text: str | None, image: Mapping[str, Any] | None) -> bool:
        found = _parsed(text)
        if image is None or not isinstance(found, dict):
            return found is None and image is None
        if found.keys() != image.keys():
            return False
        return all(self._same_token(row, column, side, token, image[column]) for column, token in found.items())

    def _same_token(self, row: Row, column: str, side: Side, token: Any, value: Any) -> bool:
        if isinstance(token, dict) and token.keys() == {"$enc"} and token != value:
            return self.reader.opens(self.event, row, column, side, str(token["$enc"]), value)
        if isinstance(token, dict) and "$ref" in token and token != value:
            # The digest of a personal value is of its ciphertext, which is compared where it stands.
            return token.get("sha256") == _digest(_text(value)) or column in self.reader.policy.personal_columns(
                f"{self.reader.source}.{self.event.table_name}"
            )
        return not _differ(token, value)

    def _same_value(self, row: Row, column: str, side: Side, text: str | None, value: Any) -> bool:
        if text is None or value is None:
            return text is None and value is None
        plain = not _differ(_parsed(text), value) if _kind(value) == "j" and _is_json(text) else text == _text(value)
        if plain and row.get("value_state") != "ENC":
            return True
        if text.startswith('{"$ref":'):
            return self._same_token(row, column, side, _parsed(text), value)
        return text.startswith("v1.") and self.reader.opens(self.event, row, column, side, text, value)


def _parsed(text: str | bytes | None) -> Any:
    """JSON with numbers as they were printed."""
    return None if text is None else json.loads(text, parse_float=_Number, parse_int=_Number)


def _is_json(text: str) -> bool:
    return text[:1] in ("{", "[")


def _text(value: Any) -> str:
    """The text that stands for a value: a string as it is, everything else as JSON."""
    return str(value) if isinstance(value, str) else _compact(value)


def _compact(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        items = sorted(value.items())  # pyright: ignore
        return f"{{{','.join(f'{_compact(name)}:{_compact(item)}' for name, item in items)}}}"  # pyright: ignore
    if isinstance(value, list):
        return f"[{','.join(map(_compact, value))}]"  # pyright: ignore
    return json.dumps(value, ensure_ascii=False)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "b"
    if isinstance(value, _Number):
        return "n"
    return "s" if isinstance(value, str) else "j"


def _differ(one: Any, other: Any) -> bool:
    return type(one) is not type(other) or _compact(one) != _compact(other)


def _decimal(value: Any) -> Decimal | None:
    try:
        return Decimal(_text(value))
    except InvalidOperation:
        return None


def _is_count(value: Any) -> bool:
    return isinstance(value, _Number) and value.isdigit() and len(value) < 10


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _joined(parts: Sequence[str | None]) -> str | None:
    texts = [part for part in parts if part is not None]
    return "".join(texts) if texts else None


def _context(text: str | None) -> Mapping[str, str]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):  # pyright: ignore
        return {}
    return {name: value for name, value in found.items() if value}  # pyright: ignore


def _utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)


def _same(stored: Any, expected: object, table: str, column: str) -> bool:
    """Equal, or a text that was cut at the length of its column."""
    if isinstance(stored, (bytes, bytearray)):
        return bytes(stored) == expected
    if isinstance(stored, str) and isinstance(expected, str):
        length = _lengths(table).get(column)
        cut = length is not None and len(expected) > length and stored == f"{expected[: length - 1]}…"
        return cut or stored == expected
    return str(stored) == str(expected) if isinstance(expected, str) and stored is not None else stored == expected


@cache
def _lengths(table: str) -> Mapping[str, int]:
    """Column → characters that fit."""
    found: dict[str, int] = {}
    for column in contracts("audit")[table].columns:
        kind, _, rest = column.sql_type.lower().partition("(")
        if kind == "varchar":
            found[column.name] = int(rest.rstrip(")"))
    return found
