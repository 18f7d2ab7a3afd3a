"""`genims audit init`: the beginning of the audit trail."""

import getpass
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict

import typer
from rich.markup import escape

from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.ledger.control import Appender, ensure_genesis
from genims_platform.audit.ledger.opening import NotCapturedError, Opened, open_source
from genims_platform.audit.sealer.signing import read_public_keys, signing_key
from genims_platform.commands.audit_source import show_opened
from genims_platform.commands.console import (
    Exit,
    Json,
    console,
    current_settings,
    errors,
    friendly_errors,
    print_json,
)
from genims_platform.settings import SOURCE_NAMES, Settings


def init(as_json: Json = False) -> None:
    """Begin the audit trail: its first batch, and delivery of every source in which capture is installed.

    What has begun is left alone, so a second call changes nothing. Exit code 1 if capture is missing in a source, 4 if
    a source cannot be reached, 5 if the database is not safe to write to.

    Example: genims audit init
    """
    code = Exit.DONE
    opened: list[Opened] = []
    missing: dict[str, str] = {}
    with friendly_errors():
        settings = current_settings()
        with closing(open_ledger(settings, "writer")) as ledger:
            ledger.check_server()
            appender = Appender(ledger)
            genesis = ensure_genesis(appender, public_keys=_public_keys(settings))
            begun = ledger.cursors()
            for source in SOURCE_NAMES:
                if source in begun:
                    continue
                try:
                    opened.append(
                        open_source(appender, settings.audit_relay(source), source, operator=getpass.getuser())
                    )
                except NotCapturedError as error:
                    missing[source] = str(error)
                    code = code or Exit.FINDINGS
                except ConnectionError as error:
                    missing[source] = str(error)
                    code = Exit.UNREACHABLE
    if as_json:
        print_json(
            {
                "instance": genesis.instance,
                "created": genesis.created,
                "opened": [asdict(source) for source in opened],
                "begun": sorted(source for source in begun if source in SOURCE_NAMES),
                "missing": missing,
            }
        )
    else:
        state = "begun now" if genesis.created else "had begun"
        console.print(f"audit trail {genesis.instance}: {state}", highlight=False)
        for source in opened:
            show_opened(source)
        known = len(begun.keys() & set(SOURCE_NAMES))
        console.print(f"{len(opened)} sources opened now, {known} were open", highlight=False)
        for reason in missing.values():
            errors.print(f"[yellow]not opened:[/] {escape(reason)}", soft_wrap=True, highlight=False)
    if code:
        raise typer.Exit(code)


def _public_keys(settings: Settings) -> Sequence[str]:
    file = settings.audit_public_keys_file
    if file is not None and file.exists():
        return [key.text for key in read_public_keys(file)]
    key_file = settings.audit_signing_key_file
    if settings.audit_signing_key is not None or (key_file is not None and key_file.exists()):
        return [signing_key(settings).public.text]
    return []
