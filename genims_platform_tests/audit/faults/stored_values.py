"""Whether the stored rows of an event say what its queue row says; personal values are decrypted first."""

import base64
import json
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from genims_platform_tests.audit.faults import key_file

Row = Mapping[str, Any]
Typed = tuple[str, str] | None
"""Kind (s, n, b, j) and text of a value; None for NULL."""


class Number(str):
    """A JSON number as it was printed."""

    __slots__ = ()


class Keys:
    """Data keys by their id; without a key store nothing can be decrypted."""

    def __init__(self, store: str | None, key_encryption_key: str | None) -> None:
        self._store = store
        self._key_encryption_key = base64.b64decode(key_encryption_key or "")
        self._keys: dict[str, bytes] = {}

    def decrypt(self, token: str, row: Row, column: str, side: str) -> tuple[str, str]:
        """Kind and text of a stored value.

        Raises:
            ValueError: no such key, or it does not open the value.
        """
        version, key_id, sealed = token.split(".") if token.count(".") == 2 else ("v1", *_split(token))
        if version != "v1":
            raise ValueError(f"{token[:10]} is no ciphertext")
        if key_id not in self._keys and self._store:
            self._keys = key_file.data_keys(self._store, self._key_encryption_key)
        key = self._keys.get(key_id)
        if key is None:
            raise ValueError(f"no key {key_id}")
        raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
        place = (
            _prefixed(row["source_db"])
            + struct.pack(">IQ", row["incarnation"], row["event_id"])
            + _prefixed(column)
            + side.encode()
        )
        bound = place + _prefixed(row["subject_ref"]) + _prefixed(key_id)
        padded = AESGCM(_derived(key)).decrypt(raw[:12], raw[12:], bound)
        text = padded.rstrip(b"\0").removesuffix(b"\x80").decode()
        return text[0], text[1:]


def differences(ledger: Row, changes: Sequence[Row], event: Row, keys: Keys) -> Iterator[str]:
    """A sentence for everything that the audit database says otherwise than the queue."""
    context = _context(event["ctx"])
    expected = {
        "transaction_id": int(event["xid"]),
        "event_kind": event["kind"],
        "operation_type": event["op"],
        "schema_name": event["schema_name"],
        "table_name": event["table_name"],
        "primary_key_value": event["pk"],
        "db_user": event["db_user"],
        "audit_timestamp": event["occurred_at"],
        "user_id": context.get("user"),
        "session_id": context.get("session"),
    }
    for column, value in expected.items():
        # Other kinds than rows name objects of the catalogue, which have columns of their own.
        if ledger[column] != value and (event["kind"] == "ROW" or column in ("transaction_id", "event_kind")):
            yield f"ledger.{column} is {ledger[column]!r}, not {value!r}"
    if event["kind"] == "ROW":
        yield from _row_differences(ledger, changes, event, keys)


def _row_differences(ledger: Row, changes: Sequence[Row], event: Row, keys: Keys) -> Iterator[str]:
    old, new = parsed(event["old"]), parsed(event["new"])
    stored: dict[str, list[Row]] = defaultdict(list)
    for change in changes:
        stored[change["column_name"]].append(change)
    if old is None or new is None:
        image = stored.pop("*", [])
        for side, content in (("old", old), ("new", new)):
            found = parsed(_joined(image, side))
            if (found is None) != (content is None):
                yield f"the {side} image is {'missing' if found is None else 'too much'}"
            elif found is not None and content is not None:
                yield from _image_differences(ledger, image[0], found, content, side, keys)
    else:
        for column in sorted(old.keys() | new.keys()):
            if old.get(column) != new.get(column) or type(old.get(column)) is not type(new.get(column)):
                rows = stored.pop(column, [])
                if not rows:
                    yield f"the change of {column} is missing"
                    continue
                for side, content in (("old", old), ("new", new)):
                    yield from _column_differences(ledger, rows, column, side, content.get(column), keys)
    secret = json.loads(event["detail"] or "{}").get("secret_changed", [])
    for column in stored.keys() - set(secret):
        yield f"{column} is stored and did not change"
    for column in set(secret) - stored.keys():
        yield f"the change of the secret {column} is missing"


def _image_differences(
    ledger: Row, row: Row, found: Mapping[str, Any], content: Mapping[str, Any], side: str, keys: Keys
) -> Iterator[str]:
    if found.keys() != content.keys():
        yield f"columns {sorted(found.keys() ^ content.keys())} of the {side} image"
        return
    for column, value in found.items():
        if isinstance(value, dict) and value.keys() == {"$enc"}:
            yield from _decrypted(ledger, row, str(value["$enc"]), column, side, content[column], keys)
        elif value != content[column] or type(value) is not type(content[column]):
            yield f"{column} of the {side} image is {value!r:.80}, not {content[column]!r:.80}"


def _column_differences(
    ledger: Row, rows: Sequence[Row], column: str, side: str, value: Any, keys: Keys
) -> Iterator[str]:
    numbers = [row["chunk_no"] for row in rows]
    if numbers != list(range(1, rows[0]["chunk_count"] + 1)):
        yield f"{column} has the chunks {numbers} of {rows[0]['chunk_count']}"
    text = _joined(rows, side)
    if rows[0]["value_state"] == "ENC" and text is not None:
        yield from _decrypted(ledger, rows[0], text, column, side, value, keys)
        return
    expected = typed(value)
    if (text is None) != (expected is None):
        yield f"{side} {column} is {text!r:.80}, not {value!r:.80}"
    elif expected is not None and text is not None:
        kind, printed = expected
        same = parsed(text) == value if kind == "j" else text == printed
        if not same:
            yield f"{side} {column} is {text!r:.80}, not {printed!r:.80}"


def _decrypted(ledger: Row, row: Row, token: str, column: str, side: str, value: Any, keys: Keys) -> Iterator[str]:
    place = {**ledger, "subject_ref": row["subject_ref"]}
    try:
        kind, text = keys.decrypt(token, place, column, side[0])
    except Exception as error:
        yield f"{side} {column} cannot be decrypted: {type(error).__name__} {error}"
        return
    expected = typed(value)
    same = (
        expected is not None and kind == expected[0] and (parsed(text) == value if kind == "j" else text == expected[1])
    )
    if not same:
        yield f"{side} {column} holds {(kind, text)!r:.80}, not {expected!r:.80}"


def parsed(text: str | None) -> Any:
    """JSON with numbers as they were printed."""
    return None if text is None else json.loads(text, parse_float=Number, parse_int=Number)


def typed(value: Any) -> Typed:
    """Kind and text of a JSON value; objects and lists have no text of their own, since spaces do not count."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "b", str(value).lower()
    if isinstance(value, Number):
        return "n", str(value)
    return ("s", value) if isinstance(value, str) else ("j", "")


def _joined(rows: Sequence[Row], side: str) -> str | None:
    parts = [row[f"{side}_value"] for row in sorted(rows, key=lambda row: row["chunk_no"])]
    texts = [part.decode() if isinstance(part, bytes) else part for part in parts if part is not None]
    return "".join(texts) if texts else None


def _context(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _split(token: str) -> tuple[str, str]:
    """Key id, which holds a dot itself, and ciphertext."""
    _, _, rest = token.partition(".")
    key_id, _, sealed = rest.rpartition(".")
    return key_id, sealed


def _prefixed(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">I", len(raw)) + raw


@cache
def _derived(key: bytes) -> bytes:
    return HKDF(SHA256(), 32, None, b"genims audit enc v1").derive(key)
