"""`genims audit verify`: recompute the audit trail and compare it with its checkpoints."""

import getpass
from dataclasses import asdict
from importlib.metadata import version
from typing import Annotated
from uuid import uuid4

import typer
from rich.markup import escape

from genims_platform.audit.integrity import record_verification
from genims_platform.audit.ledger.errors import LedgerError
from genims_platform.audit.verify.encoding import LayoutError
from genims_platform.audit.verify.findings import MANIPULATIONS
from genims_platform.audit.verify.verifier import Scope, Verification, verify
from genims_platform.commands.console import (
    Exit,
    Json,
    UsageError,
    console,
    current_settings,
    errors,
    friendly_errors,
    print_json,
    progress_bar,
)
from genims_platform.settings import Settings

_SHOWN = 50


def verify_trail(
    scope: Annotated[
        str, typer.Option(metavar="new|year=Y|sample|full", help="What to recompute: what came since, a year, all.")
    ] = "new",
    no_record: Annotated[bool, typer.Option("--no-record", help="Leave no record of it in the trail.")] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that recompute rows. Default: all processors for large trails.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Recompute every hash of the audit trail, walk its chain, and compare it with the signed checkpoints.

    Reads as MYSQL_AUDIT_VERIFIER_USER and trusts nothing but AUDIT_WORM_URI and AUDIT_PUBLIC_KEYS_FILE. The result is
    recorded if the writer's password is known. Exit code 1 if anything was found, 4 if it could not be looked at.

    Example: genims audit verify --scope full --json
    """
    with friendly_errors():
        settings = current_settings()
        try:
            wanted = Scope.parse(scope)
        except ValueError as error:
            raise UsageError(str(error)) from None
        with progress_bar() as bar:
            task = bar.add_task("rows recomputed", total=None)
            try:
                done = verify(
                    settings,
                    wanted,
                    processes=processes,
                    progress=lambda rows, total: bar.update(task, completed=rows, total=max(rows, total)),
                )
            except LayoutError as error:
                raise UsageError(str(error)) from None
        recorded = None if no_record else _record(settings, done)
    if as_json:
        print_json(
            {
                **asdict(done),
                "status": done.status,
                "first_bad_sequence": done.first_bad_sequence,
                "recorded_as": recorded,
            }
        )
    else:
        _show(done, recorded)
    if done.findings:
        raise typer.Exit(Exit.FINDINGS)


def _record(settings: Settings, done: Verification) -> int | None:
    if not settings.mysql_audit_writer_password.get_secret_value():
        errors.print("Not recorded: MYSQL_AUDIT_WRITER_PASSWORD is not set here.", highlight=False)
        return None
    try:
        return record_verification(
            settings,
            done,
            operator=getpass.getuser(),
            version=version("genims-platform")[:32],
            run_id=uuid4().hex,
        )
    except LedgerError as error:  # the verdict counts, recorded or not
        errors.print(f"[red]not recorded:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return None


def _show(done: Verification, recorded: int | None) -> None:
    for found in done.findings[:_SHOWN]:
        where = "" if found.sequence is None else f"from number {found.sequence}: "
        line = f"[red]{found.code}[/] {MANIPULATIONS[found.code]}: {escape(where + found.sentence)}"
        console.print(line, highlight=False, soft_wrap=True)
    if len(done.findings) > _SHOWN:
        console.print(f"… and {len(done.findings) - _SHOWN} more; --json shows all", highlight=False)
    for sentence in done.not_testable:
        console.print(f"[yellow]not testable[/] {escape(sentence)}", highlight=False, soft_wrap=True)
    rate = done.rows / done.seconds if done.seconds else 0.0
    console.print(
        f"{done.status}: scope {done.scope}, {done.batches} batches and {done.rows} rows up to number "
        f"{done.covers_sequence}, {done.seconds:.1f} s ({rate:,.0f} rows/s, {done.processes} processes)"
        f"{'' if recorded is None else f'; recorded as number {recorded}'}",
        highlight=False,
        soft_wrap=True,
    )
