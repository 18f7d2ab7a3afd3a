"""`genims audit verify`: recompute the audit trail and compare it with its checkpoints."""

import getpass
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Annotated
from uuid import uuid4

import typer
from rich.markup import escape

from genims_platform.audit.acceptance import NotApprovedError, approvers, record_acceptance
from genims_platform.audit.integrity import record_verification
from genims_platform.audit.ledger.errors import LedgerError
from genims_platform.audit.verify.accepted import ACCEPTABLE_CODES, Known
from genims_platform.audit.verify.encoding import LayoutError
from genims_platform.audit.verify.findings import MANIPULATIONS, Code
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
    accept: Annotated[
        list[str] | None,
        typer.Option("--accept", metavar="CODE", help="Accept what is found of this code, such as V20; repeatable."),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="With --accept: what happened, and why it stays so.")] = None,
    approval: Annotated[
        list[str] | None, typer.Option("--approval", metavar="NAME", help="With --accept: who approved; two people.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Recompute every hash of the audit trail, walk its chain, and compare it with the signed checkpoints.

    Reads as MYSQL_AUDIT_VERIFIER_USER and trusts nothing but AUDIT_WORM_URI and AUDIT_PUBLIC_KEYS_FILE. The result is
    recorded if the writer's password is known. Exit code 1 if anything was found, 4 if it could not be looked at.

    A confirmed break is never repaired. With --accept two people other than the operator say that they know of it (exit
    code 3 if they are not two): later verifications list it as known, with their names, and do not fail for it.
    Whatever is changed in the same place after that is found as ever.

    Example: genims audit verify --scope full --accept V20 --accept V11 --reason "INC-1042: row deleted by a restore
    script" --approval anna.meier --approval ravi.iyer
    """
    operator = getpass.getuser()
    with friendly_errors():
        settings = current_settings()
        try:
            wanted = Scope.parse(scope)
        except ValueError as error:
            raise UsageError(str(error)) from None
        codes = _codes(accept or (), reason, approval)
        if codes:
            try:
                approvers(approval or (), operator)
            except NotApprovedError as error:
                errors.print(f"[red]refused:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
                raise typer.Exit(Exit.REFUSED) from None
        with progress_bar() as bar:
            task = bar.add_task("rows recomputed", total=None)
            try:
                done = verify(
                    settings,
                    wanted,
                    processes=processes,
                    accepting=codes,
                    progress=lambda rows, total: bar.update(task, completed=rows, total=max(rows, total)),
                )
            except LayoutError as error:
                raise UsageError(str(error)) from None
        accepted: int | None = None
        if codes:
            done, accepted = _accept(settings, done, codes, reason or "", approval or (), operator)
        recorded = None if no_record else _record(settings, done)
    if as_json:
        print_json(
            {
                **asdict(replace(done, breaks=())),
                "status": done.status,
                "first_bad_sequence": done.first_bad_sequence,
                "accepted_as": accepted,
                "recorded_as": recorded,
            }
        )
    else:
        _show(done, recorded)
    if done.findings:
        raise typer.Exit(Exit.FINDINGS)


def _codes(accept: Sequence[str], reason: str | None, approval: Sequence[str] | None) -> tuple[Code, ...]:
    """The codes to accept."""
    if not accept:
        if reason or approval:
            raise UsageError("--reason and --approval belong to --accept, which names what is accepted")
        return ()
    for name in accept:
        if name not in MANIPULATIONS:
            raise UsageError(f"{name!r} is no code; codes are {', '.join(MANIPULATIONS)}")
    codes: tuple[Code, ...] = tuple(code for code in ACCEPTABLE_CODES if code in accept)
    if mended := {*accept} - {*codes}:
        raise UsageError(f"{', '.join(sorted(mended))} can be put right, so it is not accepted")
    if not (reason or "").strip():
        raise UsageError("what is accepted needs a --reason, which later verifications show")
    return codes


def _accept(
    settings: Settings, done: Verification, codes: Sequence[Code], reason: str, approval: Sequence[str], operator: str
) -> tuple[Verification, int]:
    """The verification with what is accepted now among the known, and the number of the record."""
    found = {one.finding.code for one in done.breaks}
    if missing := [code for code in codes if code not in found]:
        raise UsageError(f"scope {done.scope} has no finding {', '.join(missing)} to accept; nothing was recorded")
    number = record_acceptance(
        settings,
        done,
        reason=reason.strip(),
        approvals=approval,
        operator=operator,
        version=version("genims-platform")[:32],
        run_id=uuid4().hex,
    )
    names = approvers(approval, operator)
    now_known = tuple(Known(one.finding, number, reason.strip(), names) for one in done.breaks)
    rest = tuple(one for one in done.findings if one.code not in codes)
    return replace(done, findings=rest, known=(*done.known, *now_known)), number


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
    for one in done.known[:_SHOWN]:
        line = f"[yellow]known[/] {one.finding.code} {escape(one.finding.sentence)}"
        by = f"accepted as number {one.accepted_as} by {', '.join(one.approvals)}: {one.reason}"
        console.print(f"{line}; {escape(by)}", highlight=False, soft_wrap=True)
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
