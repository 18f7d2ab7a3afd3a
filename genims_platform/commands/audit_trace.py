"""`genims audit trace`: the history of one row."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from genims_platform.audit.trace import Original, Traced, ValueChange, trace
from genims_platform.commands.console import (
    Exit,
    Json,
    UsageError,
    console,
    current_settings,
    errors,
    friendly_errors,
    print_json,
    shortened,
)
from genims_platform.settings import SOURCE_NAMES


def trace_row(
    table: Annotated[str, typer.Argument(metavar="SOURCE.TABLE", help="Such as crm.accounts.")],
    key: Annotated[str, typer.Argument(help="Primary key of the row.")],
    limit: Annotated[int, typer.Option(min=1, help="Only so many events, the newest.")] = 20,
    as_json: Json = False,
) -> None:
    """Show what happened to one row of a source: when, by whom and why, before and after. Exit code 1 if nothing did.

    Personal values stay encrypted.

    Example: genims audit trace crm.accounts ACC-000001
    """
    with friendly_errors():
        source, _, name = table.partition(".")
        if source not in SOURCE_NAMES or not name:
            raise UsageError(f"{table!r} is no table of a source; expected is SOURCE.TABLE, such as crm.accounts")
        found = trace(current_settings(), source, name, key, limit)
    if as_json:
        print_json({"events": [asdict(event) for event in found]})
    else:
        for event in found:
            _show(event)
    if not found:
        errors.print(f"the audit trail knows nothing of {escape(table)} {escape(key)}", highlight=False)
        raise typer.Exit(Exit.FINDINGS)


def _show(event: Traced) -> None:
    parts = [f"{event.happened_at} UTC  #{event.audit_sequence}  {event.operation} by {_person(event)}"]
    facts = {"as": event.db_user, "with": event.application, "reason": event.reason, "approval": event.approval}
    parts += [f"{name} {value}" for name, value in facts.items() if value]
    if event.status != "OK":
        parts.append(event.status)
    if event.reprocessed_as is not None:
        parts.append(f"reprocessed as #{event.reprocessed_as}")
    if (original := event.original) is not None:
        number = "" if original.audit_sequence is None else f"#{original.audit_sequence}, "
        parts.append(f"for {number}{original.operation} by {_person(original)} at {original.happened_at} UTC")
    console.print(", ".join(parts), markup=False, highlight=False, soft_wrap=True)
    for change in event.changes:
        name = "whole row" if change.column == "*" else change.column
        console.print(f"    {name}: {_values(change)}", markup=False, highlight=False, soft_wrap=True)


def _person(event: Traced | Original) -> str:
    return (event.user_id or "unknown user") + (f" ({event.user_role})" if event.user_role else "")


def _values(change: ValueChange) -> str:
    if change.state == "SECRET":
        return "changed; its values are never kept"
    if change.state == "ENC":
        return f"changed; encrypted under key {change.key_id}"
    return f"{_text(change.old)} → {_text(change.new)}"


def _text(value: str | None) -> str:
    return "nothing" if value is None else shortened(value)
