"""Whether the rows of an event in the detail tables are those that its ledger row and the policy lead to."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from genims_platform.audit.policy import AuditPolicy
from genims_platform.audit.verify.encoding import Layout, RawRow
from genims_platform.audit.verify.findings import Finding
from genims_platform.audit.verify.reprocessed import OPERATION, Reprocessed, read_reprocessed
from genims_platform.audit.verify.rows import See
from genims_platform.audit.verify.spine import SpineRow
from genims_platform.mysql.append_only import LEDGER

_CHANGES = "data_change_audit"
_WHOLE_ROW = "*"
_BY_KIND = {
    "LOGIN": ("login_audit", "user_activity_log"),
    "ACTIVITY": ("user_activity_log",),
    "DDL": ("database_changes",),
    "SCHEMA": ("database_changes",),
    "PERMISSION": ("permission_changes", "database_changes"),
    "CONFIG": ("configuration_changes",),
    "SECURITY": ("security_events",),
    "TRUNCATE": ("bulk_operation_audit", "security_events"),
}
"""What an event of a kind always leaves beside its ledger row."""

_BY_CLASS = {
    "customer": "customer_data_changes",
    "supplier": "supplier_data_changes",
    "personnel": "personnel_data_changes",
    "master": "master_data_changes",
    "financial": "financial_data_changes",
}
_NAMED_COLUMN = {"price_cost_changes": "column_name", "financial_data_changes": "amount_column"}
_OF_ROWS = frozenset({_CHANGES, "price_cost_changes", *_BY_CLASS.values()})
_CONTROL = "CONTROL"


@dataclass(slots=True)
class _Event:
    batch: SpineRow
    kind: str
    operation: str
    source: str
    table: str | None
    is_ok: bool
    details: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    """Columns of which `data_change_audit` has a row."""


class Projections:
    """Compares the tables of one event with each other.

    Args:
        policy: says which tables an event of a source table goes to, for events routed by this version of it.
    """

    def __init__(self, policy: AuditPolicy) -> None:
        self._policy = policy
        self._events: dict[int, _Event] = {}
        self._columns: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
        self._strays: list[Finding] = []
        self.reprocessed: list[Reprocessed] = []
        """Events that were recorded after all; they go with their originals, wherever those are."""

    def reader(self, layout: Layout) -> See | None:
        """A look at what ties a row to its event; all tables come after the ledger."""
        if layout.table == LEDGER:
            return self._ledger(layout)
        return self._detail(layout)

    def conclude(self) -> Iterator[Finding]:
        """A finding for the first thing that does not go together in each event."""
        yield from self._strays
        for sequence, event in self._events.items():
            if problem := self._problem(sequence, event):
                table, sentence = problem
                yield Finding("V21", event.batch.batch_no, sequence, table, f"number {sequence} {sentence}")

    def _ledger(self, layout: Layout) -> See:
        at_kind, at_operation = layout.position("event_kind"), layout.position("operation_type")
        at_table, at_status = layout.position("table_name"), layout.position("status")
        at_key, at_payload = layout.position("primary_key_value"), layout.position("payload")

        def see(batch: SpineRow, sequence: int, row: RawRow) -> None:
            table, operation = row[at_table], row[at_operation]
            event = _Event(
                batch,
                (row[at_kind] or b"").decode(),
                (operation or b"").decode(),
                batch.source_db,
                None if table is None else table.decode(),
                row[at_status] == b"OK",
            )
            self._events[sequence] = event
            if event.kind == _CONTROL and operation == OPERATION:
                found = read_reprocessed(batch.batch_no, sequence, row[at_payload], table, row[at_key])
                if found is None:
                    sentence = f"number {sequence} records an event after all, but does not say which"
                    self._strays.append(Finding("V21", batch.batch_no, sequence, LEDGER, sentence))
                    return
                self.reprocessed.append(found)
                # Its rows are those that the original should have had.
                event.kind, event.operation, event.source = found.kind, found.operation, found.source

        return see

    def _detail(self, layout: Layout) -> See:
        table = layout.table
        at_table = layout.position("table_name") if table in _OF_ROWS else None
        at_column = layout.position("column_name") if table == _CHANGES else None
        at_named = layout.position(_NAMED_COLUMN[table]) if table in _NAMED_COLUMN else None

        def see(batch: SpineRow, sequence: int, row: RawRow) -> None:
            event = self._events.get(sequence)
            if event is None:  # its ledger row is gone, which is a finding of its own
                return
            event.details.add(table)
            if at_column is not None:
                event.columns.add((row[at_column] or b"").decode())
            if at_named is not None and (named := row[at_named]) is not None:
                self._columns[sequence].append((table, named.decode()))
            if at_table is not None and event.kind != _CONTROL:
                of = row[at_table]
                if event.kind != "ROW" or (of or b"").decode() != event.table:
                    sentence = (
                        f"number {sequence} has a row of {(of or b'').decode()} in {table}, but is no change of it"
                    )
                    self._strays.append(Finding("V21", batch.batch_no, sequence, table, sentence))

        return see

    def _problem(self, sequence: int, event: _Event) -> tuple[str, str] | None:
        if not event.is_ok:
            if event.kind != _CONTROL and event.details - {"security_events"}:
                return LEDGER, "was not mapped or was seen before, but has detail rows"
            return None
        for table in _BY_KIND.get(event.kind, ()):
            if table not in event.details:
                return table, f"is a {event.kind} event without a row in {table}"
        return self._row_problem(sequence, event) if event.kind == "ROW" else None

    def _row_problem(self, sequence: int, event: _Event) -> tuple[str, str] | None:
        if not event.columns:
            return _CHANGES, f"is a change without a row in {_CHANGES}"
        for table, column in self._columns.get(sequence, ()):
            if column not in event.columns and _WHOLE_ROW not in event.columns:
                return table, f"has a row for column {column} in {table}, which did not change"
        return self._policy_problem(sequence, event)

    def _policy_problem(self, sequence: int, event: _Event) -> tuple[str, str] | None:
        rule = self._policy.table(f"{event.source}.{event.table}")
        if rule is None or event.batch.routing_version != self._policy.version:
            return None
        for table_class in rule.classes:
            table = _BY_CLASS.get(table_class)
            if table is not None and table not in event.details:
                return table, f"changes a {table_class} table without a row in {table}"
        named = set(self._columns.get(sequence, ()))
        for table, listed in (("price_cost_changes", rule.prices), ("financial_data_changes", rule.amounts)):
            for column in (set(listed) - set(rule.personal)) & event.columns:
                if (table, column) not in named:
                    return table, f"changes {column} without a row for it in {table}"
        return None
