"""What key stores of all kinds have in common: their tables, and the life of a key from its making to its erasure."""

import json
import secrets
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from genims_platform.audit.encryption.cipher import KEY_BYTES, DataKey
from genims_platform.audit.encryption.errors import (
    DestructionRefusedError,
    KeyGoneError,
    KeyStoreCorruptError,
    KeyStoreMissingError,
)
from genims_platform.audit.encryption.kek import KeyEncryptionKey

CACHED_KEYS = 50_000
FORMAT = 1

# {bytes} is the type of binary columns. A key whose material is NULL was destroyed; that it existed stays known.
TABLES = (
    """\
CREATE TABLE key_store (
  one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  format INTEGER NOT NULL,
  mark {bytes} NOT NULL,
  destructions INTEGER NOT NULL
)""",
    """\
CREATE TABLE data_key (
  key_id TEXT NOT NULL PRIMARY KEY,
  subject_ref TEXT NOT NULL,
  generation INTEGER NOT NULL,
  wrapped {bytes},
  created_at TEXT NOT NULL,
  destroyed_at TEXT,
  request_id TEXT,
  approvals TEXT,
  UNIQUE (subject_ref, generation)
)""",
    "CREATE UNIQUE INDEX one_living_key ON data_key (subject_ref) WHERE wrapped IS NOT NULL",
)
FIRST_ROW = "INSERT INTO key_store (one, format, mark, destructions) VALUES (1, ?, ?, 0)"

_PARAMETERS = 500
_ATTEMPTS = 5


@dataclass(frozen=True)
class KeyFacts:
    """What is known of a key without its material; times are UTC, ISO 8601."""

    key_id: str
    subject_ref: str
    generation: int
    created_at: str
    destroyed_at: str | None
    request_id: str | None
    approvals: tuple[str, ...]


@dataclass(frozen=True)
class KeyStoreHealth:
    """A key store that answers: where it is and how many keys it holds and has destroyed."""

    location: str
    living: int
    destroyed: int


