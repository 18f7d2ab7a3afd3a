"""Where an event goes: from a captured event to the entry of the ledger with its detail rows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from genims_platform.audit.capture.queue import Event
from genims_platform.audit.ledger.entries import Columns, Entry
from genims_platform.audit.policy import AuditPolicy, TableClass
from genims_platform.audit.routing import (
    activity,
    bulk,
    configuration,
    customer,
    data_change,
    database_change,
    financial,
    login,
    master,
    permission,
    personnel,
    price,
    security,
    supplier,
)
from genims_platform.audit.routing.actor import Actor, actor_of
from genims_platform.audit.routing.bulk import BulkGroup
from genims_platform.audit.routing.change import Change
from genims_platform.audit.routing.cipher import Cipher
from genims_platform.audit.routing.errors import CipherError, UnstorableEventError
from genims_platform.audit.routing.header import REPLAYED, ledger_row, payload
from genims_platform.audit.routing.plan import TablePlan, plan_table
from genims_platform.audit.routing.values import Row, parse_row

Detail = tuple[str, Columns]
_ChangeRows = Callable[[Change, Actor], Iterator[Detail]]
_BY_CLASS: Mapping[TableClass, _ChangeRows] = {
    "customer": customer.rows,
    "supplier": supplier.rows,
    "personnel": personnel.rows,
    "master": master.rows,
    "configuration": configuration.rows,
    "permission": permission.rows,
}
ROW, TRUNCATE = "ROW", "TRUNCATE"
OWNER_ROLES = frozenset({"genims_audit_owner"})


class Unclassified(NamedTuple):
    """A table that is in no list of the policy, or with a column one that no list knows."""

    source: str
    table: str
    column: str | None = None


@dataclass
class Router:
    """Maps events by one policy; the same event always gives the same entry.

    Attributes:
        policy: what is audited, how sensitive it is and what is encrypted.
        cipher: encrypts personal values; may be replaced between events.
        bulk_rows: how many rows of one table, operation and transaction are a bulk operation.
        owner_roles: database roles whose members have power over audited tables or over capture.
        unclassified: what events showed and the policy does not name. It grows; whoever reports it may empty it.
    """

    policy: AuditPolicy
    cipher: Cipher
    bulk_rows: int = 1000
    owner_roles: frozenset[str] = OWNER_ROLES
    unclassified: set[Unclassified] = field(default_factory=set[Unclassified])
    _plans: dict[tuple[str, str], tuple[TablePlan, tuple[_ChangeRows, ...]]] = field(
        default_factory=dict[tuple[str, str], tuple[TablePlan, tuple[_ChangeRows, ...]]], init=False, repr=False
    )

    def subjects(self, source: str, event: Event) -> set[str]:
        """The persons (`type:id`) whose data keys the event needs; those it cannot be read for are not among them."""
        found = self.read(source, 0, event)
        return set() if found is None else found[1]

    def read(self, source: str, incarnation: int, event: Event) -> tuple[Change, set[str]] | None:
        """The change of a row about a person, for `route`, and the persons whose data keys it needs.

        None for any other event, and for one that cannot be read.
        """
        if event.kind != ROW or event.table_name is None:
            return None
        plan, _ = self._plan(source, event.table_name, event.table_class)
        if plan.subject is None:
            return None
        try:
            change = Change(incarnation, event, plan, self.cipher)
            return change, change.key_owners()
        except UnstorableEventError:
            return None

    def route(
        self,
        source: str,
        incarnation: int,
        event: Event,
        group: BulkGroup | None = None,
        change: Change | None = None,
    ) -> Entry:
        """The entry of an event; `group` is the one whose last event this is, `change` what `read` made of it.

        Raises:
            UnstorableEventError: the event can never be stored like this; it belongs in quarantine.
            CipherError: a personal value cannot be encrypted now.
        """
        try:
            if event.kind == ROW:
                return self._row(source, incarnation, event, group, change)
            return self._other(source, event)
        except (UnstorableEventError, CipherError):
            raise
        except Exception as error:
            raise UnstorableEventError(f"mapping failed: {type(error).__name__}") from error

    def replayed(self, source: str, event: Event) -> Entry:
        """The entry of an event that an earlier incarnation of the source has delivered already: no details.

        Raises:
            UnstorableEventError: as `route`.
        """
        table, table_class = event.table_name, event.table_class
        if event.kind in (ROW, TRUNCATE) and table is not None:
            table_class = self._plan(source, table, table_class)[0].table_class
        header = ledger_row(event, actor_of(event), table_name=table, table_class=table_class, status=REPLAYED)
        return Entry(header)

    def records_bulk(self, event: Event, group: BulkGroup | None) -> bool:
        """Whether the group is recorded at this event, its last one: then it needs its sample."""
        if event.kind != ROW:
            return False
        try:
            return bulk.is_recorded(group, actor_of(event))
        except UnstorableEventError:
            return False

    def _plan(self, source: str, table: str, table_class: str | None) -> tuple[TablePlan, tuple[_ChangeRows, ...]]:
        found = self._plans.get((source, table))
        if found is None:
            plan = plan_table(self.policy, source, table, table_class)
            writers: list[_ChangeRows] = [data_change.rows]
            if plan.amounts or "financial" in plan.classes:
                writers.append(financial.rows)
            if plan.prices:
                writers.append(price.rows)
            writers += [rows for name, rows in _BY_CLASS.items() if name in plan.classes]
            if plan.rule is None:
                self.unclassified.add(Unclassified(source, table))
            found = self._plans[source, table] = plan, tuple(writers)
        return found

    def _row(
        self, source: str, incarnation: int, event: Event, group: BulkGroup | None, change: Change | None
    ) -> Entry:
        if event.table_name is None:
            raise UnstorableEventError("a change of a row needs a table")
        plan, writers = self._plan(source, event.table_name, event.table_class)
        actor = actor_of(event)
        if change is None:
            change = Change(incarnation, event, plan, self.cipher)
        else:
            change.cipher = self.cipher
        if change.unlisted and plan.rule is not None:
            self.unclassified.update(Unclassified(source, plan.name, column) for column in change.unlisted)
        state: Row | None = None
        if plan.states:
            before = change.old or change.new
            state = {column: before[column] for column in plan.states if column in before}
        details: list[Detail] = []
        for rows in writers:
            details.extend(rows(change, actor))
        if group is not None and bulk.is_recorded(group, actor):
            details.append(bulk.group_row(event, group, actor, plan.name, plan.table_class))
        header = ledger_row(
            event,
            actor,
            at=change.at,
            table_name=plan.name,
            table_class=plan.table_class,
            affected_rows=1,
            payload=payload(actor, state=state or None),
        )
        return Entry(header, tuple(details))

    def _other(self, source: str, event: Event) -> Entry:
        detail: Row = parse_row(event.detail, "the detail of the event") or {}
        actor = actor_of(event, login.user(detail) if event.kind == "LOGIN" else None)
        table, table_class, affected = event.table_name, event.table_class, None
        kept: Row | None = None
        match event.kind:
            case "TRUNCATE":
                if table is None:
                    raise UnstorableEventError("a TRUNCATE needs a table")
                plan, _ = self._plan(source, table, table_class)
                table, table_class, affected = plan.name, plan.table_class, bulk.truncated_rows(detail)
                details = bulk.truncate_rows(event, detail, actor, table, table_class)
            case "ACTIVITY":
                affected = activity.row_count(detail)
                details = activity.rows(event, detail, actor, self.policy)
            case "LOGIN":
                details = login.rows(event, detail, actor)
            case "DDL" | "SCHEMA":
                details = database_change.rows(event, detail, actor)
            case "PERMISSION":
                details = (
                    row
                    for rows in (
                        permission.database_rows(event, detail, actor, self.owner_roles),
                        database_change.rows(event, detail, actor),
                    )
                    for row in rows
                )
            case "CONFIG":
                details = configuration.setting_rows(event, detail, actor)
            case "SECURITY":
                details = security.reported_rows(event, detail, actor)
            case "MARK":
                kept = detail or None
                details = security.mark_rows(event, actor)
            case _:
                raise UnstorableEventError("the kind of the event is unknown")
        header = ledger_row(
            event,
            actor,
            table_name=table,
            table_class=table_class,
            affected_rows=affected,
            payload=payload(actor, detail=kept),
        )
        return Entry(header, tuple(details))
