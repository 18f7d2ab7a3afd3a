"""The three triggers of an audited table: which there should be, and the statements that make them so."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from psycopg2 import sql

from genims_platform.audit.capture.objects import State
from genims_platform.audit.capture.tables import TRIGGER_PREFIX, LiveTable, LiveTrigger
from genims_platform.audit.policy import AuditedTable

_FUNCTION = "audit.capture()"
_ROW, _BEFORE, _INSERT, _DELETE, _UPDATE, _TRUNCATE = 1, 2, 4, 8, 16, 32  # bits of pg_trigger.tgtype

_IMAGE_DIFFERS = re.compile(r"\bWHEN \(+old\.\* (?:OPERATOR\(pg_catalog\.)?\*<>\)? new\.\*\)+ EXECUTE\b", re.IGNORECASE)


@dataclass(frozen=True)
class _Kind:
    name: str
    event_bits: int
    clause: str
    conditional: bool = False


_KINDS = (
    _Kind(f"{TRIGGER_PREFIX}id", _ROW | _INSERT | _DELETE, "AFTER INSERT OR DELETE ON {} FOR EACH ROW"),
    # Images are compared because types without an equality operator would raise an error in a business write.
    _Kind(
        f"{TRIGGER_PREFIX}upd",
        _ROW | _UPDATE,
        "AFTER UPDATE ON {} FOR EACH ROW WHEN (OLD.* OPERATOR(pg_catalog.*<>) NEW.*)",
        conditional=True,
    ),
    _Kind(f"{TRIGGER_PREFIX}trunc", _BEFORE | _TRUNCATE, "BEFORE TRUNCATE ON {} FOR EACH STATEMENT"),
)


@dataclass(frozen=True)
class TriggerPlan:
    """One trigger of one table: its state and the statements that bring it about; `note` says what is wrong now."""

    schema: str
    table: str
    name: str
    state: State
    note: str
    statements: tuple[sql.Composable, ...]


def plan_triggers(
    rules: Mapping[str, AuditedTable],
    tables: Mapping[str, LiveTable],
    live: Mapping[tuple[str, str, str], LiveTrigger],
    suspended: Collection[str] = (),
) -> Iterator[TriggerPlan]:
    """What to do so that the audited tables, and no others, are captured; the triggers of suspended ones are off."""
    wanted: set[tuple[str, str, str]] = set()
    for name, rule in rules.items():
        if (table := tables.get(name)) is None:
            continue
        for kind in _KINDS:
            key = (table.schema, name, kind.name)
            wanted.add(key)
            yield _plan(table, rule, kind, live.get(key), off=name in suspended)
    for key in sorted(live.keys() - wanted):
        schema, table_name, name = key
        drop = sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(name), sql.Identifier(schema, table_name))
        yield TriggerPlan(schema, table_name, name, "removed", "the policy does not name it", (drop,))


def attach(schema: str, table: str, rule: AuditedTable) -> Sequence[sql.Composable]:
    """The statements that capture a table."""
    return [statement for kind in _KINDS for statement in _create(schema, table, rule, kind)]


def _plan(table: LiveTable, rule: AuditedTable, kind: _Kind, found: LiveTrigger | None, *, off: bool) -> TriggerPlan:
    statements = tuple(_create(table.schema, table.name, rule, kind))
    if off:
        on = sql.Identifier(table.schema, table.name)
        disable = sql.SQL("ALTER TABLE {} DISABLE TRIGGER {}").format(on, sql.Identifier(kind.name))
        statements = (*statements, disable)
    if found is None:
        return TriggerPlan(table.schema, table.name, kind.name, "created", "missing", statements)
    note = "; ".join(_faults(found, rule, kind, off=off))
    state = "changed" if note else "unchanged"
    return TriggerPlan(table.schema, table.name, kind.name, state, note, statements if note else ())


def _faults(found: LiveTrigger, rule: AuditedTable, kind: _Kind, *, off: bool) -> Iterator[str]:
    if found.function != _FUNCTION:
        yield f"calls {found.function} instead of {_FUNCTION}"
    if found.arguments != _arguments(rule):
        yield f"has the arguments {found.arguments} instead of {_arguments(rule)}"
    condition = bool(_IMAGE_DIFFERS.search(found.definition)) if kind.conditional else " WHEN " not in found.definition
    if found.event_bits != kind.event_bits or not condition or " UPDATE OF " in found.definition:
        yield f"is defined otherwise: {found.definition}"
    if off:
        if found.enabled != "D":
            yield "enabled, though capture of the table is suspended"
    elif found.enabled == "D":
        yield "disabled"
    elif found.enabled != "A":
        yield "not enabled always: some sessions can switch it off"


def _arguments(rule: AuditedTable) -> tuple[str, str, str]:
    return rule.table_class, rule.key, "{" + ",".join(rule.secret) + "}" if rule.secret else ""


def _create(schema: str, table: str, rule: AuditedTable, kind: _Kind) -> Iterator[sql.Composable]:
    name, on = sql.Identifier(kind.name), sql.Identifier(schema, table)
    arguments = sql.SQL(", ").join(sql.Literal(argument) for argument in _arguments(rule))
    call = sql.SQL(" EXECUTE FUNCTION audit.capture({})").format(arguments)
    yield sql.SQL("CREATE OR REPLACE TRIGGER {} ").format(name) + sql.SQL(kind.clause).format(on) + call
    yield sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}").format(on, name)
