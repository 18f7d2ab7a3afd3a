"""`genims audit`: the audit trail."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape

from genims_platform.audit.accounts import AccountRefusedError, ensure_accounts
from genims_platform.audit.capture.check import Checked
from genims_platform.audit.capture.check import check as check_capture
from genims_platform.audit.capture.install import Installed
from genims_platform.audit.capture.install import install as install_capture
from genims_platform.audit.capture.objects import CaptureObject
from genims_platform.audit.capture.session import CaptureError, CaptureRefusedError
from genims_platform.audit.capture.uninstall import Uninstalled
from genims_platform.audit.capture.uninstall import uninstall as uninstall_capture
from genims_platform.audit.database import audit_database
from genims_platform.audit.policy import audit_policy
from genims_platform.commands.audit_init import init
from genims_platform.commands.audit_keys import app as keys
from genims_platform.commands.audit_quarantine import app as quarantine
from genims_platform.commands.audit_reconcile import reconcile
from genims_platform.commands.audit_relay import relay
from genims_platform.commands.audit_restore import restore
from genims_platform.commands.audit_seal import seal
from genims_platform.commands.audit_show import show
from genims_platform.commands.audit_source import app as source_app
from genims_platform.commands.audit_status import status
from genims_platform.commands.audit_suspend import resume, suspend
from genims_platform.commands.audit_trace import trace_row
from genims_platform.commands.audit_verify import verify_trail
from genims_platform.commands.audit_who import who
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

app = typer.Typer(help="The audit trail: capture of every change in the source databases.", no_args_is_help=True)
app.command()(init)
app.command()(relay)
app.command()(status)
app.command()(seal)
app.command("trace")(trace_row)
app.command()(who)
app.command()(show)
app.command("verify")(verify_trail)
app.command()(reconcile)
app.command()(restore)
app.command()(suspend)
app.command()(resume)
app.add_typer(keys, name="keys")
app.add_typer(source_app, name="source")
app.add_typer(quarantine, name="quarantine")

Sources = Annotated[
    list[str] | None, typer.Option("--source", metavar="NAME", help="Only this source; repeatable. Default: all 13.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, change nothing.")]
Result = TypeVar("Result", Installed, Uninstalled, Checked)

_COLOURS = {"created": "green", "changed": "yellow", "removed": "yellow", "missing": "red"}


@app.callback()
def _group() -> None: ...


@app.command()
def install(source: Sources = None, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Capture every change of the audited tables; creates, upgrades or repairs, and changes nothing that is right.

    One transaction a source; business writes go on. Exit code 1 if a table of the policy is missing, 3 if a right is.

    Example: genims audit install --source crm --dry-run
    """
    with friendly_errors():
        settings = current_settings()
        audit_policy()
        done, code = _each(source, lambda name: install_capture(settings, name, dry_run=dry_run))
    if as_json:
        print_json({"dry_run": dry_run, "sources": [_record(result) for result in done]})
    else:
        for result in done:
            _show(result.database, result.objects, dry_run)
            if result.baselines:
                console.print(f"  {result.baselines} tables counted as the start of their audit trail")
            if not result.event_triggers:
                console.print(
                    "  DDL and grants are found by comparing the catalogue: only a superuser may create event triggers",
                    soft_wrap=True,
                )
    missing = any(found.state == "missing" for result in done for found in result.objects)
    _leave(code or (Exit.FINDINGS if missing else Exit.DONE))


@app.command()
def check(source: Sources = None, as_json: Json = False) -> None:
    """Name missing, disabled and altered parts of capture and tables the policy does not know; exit code 1 if any.

    Example: genims audit check --json
    """
    with friendly_errors():
        settings = current_settings()
        audit_policy()
        done, code = _each(source, lambda name: check_capture(settings, name))
    findings = [finding for result in done for finding in result.findings]
    if as_json:
        print_json({"sources": [asdict(result) for result in done]})
    else:
        for finding in findings:
            console.print(f"[red]{finding.kind}[/] {escape(finding.message)}", soft_wrap=True, highlight=False)
        console.print(f"{len(done)} sources compared, {len(findings)} findings", highlight=False)
    _leave(code or (Exit.FINDINGS if findings else Exit.DONE))


