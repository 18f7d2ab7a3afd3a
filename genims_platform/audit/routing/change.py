"""One change of a row: its images, what changed between them, and its values as they are stored."""

from collections.abc import Iterable
from itertools import compress
from operator import ne

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.routing.cipher import Cipher, Side
from genims_platform.audit.routing.errors import CipherError, UnstorableEventError
from genims_platform.audit.routing.plan import TablePlan
from genims_platform.audit.routing.values import (
    INLINE_BYTES,
    Json,
    Row,
    compact,
    compact_object,
    cut,
    differ,
    exact_text,
    parse,
    parse_row,
    reference_to,
    too_long_to_repeat,
    utc,
    value_kind,
    whole,
)

WHOLE_ROW = "*"
OPERATIONS = ("INSERT", "UPDATE", "DELETE")
_CHARACTER_BYTES = 4
_SUBJECT_CHARACTERS = 120
_IDENTITY_CHARACTERS = 50
_KEY_ID_CHARACTERS = 40
_NO_ROW: Row = {}
_NO_COLUMNS: frozenset[str] = frozenset()
_CONTAINERS = frozenset({dict, list})


class Change:
    """A captured INSERT, UPDATE or DELETE, read once for all the tables it goes to.

    Attributes:
        changed: columns whose values differ, in byte order; none for INSERT and DELETE.
        secret: columns that changed and whose values PostgreSQL kept to itself.
        changed_columns: as it is stored; `*` for INSERT and DELETE.
        is_whole: the whole row is recorded and not single columns.
        stored: the columns of which values are stored.
        row: the row as it is now, or was before it was deleted.
        personal: columns to encrypt.
        cipher: encrypts personal values; may be replaced before the first one is.
        unlisted: columns that neither catalogue nor policy know.
    """

    __slots__ = (
        "_event_id",
        "_images",
        "_incarnation",
        "_keys",
        "_sealed",
        "_values",
        "at",
        "changed",
        "changed_columns",
        "cipher",
        "is_update",
        "is_whole",
        "new",
        "old",
        "op",
        "personal",
        "pk",
        "plan",
        "row",
        "secret",
        "stored",
        "unlisted",
        "xid",
    )

    def __init__(self, incarnation: int, event: Event, plan: TablePlan, cipher: Cipher) -> None:
        """Read the images.

        Raises:
            UnstorableEventError: an image is missing or cannot be read, or the key is too long to store.
        """
        op = event.op
        old, new = parse_row(event.old, "the old image"), parse_row(event.new, "the new image")
        if op not in OPERATIONS or (op != "INSERT") is (old is None) or (op != "DELETE") is (new is None):
            raise UnstorableEventError("the event does not have the images of its operation")
        self.plan = plan
        self.op = op
        self.at = utc(event.occurred_at)
        self.xid = event.xid
        self.pk = whole(event.pk, 255, "primary_key_value")
        self.old: Row = _NO_ROW if old is None else old
        self.new: Row = _NO_ROW if new is None else new
        self.row: Row = self.old if new is None else new
        self.secret: tuple[str, ...] = () if event.detail is None else _secret_columns(event.detail)
        if plan.secret:
            self.secret = tuple(sorted({*self.secret, *_withheld(plan.secret, old or {}, new or {})}))
        self.is_update = op == "UPDATE"
        if self.is_update:
            self.changed = _changed(self.old, self.new)
            names = sorted((*self.changed, *self.secret)) if self.secret else self.changed
            self.changed_columns = cut(",".join(names), 2000)
            # PostgreSQL compares bytes, so it may see a change that the texts do not show.
            self.is_whole = not names
        else:
            self.changed = []
            self.changed_columns = WHOLE_ROW
            self.is_whole = True
        self.stored = sorted(self.row) if self.is_whole else self.changed
        self.unlisted = _NO_COLUMNS
        self.personal = plan.personal
        if not self.row.keys() <= plan.known:
            self.unlisted = frozenset(self.row.keys() - plan.known)
            # A column that nobody has classified may hold anything: in a row about a person its text is personal.
            if plan.subject is not None:
                self.personal = plan.personal.union(
                    column
                    for column in self.unlisted
                    if _holds_text(self.old.get(column)) or _holds_text(self.new.get(column))
                )
        self.cipher = cipher
        self._incarnation = incarnation
        self._event_id = event.event_id
        self._sealed: dict[tuple[str, Side], str] = {}
        self._keys: dict[Side, str] = {}
        self._images: dict[Side, str | None] = {}
        self._values: dict[Side, str | None] = {}

    def side(self, side: Side) -> Row:
        """The image of one side; empty where there is none."""
        return self.old if side == "o" else self.new

    def touched(self, columns: Iterable[str]) -> list[str]:
        """Those of these columns that changed; in an INSERT or DELETE those that have a value."""
        if self.is_update:
            changed = self.changed
            return [column for column in columns if column in changed]
        row = self.row
        return [column for column in columns if row.get(column) is not None]

    def text(self, column: str | None, length: int) -> str | None:
        """The text of a column of the row that describes it, cut at `length`; None for no column."""
        value = self.row.get(column) if column is not None else None
        return None if value is None else cut(exact_text(value), length)

    def identity(self, *columns: str) -> str | None:
        """The first of these columns that has a value; it identifies something, so it is never cut."""
        row = self.row
        for column in columns:
            if (value := row.get(column)) is not None and column not in self.personal:
                return whole(exact_text(value), _IDENTITY_CHARACTERS, column)
        return None

    def subject(self, side: Side) -> str | None:
        """The person that one image is about, if it names one."""
        subject = self.plan.subject
        if subject is None:
            return None
        return whole(subject.reference(self.side(side)), _SUBJECT_CHARACTERS, "subject_ref")

    @property
    def subject_ref(self) -> str | None:
        """The person the row is about, as it is now."""
        if self.plan.subject is None:
            return None
        side: Side = "n" if self.new else "o"
        return self.subject(side) if self.key_id() is None else self._key_owner(side)

    def key_owners(self) -> set[str]:
        """The references of those whose keys this change needs."""
        personal = self.personal.intersection(self.stored)
        if not personal:
            return set()
        images: tuple[tuple[Side, Row], ...] = (("o", self.old), ("n", self.new))
        return {
            self._key_owner(side) for side, row in images if any(row.get(column) is not None for column in personal)
        }

    def sealed(self, column: str, side: Side) -> str | None:
        """A personal value encrypted; None for NULL.

        Raises:
            CipherError: it cannot be encrypted now.
        """
        value = self.side(side).get(column)
        if value is None:
            return None
        place = column, side
        if (found := self._sealed.get(place)) is not None:
            return found
        owner = self._key_owner(side)
        source = self.plan.source
        kind, text = value_kind(value), exact_text(value)
        try:
            sealed = self.cipher.encrypt(owner, source, self._incarnation, self._event_id, column, side, kind, text)
            self._keys[side] = self.cipher.key_id(owner)
        except Exception as error:
            raise CipherError(f"a value of {source}.{self.plan.name} cannot be encrypted: {error!r}") from error
        self._sealed[place] = sealed
        return sealed

    def key_id(self) -> str | None:
        """The ids of the data keys that this change uses, old before new; None if nothing is encrypted."""
        personal = self.personal
        if not personal:
            return None
        for column in personal.intersection(self.stored):
            self.sealed(column, "o")
            self.sealed(column, "n")
        return self.keys_of("o", "n")

    def keys_of(self, *sides: Side) -> str | None:
        """The ids of the data keys that sealed values of these sides."""
        keys = dict.fromkeys(self._keys[side] for side in sides if side in self._keys)
        return whole(",".join(keys), _KEY_ID_CHARACTERS, "key_id") if keys else None

    def image(self, side: Side) -> str | None:
        """The whole row as JSON but for what is secret; None without an image."""
        if side not in self._images:
            row = self.side(side)
            tokens = {column: self._token(column, side, value) for column, value in row.items()}
            self._images[side] = compact_object(tokens) if row else None
        return self._images[side]

    def values(self, side: Side) -> str | None:
        """The values that are stored as JSON, as the tables of the classes repeat them; None without an image."""
        if side not in self._values:
            self._values[side] = self._repeated(side)
        return self._values[side]

    def _repeated(self, side: Side) -> str | None:
        row = self.side(side)
        if not row:
            return None
        if self.is_whole and (image := self.image(side)) and len(image) * _CHARACTER_BYTES <= INLINE_BYTES:
            return image
        return compact_object({column: self._short_token(column, side, row.get(column)) for column in self.stored})

    def _token(self, column: str, side: Side, value: Json) -> str:
        if column in self.personal and (sealed := self.sealed(column, side)) is not None:
            return f'{{"$enc":"{sealed}"}}'
        return compact(value)

    def _short_token(self, column: str, side: Side, value: Json) -> str:
        token = self._token(column, side, value)
        if len(token) * _CHARACTER_BYTES <= INLINE_BYTES or value is None:
            return token
        text = (column in self.personal and self.sealed(column, side)) or exact_text(value)
        return reference_to(text) if too_long_to_repeat(text) else token

    def _key_owner(self, side: Side) -> str:
        if (found := self.subject(side)) is not None:
            return found
        if self.plan.subject is None:
            raise UnstorableEventError("a personal column has no subject whose key would encrypt it")
        # Nobody is named, yet personal text is never stored in clear: the row stands for the person.
        row = f"{self.plan.subject.type}:{self.pk}"
        whole(row, _SUBJECT_CHARACTERS, "subject_ref")
        return row


