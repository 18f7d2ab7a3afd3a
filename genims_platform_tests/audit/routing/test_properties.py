"""Whatever a row holds: nothing is lost, nothing is invented, nothing personal is readable, all of it fits."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.routing.values import Json, Number, compact, parse, value_type
from genims_platform.settings import SOURCE_NAMES
from genims_platform.sources.catalogue import catalogue
from genims_platform_tests.audit.routing.captured import (
    Text,
    everything,
    image,
    opened,
    routed,
    router,
    row_event,
    rows_of,
)

TABLES = [f"{source}.{table}" for source in SOURCE_NAMES for table in audit_policy().audited(source)]
# PostgreSQL stores neither NUL nor lone surrogates.
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
_NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=3).map(lambda number: Text(f"{number:f}"))
_SCALARS = st.none() | st.booleans() | _NUMBERS | st.integers() | _TEXTS | st.sampled_from(["active", "NaN"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXTS, lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
_VALUES = _SCALARS | st.lists(_JSON, max_size=3) | st.dictionaries(_TEXTS, _JSON, max_size=3)


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, Event]:
    """A change of any audited table, with a column or two that nobody knows."""
    reference = draw(st.sampled_from(TABLES))
    source, _, table = reference.partition(".")
    rule = audit_policy().audited(source)[table]
    named = {*rule.personal, *rule.amounts, *rule.prices, *(rule.subject.columns if rule.subject else ())}
    others = [column.name for column in catalogue()[source][table].columns if column.name not in rule.secret]
    columns = sorted(
        {rule.key, *draw(st.sets(st.sampled_from([*sorted(named | set(others)), "new_a", "ü"]), max_size=9))}
    )
    identities = st.text("ABC-0123456789", min_size=1, max_size=20)

    def row() -> dict[str, Any]:
        return {
            name: draw(identities if name == rule.key else identities | st.none() if name.endswith("_id") else _VALUES)
            for name in columns
        }

    old = row()
    op = draw(st.sampled_from(["INSERT", "UPDATE", "DELETE"]))
    if op == "UPDATE":
        return reference, row_event(reference, old, {**row(), rule.key: old[rule.key]})
    return reference, row_event(reference, None if op == "INSERT" else old, old if op == "INSERT" else None)


def _read(text: str, kind: object) -> Json:
    return text if kind == "string" else Number(text) if kind == "number" else parse(text)


def _same(one: Json, other: Json) -> bool:
    return compact(one) == compact(other)


@given(changes())
def test_the_rows_lead_from_the_old_image_to_the_new_one(change: tuple[str, Event]) -> None:
    reference, event = change
    source, _, _ = reference.partition(".")
    mapper = router()
    subjects = mapper.subjects(source, event)

    entry = routed(source, event, by=mapper)

    changed = rows_of(entry, "data_change_audit")
    old = parse(event.old) if event.old else {}
    new = parse(event.new) if event.new else {}
    assert isinstance(old, dict)
    assert isinstance(new, dict)
    result = dict(old)
    for row in changed:
        column, before, after = str(row["column_name"]), row.get("old_value"), row.get("new_value")
        if row["value_state"] == "IMAGE":
            stored = parse(str(after)) if after is not None else {}
            assert isinstance(stored, dict)
            result = {name: _decrypted(source, event, name, value, subjects) for name, value in stored.items()}
            continue
        if row["value_state"] == "ENC":
            assert row["key_id"]
            assert row["subject_ref"]
            before, after = (
                None if text is None else opened(source, event, str(text), column, side, subjects)
                for text, side in ((before, "o"), (after, "n"))
            )
        assert (before, after) != (None, None)
        # The type is that of the new value, or of the old one where there is none.
        value = new.get(column) if new.get(column) is not None else old.get(column)
        assert row["value_type"] == value_type(value)
        result[column] = None if after is None else _read(str(after), row["value_type"])
    assert _same(result, new)
    assert [row["column_name"] for row in changed] == sorted(str(row["column_name"]) for row in changed)


def _decrypted(source: str, event: Event, name: str, value: Json, subjects: set[str]) -> Json:
    if isinstance(value, dict) and list(value) == ["$enc"]:
        return _read(opened(source, event, str(value["$enc"]), name, "n", subjects), _type_in(event, name))
    return value


def _type_in(event: Event, name: str) -> object:
    row = parse(event.new or "{}")
    assert isinstance(row, dict)
    return value_type(row[name])


@given(changes())
def test_the_same_event_gives_the_same_rows(change: tuple[str, Event]) -> None:
    reference, event = change
    source = reference.partition(".")[0]

    assert everything(routed(source, event)) == everything(routed(source, event))


@given(
    st.sampled_from([table for table in TABLES if audit_policy().personal_columns(table)]),
    st.sampled_from(["INSERT", "UPDATE", "DELETE"]),
    st.data(),
)
def test_nothing_personal_is_readable(reference: str, op: str, data: st.DataObject) -> None:
    source, _, table = reference.partition(".")
    rule = audit_policy().audited(source)[table]
    marks = st.integers(10**14, 10**15 - 1)

    def row() -> dict[str, Any]:
        values = {name: data.draw(marks) for name in rule.personal}
        return {name: Text(f"{value}.50") if value % 2 else f"secret {value}" for name, value in values.items()}

    old, new = ({rule.key: "K-1", **row()} for _ in range(2))
    event = row_event(reference, None if op == "INSERT" else old, None if op == "DELETE" else new)

    stored = everything(routed(source, event))

    for image_row in (old, new):
        for name in rule.personal:
            digits = "".join(filter(str.isdigit, str(image_row[name])))[:15]
            assert digits not in stored


@given(_VALUES)
def test_images_are_read_as_they_are_printed(value: Any) -> None:
    text = image({"a": value})
    assert text is not None
    read = parse(text)

    assert json.loads(compact(read)) == json.loads(text)