class StoredKeys(ABC):
    """A key store on SQL tables; safe to share between threads, not between processes.

    Every method raises `KeyStoreUnavailableError` when the store cannot be reached for now, and
    `KeyStoreCorruptError` when it holds what it never stored.
    """

    def __init__(self, kek: KeyEncryptionKey) -> None:
        self._kek = kek
        self._lock = threading.RLock()
        self._cache: OrderedDict[str, DataKey] = OrderedDict()
        self._destructions: int | None = None

    @property
    @abstractmethod
    def location(self) -> str:
        """Where the store is, safe to print."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; the next call opens one again."""

    @abstractmethod
    @contextmanager
    def _transaction(self, *, write: bool = False) -> Generator[None]:
        """A transaction, committed at the end and durable then; with the errors that the class promises.

        Calls `_opened` whenever it had to connect.
        """
        yield

    @abstractmethod
    def _execute(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a statement with `?` for each parameter, in the transaction."""

    @abstractmethod
    def _scrub(self) -> None:
        """Make sure that no file of the store holds destroyed material any more."""

    def _opened(self) -> None:
        """Check a connection just made. The store may be an older copy of itself, so nothing cached is trusted."""
        self._forget()
        rows = self._execute("SELECT format, mark FROM key_store")
        if len(rows) != 1:
            raise KeyStoreMissingError(f"{self.location}: made only half; remove it, then: genims audit keys store")
        found, mark = rows[0]
        if found != FORMAT:
            raise KeyStoreCorruptError(f"{self.location}: format {found}, this program knows {FORMAT}")
        self._kek.check(bytes(mark), self.location)

    def get_or_create(self, refs: Iterable[str]) -> Mapping[str, DataKey]:
        """The living key of each person (`type:id`); one that is made now is durable before this returns."""
        wanted = tuple(dict.fromkeys(refs))
        if not wanted:
            return {}
        with self._lock:
            with self._transaction():
                self._forget_destroyed()
                self._load([ref for ref in wanted if ref not in self._cache])
                found = self._cached(wanted)
            for _ in range(_ATTEMPTS):
                missing = [ref for ref in wanted if ref not in found]
                if not missing:
                    break
                with self._transaction(write=True):
                    self._create(missing)
                with self._transaction():  # after the commit: another process may have been faster
                    self._load(missing)
                    found |= self._cached(missing)
            else:
                raise KeyStoreCorruptError(f"{self.location}: keys that were just made are not there")
            self._trim()
            return found

    def get(self, key_id: str) -> DataKey:
        """The key of this id, of whatever generation.

        Raises:
            KeyGoneError: it was destroyed, or was never here.
        """
        with self._lock, self._transaction():
            rows = self._execute(
                "SELECT subject_ref, wrapped, destroyed_at, request_id FROM data_key WHERE key_id = ?", (key_id,)
            )
        if not rows:
            raise KeyGoneError(f"{self.location} has no key {key_id}")
        subject_ref, wrapped, destroyed_at, request_id = rows[0]
        if wrapped is None:
            raise KeyGoneError(f"key {key_id} was destroyed at {destroyed_at} by request {request_id}")
        return self._unwrap(key_id, subject_ref, bytes(wrapped))

    def destroy(self, subject_ref: str, request_id: str, approvals: Collection[str]) -> int:
        """Erase the material of a person's key; what is encrypted under it can never be read again.

        That the key existed, and who had it destroyed, stays recorded. Another call finds nothing to do. Copies in
        backups live as long as those.

        Returns:
            How many keys were destroyed now: 1, or 0 if the person has no living key.

        Raises:
            DestructionRefusedError: no request, or not two different persons who approve.
        """
        persons = sorted({person.strip() for person in approvals} - {""})
        if not request_id.strip() or len(persons) < 2:
            raise DestructionRefusedError(
                f"destroying the key of {subject_ref} needs a request and the approvals of two persons; request: "
                f"{request_id.strip() or 'none'}, approved by: {', '.join(persons) or 'nobody'}"
            )
        with self._lock:
            with self._transaction(write=True):
                destroyed = self._execute(
                    "UPDATE data_key SET wrapped = NULL, destroyed_at = ?, request_id = ?, approvals = ? "
                    "WHERE subject_ref = ? AND wrapped IS NOT NULL RETURNING key_id",
                    (_now(), request_id.strip(), json.dumps(persons), subject_ref),
                )
                if destroyed:
                    self._execute("UPDATE key_store SET destructions = destructions + 1 RETURNING one")
            self._forget()
            self._scrub()
            return len(destroyed)

    def list(self, subject_ref: str) -> Sequence[KeyFacts]:
        """All keys that a person ever had, oldest first."""
        with self._lock, self._transaction():
            rows = self._execute(
                "SELECT key_id, subject_ref, generation, created_at, destroyed_at, request_id, approvals FROM data_key "
                "WHERE subject_ref = ? ORDER BY generation",
                (subject_ref,),
            )
        return [KeyFacts(*row[:-1], approvals=tuple(json.loads(row[-1] or "[]"))) for row in rows]

    def health(self) -> KeyStoreHealth:
        """Reach the store and count its keys."""
        with self._lock, self._transaction():
            ((living, destroyed),) = self._execute("SELECT COUNT(wrapped), COUNT(*) - COUNT(wrapped) FROM data_key")
        return KeyStoreHealth(self.location, int(living), int(destroyed))

    def _forget(self) -> None:
        self._cache.clear()
        self._destructions = None

    def _forget_destroyed(self) -> None:
        """Drop the cache if any process destroyed a key since the last call: its memory must not keep it alive."""
        ((destructions,),) = self._execute("SELECT destructions FROM key_store")
        if destructions != self._destructions:
            self._cache.clear()
            self._destructions = destructions

    def _cached(self, refs: Sequence[str]) -> dict[str, DataKey]:
        found: dict[str, DataKey] = {}
        for ref in refs:
            if ref in self._cache:
                self._cache.move_to_end(ref)
                found[ref] = self._cache[ref]
        return found

    def _load(self, refs: Sequence[str]) -> None:
        for some in _pieces(refs, _PARAMETERS):
            rows = self._execute(
                "SELECT subject_ref, key_id, wrapped FROM data_key "  # noqa: S608
                f"WHERE wrapped IS NOT NULL AND subject_ref IN ({_marks(some)})",
                some,
            )
            for ref, key_id, wrapped in rows:
                self._cache[ref] = self._unwrap(key_id, ref, bytes(wrapped))

    def _create(self, refs: Sequence[str]) -> None:
        # In one order everywhere, so that two processes never wait for each other's keys.
        for some in _pieces(sorted(refs), _PARAMETERS // 5):
            last = self._execute(
                "SELECT subject_ref, MAX(generation) FROM data_key "  # noqa: S608
                f"WHERE subject_ref IN ({_marks(some)}) GROUP BY subject_ref",
                some,
            )
            generations = {ref: int(generation) for ref, generation in last}
            rows = [self._new(ref, generations.get(ref, 0) + 1) for ref in some]
            self._execute(
                "INSERT INTO data_key (key_id, subject_ref, generation, wrapped, created_at) "  # noqa: S608
                f"VALUES {', '.join(['(?, ?, ?, ?, ?)'] * len(rows))} ON CONFLICT DO NOTHING RETURNING key_id",
                [value for row in rows for value in row],
            )

    def _new(self, ref: str, generation: int) -> tuple[object, ...]:
        key_id = f"{secrets.token_hex(8)}.{generation}"
        wrapped = self._kek.wrap(secrets.token_bytes(KEY_BYTES), _name(key_id, ref))
        return key_id, ref, generation, wrapped, _now()

    def _unwrap(self, key_id: str, ref: str, wrapped: bytes) -> DataKey:
        key = self._kek.unwrap(wrapped, _name(key_id, ref))
        if key is None:
            raise KeyStoreCorruptError(
                f"{self.location}: the material of key {key_id} is not what was stored; restore it from a backup"
            )
        return DataKey(key_id, key)

    def _trim(self) -> None:
        while len(self._cache) > CACHED_KEYS:
            self._cache.popitem(last=False)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _name(key_id: str, ref: str) -> str:
    return f"{key_id} {ref}"


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _pieces(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (values[start : start + size] for start in range(0, len(values), size))
