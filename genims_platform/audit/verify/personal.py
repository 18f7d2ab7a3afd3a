"""Whether what the policy calls personal is stored encrypted, wherever the trail repeats it."""

import json
from collections.abc import Collection, Iterator
from typing import Any

from genims_platform.audit.policy import AuditPolicy
from genims_platform.audit.verify.encoding import Layout, RawRow
from genims_platform.audit.verify.findings import Finding
from genims_platform.audit.verify.reprocessed import OPERATION, read_reprocessed
from genims_platform.audit.verify.rows import See
from genims_platform.audit.verify.spine import SpineRow
from genims_platform.mysql.append_only import LEDGER

_ENCRYPTED = "v1."
_CHANGES = "data_change_audit"
_CLASS_TABLES = frozenset(
    {"customer_data_changes", "supplier_data_changes", "personnel_data_changes", "master_data_changes"}
)
_COLUMN_TABLES = {
    "price_cost_changes": ("column_name", ("old_value", "new_value")),
    "financial_data_changes": ("amount_column", ("old_amount", "new_amount")),
    "configuration_changes": ("column_name", ("old_value", "new_value")),
    "permission_changes": ("permission_type", ("old_permission", "new_permission")),
}
"""Tables of one value a row: which column names it, and which hold it."""


class PersonalValues:
    """Looks at rows that were routed by the policy it knows; earlier versions may have called other columns personal.

    Args:
        policy: names the personal columns.
    """

    def __init__(self, policy: AuditPolicy) -> None:
        self._policy = policy
        self._found: list[Finding] = []
        self._pieces: dict[tuple[int, str], list[bytes]] = {}
        self._sources: dict[int, str] = {}
        """Number of an event that was recorded after all → the source it came from."""

    def reader(self, layout: Layout) -> See | None:
        """A look at one value, at an image, or at the changed columns of a class table; the ledger comes first."""
        if layout.table == LEDGER:
            return self._ledger(layout)
        if layout.table == _CHANGES:
            return self._changes(layout)
        if layout.table in _CLASS_TABLES:
            return self._images(layout)
        return self._single(layout) if layout.table in _COLUMN_TABLES else None

    def conclude(self) -> Iterator[Finding]:
        """A finding for each column that holds a personal value in clear."""
        yield from self._found

    def _ledger(self, layout: Layout) -> See:
        at_operation, at_payload = layout.position("operation_type"), layout.position("payload")

        def see(batch: SpineRow, sequence: int, row: RawRow) -> None:
            if row[at_operation] == OPERATION and (
                found := read_reprocessed(batch.batch_no, sequence, row[at_payload], None, None)
            ):
                self._sources[sequence] = found.source

        return see

    def _personal(self, batch: SpineRow, sequence: int, table: bytes | None) -> Collection[str]:
        if batch.routing_version != self._policy.version or table is None:
            return ()
        source = self._sources.get(sequence, batch.source_db)
        return self._policy.personal_columns(f"{source}.{table.decode()}")

    def _report(self, batch: SpineRow, sequence: int, table: str, what: str) -> None:
        sentence = f"number {sequence} holds {what} in clear, which is personal"
        self._found.append(Finding("V22", batch.batch_no, sequence, table, sentence))

    def _changes(self, layout: Layout) -> See:
        at_table, at_column = layout.position("table_name"), layout.position("column_name")
        at_state, at_values = layout.position("value_state"), [layout.position(f"{s}_value") for s in ("old", "new")]
        at_chunk, at_chunks = layout.position("chunk_no"), layout.position("chunk_count")

        def see(batch: SpineRow, sequence: int, row: RawRow) -> None:
            personal = self._personal(batch, sequence, row[at_table])
            if not personal:
                return
            column, state = (row[at_column] or b"").decode(), row[at_state]
            if state == b"IMAGE":
                for position in at_values:
                    pieces = self._pieces.setdefault((sequence, layout.columns[position]), [])
                    pieces.append(row[position] or b"")
                    if row[at_chunk] == row[at_chunks]:
                        self._look(batch, sequence, layout.table, b"".join(pieces), personal)
                        pieces.clear()
            elif column in personal and state != b"SECRET":
                first = row[at_chunk] == b"1"
                clear = state != b"ENC" or (first and any(_is_clear(row[position]) for position in at_values))
                if clear and any(row[position] is not None for position in at_values):
                    name = f"{(row[at_table] or b'').decode()}.{column}"
                    self._report(batch, sequence, layout.table, name)

        return see

    def _images(self, layout: Layout) -> See:
        at_table = layout.position("table_name")
        at_values = [layout.position(column) for column in ("old_values", "new_values")]

        def see(batch: SpineRow, sequence: int, row: RawRow) -> None:
            if personal := self._personal(batch, sequence, row[at_table]):
                for position in at_values:
                    self._look(batch, sequence, layout.table, row[position] or b"", personal)

        return see

    def _single(self, layout: Layout) -> See:
        name, holders = _COLUMN_TABLES[layout.table]
        at_table, at_name = layout.position("table_name"), layout.position(name)
        at_values = [layout.position(column) for column in holders]

        def see(batch: SpineRow, sequence: int, row: RawRow) -> None:
            column = (row[at_name] or b"").decode()
            if column in self._personal(batch, sequence, row[at_table]) and any(_is_clear(row[at]) for at in at_values):
                self._report(batch, sequence, layout.table, f"{(row[at_table] or b'').decode()}.{column}")

        return see

    def _look(self, batch: SpineRow, sequence: int, table: str, image: bytes, personal: Collection[str]) -> None:
        if not image:
            return
        try:
            values: Any = json.loads(image)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            self._report(batch, sequence, table, "an image that is no JSON object")
            return
        clear = sorted(column for column in personal if not _sealed(values.get(column)))  # pyright: ignore
        if clear:
            self._report(batch, sequence, table, ", ".join(clear))


def _is_clear(value: bytes | None) -> bool:
    return value is not None and not value.startswith((_ENCRYPTED.encode(), b'{"$ref"'))


def _sealed(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict) or len(value) == 0:  # pyright: ignore[reportUnknownArgumentType]
        return False
    encrypted: Any = value.get("$enc")  # pyright: ignore
    return "$ref" in value or (isinstance(encrypted, str) and encrypted.startswith(_ENCRYPTED))