def _changed(old: Row, new: Row) -> list[str]:
    """Columns that differ in text or type, in byte order; a column that one image lacks is NULL there."""
    kinds = list(map(type, new.values()))
    if list(map(type, old.values())) == kinds and list(old) == list(new) and _CONTAINERS.isdisjoint(kinds):
        # As nearly always: one pass without a step of Python for each column.
        return sorted(compress(new, map(ne, old.values(), new.values())))
    before = old.get
    found = [
        column
        for column, value in new.items()
        if (was := before(column)) is not value
        and (was != value or type(was) is not type(value) or (type(value) in _CONTAINERS and differ(was, value)))
    ]
    if len(old) != len(new) or old.keys() != new.keys():
        found += [column for column, value in old.items() if column not in new and value is not None]
    found.sort()
    return found


def _holds_text(value: Json) -> bool:
    return type(value) in (str, list, dict)


def _withheld(secret: frozenset[str], old: dict[str, Json], new: dict[str, Json]) -> list[str]:
    """Take secret values out of images that were captured before the policy called them secret; which ones changed."""
    return [column for column in secret if differ(old.pop(column, None), new.pop(column, None))]


def _secret_columns(detail: str) -> tuple[str, ...]:
    found = parse(detail)
    names = found.get("secret_changed") if isinstance(found, dict) else None
    if names is None:
        return ()
    if not isinstance(names, list):
        raise UnstorableEventError("secret_changed is no list")
    return tuple(sorted(exact_text(name) for name in names))
