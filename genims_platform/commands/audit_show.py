"""`genims audit show`: one event, as it is stored."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.markup import escape

from genims_platform.audit.event import EventRecord, Row, event_record, ledger_row
from genims_platform.commands.console import (
    Exit,
    Json,
    console,
    current_settings,
    errors,
    friendly_errors,
    print_json,
    shortened,
)

_OF_EVERY_ROW = frozenset({"audit_sequence", "item_no", "recorded_at", "batch_no"})


def show(
    sequence: Annotated[int, typer.Argument(help="Number of the event, as trace, who, verify and reports give it.")],
    as_json: Json = False,
) -> None:
    """Show all that is stored of one event: its rows in every table, its batch, the checkpoint that covers it.

    Exit code 1 if there is no such event. Personal values stay encrypted.

    Example: genims audit show 4711
    """
    with friendly_errors():
        settings = current_settings()
        try:
            event = event_record(settings, sequence)
        except LookupError as error:
            errors.print(escape(str(error)), highlight=False)
            raise typer.Exit(Exit.FINDINGS) from None
    if as_json:
        print_json(_record(event))
        return
    for line in _lines(event):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _record(event: EventRecord) -> dict[str, Any]:
    return {
        "audit_sequence": event.audit_sequence,
        "batch": _readable(event.batch),
        "checkpoint": event.checkpoint and _readable(event.checkpoint),
        "rows": {table: [_readable(row) for row in rows] for table, rows in event.rows.items()},
    }


def _readable(row: Row) -> dict[str, Any]:
    return {name: value.hex() if isinstance(value, bytes | bytearray) else value for name, value in row.items()}


def _lines(event: EventRecord) -> Iterator[str]:
    batch, ledger = event.batch, ledger_row(event)
    if ledger is None:
        yield f"#{event.audit_sequence}  declared void, there is no such event"
    else:
        table, key = ledger["table_name"], ledger["primary_key_value"] or ""
        where = f"of {ledger['source_db']}.{table} {key}" if table else f"in {ledger['source_db']}"
        yield f"#{event.audit_sequence}  {ledger['operation_type']} {where}".rstrip()
    kind, number, recorded_at = batch["batch_kind"], batch["batch_no"], batch["recorded_at"]
    yield f"{kind} batch {number}, {recorded_at} UTC, written by {batch['writer_id']}"
    if event.checkpoint is None:
        yield "not covered by a signed checkpoint yet"
    else:
        signed = event.checkpoint
        yield f"covered by checkpoint {signed['checkpoint_no']}, {signed['checkpoint_timestamp']} UTC"
    for table, rows in event.rows.items():
        for number, row in enumerate(rows, 1):
            yield table if len(rows) == 1 else f"{table}, row {number}"
            for name, value in _readable(row).items():
                if name not in _OF_EVERY_ROW and value is not None:
                    yield f"    {name}: {shortened(str(value))}"
