"""`genims audit source`: which sources are delivered, how far, and how the delivery of one begins."""

import getpass
from contextlib import closing
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer
from rich.markup import escape
from rich.table import Table

from genims_platform.audit.ledger.append import Cursor, open_ledger
from genims_platform.audit.ledger.control import Appender
from genims_platform.audit.ledger.opening import AlreadyOpenError, NotCapturedError, Opened, open_source
from genims_platform.commands.console import (
    Exit,
    Json,
    UsageError,
    console,
    current_settings,
    errors,
    friendly_errors,
    print_json,
)
from genims_platform.settings import SOURCE_NAMES

app = typer.Typer(help="The sources that the audit trail is fed from.", no_args_is_help=True)


@app.callback()
def _group() -> None: ...


@app.command("list")
def list_sources(as_json: Json = False) -> None:
    """The sources, and how far each is delivered.

    Example: genims audit source list
    """
    with friendly_errors(), closing(open_ledger(current_settings(), "writer")) as ledger:
        cursors = ledger.cursors()
    if as_json:
        print_json({source: _record(cursors.get(source)) for source in SOURCE_NAMES})
        return
    table = Table("source", "incarnation", "delivered to tick", "of the next range", box=None)
    for source in SOURCE_NAMES:
        cursor = cursors.get(source)
        table.add_row(source, *(_cells(cursor) if cursor else ("not open", "", "")))
    console.print(table)


@app.command("open")
def open_one(
    source: Annotated[str, typer.Argument(help="Name of the source.")],
    reason: Annotated[str | None, typer.Option(help="Why it is opened anew.")] = None,
    approval: Annotated[str | None, typer.Option(help="Approval, such as the number of a change request.")] = None,
    as_json: Json = False,
) -> None:
    """Begin the delivery of a source, or begin it anew after its database was restored or recreated.

    To open it anew needs --reason and --approval; both are recorded, with both identities, as a security event. Exit
    code 1 if capture is not installed, 3 if the source can be delivered on and needs no opening.

    Example: genims audit source open crm --reason "restored from backup" --approval CHG-1042
    """
    with friendly_errors():
        if source not in SOURCE_NAMES:
            raise UsageError(f"{source!r} is no source; sources are {', '.join(SOURCE_NAMES)}")
        settings = current_settings()
        with closing(open_ledger(settings, "writer")) as ledger:
            ledger.check_server()
            if ledger.cursor(source) is not None and not (reason and approval):
                raise UsageError(f"{source} was open before: say why with --reason and who allowed it with --approval")
            try:
                opened = open_source(
                    Appender(ledger),
                    settings.audit_relay(source),
                    source,
                    operator=getpass.getuser(),
                    reason=reason,
                    approval=approval,
                )
            except NotCapturedError as error:
                _refuse("not opened", error, Exit.FINDINGS)
            except AlreadyOpenError as error:
                _refuse("refused", error, Exit.REFUSED)
    if as_json:
        print_json(asdict(opened))
    else:
        show_opened(opened)


def show_opened(opened: Opened) -> None:
    """Print one line about a source that was opened now."""
    before = f", before {opened.previous_uid}" if opened.previous_uid else ""
    console.print(
        f"{opened.source:<12} opened as incarnation {opened.incarnation} after tick {opened.tick}, "
        f"installation {opened.install_uid}{before}",
        highlight=False,
        soft_wrap=True,
    )


def _record(cursor: Cursor | None) -> dict[str, int] | None:
    if cursor is None:
        return None
    span = cursor.span
    return {
        "incarnation": span.incarnation,
        "tick": span.tick_to if span.is_last_part else span.tick_from,
        "delivered_of_next": cursor.delivered,
    }


def _cells(cursor: Cursor) -> tuple[str, str, str]:
    record = _record(cursor) or {}
    delivered = f"{cursor.delivered} events" if cursor.delivered else ""
    return str(record["incarnation"]), str(record["tick"]), delivered


def _refuse(what: str, error: Exception, code: Exit) -> NoReturn:
    errors.print(f"[red]{what}:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
    raise typer.Exit(code)