@app.command()
def uninstall(
    source: Sources = None,
    drop_queue: Annotated[bool, typer.Option("--drop-queue", help="Also drop the queue, if all is delivered.")] = False,
    delivered_tick: Annotated[
        int | None, typer.Option(min=1, help="Last tick that the audit database has of the source (needs --source).")
    ] = None,
    discard_undelivered: Annotated[
        bool, typer.Option("--discard-undelivered", help="Drop the queue even with events nobody has: they are lost.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Stop capture, recorded as its last event; the queue stays until its events are delivered.

    Exit code 3 if --drop-queue would lose events, or a right is missing.

    Example: genims audit uninstall --source crm --drop-queue --delivered-tick 4711
    """
    with friendly_errors():
        if delivered_tick is not None and len(source or ()) != 1:
            raise UsageError("--delivered-tick belongs to one source; name it with --source")
        if (delivered_tick is not None or discard_undelivered) and not drop_queue:
            raise UsageError("--delivered-tick and --discard-undelivered only mean something with --drop-queue")
        settings = current_settings()
        done, code = _each(
            source,
            lambda name: uninstall_capture(
                settings,
                name,
                drop_queue=drop_queue,
                delivered_tick=delivered_tick,
                discard=discard_undelivered,
                dry_run=dry_run,
            ),
        )
    if as_json:
        print_json({"dry_run": dry_run, "sources": [_record(result) for result in done]})
    else:
        for result in done:
            _show(result.database, result.objects, dry_run)
    for result in done:
        if result.undelivered:
            errors.print(
                f"[red]refused:[/] the queue of {result.database} stays: {result.undelivered} events are not known to "
                "be delivered. Let the relay deliver them and name its last tick with --delivered-tick",
                soft_wrap=True,
                highlight=False,
            )
            code = code or Exit.REFUSED
    _leave(code)


@app.command()
def accounts(dry_run: DryRun = False, as_json: Json = False) -> None:
    """Create the MySQL accounts of the audit database, each with the rights its work needs, and name surplus rights.

    Exit code 1 if an account has more rights than it should, or others may write; 3 if the server refuses.

    Example: genims audit accounts --dry-run
    """
    with friendly_errors():
        settings = current_settings()
        try:
            done = ensure_accounts(audit_database(settings), settings, dry_run=dry_run)
        except AccountRefusedError as error:
            errors.print(f"[red]refused:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
            raise typer.Exit(Exit.REFUSED) from None
    if as_json:
        print_json({**asdict(done), "surplus": list(done.surplus)})
    else:
        for account in done.accounts:
            changes = (
                f"{'would be: ' if dry_run else ''}{', '.join(account.changes)}" if account.changes else "unchanged"
            )
            line = f"{account.role:<10} {account.account:<40} {changes}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        for surplus in done.surplus:
            console.print(f"[red]surplus[/] {escape(surplus)}", highlight=False, soft_wrap=True)
        if done.surplus:
            console.print("Find out who gave these rights, then REVOKE them; nothing is taken away here.")
    _leave(Exit.FINDINGS if done.surplus else Exit.DONE)


def _each(names: Sequence[str] | None, work: Callable[[str], Result]) -> tuple[list[Result], Exit]:
    """The results of the sources that could be worked on, and the exit code of those that could not."""
    for name in names or ():
        if name not in SOURCE_NAMES:
            raise UsageError(f"{name!r} is no source; sources are {', '.join(SOURCE_NAMES)}")
    done: list[Result] = []
    code = Exit.DONE
    for name in dict.fromkeys(names or SOURCE_NAMES):
        try:
            done.append(work(name))
        except CaptureError as error:
            code = Exit.REFUSED if isinstance(error, CaptureRefusedError) else Exit.FINDINGS
            errors.print(f"[red]{name}:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        except ConnectionError as error:
            code = Exit.UNREACHABLE
            errors.print(f"[red]{name}:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
    return done, code


def _record(result: Installed | Uninstalled) -> dict[str, Any]:
    return {**asdict(result), "changed": result.changed}


def _show(database: str, objects: Sequence[CaptureObject], dry_run: bool) -> None:
    states = Counter(found.state for found in objects)
    counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    if states.keys() <= {"unchanged"}:
        counts = f"nothing to do{f' ({counts})' if counts else ''}"
    console.print(f"{database:<26} {'would be: ' if dry_run else ''}{counts}", highlight=False, soft_wrap=True)
    # A first installation and a removal would list everything.
    whole = not states["unchanged"] or any(found.kind == "schema" and found.state == "created" for found in objects)
    listed = ("changed", "missing") if whole else ("created", "changed", "removed", "missing")
    for found in objects:
        if found.state in listed:
            note = f": {found.note}" if found.note else ""
            line = f"  [{_COLOURS[found.state]}]{found.state}[/] {found.kind} {escape(found.name + note)}"
            console.print(line, highlight=False, soft_wrap=True)


def _leave(code: Exit) -> None:
    if code:
        raise typer.Exit(code)
