"""`genims audit suspend` and `genims audit resume`: no capture of tables for a while, with leave."""

import getpass
from dataclasses import asdict
from typing import Annotated, Protocol

import typer
from rich.markup import escape

from genims_platform.audit.capture.session import CaptureError, CaptureRefusedError
from genims_platform.audit.capture.suspend import CaptureChange, Leave, TableCapture
from genims_platform.audit.capture.suspend import resume as resume_capture
from genims_platform.audit.capture.suspend import suspend as suspend_capture
from genims_platform.audit.policy import audit_policy
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
from genims_platform.settings import SOURCE_NAMES, Settings

_APPROVAL_CHARACTERS = 64

Source = Annotated[str, typer.Option("--source", metavar="NAME", help="The source.")]
Tables = Annotated[
    list[str] | None, typer.Option("--table", metavar="NAME", help="Only this table; repeatable. Default: all audited.")
]
Approval = Annotated[
    str, typer.Option("--approval", metavar="ID", help="Who allowed it, such as the number of a change request.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, change nothing.")]


def suspend(
    source: Source,
    approval: Approval,
    reason: Annotated[str, typer.Option("--reason", help="Why, such as the initial load of a table.")],
    table: Tables = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Capture no changes of tables for a while, for an initial load or a migration; recorded, with a count of the rows.

    The trail says SUSPENDED about these tables from then on, never OK, and a security event names the approval. Writers
    to the tables wait while their rows are counted. AUDIT_PG_INSTALL_USER must be a member of genims_audit_maintenance.
    A suspended table stays as it is, so this may be repeated. Exit code 1 if a table is not captured, 3 if refused.

    Example: genims audit suspend --source crm --table accounts --approval CHG-1042 --reason "initial load"
    """
    _run(suspend_capture, source, table, Leave(getpass.getuser(), reason, approval), dry_run=dry_run, as_json=as_json)


def resume(
    source: Source,
    approval: Approval,
    reason: Annotated[str, typer.Option("--reason", help="Why now.")] = "the work is done",
    table: Tables = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Capture changes of suspended tables again, and tell how their rows changed meanwhile; recorded.

    Rows are counted and digested at the moment from which changes are captured again; writers to the tables wait
    meanwhile. A table that is captured stays as it is. Exit code 1 if a table is not audited, 3 if refused.

    Example: genims audit resume --source crm --table accounts --approval CHG-1042
    """
    _run(resume_capture, source, table, Leave(getpass.getuser(), reason, approval), dry_run=dry_run, as_json=as_json)


class _Act(Protocol):
    def __call__(
        self, settings: Settings, source: str, tables: list[str] | None, leave: Leave, *, dry_run: bool
    ) -> CaptureChange: ...


def _run(act: _Act, source: str, tables: list[str] | None, leave: Leave, *, dry_run: bool, as_json: bool) -> None:
    with friendly_errors():
        _check(source, tables, leave)
        try:
            done = act(current_settings(), source, tables, leave, dry_run=dry_run)
        except CaptureError as error:
            errors.print(f"[red]{source}:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
            refused = isinstance(error, CaptureRefusedError)
            raise typer.Exit(Exit.REFUSED if refused else Exit.FINDINGS) from None
    if as_json:
        print_json({"dry_run": dry_run, **asdict(done), "changed": done.changed})
        return
    for found in done.tables:
        line = f"{source}.{found.table}  {'would be: ' if dry_run and found.rows is not None else ''}{_says(found)}"
        console.print(escape(line), soft_wrap=True, highlight=False)


def _check(source: str, tables: list[str] | None, leave: Leave) -> None:
    if source not in SOURCE_NAMES:
        raise UsageError(f"{source!r} is no source; sources are {', '.join(SOURCE_NAMES)}")
    audited = audit_policy().audited(source)
    if unknown := [name for name in tables or () if name not in audited]:
        raise UsageError(
            f"{', '.join(unknown)}: no audited table of {source}; these are {', '.join(audited) or 'none'}"
        )
    if not leave.approval.strip() or len(leave.approval) > _APPROVAL_CHARACTERS:
        raise UsageError(f"--approval needs 1 to {_APPROVAL_CHARACTERS} characters; it identifies, so it is never cut")
    if not leave.reason.strip():
        raise UsageError("--reason is empty; say why")


def _says(found: TableCapture) -> str:
    window = found.window
    if found.state == "unchanged":
        return "is captured" if window is None else f"is suspended since {window.since:%Y-%m-%d %H:%M:%S} UTC"
    if found.state == "suspended":
        return f"suspended; it has {found.rows} rows"
    assert window is not None  # noqa: S101 - the one that ended
    meanwhile = "the same as before" if found.same_rows else f"it had {window.rows} before; its rows changed meanwhile"
    return f"resumed after {window.since:%Y-%m-%d %H:%M:%S} UTC; it has {found.rows} rows, {meanwhile}"
