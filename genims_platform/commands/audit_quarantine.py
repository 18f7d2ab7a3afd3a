"""`genims audit quarantine`: events that could not be stored as they should be."""

import getpass
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.quarantine_retry import Outcome, Retried, retry_events
from genims_platform.audit.relay.quarantined_events import QuarantinedEvent, explain, quarantined_events
from genims_platform.commands.console import (
    Exit,
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


_WORDS: Mapping[Outcome, str] = {
    "reprocessed": "reprocessed",
    "already": "reprocessed before",
    "possible": "can be reprocessed",
    "stays": "stays in quarantine",
}


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
        line = f"{event.sequence}  {event.occurred_at:%Y-%m-%d %H:%M:%S}  {event.source}  {event.reason}{_since(event)}"
        console.print(escape(line), soft_wrap=True, highlight=False)
    done = sum(event.reprocessed_as is not None for event in found)
    console.print(f"{len(found)} events in quarantine, {done} of them reprocessed", highlight=False)


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
    console.print(escape(f"{event.reason}{_since(event)}"), soft_wrap=True, highlight=False)
    for name, value in shown.items():
        console.print(f"  {name:<14} {escape(str(value))}", soft_wrap=True, highlight=False)
    if fields is None:
        console.print("Only the digest of this event could be kept.")


@app.command()
def retry(
    sequences: Annotated[
        list[int] | None, typer.Argument(metavar="[SEQUENCE]...", help="Numbers of events in the ledger.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All events in quarantine.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what could be stored by now, store nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Store events in quarantine as they should be, once what kept them from it is mended.

    The event in quarantine is not changed. A new event, REPROCESSED, names it and carries its rows; it is stored at
    most once, so this may be repeated at any time. The event is read from its encrypted copy, or from the queue of its
    source where only the digest was kept. Exit code 1 if an event cannot be stored yet; it stays, and says why.

    Example: genims audit quarantine retry --all --dry-run
    """
    with friendly_errors():
        if everything is bool(sequences):
            raise UsageError("name the events by their numbers, or say --all")
        settings = current_settings()
        with closing(key_store(settings)) as keys:
            try:
                done = list(
                    retry_events(settings, keys, sequences or None, operator=getpass.getuser(), dry_run=dry_run)
                )
            except LookupError as error:
                raise UsageError(str(error)) from None
    if as_json:
        print_json({"dry_run": dry_run, "events": [asdict(found) for found in done]})
    else:
        for found in done:
            console.print(escape(f"{found.event.sequence}  {_says(found)}"), soft_wrap=True, highlight=False)
        counts = Counter(_WORDS[found.outcome] for found in done)
        console.print(", ".join(f"{number} {word}" for word, number in counts.items()) or "nothing is in quarantine")
    if any(found.outcome == "stays" for found in done):
        raise typer.Exit(Exit.FINDINGS)


def _since(event: QuarantinedEvent) -> str:
    return "" if event.reprocessed_as is None else f"; reprocessed as {event.reprocessed_as}"


def _says(found: Retried) -> str:
    if found.reason is not None:
        return f"{_WORDS[found.outcome]}: {found.reason}"
    rows = ", ".join(f"{number} in {table}" for table, number in found.rows.items()) or "none"
    what = _WORDS[found.outcome] if found.number is None else f"{_WORDS[found.outcome]} as {found.number}"
    return what if found.outcome == "already" else f"{what}; detail rows: {rows}"


def _size(value: object) -> str:
    return "none" if value is None else f"{len(str(value))} characters"
