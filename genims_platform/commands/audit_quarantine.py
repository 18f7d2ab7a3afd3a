"""`genims audit quarantine`: events that could not be stored as they should be."""

from contextlib import closing
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.relay.quarantined_events import explain, quarantined_events
from genims_platform.commands.console import (
    Json,
    UsageError,
    console,
    current_settings,
    friendly_errors,
    print_json,
)

app = typer.Typer(
    help="Events that could not be stored as they should be; they kept their place and number.", no_args_is_help=True
)


@app.callback()
def _group() -> None: ...


@app.command("list")
def list_events(as_json: Json = False) -> None:
    """The events in quarantine, oldest first, and why they are there.

    Example: genims audit quarantine list
    """
    with friendly_errors():
        found = quarantined_events(current_settings())
    if as_json:
        print_json(found)
        return
    for event in found:
        line = f"{event.sequence}  {event.occurred_at:%Y-%m-%d %H:%M:%S}  {event.source}  {event.reason}"
        console.print(escape(line), soft_wrap=True, highlight=False)
    console.print(f"{len(found)} events in quarantine", highlight=False)


@app.command("explain")
def explain_event(
    sequence: Annotated[int, typer.Argument(help="Number of the event in the ledger.")],
    reveal: Annotated[bool, typer.Option("--reveal", help="Print the values of the event, decrypted.")] = False,
    as_json: Json = False,
) -> None:
    """Why an event is in quarantine, how long each of its fields is, and with --reveal what they hold.

    Example: genims audit quarantine explain 4711
    """
    with friendly_errors():
        settings = current_settings()
        with closing(key_store(settings)) as keys:
            try:
                event, fields = explain(settings, keys, sequence)
            except LookupError as error:
                raise UsageError(str(error)) from None
    shown = {name: value if reveal else _size(value) for name, value in (fields or {}).items()}
    if as_json:
        print_json({**asdict(event), "fields": shown})
        return
    console.print(escape(event.reason), soft_wrap=True, highlight=False)
    for name, value in shown.items():
        console.print(f"  {name:<14} {escape(str(value))}", soft_wrap=True, highlight=False)
    if fields is None:
        console.print("Only the digest of this event could be kept.")


def _size(value: object) -> str:
    return "none" if value is None else f"{len(str(value))} characters"
